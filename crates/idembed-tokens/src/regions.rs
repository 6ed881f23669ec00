//! Identities that are kept to their own parts of the picture.
//!
//! Several people in one prompt run into each other: every pixel reads the whole text, and in it what comes later has heard what came
//! before. Here each region reads a text of its own, in which whoever has a region is the one whose region it is, and the rest of
//! the picture one in which all of them are class words. So nobody's vectors are read outside their region, and whose name comes
//! first makes no difference at all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use idembed_clip::Tokenizer;
use idembed_diffusion::conditioning::Conditioning;
use idembed_diffusion::{Area, StableDiffusion};

use crate::contexts::{Conditions, condition_as, condition_by};
use crate::prompt::{Placeholder, Prompt};
use crate::{Identities, Identity, Result, Strength, TokensError};

/// The regions of identities, by their names in the prompt.
pub type Regions = BTreeMap<String, Area>;

impl Identities<'_> {
    /// Fails if identities of a prompt cannot be kept to regions; needs no model.
    ///
    /// # Errors
    /// A region of an identity that the prompt does not name, that changes weights of the U-Net, or has no class word.
    pub fn check_regions(&self, prompt: &Prompt, regions: &Regions) -> Result<()> {
        for name in regions.keys() {
            let refused = |expected: String| {
                Err(TokensError::Setting { what: "region", got: format!("given for <{name}>"), expected })
            };
            if !prompt.names(name) {
                return refused("for identities that the prompt names".to_owned());
            }
            let identity = self.get(name)?;
            if identity.unet.is_some() {
                return refused(
                    "for identities that do not change weights of the U-Net, which act everywhere".to_owned(),
                );
            }
            if identity.class.trim().is_empty() {
                return refused("for identities with a class word, which stands for them elsewhere".to_owned());
            }
        }
        Ok(())
    }
}

/// As [`condition_as`], with identities kept to regions.
///
/// # Errors
/// As there, and as [`Identities::check_regions`]; a prompt that is too long where an identity of more tokens stands for others.
pub fn condition_in_regions(
    model: &StableDiffusion,
    prompt: &Prompt,
    identities: &Identities<'_>,
    regions: &Regions,
    how: Conditions,
) -> Result<Conditioning> {
    if regions.is_empty() {
        return condition_as(model, prompt, identities, how);
    }
    identities.check(prompt)?;
    identities.check_regions(prompt, regions)?;
    for placeholder in &prompt.placeholders {
        identities.get(&placeholder.name)?.check_base(model, how.force)?;
    }
    let has_region = |placeholder: &Placeholder| regions.contains_key(&placeholder.name);
    let elsewhere = condition_by(model, prompt, how, |placeholder| match has_region(placeholder) {
        true => {
            let identity = identities.get(&placeholder.name)?;
            Ok(Cow::Owned(identity.at_strength(&Strength::new(0.0)?, model)?))
        }
        false => identities.acting(placeholder, model),
    })?;
    let tokenizers: Vec<&Tokenizer> = model.text_encoders.tokenizers().collect();
    let own_texts = regions.iter().filter_map(|(name, area)| {
        let own = prompt.placeholders.iter().find(|placeholder| placeholder.name == *name)?;
        Some((own, *area))
    });
    let own_texts = own_texts.map(|(own, area)| {
        let acting: Cow<'_, Identity> = identities.acting(own, model)?;
        // Whoever else is named takes as many tokens as this one.
        let words = |name: &str| if regions.contains_key(name) { own.words } else { identities.words(name) };
        let prompt = prompt.with_words(&tokenizers, words)?;
        let text = condition_by(model, &prompt, how, |placeholder| match has_region(placeholder) {
            true => Ok(acting.clone()),
            false => identities.acting(placeholder, model),
        })?;
        Ok((area, text))
    });
    Ok(elsewhere.with_regions(own_texts.collect::<Result<_>>()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::UNetChanges;
    use crate::identity::example;

    #[test]
    fn regions_are_for_people_of_the_prompt_who_can_stand_for_each_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer");
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let half: Area = "0,0,0.5,1".parse().unwrap();
        let regions: Regions = ["me", "you"].map(|name| (name.to_owned(), half)).into();
        let with = |other: Identity, prompt: &str| {
            let me = example();
            let identities = Identities::named([("me", &me), ("you", &other)]).unwrap();
            let prompt = Prompt::parse_with(prompt, [&tokenizer], |name| identities.words(name)).unwrap();
            identities.check_regions(&prompt, &regions).map_err(|error| error.to_string())
        };
        assert_eq!(with(example(), "<you> and <me:0.5>"), Ok(()));
        let refused = |other: Identity, prompt: &str, expected: &str| {
            let error = with(other, prompt).unwrap_err();
            assert!(error.starts_with("region is given for <you>") && error.contains(expected), "{error}");
        };
        refused(example(), "<me>", "identities that the prompt names");
        let changes = UNetChanges { sha256: String::new(), deltas: BTreeMap::new() };
        refused(Identity { unet: Some(changes), ..example() }, "<you> and <me>", "do not change weights of the U-Net");
        refused(Identity { class: String::new(), ..example() }, "<you> and <me>", "with a class word");
    }
}
