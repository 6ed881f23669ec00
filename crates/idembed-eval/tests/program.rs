//! The program on the bundled miniature: what a killed run and shared-out parts leave equals what an unbroken run does.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const METHODS: [&str; 2] = ["textual-inversion", "custom-diffusion@class-pictures=1@unet-lr=0.001"];
const PEOPLE: [&str; 2] = ["person2", "person4"];

fn program(out: &Path, more: &[&str]) -> Command {
    let mut command = bare_program(out);
    command.args(["--steps=2", "--curve=1", "--methods"]).arg(METHODS.join(",")).args(more);
    command
}

/// Without methods and steps.
fn bare_program(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idembed-eval"));
    let protocol = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol.json");
    command.args(["run", "--identities=2", "--protocol"]).arg(protocol).arg("--out").arg(out);
    command.env("OMP_NUM_THREADS", "1").env_remove("IDEMBED_LOG");
    command.env("IDEMBED_MODELS", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn succeeds(out: &Path, more: &[&str]) {
    let done = program(out, more).stderr(Stdio::piped()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What a refused run says.
fn refused(out: &Path, more: &[&str]) -> String {
    let done = program(out, more).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    String::from_utf8(done.stderr).unwrap()
}

fn unit(out: &Path, method: &str, person: &str) -> PathBuf {
    out.join("units").join(method).join(person)
}

/// A hash of everything that must not depend on how the work was shared out, by its path.
fn results(out: &Path) -> BTreeMap<PathBuf, u64> {
    let mut results = BTreeMap::new();
    let mut folders = vec![out.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // These two hold times.
            let is_timed = path.ends_with("unit.json") || path.ends_with("learned.json");
            // A process that is killed leaves what it was writing beside the file that this would have become.
            let is_left = path.file_name().unwrap().to_string_lossy().starts_with(".idembed-");
            if path.is_dir() {
                folders.push(path);
            } else if !is_timed && !is_left {
                let mut hasher = DefaultHasher::new();
                hasher.write(&std::fs::read(&path).unwrap());
                results.insert(path.strip_prefix(out).unwrap().to_path_buf(), hasher.finish());
            }
        }
    }
    results
}

fn lines(out: &Path, method: &str, person: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(unit(out, method, person).join("pictures.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn however_the_work_is_done_the_results_are_the_same() {
    if idembed_integration_tests::weights("mtcnn").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts, killed] = ["whole", "parts", "killed"].map(|name| folder.path().join(name));
    succeeds(&whole, &[]);
    let expected = results(&whole);
    for method in METHODS {
        for person in PEOPLE {
            let lines = lines(&whole, method, person);
            // Two people can be drawn together unless each changes the U-Net; then in both orders.
            let (alone, pairs) = (2, if method == METHODS[0] { 4 } else { 0 });
            assert_eq!(lines.len(), alone + pairs, "{method} {person}");
            for line in &lines {
                let scores = line["scores"].as_object().unwrap();
                let has = |name: &str| scores.get(name).and_then(Value::as_f64).is_some_and(f64::is_finite);
                assert!(
                    ["id", "id_others", "prompt", "prompt_deleted", "detect", "framed"].iter().all(|name| has(name))
                );
                assert_eq!(has("mix_up") || !has("wishes"), line["partner"].is_string(), "{line}");
                assert!(whole.join(line["path"].as_str().unwrap()).is_file());
                let is_first = line["seed"] == 42 && line["partner"].is_null();
                assert_eq!(line["attention"].is_string(), is_first);
            }
            assert!(lines.iter().any(|line| line["scores"]["leakage"].is_number()));
            let record = std::fs::read(unit(&whole, method, person).join("unit.json")).unwrap();
            let record: Value = serde_json::from_slice(&record).unwrap();
            let steps: Vec<_> = record["curve"].as_array().unwrap().iter().map(|point| &point["step"]).collect();
            assert_eq!(steps, [0, 1, 2], "{record}");
            assert!(record["parameters"].as_u64().unwrap() > 0 && record["peak_memory_bytes"].as_u64().unwrap() > 0);
        }
    }

    succeeds(&parts, &["--shard=2/2"]);
    succeeds(&parts, &["--shard=1/2"]);
    assert_eq!(results(&parts), expected);

    // Killed while it draws the second unit, and then once more right at the beginning of what is left.
    let mut process = program(&killed, &[]).stderr(Stdio::null()).spawn().unwrap();
    let growing = unit(&killed, METHODS[0], PEOPLE[1]).join("pictures.jsonl");
    while !growing.is_file() {
        assert!(process.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let mut process = program(&killed, &[]).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!unit(&killed, METHODS[1], PEOPLE[1]).join("unit.json").exists());
    succeeds(&killed, &[]);
    assert_eq!(results(&killed), expected);

    let said = refused(&killed, &["--recogniser", "nobody"]);
    assert!(said.contains("there is no recognition network `nobody`"), "{said}");
    let said = refused(&killed, &["--pictures", "1"]);
    assert!(said.contains("holds an evaluation with other settings") && said.contains("hint: "), "{said}");
    assert_eq!(results(&killed), expected, "what is refused changes nothing");
}

#[test]
fn more_steps_go_on_where_fewer_ended_and_learn_the_same() {
    if idembed_integration_tests::weights("mtcnn").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [grid, alone] = ["grid", "alone"].map(|name| folder.path().join(name));
    let run = |out: &Path, methods: &str| {
        let mut command = bare_program(out);
        command.args(["--methods", methods, "--pictures=1"]).env("IDEMBED_LOG", "idembed_eval=debug");
        let done = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{said}");
        said.lines().filter(|line| line.contains(" goes on from ")).count()
    };
    let label = |steps: usize| format!("sefi@steps={steps}");
    // Both people, twice each: the states of the others fit a run of other steps only.
    let all = [label(1), label(2), label(4), "sefi@lr=0.5@steps=3".to_owned()].join(",");
    assert_eq!(run(&grid, &all), 4);
    assert_eq!(run(&alone, &label(4)), 0);
    for person in PEOPLE {
        let identity =
            |out: &Path, steps| std::fs::read(unit(out, &label(steps), person).join("identity.safetensors")).unwrap();
        assert_eq!(identity(&grid, 4), identity(&alone, 4));
        assert_ne!(identity(&grid, 2), identity(&grid, 4));
        assert!((1..=4).all(|steps| !unit(&grid, &label(steps), person).join("identity.ckpt").exists()));
    }
}
