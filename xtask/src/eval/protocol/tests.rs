//! Whole runs with a program that only plays: `xtask/eval/fake_eval.sh`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

const FAKE: &str = "xtask/eval/fake_eval.sh";

/// A folder for runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A run into the folder `out`; the program is given `more`.
    fn asked(&self, out: &str, more: &[&str]) -> Asked {
        let run = RunArgs {
            program: Some(workspace::root().join(FAKE)),
            more: more.iter().map(OsString::from).collect(),
            ..RunArgs::default()
        };
        let output = Output { out: Some(self.path(out)), resamples: 200, seed: 0, json: false };
        Asked { args: Args { run, evaluation: EvaluationArgs::default() }, output }
    }

    /// A whole run, and what it says.
    fn ran(&self, out: &str, more: &[&str]) -> String {
        self.asked(out, more).done().printed
    }

    /// What is to be the same however a run was made.
    fn results(&self, out: &str) -> Vec<String> {
        ["table.txt", "scores.json", "pictures.jsonl"].map(|file| self.read(&format!("{out}/{file}"))).to_vec()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Replaces text in a file.
    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "no `{from}` in {text}");
        fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    fn scores(&self, out: &str) -> Value {
        serde_json::from_str(&self.read(&format!("{out}/scores.json"))).unwrap()
    }
}

/// What the command was asked for.
struct Asked {
    args: Args,
    output: Output,
}

impl Asked {
    fn run(mut self, change: impl FnOnce(&mut RunArgs)) -> Self {
        change(&mut self.args.run);
        self
    }

    /// Asks for a merge instead.
    fn merge(mut self, place: &Place, folders: &[&str]) -> Self {
        self.args.evaluation.merge = folders.iter().map(|folder| place.path(folder)).collect();
        self
    }

    fn evaluation(mut self, change: impl FnOnce(&mut EvaluationArgs)) -> Self {
        change(&mut self.args.evaluation);
        self
    }

    fn result(&self) -> Result<Done> {
        let (_never, stop) = mpsc::channel();
        run_until(&self.args, None, &self.output, || Ok(stop))
    }

    fn done(&self) -> Done {
        self.result().unwrap_or_else(|error| panic!("{}", crate::hint::render(&error)))
    }

    /// The error, as it is shown.
    fn error(&self) -> String {
        crate::hint::render(&self.result().err().expect("it should fail"))
    }
}

/// Waits until something is so.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_is_summed_up_written_down_and_not_repeated() {
    let place = Place::new();
    let log = place.path("log");
    let more = ["--log", log.to_str().unwrap()];
    let printed = place.ran("out", &more);
    assert!(
        printed.starts_with("miniature with mini: 2 methods, 3 people, 4 prompts, 2 seeds, 48 pictures\n"),
        "{printed}"
    );
    assert!(printed.starts_with(&place.read("out/table.txt")), "the table is printed first");
    let cost = "\ncost of a person   steps  learn, s  draw, s  score, s  parameters  file, KiB  memory, MiB\n";
    assert!(printed.contains(cost) && !place.read("out/table.txt").contains("learn, s"), "{printed}");
    assert_eq!(place.read("log").lines().count(), 48);

    let first = place.results("out");
    assert_eq!(place.ran("out", &more), printed);
    assert_eq!(place.read("log").lines().count(), 48, "nothing is drawn twice");
    assert_eq!(place.results("out"), first);
    let scores = place.scores("out");
    let method = &scores["methods"][1];
    assert_eq!(method["method"], "sefi");
    for name in ["id", "prompt", "detect", "id_p"] {
        for key in ["mean", "low", "high", "n"] {
            assert!(method["scores"][name][key].is_number(), "{name}.{key}: {method}");
        }
    }
    assert!(scores.get("cost").is_none());
    let mut as_json = place.asked("out", &more);
    as_json.output.json = true;
    let json: Value = serde_json::from_str(&as_json.done().printed).unwrap();
    assert_eq!((&json["methods"], &json["cost"][0]["parameters"]), (&scores["methods"], &7680.0.into()));
}

#[test]
fn figures_are_means_of_peoples_means() {
    let place = Place::new();
    place.ran("out", &[]);
    // By another way: all lines at once, from the file that was written.
    let lines: Vec<Value> =
        place.read("out/pictures.jsonl").lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let expected = |method: &str, score: &str, category: Option<&str>| {
        let of_person = |person: &&str| {
            let lines = lines.iter().filter(|line| line["method"] == method && line["identity"] == *person);
            let lines = lines.filter(|line| category.is_none_or(|category| line["category"] == category));
            mean(lines.filter_map(|line| line["scores"][score].as_f64()).collect())
        };
        mean(["person2", "person4", "person6"].iter().map(of_person).collect())
    };
    let scores = place.scores("out");
    for (turn, method) in ["textual-inversion", "sefi"].into_iter().enumerate() {
        for score in ["id", "id_found", "prompt", "copy", "id_p"] {
            let close = |got: &Value, expected: f64| (got.as_f64().unwrap() - expected).abs() < 1e-12;
            let found = &scores["methods"][turn];
            assert!(close(&found["scores"][score]["mean"], expected(method, score, None)), "{method} {score}");
            let scene = &found["categories"][0];
            assert_eq!(scene["category"], "scene");
            assert!(close(&scene["scores"][score]["mean"], expected(method, score, Some("scene"))), "{method} {score}");
            let less = expected(method, score, None) - expected("textual-inversion", score, None);
            let difference = &found["differences"][score]["mean"];
            assert!(if turn == 0 { difference.is_null() } else { close(difference, less) }, "{method} {score}");
        }
    }
    assert_eq!(scores["references"]["true_pairs"]["highest"], 0.97);
    assert_eq!(scores["methods"][0]["scores"]["id_found"]["pictures"], 21, "three faces were not found");
}

#[test]
fn killed_at_any_moment_it_goes_on_without_repeating() {
    let place = Place::new();
    place.ran("whole", &[]);
    let log = place.path("log");
    for turn in 1..=4 {
        let mut fake = Command::new(workspace::root().join(FAKE));
        fake.args(["run", "--protocol", "miniature", "--pause", "0.02", "--log"]).arg(&log);
        fake.arg("--out").arg(place.path("out")).stdout(Stdio::null());
        // With all that it has started: what is left of it would write on.
        let mut fake = fake.process_group(0).spawn().unwrap();
        wait_for("a few more pictures", || log.exists() && place.read("log").lines().count() >= 9 * turn);
        let group = format!("-{}", fake.id());
        assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
        fake.wait().unwrap();
    }
    // As if the disk had been full in the middle of a line.
    let unfinished = fs::read_dir(place.path("out/units/sefi")).unwrap().map(|it| it.unwrap().path());
    let unfinished: Vec<_> = unfinished.filter(|unit| !unit.join("unit.json").exists()).collect();
    let lines = unfinished[0].join("pictures.jsonl");
    let text = fs::read_to_string(&lines).unwrap();
    fs::write(&lines, text + "{\"method\":\"se").unwrap();

    place.ran("out", &["--log", log.to_str().unwrap()]);
    assert_eq!(place.results("out"), place.results("whole"));
    let log = place.read("log");
    // A picture that was being drawn when the program was killed is the only one that is drawn again.
    assert!((48..=52).contains(&log.lines().count()), "{log}");
}

#[test]
fn in_how_many_parts_a_run_is_made_does_not_matter() {
    let place = Place::new();
    place.ran("whole", &[]);
    let expected = place.results("whole");

    place.asked("jobs", &[]).run(|run| run.jobs = Some(3)).done();
    assert_eq!(place.results("jobs"), expected);

    for (out, apart) in [("shared", false), ("apart", true)] {
        for index in [3, 1, 4, 2] {
            let folder = if apart { format!("{out}{index}") } else { out.to_owned() };
            let shard = format!("{index}/4").parse().ok();
            let done = place.asked(&folder, &[]).run(|run| run.shard = shard).done();
            assert!(done.printed.is_empty() && !place.path(&folder).join("table.txt").exists());
        }
    }
    let shared = place.asked("shared", &[]).merge(&place, &["shared"]);
    let printed = shared.done().printed;
    assert_eq!(place.results("shared"), expected);
    assert!(printed.starts_with(&expected[0]));

    let folders = ["apart2", "apart1", "apart4", "apart3"];
    place.asked("merged", &[]).merge(&place, &folders).done();
    assert_eq!(place.results("merged"), expected);
    assert!(place.path("merged/units/sefi/person4/000-42.png").exists(), "pictures come along");
    // Once more, over what is there already.
    place.asked("merged", &[]).merge(&place, &folders).done();
    assert_eq!(place.results("merged"), expected);
    assert_eq!(fs::read_dir(place.path("merged/units/sefi")).unwrap().count(), 3, "nothing is left beside the units");
}

#[test]
fn one_failing_part_leaves_the_others_to_finish() {
    let place = Place::new();
    let failing = |jobs| place.asked("out", &["--fail", "sefi/person4"]).run(|run| run.jobs = jobs);
    let error = failing(Some(3)).error();
    assert!(error.starts_with("error: 1 of 3 parts failed: 2/3 (exit status: 1)\n"), "{error}");
    assert!(error.ends_with("\nhint: what was finished is kept; the same command goes on from there\n"), "{error}");
    let finished = |unit: &str| place.path("out/units").join(unit).join("unit.json").exists();
    assert!(finished("sefi/person2") && finished("sefi/person6") && !finished("sefi/person4"));
    assert!(!place.path("out/table.txt").exists());
    assert!(failing(None).error().starts_with("error: `idembed-eval` failed (exit status: 1)\n"));
    place.ran("out", &[]);
    place.ran("whole", &[]);
    assert_eq!(place.results("out"), place.results("whole"));
}

#[test]
fn a_request_to_end_reaches_all_parts() {
    let place = Place::new();
    let (stop, stopped) = mpsc::channel();
    let asked = place.asked("out", &["--pause", "0.2"]).run(|run| run.jobs = Some(3));
    thread::scope(|scope| {
        let run = scope.spawn(move || run_until(&asked.args, None, &asked.output, || Ok(stopped)));
        wait_for("the first unit", || place.path("out/units/textual-inversion/person2").exists());
        let start = Instant::now();
        stop.send(()).unwrap();
        let error = run.join().unwrap().err().unwrap().to_string();
        assert_eq!(error, "stopped");
        assert!(start.elapsed() < Duration::from_secs(3), "it would have taken five seconds");
    });
    assert!(!place.path("out/table.txt").exists());
}

#[test]
fn what_is_not_finished_is_named_and_a_part_has_to_be_asked_for() {
    let place = Place::new();
    place.asked("out", &[]).run(|run| run.shard = "1/2".parse().ok()).done();
    let merge = || place.asked("out", &[]).merge(&place, &["out"]);
    let error = merge().error();
    let named = "textual-inversion of person4, sefi of person2, sefi of person6\n";
    assert!(error.starts_with("error: not finished in `") && error.contains(named), "{error}");
    assert!(error.contains("`--partial` makes the table of what is there"), "{error}");

    let printed = merge().evaluation(|evaluation| evaluation.partial = true).done().printed;
    assert!(printed.contains("\nPARTIAL, not finished: textual-inversion of person4, sefi of person2"), "{printed}");
    let scores = place.scores("out");
    assert_eq!(
        (&scores["methods"][0]["scores"]["id"]["n"], &scores["unfinished"][2]),
        (&2.into(), &"sefi of person6".into())
    );
    // The one of sefi is none of the two of the other method.
    assert_eq!(scores["methods"][1]["differences"], json!({}));
    assert!(place.read("out/index.html").contains("units not finished: this is a part"));
}

#[test]
fn folders_that_contradict_each_other_are_not_merged() {
    let place = Place::new();
    place.ran("a", &[]);
    place.ran("b", &[]);
    place.edit("b/run.json", "\"model\":\"mini\"", "\"model\":\"sd15\"");
    let merge = |folders: &[&str]| place.asked("both", &[]).merge(&place, folders).error();
    let error = merge(&["a", "b"]);
    let [a, b] = ["a", "b"].map(|folder| place.path(folder).display().to_string());
    let expected = format!("error: `{a}/run.json` and `{b}/run.json` are not of the same run: they differ in model\n");
    assert!(error.starts_with(&expected), "{error}");

    place.ran("c", &[]);
    place.edit("c/units/sefi/person2/pictures.jsonl", "\"seed\":43", "\"seed\": 43");
    let c = place.path("c").display().to_string();
    let expected = format!(
        "error: `{a}/units/sefi/person2` and `{c}/units/sefi/person2` hold different pictures of sefi of person2\n"
    );
    let error = merge(&["a", "c"]);
    assert!(error.starts_with(&expected), "{error}");

    place.ran("d", &[]);
    place.edit("d/references.json", "0.97", "0.96");
    assert!(merge(&["a", "d"]).contains("/references.json` are not of the same run: they differ in true_pairs\n"));
    assert!(!place.path("both").exists(), "nothing is half merged");

    let error = merge(&["a", "nowhere"]);
    assert!(error.starts_with("error: there is no evaluation in `"), "{error}");
    place.edit("d/run.json", "idembed-eval/1", "idembed-eval/2");
    assert!(merge(&["d"]).contains("has the format `idembed-eval/2`, which is not `idembed-eval/1`"));
    place.edit("d/run.json", "idembed-eval/2", "idembed-eval/1");
    place.edit("d/run.json", "person4", "../person4");
    assert!(merge(&["d"]).contains("names `../person4`, which is no file name"));
    let mut two = place.asked("both", &[]).merge(&place, &["a", "b"]);
    two.output.out = None;
    assert!(two.error().starts_with("error: it is not said where the merged run goes\n"));
}

#[test]
fn broken_and_repeated_lines_are_errors_with_their_place() {
    let place = Place::new();
    place.ran("out", &[]);
    let lines = "out/units/sefi/person2/pictures.jsonl";
    let whole = place.read(lines);
    let fails = |text: &str, expected: &str| {
        fs::write(place.path(lines), text).unwrap();
        let error = place.asked("out", &[]).merge(&place, &["out"]).error();
        assert!(error.contains(expected), "no `{expected}` in {error}");
    };
    let first = whole.lines().next().unwrap();
    fails(&format!("{whole}{first}\n"), "lines 1 and 9 of `");
    fails(&whole[..whole.len() - 20], "line 8 of `");
    fails(&whole.replace("person2", "person4"), "this is about sefi of person4, not sefi of person2");
    fails(&whole.replace("\"seed\":42", "\"seed\":99"), "prompt 0 with seed 99 is none of the run");

    fails(&whole.replace("\"units/sefi", "\"../units/sefi"), "leads out of the run");
    fails(&whole.replace("\"units/sefi", "\"/units/sefi"), "leads out of the run");

    let mut turned: Vec<&str> = whole.lines().collect();
    turned.reverse();
    fs::write(place.path(lines), turned.join("\n")).unwrap();
    let before = place.results("out");
    place.asked("out", &[]).merge(&place, &["out"]).done();
    assert_eq!(place.results("out"), before, "the order of the lines does not count");
}

#[test]
fn one_person_has_no_interval() {
    let place = Place::new();
    let printed = place.asked("out", &[]).run(|run| run.identities = Some("1".into())).done().printed;
    assert!(printed.contains("; one person alone has no interval\n"), "{printed}");
    let id = &place.scores("out")["methods"][1]["scores"]["id"];
    assert!(id["mean"].is_number() && id["low"].is_null() && id["high"].is_null() && id["n"] == 1, "{id}");
    let score = printed.lines().skip_while(|line| !line.starts_with("ID [id]")).nth(2).unwrap();
    assert_eq!(score.split_whitespace().skip(2).take(4).collect::<Vec<_>>(), ["-", "-", "1", "8"], "{score}");
}

#[test]
fn a_figure_that_fell_fails_the_check() {
    let place = Place::new();
    place.ran("out", &[]);
    let check = |stored: Value| {
        fs::write(place.path("stored.json"), stored.to_string()).unwrap();
        let file = Some(place.path("stored.json"));
        let asked = place.asked("out", &[]).merge(&place, &["out"]).evaluation(|evaluation| evaluation.check = file);
        let done = asked.done();
        assert!(done.printed.contains("miniature with mini"), "the table is there all the same");
        done.checked.map_err(|error| crate::hint::render(&error))
    };
    check(place.scores("out")).unwrap();

    let now = place.scores("out")["methods"][1]["scores"].clone();
    let mean = |score: &str| now[score]["mean"].as_f64().unwrap();
    let stored = |score: &str, mean: f64| {
        let figure = json!({"mean": mean, "low": mean - 0.01, "high": mean + 0.03});
        json!({"methods": [{"method": "sefi", "scores": {score: figure}}]})
    };
    check(stored("id", mean("id") + 0.019)).unwrap();
    check(stored("id", mean("id") - 0.5)).unwrap();
    let error = check(stored("id", mean("id") + 0.021)).unwrap_err();
    assert!(error.starts_with("error: 1 of 1 figures are not what `"), "{error}");
    let expected = format!("\n  sefi: id is {:.3}, it was {:.3} +- 0.020\n", mean("id"), mean("id") + 0.021);
    assert!(error.contains(&expected), "{error}");
    // Of copy-paste less is better.
    check(stored("copy", mean("copy") + 0.5)).unwrap();
    assert!(check(stored("copy", mean("copy") - 0.021)).is_err());

    let error = check(stored("leakage", 0.5)).unwrap_err();
    assert!(error.contains("\n  sefi: leakage is missing, it was 0.500\n"), "{error}");
    let error = check(json!({"methods": [{"method": "nobody", "scores": now}]})).unwrap_err();
    assert!(error.contains(&format!("\n  nobody: id is missing, it was {:.3}", mean("id"))), "{error}");
    let error =
        check(json!({"methods": [{"method": "sefi", "scores": {"id": {"mean": 0.1, "low": null, "high": null}}}]}));
    assert!(error.unwrap_err().contains("id was stored without an interval"));
    let scene = json!([{"category": "scene", "scores": {"id": {"mean": 2.0, "low": 1.9, "high": 2.1}}}]);
    let error = check(json!({"methods": [{"method": "sefi", "categories": scene}]})).unwrap_err();
    assert!(error.contains("\n  sefi (scene): id is "), "{error}");
    assert!(check(json!({"methods": []})).unwrap_err().starts_with("error: no figure is stored in `"));
}

#[test]
fn another_method_can_be_the_one_to_compare_with() {
    let place = Place::new();
    place.ran("out", &[]);
    let with = |baseline: &str| {
        let baseline = Some(baseline.to_owned());
        place.asked("out", &[]).merge(&place, &["out"]).evaluation(|evaluation| evaluation.baseline = baseline)
    };
    let before = place.scores("out")["methods"][1]["differences"]["id"].clone();
    let printed = with("sefi").done().printed;
    assert!(printed.contains("  less sefi "), "{printed}");
    let scores = place.scores("out");
    let after = &scores["methods"][0]["differences"]["id"];
    assert_eq!(after["mean"].as_f64(), before["mean"].as_f64().map(|mean| -mean));
    assert!(scores["methods"][1]["differences"].is_null());
    let error = with("nobody").error();
    assert!(
        error.contains("no method `nobody`") && error.contains("hint: the run has: textual-inversion, sefi"),
        "{error}"
    );
}

#[test]
fn the_program_is_given_what_was_asked_for() {
    let of = |text: &str| Some(OsString::from(text));
    let run = RunArgs {
        protocol: of("celeb-basis"),
        methods: of("a,b"),
        ablation: of("lambda"),
        grid: ["steps=1,2", "lr=3"].map(OsString::from).to_vec(),
        identities: of("3"),
        model: of("sd15"),
        steps: of("100"),
        quick: true,
        device: of("cuda:1"),
        more: vec!["--extra".into()],
        ..RunArgs::default()
    };
    let arguments = run.arguments(Some("8".as_ref()), Path::new("o")).unwrap();
    let expected = "run --protocol celeb-basis --methods a,b --ablation lambda --identities 3 --model sd15 --pictures 8 \
                    --steps 100 --device cuda:1 --out o --grid steps=1,2 --grid lr=3 --quick --extra";
    assert_eq!(arguments, expected.split(' ').map(OsString::from).collect::<Vec<_>>());
    assert!(run.default_out().ends_with("out/eval/celeb-basis-lambda-grid-quick"));
    let file = RunArgs { protocol: of("mine/prompts.json"), ..RunArgs::default() };
    assert!(file.default_out().ends_with("out/eval/prompts"));
    let plain = RunArgs::default().arguments(None, Path::new("o")).unwrap();
    assert_eq!(plain, ["run", "--protocol", "miniature", "--out", "o"]);
    let error = run.arguments(Some("pictures".as_ref()), Path::new("o")).unwrap_err();
    assert!(crate::hint::render(&error).contains("hint: a folder of pictures needs --photo too"));
    for wrong in ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/4"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
    assert_eq!("4/4".parse::<Shard>().unwrap().to_string(), "4/4");
}

#[test]
fn the_page_shows_it_all_in_one_file_and_escapes_every_text() {
    let place = Place::new();
    place.ran("out", &[]);
    let page = place.read("out/index.html");
    for heading in [
        "Scores",
        "Compared with textual-inversion",
        "Likeness against Prompt",
        "While it learns",
        "Pictures side by side",
        "Best and worst pictures",
        "Where the word looks",
        "By category",
        "Cost of a person",
        "Settings",
    ] {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
    // Four prompts and two methods side by side, three best and three worst of either, four prompts of attention.
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 8 + 12 + 8);

    let attack = "</td><script>alert(1)</script>\\\"";
    for unit in ["textual-inversion/person2", "sefi/person2"] {
        place.edit(&format!("out/units/{unit}/pictures.jsonl"), "at the beach", attack);
        place.edit(&format!("out/units/{unit}/unit.json"), "\"steps\":\"200\"", &format!("\"{attack}\":\"{attack}\""));
    }
    for text in ["at the beach", "\"ddim\"", "\"0.1.0\""] {
        let whole = if text.starts_with('"') { format!("\"{attack}\"") } else { attack.to_owned() };
        place.edit("out/run.json", text, &whole);
    }
    place.asked("out", &[]).merge(&place, &["out"]).done();
    let page = place.read("out/index.html");
    assert!(page.contains("&lt;/td&gt;&lt;script&gt;") && !page.contains("<script"), "{page}");
    for word in ["http:", "https:", "url(", "@import", "<link", "javascript:", "file:"] {
        assert!(!page.contains(word), "{word}");
    }
    for tag in ["main", "figure", "figcaption", "div", "table", "thead", "tbody", "tr", "th", "td", "h2", "h3", "svg"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert!(opened > 0 && opened == page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn values_of_a_setting_are_curves_where_they_are_numbers() {
    let place = Place::new();
    let ran = |out: &str, setting: &str| {
        place.asked(out, &[]).run(|run| run.ablation = Some(setting.into())).done();
        place.read(&format!("{out}/index.html")).split_once(&format!("<h2>sefi: {setting}</h2>")).unwrap().1.to_owned()
    };
    let lambda = ran("lambda", "lambda");
    let section = lambda.split_once("<h2>").unwrap().0;
    assert_eq!(section.matches("<svg").count(), 4, "ID, Prompt, Wishes, ID(P)");
    let value = |value: &str| section.find(&format!(">\n{value}\n</text>")).unwrap();
    let values: Vec<_> = ["0", "0.001", "0.003", "0.01"].map(value).to_vec();
    assert!(values.is_sorted(), "{section}");
    let start = ran("start", "start");
    let section = start.split_once("<h2>").unwrap().0;
    assert!(!section.contains("<svg") && section.contains("<th scope=\"row\">face</th><td>"), "{section}");
}

#[test]
fn methods_with_several_settings_are_compared_at_equal_likeness() {
    let place = Place::new();
    let table = place.asked("out", &[]).run(|run| run.grid = vec!["steps=50,200".into()]).done().printed;
    let section = table.split_once("each method by the best of its settings at equal ID").unwrap().1;
    let rows: Vec<&str> = section.lines().filter(|row| !row.is_empty()).skip(1).take(6).collect();
    assert!(rows[0].starts_with("Wishes ") && rows[0].contains("less textual-inversion"), "{}", rows[0]);
    assert!(rows[1].starts_with("textual-inversion ") && rows[2].starts_with("sefi "), "{}\n{}", rows[1], rows[2]);
    assert!(rows[3].starts_with("ID(P) ") && rows[3].ends_with("of"), "{}", rows[3]);
    assert!(
        rows[4].contains("textual-inversion@steps=") && rows[5].contains("sefi@steps="),
        "{}\n{}",
        rows[4],
        rows[5]
    );
    let scores = place.scores("out");
    assert_eq!(scores["frontiers"]["methods"][1]["points"].as_array().unwrap().len(), 2);
    assert!(place.read("out/index.html").contains("<h2>Wishes at equal ID</h2>"));
    // Without settings there is no frontier.
    place.ran("plain", &[]);
    assert!(place.scores("plain").get("frontiers").is_none());
}
