//! Methods compared by all that their settings give: how well each follows prompts, and how little else it draws, at equal
//! likeness.
//!
//! `sefi@steps=200@lr=0.01` is a setting of the method `sefi`. A method's frontier says what the best of its settings reaches
//! among those that reach a likeness.

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::{Better, DECIDING, Score};
use super::record::Run;
use super::tally::{Bootstrap, Tally};
use crate::eval::bootstrap;

/// What settings are ordered by: the first of these that was scored.
const LIKENESS: [&str; 2] = ["id_others", "id"];
/// What is compared at equal likeness: of each row the first that was scored. The first row has to be.
const COMPARED: [&[&str]; 3] = [&["wishes", "prompt"], &["leakage"], &["background"]];
/// Levels of likeness at which methods are compared.
const LEVELS: u32 = 41;

/// The frontiers of a run's methods.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Frontiers {
    /// The name of the score that is made equal.
    pub(crate) likeness: &'static str,
    /// The names of the scores that are compared; the first is how well prompts are followed.
    pub(crate) compared: Vec<&'static str>,
    /// The name of the score by which the best setting is chosen.
    pub(crate) deciding: &'static str,
    /// The people whom every setting has scores of.
    pub(crate) people: usize,
    /// The method that the others are compared with.
    pub(crate) baseline: String,
    /// The methods.
    pub(crate) methods: Vec<Frontier>,
}

/// The frontier of a method.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Frontier {
    /// The method, without settings.
    pub(crate) method: String,
    /// Its settings, from the least likeness to the greatest.
    pub(crate) points: Vec<Point>,
    /// The least and the greatest likeness that it and the baseline reach; none where there is nothing that both reach.
    pub(crate) shared: Option<[f64; 2]>,
    /// Of each compared score the mean over that range; nothing where there is none.
    pub(crate) at_equal_likeness: BTreeMap<String, Compared>,
    /// The setting with the best deciding score.
    pub(crate) best: String,
    /// Its deciding score.
    pub(crate) best_score: Compared,
}

/// A setting of a method: means over people.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// The label.
    pub(crate) setting: String,
    /// Its likeness.
    pub(crate) likeness: f64,
    /// How well it follows prompts.
    pub(crate) prompt: f64,
    /// Whether no other setting of the method is as good in both and better in one.
    pub(crate) on_frontier: bool,
}

/// A figure, and how much more it is than that of the baseline, with its interval over people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Compared {
    /// The figure.
    pub(crate) value: f64,
    /// How much more.
    pub(crate) difference: Option<f64>,
    /// The ends of the 95 % interval of that; none for a single person.
    pub(crate) interval: Option<[f64; 2]>,
}

impl Frontiers {
    /// Those of a run, compared with the method that the label `baseline` is a setting of; none where no method has several
    /// settings, or nothing that can be compared was scored.
    pub(crate) fn of(run: &Run, tally: &Tally, baseline: usize, bootstrap: Bootstrap) -> Option<Self> {
        let families = families(&run.methods);
        if families.iter().all(|(_, labels)| labels.len() < 2) {
            return None;
        }
        let scored = |names: &[&'static str]| {
            names.iter().copied().find(|name| (0..run.methods.len()).all(|label| tally.has(label, name)))
        };
        let (likeness, deciding) = (scored(&LIKENESS)?, scored(&DECIDING)?);
        scored(COMPARED[0])?;
        let compared: Vec<&str> = COMPARED.into_iter().filter_map(scored).collect();
        let better: Vec<Better> = compared.iter().map(|name| Score::named(name).better()).collect();
        let table = Table::of(tally, run, likeness, deciding, &compared);
        if table.people == 0 {
            return None;
        }
        let of_people = |people: &[usize]| -> Vec<Settings> {
            families.iter().map(|(_, labels)| table.settings(labels, people)).collect()
        };
        let baseline = families.iter().position(|(_, labels)| labels.contains(&baseline))?;
        let differences = |methods: &[Settings]| -> Vec<Option<f64>> {
            methods.iter().flat_map(|own| own.less(&methods[baseline], &better)).collect()
        };
        let whole = of_people(&(0..table.people).collect::<Vec<_>>());
        let of_whole = differences(&whole);
        // All frontiers, and the likeness that two of them share, are found anew for each sample of people.
        let intervals = match table.people {
            1 => Vec::new(),
            people => bootstrap::intervals(people, bootstrap.resamples, bootstrap.seed, |drawn| {
                differences(&of_people(drawn))
            }),
        };

        let methods = families.iter().zip(&whole).enumerate().map(|(number, ((method, labels), own))| {
            let figure = |score: usize, value: f64| {
                let place = Some(number * (compared.len() + 1) + score).filter(|_| number != baseline);
                let interval = place.and_then(|place| *intervals.get(place)?);
                Compared {
                    value,
                    difference: place.and_then(|place| of_whole[place]),
                    interval: interval.map(|(low, high)| [low, high]),
                }
            };
            let shared = own.shared_with(&whole[baseline]).filter(|_| number != baseline);
            let at_equal_likeness = compared.iter().enumerate().filter_map(|(score, name)| {
                let values = levels(shared?).filter_map(|level| own.best_at(level, score, better[score]));
                Some(((*name).to_owned(), figure(score, mean(values)?)))
            });
            let (best, best_score) = own.best()?;
            Some(Frontier {
                method: method.clone(),
                points: own.points(labels, &run.methods),
                shared,
                at_equal_likeness: at_equal_likeness.collect(),
                best: run.methods[labels[best]].clone(),
                best_score: figure(compared.len(), best_score),
            })
        });
        let methods = methods.collect::<Option<_>>()?;
        Some(Self {
            likeness,
            compared,
            deciding,
            people: table.people,
            baseline: families[baseline].0.clone(),
            methods,
        })
    }
}

/// Methods with the labels of their settings, in the order in which they come first.
fn families(labels: &[String]) -> Vec<(String, Vec<usize>)> {
    let mut families: Vec<(String, Vec<usize>)> = Vec::new();
    for (number, label) in labels.iter().enumerate() {
        let method = label.split('@').next().unwrap_or_default();
        match families.iter_mut().find(|(known, _)| known == method) {
            Some((_, settings)) => settings.push(number),
            None => families.push((method.to_owned(), vec![number])),
        }
    }
    families
}

/// The means of a person, or of several: a likeness, the deciding score, and those that are compared.
#[derive(Clone)]
struct Means {
    likeness: f64,
    deciding: f64,
    compared: Vec<f64>,
}

/// Each label's means of each person whom all labels have.
struct Table {
    people: usize,
    labels: Vec<Vec<Means>>,
}

impl Table {
    fn of(tally: &Tally, run: &Run, likeness: &str, deciding: &str, compared: &[&str]) -> Self {
        let means = |label: usize, person: usize| -> Option<Means> {
            let mean = |name: &str| tally.mean_of(label, name, person);
            let compared = compared.iter().map(|name| mean(name)).collect::<Option<_>>()?;
            Some(Means { likeness: mean(likeness)?, deciding: mean(deciding)?, compared })
        };
        let labels = 0..run.methods.len();
        let of_person = |person: usize| labels.clone().map(|label| means(label, person)).collect::<Option<Vec<_>>>();
        let people: Vec<Vec<Means>> = (0..run.identities.len()).filter_map(of_person).collect();
        let of_label = |label: usize| people.iter().map(|person| person[label].clone()).collect();
        Self { people: people.len(), labels: labels.clone().map(of_label).collect() }
    }

    /// The means over these people of some labels.
    fn settings(&self, labels: &[usize], people: &[usize]) -> Settings {
        let mean = |label: &usize| {
            let own = &self.labels[*label];
            let over = |of: &dyn Fn(&Means) -> f64| {
                people.iter().map(|&person| of(&own[person])).sum::<f64>() / people.len() as f64
            };
            let compared = 0..own.first().map_or(0, |means| means.compared.len());
            Means {
                likeness: over(&|means| means.likeness),
                deciding: over(&|means| means.deciding),
                compared: compared.map(|score| over(&|means| means.compared[score])).collect(),
            }
        };
        Settings(labels.iter().map(mean).collect())
    }
}

/// The settings of one method: means over people.
struct Settings(Vec<Means>);

impl Settings {
    /// The best of a compared score among the settings of at least this likeness; none reaches it otherwise.
    fn best_at(&self, level: f64, score: usize, better: Better) -> Option<f64> {
        let better = if better == Better::Down { f64::min } else { f64::max };
        self.0.iter().filter(|means| means.likeness >= level).map(|means| means.compared[score]).reduce(better)
    }

    /// How much more than another method: of every compared score at equal likeness, and of the deciding score with the best
    /// setting of each.
    fn less(&self, other: &Settings, better: &[Better]) -> Vec<Option<f64>> {
        let shared = self.shared_with(other);
        let gap = |(score, &better): (usize, &Better)| {
            let both = |level: f64| Some(self.best_at(level, score, better)? - other.best_at(level, score, better)?);
            mean(levels(shared?).filter_map(both))
        };
        let lead = || Some(self.best()?.1 - other.best()?.1);
        better.iter().enumerate().map(gap).chain([lead()]).collect()
    }

    /// The likeness that the settings of both methods span.
    fn shared_with(&self, other: &Settings) -> Option<[f64; 2]> {
        let span = |method: &Settings| {
            let likeness = || method.0.iter().map(|means| means.likeness);
            Some([likeness().reduce(f64::min)?, likeness().reduce(f64::max)?])
        };
        let ([own_low, own_high], [low, high]) = (span(self)?, span(other)?);
        let shared = [own_low.max(low), own_high.min(high)];
        (shared[0] <= shared[1]).then_some(shared)
    }

    /// The number of the setting with the best deciding score, and that.
    fn best(&self) -> Option<(usize, f64)> {
        let scores = self.0.iter().map(|means| means.deciding).enumerate();
        scores.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }

    fn points(&self, labels: &[usize], names: &[String]) -> Vec<Point> {
        let both = |means: &Means| (means.likeness, means.compared[0]);
        let beats = |a: (f64, f64), b: (f64, f64)| a.0 >= b.0 && a.1 >= b.1 && a != b;
        let point = |(own, &label): (&Means, &usize)| Point {
            setting: names[label].clone(),
            likeness: own.likeness,
            prompt: own.compared[0],
            on_frontier: !self.0.iter().any(|other| beats(both(other), both(own))),
        };
        let mut points: Vec<Point> = self.0.iter().zip(labels).map(point).collect();
        points.sort_by(|a, b| a.likeness.total_cmp(&b.likeness));
        points
    }
}

/// Levels of likeness in a range.
fn levels([from, to]: [f64; 2]) -> impl Iterator<Item = f64> {
    // Both ends exactly: a level just above the greatest likeness would be reached by nobody.
    let share = |step: u32| f64::from(step) / f64::from(LEVELS - 1);
    (0..LEVELS).map(move |step| from * (1.0 - share(step)) + to * share(step))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::protocol::units::{Scored, Unit};

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 300, seed: 7 };

    /// What each label has of each person: likeness, prompt and deciding score.
    fn frontiers(labels: &[(&str, &[[f64; 3]])]) -> Option<Frontiers> {
        let scored = |[id, wishes, id_p]: [f64; 3]| vec![("id", id), ("wishes", wishes), ("id_p", id_p)];
        let scored = |people: &&[[f64; 3]]| people.iter().map(|&of_person| scored(of_person)).collect::<Vec<_>>();
        frontiers_of(&labels.iter().map(|(label, people)| (*label, scored(people))).collect::<Vec<_>>())
    }

    /// A person's scores by name; not a number where the person is missing.
    type Scores = Vec<(&'static str, f64)>;

    fn frontiers_of(labels: &[(&str, Vec<Scores>)]) -> Option<Frontiers> {
        compared_with(0, labels)
    }

    /// The scores of each label for each person.
    fn compared_with(baseline: usize, labels: &[(&str, Vec<Scores>)]) -> Option<Frontiers> {
        let people = labels.first().map_or(0, |(_, people)| people.len());
        let run = serde_json::json!({
            "format": "", "protocol": "p", "model": "m", "prompts": [], "seeds": [0],
            "methods": labels.iter().map(|(label, _)| *label).collect::<Vec<_>>(),
            "identities": (0..people).map(|person| format!("person{person}")).collect::<Vec<_>>(),
        });
        let run: Run = serde_json::from_value(run).unwrap();
        let mut tally = Tally::new(&run);
        for (method, (label, people)) in labels.iter().enumerate() {
            for (identity, scores) in people.iter().enumerate().filter(|(_, scores)| scores[0].1.is_finite()) {
                let line = serde_json::json!({
                    "method": label, "identity": format!("person{identity}"), "category": "c", "prompt": "", "number": 0,
                    "seed": 0, "path": "", "scores": scores.iter().copied().collect::<BTreeMap<_, _>>(),
                });
                let line = serde_json::from_value(line).unwrap();
                let unit = Unit { method, identity, name: String::new(), folder: Default::default() };
                tally.add(&unit, &[Scored { line, text: String::new() }]);
            }
        }
        Frontiers::of(&run, &tally, baseline, BOOTSTRAP)
    }

    #[test]
    fn the_best_setting_of_at_least_the_likeness_counts() {
        // Person by person alike, so that the interval has no width.
        let two = |means: [f64; 3]| [means, means];
        let found = frontiers(&[
            ("a@steps=1", &two([0.1, 1.0, 0.1])),
            ("b@lr=1", &two([0.2, 0.9, 0.18])),
            ("a@steps=2", &two([0.4, 0.5, 0.2])),
            ("b@lr=2", &two([0.3, 0.4, 0.12])),
            ("b@lr=3", &two([0.5, 0.7, 0.35])),
        ])
        .unwrap();
        assert_eq!((found.likeness, found.deciding, found.people), ("id", "id_p", 2));
        assert_eq!(found.compared, ["wishes"]);
        let [a, b] = &found.methods[..] else { panic!("two methods") };
        // All of a's levels are reached by its second setting alone; b's first reaches the first level only.
        let b_mean = (0.9 + 40.0 * 0.7) / 41.0;
        let close = |got: f64, expected: f64| (got - expected).abs() < 1e-12;
        assert_eq!((a.shared, b.shared), (None, Some([0.2, 0.4])));
        assert!(a.at_equal_likeness.is_empty() && found.baseline == "a");
        let compared = b.at_equal_likeness["wishes"];
        assert!(close(compared.value, b_mean) && close(compared.difference.unwrap(), b_mean - 0.5), "{compared:?}");
        assert!(compared.interval.unwrap().iter().all(|end| close(*end, b_mean - 0.5)));
        assert_eq!((a.best.as_str(), b.best.as_str()), ("a@steps=2", "b@lr=3"));
        assert!(close(b.best_score.difference.unwrap(), 0.15));
        let on: Vec<bool> = b.points.iter().map(|point| point.on_frontier).collect();
        assert_eq!(on, [true, false, true]);
    }

    #[test]
    fn where_less_is_better_the_least_counts_and_what_a_method_lacks_is_not_compared() {
        let setting = |id: f64, wishes: f64, leakage: f64| {
            vec![vec![("id", id), ("wishes", wishes), ("leakage", leakage), ("id_p", id * wishes)]; 2]
        };
        let mut labels = [
            ("a@x=1", setting(0.2, 0.9, 0.5)),
            ("a@x=2", setting(0.4, 0.5, 0.25)),
            ("b@x=1", setting(0.2, 0.9, 0.125)),
            ("b@x=2", setting(0.4, 0.5, 0.75)),
        ];
        let found = frontiers_of(&labels).unwrap();
        assert_eq!(found.compared, ["wishes", "leakage"]);
        // Only the lowest of the 41 levels is reached by the first settings.
        let leakage = found.methods[1].at_equal_likeness["leakage"];
        let expected = (0.125 + 40.0 * 0.75) / 41.0;
        assert!((leakage.value - expected).abs() < 1e-12, "{leakage:?}");
        let interval = leakage.interval.unwrap();
        for value in [leakage.difference.unwrap(), interval[0], interval[1]] {
            assert!((value - (expected - 0.25)).abs() < 1e-12, "{value}");
        }
        // The label of any setting names the method to compare with.
        let turned = compared_with(3, &labels).unwrap();
        let first = turned.methods[0].at_equal_likeness["leakage"];
        assert!((first.difference.unwrap() + expected - 0.25).abs() < 1e-12, "{first:?}");
        assert!(turned.baseline == "b" && turned.methods[1].shared.is_none());
        labels[3].1.iter_mut().for_each(|scores| scores.retain(|(name, _)| *name != "leakage"));
        assert_eq!(frontiers_of(&labels).unwrap().compared, ["wishes"]);
    }

    #[test]
    fn the_interval_holds_what_other_people_would_give() {
        let first: Vec<[f64; 3]> = (0..12).map(|person| [0.5, 0.5 + 0.01 * f64::from(person), 0.1]).collect();
        let second: Vec<[f64; 3]> = (0..12).map(|person| [0.5, 0.6 + 0.02 * f64::from(person % 5), 0.2]).collect();
        let more: Vec<[f64; 3]> = (0..12).map(|_| [0.4, 0.2, 0.0]).collect();
        let found = frontiers(&[("a", &first), ("b@x=1", &second), ("b@x=2", &more)]).unwrap();
        let Compared { difference, interval, .. } = found.methods[1].at_equal_likeness["wishes"];
        let [low, high] = interval.unwrap();
        assert!(low < difference.unwrap() && difference.unwrap() < high && high - low > 0.01, "{low} {high}");
        assert_eq!(
            found.methods[1].best_score.interval.map(|ends| ends.map(|end| (end * 1e6).round())),
            Some([1e5; 2])
        );
    }

    #[test]
    fn people_that_a_setting_lacks_are_left_out_and_one_has_no_interval() {
        let nobody = [f64::NAN; 3];
        let found = frontiers(&[
            ("a@x=1", &[[0.2, 0.5, 0.1], [0.9, 0.9, 0.9]]),
            ("a@x=2", &[[0.4, 0.25, 0.1], nobody]),
            ("b", &[[0.3, 0.75, 0.2], [0.1, 0.1, 0.1]]),
        ])
        .unwrap();
        assert_eq!((found.people, found.methods[1].shared), (1, Some([0.3, 0.3])));
        let compared = found.methods[1].at_equal_likeness["wishes"];
        assert_eq!((compared.difference, compared.interval), (Some(0.5), None));
    }

    #[test]
    fn methods_that_share_no_likeness_have_nothing_to_compare() {
        let found =
            frontiers(&[("a@x=1", &[[0.2, 0.5, 0.1]]), ("a@x=2", &[[0.3, 0.4, 0.1]]), ("b", &[[0.5; 3]])]).unwrap();
        assert!(found.methods.iter().all(|method| method.shared.is_none() && method.at_equal_likeness.is_empty()));
        assert!(frontiers(&[("a", &[[0.2; 3]]), ("b", &[[0.3; 3]])]).is_none(), "no settings, no frontier");
        let (nobody, both) = ([f64::NAN; 3], [[0.2; 3], [0.3; 3]]);
        let apart = [("a@x=1", &[both[0], nobody][..]), ("a@x=2", &[nobody, both[1]][..])];
        assert!(frontiers(&apart).is_none(), "nobody has both");
    }
}
