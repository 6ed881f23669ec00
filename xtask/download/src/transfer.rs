//! One file over HTTP: resumed where it was cut, checked, never under its final name.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use xtask::fingerprint::{Fingerprint, Hasher};
use xtask::hint::Hinted;
use xtask::models::ModelFile;
use xtask::{atomic, disk};

use crate::client::{Answer, Client, Refusal, Resume};
use crate::endpoints::Request;
use crate::progress::Progress;

/// How often in a row a transfer may be cut without a new byte.
const TRIES: u32 = 4;
/// Before the second try; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A file on its way: `PATH.part`, and `PATH.part.etag` with the version it belongs to.
struct Partial {
    path: PathBuf,
    etag: PathBuf,
}

impl Partial {
    fn of(place: &Path) -> Self {
        let path = partial_path(place);
        Self { etag: path.with_added_extension("etag"), path }
    }

    /// How many bytes can be kept: all, if either the sum will tell whether they fit, or the server can.
    fn usable(&self, expected: &ModelFile) -> u64 {
        let is_checkable = expected.sha256.is_some() || self.etag().is_some();
        let length = fs::metadata(&self.path).map_or(0, |it| it.len());
        if is_checkable && expected.size.is_none_or(|size| length <= size) { length } else { 0 }
    }

    fn etag(&self) -> Option<String> {
        fs::read_to_string(&self.etag).ok()
    }

    fn discard(&self) -> Result<()> {
        for path in [&self.path, &self.etag] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove `{}`", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where the unfinished file for `place` lies.
pub(crate) fn partial_path(place: &Path) -> PathBuf {
    place.with_added_extension("part")
}

/// Removes what is left of a transfer to `place`.
///
/// # Errors
/// When it is there and cannot be removed.
pub(crate) fn discard_partial(place: &Path) -> Result<()> {
    Partial::of(place).discard()
}

/// Fetches a file to `partial_path(place)` and tells what it is, which is as `expected` says.
///
/// # Errors
/// When the network, the server or the disk fails (what was received is kept for the next time), or when the file is
/// not the expected one (it is removed).
pub(crate) fn fetch(client: &Client, request: &Request, place: &Path, expected: &ModelFile) -> Result<Fingerprint> {
    let partial = Partial::of(place);
    let mut left_by_earlier_run = partial.usable(expected) > 0;
    let mut failures = 0;
    let mut best = 0;
    loop {
        let kept = partial.usable(expected);
        best = kept.max(best);
        let error = match attempt(client, request, &partial, kept, expected) {
            Ok(found) => match expected.difference(&found) {
                None => return Ok(found),
                Some(_) if left_by_earlier_run => {
                    eprintln!("what an earlier run left of it does not fit; starting anew");
                    left_by_earlier_run = false;
                    partial.discard()?;
                    continue;
                }
                Some(difference) => {
                    partial.discard()?;
                    return Err(wrong(request, &difference));
                }
            },
            Err(Refusal::Final(error)) => return Err(error),
            Err(Refusal::Passing(error)) => error,
        };
        let received = partial.usable(expected);
        failures = if received > best { 1 } else { failures + 1 };
        if failures == TRIES || received == 0 && is_offline(&error) {
            return Err(error);
        }
        eprintln!("cut after {received} bytes ({}); going on", error.root_cause());
        std::thread::sleep(FIRST_PAUSE * (1 << (failures - 1)));
    }
}

/// Whether the host has never answered; then waiting helps nobody.
fn is_offline(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        match cause.downcast_ref::<ureq::Error>() {
            Some(ureq::Error::Io(error)) => refused(error),
            Some(error) => matches!(error, ureq::Error::HostNotFound | ureq::Error::ConnectionFailed),
            None => false,
        }
    })
}

/// One connection: goes on after the `kept` bytes, or starts anew where the server wants that.
fn attempt(
    client: &Client,
    request: &Request,
    partial: &Partial,
    kept: u64,
    expected: &ModelFile,
) -> Result<Fingerprint, Refusal> {
    if kept > 0 && expected.size == Some(kept) {
        return Fingerprint::of_file(&partial.path).map_err(Refusal::Final);
    }
    let etag = partial.etag();
    let resume = Resume { from: kept, etag: etag.as_deref() };
    let answer = client.get(request, (kept > 0).then_some(&resume))?;
    let (start, total, new_etag, mut body) = match answer {
        Answer::Part { start, total, etag, body } => (start, total, etag, body),
        Answer::OutOfRange { total } if kept > 0 && total == Some(kept) => {
            return Fingerprint::of_file(&partial.path).map_err(Refusal::Final);
        }
        Answer::OutOfRange { .. } => return Err(restart(partial, request)),
    };
    if let (Some(total), Some(size)) = (total, expected.size)
        && total != size
    {
        return Err(Refusal::Final(wrong(request, &format!("has {total} bytes, listed {size}"))));
    }
    let continues = start > 0;
    if continues && (start != kept || etag.is_some() && new_etag.is_some() && etag != new_etag) {
        return Err(restart(partial, request));
    }
    let folder = partial.path.parent().unwrap_or(Path::new("."));
    let (mut file, mut hasher) = prepare(partial, continues, new_etag.as_deref()).map_err(Refusal::Final)?;
    if let Some(total) = total {
        disk::require(folder, total.saturating_sub(start), "the rest of the file").map_err(Refusal::Final)?;
    }
    let mut progress = Progress::new(start, total).map_err(Refusal::Final)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = body.read(&mut buffer).map_err(|error| cut(request, error))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count])
            .with_context(|| format!("cannot write `{}`", partial.path.display()))
            .map_err(Refusal::Final)?;
        hasher.update(&buffer[..count]);
        progress.advance(count as u64);
    }
    if total.is_some_and(|total| hasher.size() < total) {
        return Err(cut(request, std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(hasher.finish())
}

/// Opens the unfinished file for what is to come, with the hash of what is there.
fn prepare(partial: &Partial, continues: bool, etag: Option<&str>) -> Result<(File, Hasher)> {
    let mut hasher = Hasher::default();
    let context = || format!("cannot write `{}`", partial.path.display());
    if continues {
        let mut file = File::options().read(true).append(true).open(&partial.path).with_context(context)?;
        hasher.update_from(&mut file).with_context(context)?;
        return Ok((file, hasher));
    }
    partial.discard()?;
    if let Some(etag) = etag {
        atomic::write(&partial.etag, etag.as_bytes())?;
    }
    Ok((File::create(&partial.path).with_context(context)?, hasher))
}

fn restart(partial: &Partial, request: &Request) -> Refusal {
    let changed = anyhow::anyhow!("`{}` is another file than when its download began", request.url);
    match partial.discard() {
        Ok(()) => Refusal::Passing(changed),
        Err(error) => Refusal::Final(error),
    }
}

fn cut(request: &Request, error: std::io::Error) -> Refusal {
    let message = format!("the connection to `{}` was cut", request.url);
    let hint = "run the same command again; it goes on where it stopped";
    Refusal::Passing(anyhow::Error::new(error).context(Hinted::new(message, hint)))
}

fn wrong(request: &Request, difference: &str) -> anyhow::Error {
    let message = format!("`{}` {difference}: this is not the file that the manifest means", request.url);
    let hint = "if you asked a mirror, or a copy with --repo, ask the first source; otherwise it was changed there";
    Hinted::new(message, hint).into()
}
