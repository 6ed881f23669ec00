//! `idembed export --to staged-embeddings`: a folder of embeddings that take turns.

use std::fmt::Write as _;
use std::path::PathBuf;

use idembed_tokens::{Half, Identity, Schedule, StagedEmbeddings, Switches};
use serde_json::{Value, json};

use super::Args;
use crate::args::positive;
use crate::output;

/// Flags of `idembed export --to staged-embeddings`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Staged embeddings")]
pub(super) struct StagedArgs {
    /// The prompt to write them into [default: a photo of it]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The steps of the run, to switch after whole steps [default: at fractions of the run]
    #[arg(long, value_name = "N", value_parser = positive)]
    steps: Option<usize>,
    /// The noise levels of that run, as web interfaces call them: uniform (automatic), or karras [default: uniform]
    #[arg(long, value_name = "NAME", requires = "steps")]
    schedule: Option<Schedule>,
    /// What becomes the one vector that other tools know: keys, values, or their mean [default: values]
    #[arg(long, value_name = "WHICH")]
    take: Option<Half>,
}

impl StagedArgs {
    /// A flag that was given, if any was.
    pub(super) fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.prompt.is_some(), "--prompt"),
            (self.steps.is_some(), "--steps"),
            (self.schedule.is_some(), "--schedule"),
            (self.take.is_some(), "--take"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

/// What is written beside the embeddings.
struct Plan {
    identity: Identity,
    embeddings: StagedEmbeddings,
    switches: Switches,
    /// The prompt that switches.
    edited: String,
    /// Nodes for ComfyUI, where it knows such a model.
    workflow: Option<Value>,
    /// `start` and `end` of each stage there.
    ranges: Vec<[f64; 2]>,
    /// Of each embedding.
    files: Vec<PathBuf>,
    workflow_file: PathBuf,
    notes_file: PathBuf,
}

impl Plan {
    fn new(args: &Args) -> anyhow::Result<Plan> {
        let StagedArgs { prompt, steps, schedule, take } = &args.staged;
        output::check_folder(&args.out)?;
        let identity = Identity::read(&args.file)?;
        let placeholder = format!("<{}>", identity.name);
        let prompt = prompt.clone().unwrap_or_else(|| format!("a photo of {placeholder}"));
        anyhow::ensure!(prompt.contains(&placeholder), "the prompt `{prompt}` does not say {placeholder}");
        let embeddings = StagedEmbeddings::of(&identity, take.unwrap_or_default())?;
        let switches = embeddings.switches(steps.map(|steps| (steps, schedule.unwrap_or_default())))?;
        let (workflow, ranges) = match (embeddings.workflow(&prompt), embeddings.ranges()) {
            (Ok(workflow), Ok(ranges)) => (Some(workflow), ranges),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!("no workflow for ComfyUI is written: {error}");
                (None, Vec::new())
            }
        };
        let inside = |name: &str| args.out.join(name);
        let plan = Plan {
            edited: embeddings.edited(&prompt, &switches),
            files: embeddings.file_names().iter().map(|name| inside(name)).collect(),
            workflow_file: inside(&format!("{}-comfyui.json", identity.name)),
            notes_file: inside(&format!("{}.txt", identity.name)),
            identity,
            embeddings,
            switches,
            workflow,
            ranges,
        };
        let written = || plan.files.iter().chain([&plan.workflow_file, &plan.notes_file]);
        if args.out.is_dir() {
            written().try_for_each(|file| output::check_new_file(file, args.force))?;
        }
        output::check_inputs_stay(written(), &[&args.file])?;
        Ok(plan)
    }

    /// How well a prompt that counts steps meets stages that are ranges of timesteps.
    fn agreement(&self) -> String {
        match (&self.switches.steps, self.switches.exact) {
            (Some(steps), Some(true)) => {
                format!("the prompt switches exactly at the stages, which take {steps:?} steps of that run")
            }
            (Some(steps), _) => format!(
                "the prompt cannot switch exactly at the stages, which take {steps:?} steps of that run: the first text holds \
                 for two steps at least"
            ),
            (None, _) => "the prompt switches at fractions of the steps, a step or so away from the stages where the steps are \
                          evenly spaced in time, and farther where they are not (karras): --steps and --schedule say the steps"
                .to_owned(),
        }
    }

    fn notes(&self) -> String {
        let mut notes = format!(
            "Embeddings of `{}` for {}, one for each of its {} stages, the noisiest first: {}.\n\nWhat is lost: {}.\n\n\
             AUTOMATIC1111 and interfaces of its kind: put the files into `embeddings`, and write\n\n    {}\n\n\
             There {}.\n",
            self.identity.name,
            self.identity.base_model,
            self.embeddings.names.len(),
            self.embeddings.names.join(", "),
            self.embeddings.loss(),
            self.edited,
            self.agreement(),
        );
        if self.workflow.is_some() {
            let _ = write!(
                notes,
                "\nComfyUI: put the files into `models/embeddings`, and open `{}-comfyui.json`; its node `conditioning` is what \
                 a sampler takes as `positive`. Its ranges are the stages exactly, for any sampler and number of steps:\n\n",
                self.identity.name
            );
            for (name, [start, end]) in self.embeddings.names.iter().zip(&self.ranges) {
                let _ = writeln!(notes, "    embedding:{name}  start {start:.6}  end {end:.6}");
            }
        }
        notes
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let plan = Plan::new(args)?;
    output::make_folder(&args.out)?;
    for (embedding, file) in plan.embeddings.stages.iter().zip(&plan.files) {
        embedding.write(file)?;
    }
    if let Some(workflow) = &plan.workflow {
        output::write_file(&plan.workflow_file, format!("{workflow:#}\n").as_bytes())?;
    }
    output::write_file(&plan.notes_file, plan.notes().as_bytes())?;
    tracing::info!("{}", plan.embeddings.loss());
    tracing::info!("{}", plan.agreement());
    if args.json {
        return output::json(&json!({
            "files": plan.files.iter().map(|file| output::shown(file)).collect::<Vec<_>>(),
            "to": "staged-embeddings",
            "name": plan.identity.name,
            "hidden": plan.identity.hidden(),
            "prompt": plan.edited,
            "steps": plan.switches.steps,
            "exact": plan.switches.exact,
            "ranges": plan.ranges,
            "workflow": plan.workflow.is_some().then(|| output::shown(&plan.workflow_file)),
            "notes": output::shown(&plan.notes_file),
            "loss": plan.embeddings.loss(),
        }));
    }
    plan.files.iter().try_for_each(|file| output::line(file.display()))?;
    if plan.workflow.is_some() {
        output::line(plan.workflow_file.display())?;
    }
    output::line(plan.notes_file.display())?;
    output::line(&plan.edited)
}
