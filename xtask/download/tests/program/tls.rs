//! HTTPS with a certificate that the user vouches for, and without.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::place::{Place, known, model};

/// A web server of openssl, which serves the files below a folder.
struct TlsServer {
    process: Child,
    port: u16,
}

impl TlsServer {
    /// With a fresh certificate, `site/certificate.pem`, for this machine's address.
    fn start(place: &Place) -> Option<Self> {
        let site = place.path("site");
        let folder = site.join("owner/model/resolve/main");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("w"), "weights").unwrap();
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test \
            -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
            -keyout key.pem -out certificate.pem";
        let made =
            Command::new("openssl").args(request.split(' ').filter(|it| !it.is_empty())).current_dir(&site).output();
        if !made.is_ok_and(|output| output.status.success()) {
            println!("skipped: needs openssl");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let serve = ["s_server", "-quiet", "-WWW", "-cert", "certificate.pem", "-key", "key.pem", "-accept"];
        let mut command = Command::new("openssl");
        command.args(serve).arg(format!("127.0.0.1:{port}")).current_dir(&site);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { process: command.spawn().unwrap(), port };
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_certificate_counts_only_if_somebody_vouches_for_it() {
    let place = Place::with(model(json!({ "w": known(b"weights") })));
    let Some(server) = TlsServer::start(&place) else { return };
    let place = place.hub(format!("https://127.0.0.1:{}", server.port));
    place.fetch().is_error(&["cannot reach `https://127.0.0.1", "certificate"]);
    let certificate = place.path("site/certificate.pem").display().to_string();
    let place = place.env("SSL_CERT_FILE", certificate);
    place.fetch().is_done();
    assert_eq!(place.read("w"), b"weights");
    let place = place.env("SSL_CERT_FILE", "/no/such/file");
    place.fetch().is_error(&["cannot read SSL_CERT_FILE"]);
}
