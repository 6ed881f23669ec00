//! How much the faces in a folder of pictures are like the one in a photo, and how well they fit their prompts.
//!
//! `idembed compare` looks at the pictures; here its numbers are summed up, written down and shown.

mod compare;
mod page;
mod pictures;
mod summary;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Output;
use crate::{atomic, program, setup, workspace};
use compare::Picture;
use summary::{Files, Settings, Summary};

/// Options of this form alone.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pictures and a photo")]
#[group(skip)]
pub(super) struct Args {
    /// A photo of the person: evaluate the pictures in the folder --pictures, and draw none
    #[arg(long, requires = "pictures", conflicts_with_all = ["run", "evaluation"])]
    photo: Option<PathBuf>,
    /// The face recognition network, as `idembed compare` takes it; default: that of the model that drew the pictures,
    /// or the best that is there
    #[arg(long, value_name = "NAME|FILE", requires = "photo")]
    recogniser: Option<String>,
    /// A picture counts in ID(P) when its Prompt is at least this
    #[arg(long, default_value_t = 0.245)]
    tau: f64,
}

impl Args {
    /// The photo, where this form is asked for.
    pub(super) fn photo(&self) -> Option<&Path> {
        self.photo.as_deref()
    }
}

/// Evaluates the folder `pictures`.
///
/// # Errors
/// When there is nothing to evaluate, or the set-up, the build, the comparison or the disk fails.
pub(super) fn run(photo: &Path, args: &Args, pictures: Option<&OsStr>, output: &Output) -> Result<()> {
    let folder = Path::new(pictures.context("--photo needs --pictures, the folder to evaluate")?);
    let plan = Plan::new(photo, folder, args, output)?;
    setup::ensure()?;
    let program = program::build("idembed", &["--package", "idembed-cli"])?;
    super::print(&plan.evaluate(&program)?)
}

/// What to evaluate: looked up before anything is compiled.
struct Plan<'a> {
    photo: &'a Path,
    folder: &'a Path,
    args: &'a Args,
    output: &'a Output,
    pictures: Vec<PathBuf>,
    files: Files,
}

impl<'a> Plan<'a> {
    fn new(photo: &'a Path, folder: &'a Path, args: &'a Args, output: &'a Output) -> Result<Self> {
        fs::metadata(photo).with_context(|| format!("cannot open the photo `{}`", photo.display()))?;
        let pictures = pictures::list(folder, photo)?;
        let out = output.out.clone().unwrap_or_else(|| workspace::root().join("out/eval"));
        fs::create_dir_all(&out).with_context(|| format!("cannot make the folder `{}`", out.display()))?;
        Ok(Self { photo, folder, args, output, pictures, files: Files::within(&out) })
    }

    /// Has `program` compare, writes the files, and gives what is to be printed.
    fn evaluate(&self, program: &Path) -> Result<String> {
        let compared = compare::compare(program, self.photo, &self.pictures, self.args.recogniser.as_deref())?;
        let settings = Settings {
            photo: self.photo.display().to_string(),
            pictures: self.folder.display().to_string(),
            tau: self.args.tau,
            resamples: self.output.resamples,
            seed: self.output.seed,
        };
        let summary = Summary::new(&compared, settings, self.files.clone())?;
        let as_json = serde_json::to_string_pretty(&summary)? + "\n";
        let page = page::render(&summary, self.photo, &compared.pictures);
        atomic::write(&self.files.pictures, lines(&compared.pictures)?.as_bytes())?;
        atomic::write(&self.files.summary, as_json.as_bytes())?;
        atomic::write(&self.files.page, page.as_bytes())?;
        Ok(if self.output.json { as_json } else { summary.table(&compared.pictures).to_string() })
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

        fn asked(&self) -> Asked {
            Asked {
                photo: self.path("me.jpg"),
                pictures: self.path("pictures"),
                args: Args { photo: None, recogniser: None, tau: 0.245 },
                output: Output { out: Some(self.path("out")), resamples: 200, seed: 0, json: true },
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

    /// What the command was asked for.
    struct Asked {
        photo: PathBuf,
        pictures: PathBuf,
        args: Args,
        output: Output,
    }

    impl Asked {
        fn plan(&self) -> Result<Plan<'_>> {
            Plan::new(&self.photo, &self.pictures, &self.args, &self.output)
        }
    }

    fn evaluate(asked: &Asked) -> Result<String> {
        asked.plan()?.evaluate(&workspace::root().join("xtask/eval/fake_idembed.sh"))
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
        let mut asked = place.asked();
        asked.args.recogniser = Some("other".to_owned());
        let printed = evaluate(&asked).unwrap();
        let json: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((json["id"]["n"].as_u64(), json["detect"]["n"].as_u64()), (Some(3), Some(3)));
        assert!((json["id"]["mean"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert!((json["detect"]["mean"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((json["recogniser"].as_str(), json["photo"].as_str()), (Some("other"), asked.photo.to_str()));
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

        assert_eq!(evaluate(&asked).unwrap(), printed);
        assert_eq!(place.results(), results, "a second run writes the same");
    }

    #[test]
    fn a_table_is_printed_for_people() {
        let place = Place::new(FACE, &PICTURES);
        let mut asked = place.asked();
        asked.output.json = false;
        let printed = evaluate(&asked).unwrap();
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
    fn prompts_count_where_the_program_knows_them() {
        let picture = |prompt: f64| format!("\"faces\": 1, \"score\": 0.9, \"id\": 0.5, \"prompt\": {prompt}");
        let [fits, does_not] = [0.5, 0.125].map(picture);
        let place = Place::new(FACE, &[("1.png", &fits), ("2.png", &does_not)]);
        let mut asked = place.asked();
        let json: Value = serde_json::from_str(&evaluate(&asked).unwrap()).unwrap();
        assert_eq!((json["prompt"]["mean"].as_f64(), json["id_p"]["mean"].as_f64()), (Some(0.3125), Some(0.25)));
        let page = fs::read_to_string(place.path("out/index.html")).unwrap();
        assert!(page.contains("is at least 0.245, else 0</td>"), "{page}");
        asked.args.tau = 0.1;
        let json: Value = serde_json::from_str(&evaluate(&asked).unwrap()).unwrap();
        assert_eq!((json["id_p"]["mean"].as_f64(), json["tau"].as_f64()), (Some(0.5), Some(0.1)));
    }

    #[test]
    fn a_failure_of_the_program_is_an_error_and_writes_nothing() {
        let place = Place::new("nobody", &PICTURES);
        let error = evaluate(&place.asked()).unwrap_err();
        assert_eq!(error.to_string(), "`idembed compare` failed (exit status: 1)");
        assert!(place.results().is_empty());

        let place = Place::new(FACE, &[("1.png", "no JSON")]);
        let error = evaluate(&place.asked()).unwrap_err();
        assert_eq!(error.to_string(), "`idembed compare` answers something unexpected");
        assert!(place.results().is_empty());
    }

    #[test]
    fn what_is_missing_is_found_before_anything_is_started() {
        let place = Place::new(FACE, &PICTURES);
        let fails = |asked: &Asked, expected: &str| {
            let error = asked.plan().err().unwrap().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        fails(&Asked { photo: place.path("you.jpg"), ..place.asked() }, "cannot open the photo `");
        fails(&Asked { pictures: place.path("nowhere"), ..place.asked() }, "cannot read the folder `");
        let output = Output { out: Some(place.path("me.jpg")), ..place.asked().output };
        fails(&Asked { output, ..place.asked() }, "cannot make the folder `");
        assert!(!place.path("out").exists());
    }

    #[test]
    fn more_pictures_than_fit_into_one_call_are_all_compared() {
        let names: Vec<String> = (0..10_000).map(|index| format!("{index:0>240}.png")).collect();
        let fields = r#""faces": 1, "score": 0.9, "id": 0.5"#;
        let pictures: Vec<_> = names.iter().map(|name| (name.as_str(), fields)).collect();
        let place = Place::new(FACE, &pictures);
        let json: Value = serde_json::from_str(&evaluate(&place.asked()).unwrap()).unwrap();
        assert_eq!((json["id"]["n"].as_u64(), json["id"]["mean"].as_f64()), (Some(10_000), Some(0.5)));
        // The later parts were asked for the network of the first, whose reason and scale stand for all.
        let network = (json["recogniser"].as_str(), json["recogniser_because"].as_str());
        assert_eq!(network, (Some("first-found"), Some("it was found first")));
        assert_eq!(json["scale"]["same_above"].as_f64(), Some(0.4));
    }
}
