//! Prompt editing of AUTOMATIC1111's web interface and of those that share its code: `[a:b:WHEN]` draws `a` and, from `WHEN` on,
//! `b`.
//!
//! `WHEN` counts steps of the run, not timesteps of the model: with a point in it, it is a fraction of the steps, which is cut to a
//! whole number; without, it is a number of steps. The running step is counted from 0, and `a` holds up to and including step
//! `WHEN` (`reconstruct_cond_batch` in `modules/prompt_parser.py` compares with `<=`): one step longer than the number says.
//! [`Switches::of_steps`] therefore writes one less; 0 means that `a` never holds, so that `a` holds for two steps at least.

use idembed_diffusion::conditioning::stage_of;
use idembed_diffusion::schedulers::{self, SchedulerConfigJson, SchedulerKind};
use idembed_weights::UnknownName;

use crate::Result;

/// The noise levels of a run, by the names that web interfaces have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
pub enum Schedule {
    /// Evenly spaced timesteps, from the last to the first of training: `Automatic` and `Uniform`.
    #[default]
    Uniform,
    /// `Karras` (arXiv 2206.00364, equation 5), on the noise levels of Stable Diffusion.
    Karras,
}

/// When the embeddings of an identity take turns.
#[derive(Debug, Clone, PartialEq)]
pub struct Switches {
    turns: Vec<Turn>,
    /// In how many steps each stage holds, of a run that is known.
    pub steps: Option<Vec<usize>>,
    /// Whether a run that counts as this module says draws each step with the embedding of its stage; not known of fractions.
    pub exact: Option<bool>,
}

/// One embedding that is drawn with.
#[derive(Debug, Clone, PartialEq)]
struct Turn {
    embedding: usize,
    /// `WHEN` it follows the one before it; the first one follows none.
    when: Option<String>,
}

impl Switches {
    /// The stages' shares of the schedule as fractions of a run.
    pub(super) fn of_fractions(stages: usize) -> Self {
        let fraction = |stage: usize| {
            let text = format!("{:.4}", stage as f64 / stages as f64);
            text.trim_end_matches('0').to_owned()
        };
        let turns = (0..stages).map(|stage| Turn { embedding: stage, when: (stage > 0).then(|| fraction(stage)) });
        Switches { turns: turns.collect(), steps: None, exact: None }
    }

    /// The steps of a run that lie in each stage.
    ///
    /// # Errors
    /// A number of steps that no sampler takes.
    pub(super) fn of_steps(stages: usize, train_timesteps: usize, steps: usize, schedule: Schedule) -> Result<Self> {
        let config = SchedulerConfigJson {
            num_train_timesteps: i64::try_from(train_timesteps).ok(),
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some("scaled_linear".to_owned()),
            timestep_spacing: Some("linspace".to_owned()),
            use_karras_sigmas: Some(schedule == Schedule::Karras),
            ..SchedulerConfigJson::default()
        };
        let sampler = schedulers::build(SchedulerKind::Euler, &config, steps)?;
        let mut counts = vec![0; stages];
        for &timestep in sampler.timesteps() {
            counts[stage_of(timestep, stages, train_timesteps)] += 1;
        }
        Ok(Self::of_counts(counts))
    }

    fn of_counts(counts: Vec<usize>) -> Self {
        // The stage of each step.
        let stages: Vec<usize> = counts.iter().enumerate().flat_map(|(stage, &count)| vec![stage; count]).collect();
        let mut whens: Vec<(usize, usize)> = Vec::new();
        for (step, &stage) in stages.iter().enumerate() {
            if whens.last().is_none_or(|(known, _)| *known != stage) {
                whens.push((stage, if step == 0 { 0 } else { usize::max(step - 1, 1) }));
            }
        }
        let drawn =
            |step: usize| whens.iter().rev().find(|(_, when)| *when == 0 || *when < step).map(|(stage, _)| *stage);
        let exact = stages.iter().enumerate().all(|(step, &stage)| drawn(step) == Some(stage));
        let turns =
            whens.iter().map(|&(embedding, when)| Turn { embedding, when: (when > 0).then(|| when.to_string()) });
        Switches { turns: turns.collect(), steps: Some(counts), exact: Some(exact) }
    }
}

/// What stands for the identity in a prompt: its embeddings, nested, the noisiest stage innermost.
pub(super) fn edited(names: &[String], switches: &Switches) -> String {
    switches.turns.iter().fold(String::new(), |before, Turn { embedding, when }| {
        let name = &names[*embedding];
        when.as_ref().map_or_else(|| name.clone(), |when| format!("[{before}:{name}:{when}]"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn line(switches: &Switches, stages: usize) -> String {
        edited(&(1..=stages).map(|number| format!("me-{number}")).collect::<Vec<_>>(), switches)
    }

    #[test]
    fn stages_are_fractions_of_a_run() {
        let fractions = |stages| line(&Switches::of_fractions(stages), stages);
        assert_eq!(fractions(1), "me-1");
        assert_eq!(fractions(5), "[[[[me-1:me-2:0.2]:me-3:0.4]:me-4:0.6]:me-5:0.8]");
        assert_eq!(fractions(3), "[[me-1:me-2:0.3333]:me-3:0.6667]");
    }

    #[test]
    fn steps_are_counted_in_stages() {
        // Of 25 steps from 999 to 0, 41.625 apart, those from 800 on are 999 to 832.5: five.
        let switches = |steps, schedule| Switches::of_steps(5, 1000, steps, schedule).unwrap();
        let uniform = switches(25, Schedule::Uniform);
        assert_eq!((uniform.steps.clone().unwrap(), uniform.exact), (vec![5, 5, 5, 5, 5], Some(true)));
        assert_eq!(line(&uniform, 5), "[[[[me-1:me-2:4]:me-3:9]:me-4:14]:me-5:19]");
        // Of 8 steps, 142.714 apart: 999 856 | 714 | 571 428 | 285 | 143 0.
        let few = switches(8, Schedule::Uniform);
        assert_eq!(few.steps.clone().unwrap(), [2, 1, 2, 1, 2]);
        assert_eq!((line(&few, 5).as_str(), few.exact), ("[[[[me-1:me-2:1]:me-3:2]:me-4:4]:me-5:5]", Some(true)));
        // Karras' levels crowd at the ends: so diffusers' Euler sampler spreads them.
        assert_eq!(switches(20, Schedule::Karras).steps.unwrap(), [5, 3, 2, 2, 8]);
        assert_eq!(switches(25, Schedule::Karras).steps.unwrap(), [6, 4, 3, 3, 9]);
        assert!(Switches::of_steps(5, 1000, 0, Schedule::Uniform).is_err());
        assert!(Switches::of_steps(5, 1000, 1001, Schedule::Uniform).is_err());
    }

    #[test]
    fn stages_without_steps_are_left_out() {
        let of = |counts: &[usize]| {
            let switches = Switches::of_counts(counts.to_vec());
            (line(&switches, counts.len()), switches.exact.unwrap())
        };
        assert_eq!(of(&[0, 3, 0, 2]), ("[me-2:me-4:2]".to_owned(), true));
        assert_eq!(of(&[0, 0, 4]), ("me-3".to_owned(), true));
        // The first of two cannot end after one step.
        assert_eq!(of(&[1, 3]), ("[me-1:me-2:1]".to_owned(), false));
        assert_eq!(of(&[1, 1, 2]), ("[[me-1:me-2:1]:me-3:1]".to_owned(), false));
    }
}
