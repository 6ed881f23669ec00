//! A program that is still running: what it says line by line, signals to it, and its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::program::{Place, Said};

/// How long anything is waited for: far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// `idembed` at work.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
}

impl Running {
    /// Starts the program in a folder.
    pub(crate) fn start<A: AsRef<std::ffi::OsStr>>(place: &Place, args: &[A]) -> Running {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Running { child, lines, stderr: String::new() }
    }

    /// Waits until it says something on the standard error.
    pub(crate) fn wait_for(&mut self, text: &str) {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("it did not say `{text}`, but:\n{}", self.stderr);
            };
            self.stderr += &format!("{line}\n");
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits until a file is there.
    pub(crate) fn wait_for_file(&mut self, path: &std::path::Path) {
        let started = Instant::now();
        while !path.exists() {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended too soon");
            assert!(started.elapsed() < PATIENCE, "`{}` does not appear", path.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end, which must come within a time.
    pub(crate) fn ends_within(mut self, limit: Duration) -> Said {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > limit {
                self.child.kill().unwrap();
                panic!("it goes on after {limit:?}; it said:\n{}", self.stderr);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.stderr.extend(self.lines.iter().map(|line| line + "\n"));
        Said { status: status.code(), stdout, stderr: self.stderr }
    }

    /// Waits for its end.
    pub(crate) fn ends(self) -> Said {
        self.ends_within(PATIENCE)
    }
}
