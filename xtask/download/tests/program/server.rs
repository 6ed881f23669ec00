//! A server on this machine that plays the hubs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What it answers.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    cut: Option<usize>,
    /// Keeps the connection open after the cut.
    hangs: bool,
    /// Leaves the length out, so that the end of the connection is the end of the body.
    without_length: bool,
    pause: Duration,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// The whole file.
    pub(crate) fn whole(body: &[u8]) -> Self {
        Self { status: 200, body: body.to_vec(), ..Self::default() }
    }

    /// The part of the file that is asked for; the whole one if none is, or if it changed since (`If-Range`).
    pub(crate) fn file(request: &Request, body: &[u8], etag: &str) -> Self {
        let start =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let is_same = request.header("if-range").is_none_or(|tag| tag == etag);
        let reply = match start {
            Some(start) if is_same && start < body.len() => Self {
                status: 206,
                body: body[start..].to_vec(),
                headers: vec![("Content-Range".to_owned(), format!("bytes {start}-{}/{0}", body.len()))],
                ..Self::default()
            },
            Some(_) if is_same => Self::status(416).with("Content-Range", &format!("bytes */{}", body.len())),
            _ => Self::whole(body),
        };
        if etag.is_empty() { reply } else { reply.with("ETag", etag) }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(302).with("Location", to)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), ..self }
    }

    pub(crate) fn hang_after(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), hangs: true, ..self }
    }

    pub(crate) fn without_length(self) -> Self {
        Self { without_length: true, ..self }
    }

    pub(crate) fn after(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        thread::sleep(self.pause);
        let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", self.status);
        if !self.without_length {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())])?;
        if self.hangs {
            thread::sleep(Duration::from_secs(30));
        }
        Ok(())
    }
}

/// Listens until the test ends.
pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request as `answer` says; it is told how many of the same path came before.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Self { port, seen }
    }

    /// Its address, with this name for the machine.
    pub(crate) fn at(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request, usize) -> Reply, log: &Mutex<Vec<Request>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let request = Request { path, headers: headers.collect() };
    let before = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|seen| seen.path == request.path).count();
        log.push(request.clone());
        before
    };
    // The client may have gone away; then the test sees it.
    let _ = answer(&request, before).send(&mut stream);
}
