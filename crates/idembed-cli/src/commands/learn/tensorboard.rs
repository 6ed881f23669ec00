//! A run as TensorBoard shows it: losses over steps, and the previews.

use std::path::Path;

use anyhow::Context as _;
use idembed_studio::picture_file;
use idembed_tensorboard::EventWriter;
use idembed_tokens::StepReport;

use crate::jobs::Told;

/// The event file of a run.
pub(super) struct EventFile(EventWriter);

impl EventFile {
    /// A new one in a folder; those of other runs stay, and TensorBoard shows them too.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn create(folder: &Path) -> anyhow::Result<Self> {
        let created = EventWriter::create(folder);
        Ok(Self(created.with_context(|| format!("cannot write an event file in `{}`", folder.display()))?))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Adds what was told.
    ///
    /// # Errors
    /// What the system says, or a picture that cannot be encoded.
    pub(super) fn add(&mut self, told: &Told<'_>) -> anyhow::Result<()> {
        match told {
            Told::Step(report) => self.0.scalars(report.step, &scalars(report))?,
            Told::Preview(preview) => {
                for (number, drawn) in preview.pictures.iter().flatten().enumerate() {
                    let tag = format!("preview/{} {}", number + 1, drawn.record.prompt);
                    let png = picture_file::encode(&drawn.picture, None)?;
                    self.0.picture(preview.step, &tag, drawn.picture.dimensions(), png)?;
                }
            }
        }
        Ok(())
    }
}

/// What a step has to show.
fn scalars(report: &StepReport) -> Vec<(&'static str, f64)> {
    let (measured, has_loss) = (report.measured.as_ref(), report.attention_loss.is_some());
    let all = [
        ("loss/noise", Some(report.noise_loss)),
        ("loss/attention", report.attention_loss),
        ("loss/prior", report.prior_loss),
        ("learning rate", Some(report.step_size)),
        ("gradient/noise", measured.map(|measured| measured.grad_norm_noise)),
        ("gradient/attention", measured.filter(|_| has_loss).map(|measured| measured.grad_norm_attention)),
        ("leakage", measured.and_then(|measured| measured.leakage)),
    ];
    all.into_iter().filter_map(|(tag, value)| Some((tag, value?))).collect()
}
