//! HTTPS with a certificate that the user vouches for, and without.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::CertifiedKey;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::place::{Place, known, model};

/// Starts a web server that answers everything with `body`; gives its address and its fresh certificate (PEM).
fn serve(body: &'static str) -> (String, String) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream =
                BufReader::new(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream));
            // A client that trusts nobody ends the handshake, and with it these lines.
            let head = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            if head.count() > 0 {
                let length = body.len();
                let stream = stream.get_mut();
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
                    .unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    (address, cert.pem())
}

#[test]
fn a_certificate_counts_only_if_somebody_vouches_for_it() {
    let (address, certificate) = serve("weights");
    let place = Place::with(model(json!({ "w": known(b"weights") }))).hub(address);
    place.fetch().is_error(&["cannot reach `https://127.0.0.1", "certificate"]);
    let file = place.path("certificate.pem");
    std::fs::write(&file, certificate).unwrap();
    let place = place.env("SSL_CERT_FILE", file.display().to_string());
    place.fetch().is_done();
    assert_eq!(place.read("w"), b"weights");
    let place = place.env("SSL_CERT_FILE", "/no/such/file");
    place.fetch().is_error(&["cannot read SSL_CERT_FILE"]);
}
