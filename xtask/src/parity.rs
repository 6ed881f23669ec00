//! `cargo xtask parity`: fresh random models and inputs, drawn by the reference, compared by the `parity` tests.
//!
//! The committed fixtures are one draw of the same generators; this command makes another one each time.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::disk::GIB;
use crate::hint::Hinted;
use crate::{disk, reference, setup, workspace};

/// The folders of fixtures, each beside the tests that read them; `tests/support` finds a topic of either in one folder of
/// fresh ones, so no two have the same name.
const FIXTURES: [&str; 2] = ["tests/fixtures", "crates/miniature/train/tests/fixtures"];

/// Options of `cargo xtask parity`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Models of the true sizes of SD 1.5, SD 2.1 and SDXL too, with random weights (28 GB of disk, 22 GiB of memory)
    #[arg(long)]
    full: bool,
    /// Repeat the draw of this seed
    #[arg(long)]
    seed: Option<u32>,
    /// Keep the drawn models and inputs
    #[arg(long)]
    keep: bool,
    /// Only the fixtures of these folders, such as `clip` for `tests/fixtures/clip`
    #[arg(long, value_name = "TOPIC")]
    only: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the set-up, a generator or a comparison fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_libtorch()?;
    let python = reference::python()?;
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(0) as u32);
    let out = workspace::root().join("out");
    fs::create_dir_all(&out).with_context(|| format!("cannot make the folder `{}`", out.display()))?;
    disk::require(&out, if args.full { 27 * GIB } else { GIB }, "the comparison")?;
    let temporary = if args.full || args.keep {
        None
    } else {
        Some(tempfile::Builder::new().prefix("parity-").tempdir_in(&out).context("cannot write in `out`")?)
    };
    let folder = match &temporary {
        Some(temporary) => temporary.path().to_path_buf(),
        // Models of full size are worth keeping: `bench` and users try things with them.
        None if args.full => out.join("full"),
        None => out.join(format!("parity-{seed}")),
    };
    println!("seed {seed}");
    let topics = generators(&FIXTURES.map(|fixtures| workspace::root().join(fixtures)), &args.only)?;
    ensure!(!topics.is_empty(), "no folder of fixtures has a generator to draw with");
    for topic in &topics {
        draw(&python, topic, &folder.join(&topic.name), seed, args.full)?;
    }
    let compared = compare(&folder, &python, args.full);
    if temporary.is_none() {
        println!("the drawn models and inputs are in `{}`", folder.display());
    }
    compared.map_err(|error| {
        error.context(Hinted::new(
            "the parity tests failed",
            format!("`cargo xtask parity --seed {seed} --keep` repeats this draw"),
        ))
    })
}

/// A folder of fixtures whose `generate.py` draws anew.
#[derive(Debug, PartialEq, Eq)]
struct Topic {
    name: String,
    script: PathBuf,
    /// Whether it knows models of full size.
    has_full: bool,
}

/// The generators below these folders that take a seed, in the order of their names.
fn generators(folders: &[PathBuf], only: &[String]) -> Result<Vec<Topic>> {
    let mut topics = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let script = entry.path().join("generate.py");
            let Ok(source) = fs::read_to_string(&script) else { continue };
            if source.contains("\"--seed\"") && (only.is_empty() || only.contains(&name)) {
                topics.push(Topic { name, script, has_full: source.contains("\"--full\"") });
            }
        }
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

fn draw(python: &OsStr, topic: &Topic, folder: &Path, seed: u32, full: bool) -> Result<()> {
    let full = full && topic.has_full;
    println!("drawing {}{}", topic.name, if full { " at full size" } else { "" });
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let mut command = Command::new(python);
    command.arg(&topic.script).arg("--out").arg(folder).args(["--seed", &seed.to_string()]).stdin(Stdio::null());
    if full {
        command.arg("--full");
    }
    ensure!(workspace::status(&mut command)?.success(), "`{}` failed", topic.script.display());
    Ok(())
}

/// Runs the parity tests on the fixtures in `folder` and prints their figures as a table.
///
/// Models of full size fit into memory one at a time.
fn compare(folder: &Path, python: &OsStr, full: bool) -> Result<()> {
    let environment = [
        ("IDEMBED_FIXTURES", folder.as_os_str()),
        ("IDEMBED_PYTHON", python),
        ("IDEMBED_REQUIRE_PYTHON", "1".as_ref()),
    ];
    let options: &[&str] = if full { &["--test-threads=1"] } else { &[] };
    let (figures, passed) = figures(options, environment)?;
    print!("{}", table(&figures));
    ensure!(passed, "`cargo test` failed");
    Ok(())
}

/// Runs the parity tests with these options for the test program, and prints what is no figure; the figures, and whether
/// all tests passed.
///
/// # Errors
/// When cargo cannot be run, and when nothing was compared.
pub(crate) fn figures<T: AsRef<OsStr>>(
    options: &[&str],
    environment: impl IntoIterator<Item = (&'static str, T)>,
) -> Result<(Vec<Comparison>, bool)> {
    let mut cargo = workspace::cargo();
    // The whole workspace, as in `cargo test --workspace`: another selection would compile many dependencies again.
    cargo.args(["test", "--workspace", "--test", "parity", "--", "--nocapture"]);
    cargo.args(options).envs(environment);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut figures = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read what the tests print")?;
            match Comparison::parse(&line) {
                Some(figure) => figures.push(figure),
                None => println!("{line}"),
            }
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    ensure!(!figures.is_empty(), "the tests compared nothing");
    Ok((figures, status.success()))
}

/// One comparison: `parity: <name> <metric>=<value> limit=<limit>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    name: String,
    value: String,
    limit: String,
}

impl Comparison {
    /// The figure in a line that a test printed; the test runner may have written before it on the same line.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("parity: ")?;
        let (rest, limit) = rest.rsplit_once(" limit=")?;
        let (name, value) = rest.split_once(' ')?;
        Some(Self { name: name.to_owned(), value: value.to_owned(), limit: limit.trim().to_owned() })
    }

    /// How much of its limit a difference takes, if the figure is one.
    fn share_of_limit(&self) -> Option<f64> {
        let difference: f64 = self.value.strip_prefix("max_rel=")?.parse().ok()?;
        Some(difference / self.limit.parse::<f64>().ok()?)
    }
}

fn table(figures: &[Comparison]) -> String {
    let width = |of: fn(&Comparison) -> usize| figures.iter().map(of).fold("compared".len(), usize::max);
    let (name, value) = (width(|figure| figure.name.len()), width(|figure| figure.value.len()));
    let mut text = format!("\n{:name$}  {:value$}  limit\n", "compared", "figure");
    for figure in figures {
        let _ = writeln!(text, "{:name$}  {:value$}  {}", figure.name, figure.value, figure.limit);
    }
    text + &summary(figures) + "\n"
}

/// How many comparisons there were, and which came nearest to its limit.
pub(crate) fn summary(figures: &[Comparison]) -> String {
    let mut text = format!("{} comparisons", figures.len());
    let nearest =
        figures.iter().filter_map(|figure| Some((figure.share_of_limit()?, figure))).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((share, figure)) = nearest {
        let _ = write!(text, ", nearest to its limit ({:.1} %): {} {}", 100.0 * share, figure.name, figure.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_tests_print() {
        let figure = Comparison::parse("test unet ... parity: unet/sd1/mid max_rel=3.125e-7 limit=1e-4").unwrap();
        let expected = ["unet/sd1/mid", "max_rel=3.125e-7", "1e-4"].map(str::to_owned);
        assert_eq!([figure.name, figure.value, figure.limit], expected);
        let figure = Comparison::parse("parity: picture/a equal=0.9999 largest=2 limit=0.999").unwrap();
        assert_eq!((figure.value.as_str(), figure.limit.as_str()), ("equal=0.9999 largest=2", "0.999"));
        assert_eq!(Comparison::parse("test unet ... ok"), None);
        assert_eq!(Comparison::parse("parity: nothing"), None);
    }

    #[test]
    fn the_table_is_aligned() {
        let figures = ["parity: a max_rel=1e-7 limit=1e-4", "parity: longer x=1 limit=2"]
            .map(|line| Comparison::parse(line).unwrap());
        let expected = "\ncompared  figure        limit\na         max_rel=1e-7  1e-4\nlonger    x=1           2\n\
            2 comparisons, nearest to its limit (0.1 %): a max_rel=1e-7\n";
        assert_eq!(table(&figures), expected);
    }

    #[test]
    fn generators_are_those_that_take_a_seed() {
        let temporary = tempfile::tempdir().unwrap();
        let sources =
            [("one/b", "add_argument(\"--seed\")"), ("two/a", "(\"--seed\") (\"--full\")"), ("two/c", "nothing")];
        for (folder, source) in sources {
            let folder = temporary.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("generate.py"), source).unwrap();
        }
        fs::create_dir(temporary.path().join("one/d")).unwrap();
        let folders = ["one", "two"].map(|folder| temporary.path().join(folder));
        let topics = generators(&folders, &[]).unwrap();
        let found: Vec<_> = topics.iter().map(|topic| (topic.name.as_str(), topic.has_full)).collect();
        assert_eq!(found, [("a", true), ("b", false)]);
        assert_eq!(generators(&folders, &["b".to_owned()]).unwrap().len(), 1);
    }

    #[test]
    fn every_folder_of_fixtures_is_there_and_no_topic_is_twice() {
        let topics = generators(&FIXTURES.map(|fixtures| workspace::root().join(fixtures)), &[]).unwrap();
        assert!(topics.windows(2).all(|pair| pair[0].name != pair[1].name), "{topics:?}");
    }
}
