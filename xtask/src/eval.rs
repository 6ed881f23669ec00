//! `cargo xtask eval`: how much the faces in a folder of pictures are like the one in a photo.
//!
//! `idembed compare` looks at the pictures; here its numbers are summed up, written down and shown.

mod bootstrap;
mod compare;
mod inline;
mod page;
mod pictures;
mod summary;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{atomic, program, setup, workspace};
use compare::Picture;
use summary::{Files, Settings, Summary};

const EXAMPLES: &str = "\
Examples:
  cargo xtask eval --photo me.jpg --pictures out/me
  cargo xtask eval --photo me.jpg --pictures out/me --recogniser facenet-vggface2 --json

id is the mean cosine similarity of each picture's face to that in the photo, where
a picture without a face counts 0; detect is the share of pictures with a face.
Both have a 95 % bootstrap interval over the pictures. What id usually is for the
same person is printed where it is known; numbers of different recognition
networks cannot be compared.";

/// Options of `cargo xtask eval`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A photo of the person
    #[arg(long)]
    photo: PathBuf,
    /// The folder of pictures: all .png, .jpg, .jpeg and .webp files in it but the photo itself
    #[arg(long, value_name = "DIR")]
    pictures: PathBuf,
    /// The face recognition network, as `idembed compare` takes it; default: that of the model that drew the pictures,
    /// or the best that is there
    #[arg(long, value_name = "NAME|FILE")]
    recogniser: Option<String>,
    /// Where the results go; default: `out/eval` of the repository
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Samples of the bootstrap
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    resamples: u32,
    /// Where the bootstrap's random numbers start
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is nothing to evaluate, or the set-up, the build, the comparison or the disk fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let plan = Plan::new(args)?;
    setup::ensure()?;
    let program = program::build("idembed", &["--package", "idembed-cli"])?;
    let printed = plan.evaluate(&program)?;
    match io::stdout().write_all(printed.as_bytes()) {
        // A reader that went away is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print the result"),
        _ => Ok(()),
    }
}

/// What to evaluate: looked up before anything is compiled.
struct Plan<'a> {
    args: &'a Args,
    pictures: Vec<PathBuf>,
    files: Files,
}

impl<'a> Plan<'a> {
    fn new(args: &'a Args) -> Result<Self> {
        fs::metadata(&args.photo).with_context(|| format!("cannot open the photo `{}`", args.photo.display()))?;
        let pictures = pictures::list(&args.pictures, &args.photo)?;
        let out = args.out.clone().unwrap_or_else(|| workspace::root().join("out/eval"));
        fs::create_dir_all(&out).with_context(|| format!("cannot make the folder `{}`", out.display()))?;
        Ok(Self { args, pictures, files: Files::within(&out) })
    }

    /// Has `program` compare, writes the files, and gives what is to be printed.
    fn evaluate(&self, program: &Path) -> Result<String> {
        let Args { photo, recogniser, resamples, seed, json, .. } = self.args;
        let compared = compare::compare(program, photo, &self.pictures, recogniser.as_deref())?;
        let settings = Settings {
            photo: photo.display().to_string(),
            pictures: self.args.pictures.display().to_string(),
            resamples: *resamples,
            seed: *seed,
        };
        let summary = Summary::new(&compared, settings, self.files.clone())?;
        let as_json = serde_json::to_string_pretty(&summary)? + "\n";
        let page = page::render(&summary, photo, &compared.pictures);
        atomic::write(&self.files.pictures, lines(&compared.pictures)?.as_bytes())?;
        atomic::write(&self.files.summary, as_json.as_bytes())?;
        atomic::write(&self.files.page, page.as_bytes())?;
        Ok(if *json { as_json } else { summary.table(&compared.pictures).to_string() })
    }
}

/// All that is known of each picture, as JSON, one a line.
fn lines(pictures: &[Picture]) -> Result<String> {
    pictures.iter().map(|picture| Ok(format!("{}\n", serde_json::to_value(&picture.record)?))).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsString;

    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    const FACE: &str = r#"{"box": [0, 0, 9, 9], "score": 0.99, "landmarks": []}"#;

    /// A photo, pictures of which each holds what `fake_idembed.sh` says about it, and a folder for the results.
    struct Place(TempDir);

    impl Place {
        fn new(photo: &str, pictures: &[(&str, &str)]) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            fs::write(place.path("me.jpg"), photo.to_owned() + "\n").unwrap();
            fs::create_dir(place.path("pictures")).unwrap();
            for (name, fields) in pictures {
                fs::write(place.path("pictures").join(name), (*fields).to_owned() + "\n").unwrap();
            }
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn args(&self) -> Args {
            Args {
                photo: self.path("me.jpg"),
                pictures: self.path("pictures"),
                recogniser: None,
                out: Some(self.path("out")),
                resamples: 200,
                seed: 0,
                json: true,
            }
        }

        fn results(&self) -> Vec<(OsString, String)> {
            let entries = fs::read_dir(self.path("out")).unwrap().map(|entry| entry.unwrap());
            let mut files: Vec<_> =
                entries.map(|entry| (entry.file_name(), fs::read_to_string(entry.path()).unwrap())).collect();
            files.sort();
            files
        }
    }

    fn evaluate(args: &Args) -> Result<String> {
        Plan::new(args)?.evaluate(&workspace::root().join("xtask/eval/fake_idembed.sh"))
    }

    const PICTURES: [(&str, &str); 4] = [
        ("1.png", r#""faces": 1, "box": [1, 2, 3, 4], "score": 0.9, "landmarks": [], "id": 0.75"#),
        ("2.jpg", r#""faces": 0, "id": 0.0"#),
        ("3.webp", r#""error": "`3.webp` is cut short""#),
        ("a b.jpeg", r#""faces": 2, "box": [1, 2, 3, 4], "score": 0.8, "landmarks": [], "id": 0.25"#),
    ];

    #[test]
    fn pictures_are_compared_summed_up_and_written_down() {
        let place = Place::new(FACE, &PICTURES);
        let mut args = place.args();
        args.recogniser = Some("other".to_owned());
        let printed = evaluate(&args).unwrap();
        let json: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((json["id"]["n"].as_u64(), json["detect"]["n"].as_u64()), (Some(3), Some(3)));
        assert!((json["id"]["mean"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert!((json["detect"]["mean"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((json["recogniser"].as_str(), json["photo"].as_str()), (Some("other"), args.photo.to_str()));
        assert_eq!((json["faces_missing"].as_u64(), json["unreadable"].as_u64()), (Some(1), Some(1)));
        assert_eq!((json["recogniser_because"].as_str(), &json["scale"]), (Some("it was asked for"), &Value::Null));

        let results = place.results();
        let names: Vec<_> = results.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["index.html", "pictures.jsonl", "summary.json"]);
        assert_eq!(results[2].1, printed);
        let lines: Vec<Value> = results[1].1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["box"], serde_json::json!([1, 2, 3, 4]));
        assert_eq!(lines[2]["error"], "`3.webp` is cut short");
        for file in ["pictures", "summary", "page"] {
            assert!(Path::new(json["files"][file].as_str().unwrap()).is_file(), "{file}");
        }

        assert_eq!(evaluate(&args).unwrap(), printed);
        assert_eq!(place.results(), results, "a second run writes the same");
    }

    #[test]
    fn a_table_is_printed_for_people() {
        let place = Place::new(FACE, &PICTURES);
        let mut args = place.args();
        args.json = false;
        let printed = evaluate(&args).unwrap();
        assert!(printed.contains("first-found") && printed.contains("best     0.750  1.png\n"), "{printed}");
        let reading = "same person usually above 0.40, strangers usually below 0.20 (a test)";
        assert!(printed.contains(&format!("\n{reading}\n")), "{printed}");
        let page = fs::read_to_string(place.path("out/index.html")).unwrap();
        assert!(
            page.contains("<p>Same person usually above 0.40, strangers usually below 0.20 (a test).</p>"),
            "{page}"
        );
    }

    #[test]
    fn a_failure_of_the_program_is_an_error_and_writes_nothing() {
        let place = Place::new("nobody", &PICTURES);
        let error = evaluate(&place.args()).unwrap_err();
        assert_eq!(error.to_string(), "`idembed compare` failed (exit status: 1)");
        assert!(place.results().is_empty());

        let place = Place::new(FACE, &[("1.png", "no JSON")]);
        let error = evaluate(&place.args()).unwrap_err();
        assert_eq!(error.to_string(), "`idembed compare` answers something unexpected");
        assert!(place.results().is_empty());
    }

    #[test]
    fn what_is_missing_is_found_before_anything_is_started() {
        let place = Place::new(FACE, &PICTURES);
        let fails = |args: &Args, expected: &str| {
            let error = Plan::new(args).err().unwrap().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        fails(&Args { photo: place.path("you.jpg"), ..place.args() }, "cannot open the photo `");
        fails(&Args { pictures: place.path("nowhere"), ..place.args() }, "cannot read the folder `");
        fails(&Args { out: Some(place.path("me.jpg")), ..place.args() }, "cannot make the folder `");
        assert!(!place.path("out").exists());
    }

    #[test]
    fn more_pictures_than_fit_into_one_call_are_all_compared() {
        let names: Vec<String> = (0..10_000).map(|index| format!("{index:0>240}.png")).collect();
        let fields = r#""faces": 1, "score": 0.9, "id": 0.5"#;
        let pictures: Vec<_> = names.iter().map(|name| (name.as_str(), fields)).collect();
        let place = Place::new(FACE, &pictures);
        let json: Value = serde_json::from_str(&evaluate(&place.args()).unwrap()).unwrap();
        assert_eq!((json["id"]["n"].as_u64(), json["id"]["mean"].as_f64()), (Some(10_000), Some(0.5)));
        // The later parts were asked for the network of the first, whose reason and scale stand for all.
        let network = (json["recogniser"].as_str(), json["recogniser_because"].as_str());
        assert_eq!(network, (Some("first-found"), Some("it was found first")));
        assert_eq!(json["scale"]["same_above"].as_f64(), Some(0.4));
    }
}
