//! Calling `idembed-eval`: once, or several times side by side, each for its share of the units.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::hint::Hinted;
use crate::workspace;

/// How often the processes are looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// One of several parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Which one, from 1.
    index: usize,
    /// Of how many.
    count: usize,
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("a shard is a number from 1 and how many there are, such as 2/4"),
        }
    }
}

impl Display for Shard {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

/// Runs `program` with `arguments`: as the one part `shard` or the whole, or as `jobs` parts side by side. `stop` says
/// when all are to end; a part that fails does not end the others, since each unit that they finish is one less to do.
///
/// # Errors
/// When the program cannot be started, a part fails, or it was stopped.
pub(crate) fn run(
    program: &Path,
    arguments: &[OsString],
    shard: Option<Shard>,
    jobs: usize,
    stop: &Receiver<()>,
) -> Result<()> {
    let shards: Vec<Option<Shard>> = match jobs {
        0 | 1 => vec![shard],
        count => (1..=count).map(|index| Some(Shard { index, count })).collect(),
    };
    let is_alone = shards.len() == 1;
    let mut parts = Vec::new();
    for shard in shards {
        match Part::start(program, arguments, shard, is_alone) {
            Ok(part) => parts.push(part),
            Err(error) => {
                end(&mut parts);
                return Err(error);
            }
        }
    }
    let failed = wait(&mut parts, stop)?;
    if failed.is_empty() {
        return Ok(());
    }
    let message = match &failed[..] {
        [(_, status)] if is_alone => format!("`idembed-eval` failed ({status})"),
        _ => {
            let named = failed.iter().map(|(shard, status)| format!("{shard} ({status})")).collect::<Vec<_>>();
            format!("{} of {} parts failed: {}", failed.len(), parts.len(), named.join(", "))
        }
    };
    Err(Hinted::new(message, "what was finished is kept; the same command goes on from there").into())
}

/// A process, and the thread that hands on what it says.
struct Part {
    shard: Option<Shard>,
    process: Child,
    speaker: Option<thread::JoinHandle<()>>,
    /// How it ended.
    ended: Option<ExitStatus>,
}

impl Part {
    fn start(program: &Path, arguments: &[OsString], shard: Option<Shard>, is_alone: bool) -> Result<Self> {
        let mut command = Command::new(program);
        workspace::one_thread(&mut command);
        command.args(arguments);
        if let Some(shard) = shard {
            command.arg("--shard").arg(shard.to_string());
        }
        // The standard output is for the table alone.
        command.stdin(Stdio::null()).stdout(Stdio::from(io::stderr()));
        let said = if is_alone { None } else { Some(piped(&mut command).context("cannot make a pipe")?) };
        let process = command.spawn().with_context(|| format!("cannot start `{}`", program.display()))?;
        let speaker = said.map(|said| thread::spawn(move || hand_on(said, shard)));
        Ok(Self { shard, process, speaker, ended: None })
    }

    /// Whether it still runs.
    fn look(&mut self) -> Result<bool> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().context("cannot wait for `idembed-eval`")?;
        }
        Ok(self.ended.is_none())
    }

    /// Asks it to end.
    fn stop(&self) {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id.filter(|_| self.ended.is_none()) {
            // It may have ended just now.
            kill_process(id, Signal::TERM).ok();
        }
    }
}

/// Leads all that a program says into one pipe, which ends when the program and `command` do.
fn piped(command: &mut Command) -> io::Result<PipeReader> {
    let (said, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    Ok(said)
}

/// Hands on what a part says, line by line, each with the part's name: lines of several would mix otherwise.
fn hand_on(said: PipeReader, shard: Option<Shard>) {
    let name = shard.map(|shard| format!("{shard}: ")).unwrap_or_default();
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    while said.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        eprintln!("{name}{}", String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// Waits for all, and tells which failed and how.
fn wait(parts: &mut [Part], stop: &Receiver<()>) -> Result<Vec<(String, ExitStatus)>> {
    let mut stopped = false;
    loop {
        let mut running = false;
        for part in parts.iter_mut() {
            running |= part.look()?;
        }
        if !running {
            break;
        }
        match stop.recv_timeout(PAUSE) {
            Ok(()) => {
                stopped = true;
                parts.iter().for_each(Part::stop);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody can stop it.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(PAUSE),
        }
    }
    for part in parts.iter_mut() {
        part.speaker.take().map(thread::JoinHandle::join);
    }
    if stopped || !matches!(stop.try_recv(), Err(TryRecvError::Empty | TryRecvError::Disconnected)) {
        bail!(Hinted::new("stopped", "what was finished is kept; the same command goes on from there"));
    }
    let failed = parts.iter().filter_map(|part| {
        let status = part.ended.filter(|status| !status.success())?;
        Some((part.shard.map(|shard| shard.to_string()).unwrap_or_default(), status))
    });
    Ok(failed.collect())
}

/// Ends what was started.
fn end(parts: &mut [Part]) {
    for part in parts {
        part.process.kill().ok();
        part.process.wait().ok();
    }
}
