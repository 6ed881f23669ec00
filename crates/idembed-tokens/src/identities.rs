//! The identities that a prompt may name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use idembed_diffusion::StableDiffusion;

use crate::prompt::{Placeholder, Prompt};
use crate::{Identity, Result, Strength, TokensError, UNetChanges};

/// Identities by the names that a prompt calls them, which need not be those they were learned under.
#[derive(Debug, Clone, Default)]
pub struct Identities<'a> {
    by_name: BTreeMap<&'a str, Given<'a>>,
}

/// An identity, and how strongly it acts where a prompt says nothing of that.
#[derive(Debug, Clone)]
struct Given<'a> {
    identity: &'a Identity,
    strength: Strength,
}

impl<'a> Identities<'a> {
    /// No identities: a plain prompt.
    pub fn none() -> Self {
        Self::default()
    }

    /// Identities with their names, as they were learned.
    ///
    /// # Errors
    /// A name that was given twice.
    pub fn named(identities: impl IntoIterator<Item = (&'a str, &'a Identity)>) -> Result<Self> {
        Self::with_strengths(identities.into_iter().map(|(name, identity)| (name, identity, Strength::default())))
    }

    /// Identities with their names, and how strongly each acts where a prompt does not say another strength.
    ///
    /// # Errors
    /// A name that was given twice, or a strength that an identity cannot have.
    pub fn with_strengths(identities: impl IntoIterator<Item = (&'a str, &'a Identity, Strength)>) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for (name, identity, strength) in identities {
            identity.check_strength(&strength)?;
            if by_name.insert(name, Given { identity, strength }).is_some() {
                return Err(TokensError::GivenTwice { name: name.to_owned() });
            }
        }
        Ok(Identities { by_name })
    }

    /// The identity of a name.
    ///
    /// # Errors
    /// There is none; the error lists those that there are.
    pub fn get(&self, name: &str) -> Result<&'a Identity> {
        Ok(self.given(name)?.identity)
    }

    fn given(&self, name: &str) -> Result<&Given<'a>> {
        self.by_name.get(name).ok_or_else(|| TokensError::UnknownIdentity {
            name: name.to_owned(),
            given: self.by_name.keys().map(|&name| name.to_owned()).collect(),
        })
    }

    /// How strongly the identity at a placeholder acts: as the prompt says, or else as it was given.
    fn strength<'s>(&'s self, placeholder: &'s Placeholder) -> Result<&'s Strength> {
        Ok(placeholder.strength.as_ref().unwrap_or(&self.given(&placeholder.name)?.strength))
    }

    /// The identity at a placeholder as it acts there.
    ///
    /// # Errors
    /// There is none, or as [`Identity::at_strength`].
    pub(crate) fn acting(&self, placeholder: &Placeholder, model: &StableDiffusion) -> Result<Cow<'a, Identity>> {
        let (identity, strength) = (self.get(&placeholder.name)?, self.strength(placeholder)?);
        match strength.is_full() {
            true => Ok(Cow::Borrowed(identity)),
            false => Ok(Cow::Owned(identity.at_strength(strength, model)?)),
        }
    }

    /// How many tokens the identity of a name takes: what [`Prompt::parse_with`] wants to know. 1 if there is none.
    pub fn words(&self, name: &str) -> usize {
        self.by_name.get(name).map_or(1, |given| given.identity.words)
    }

    /// Fails if the prompt names an identity that is not here, wants a strength that it cannot have, or was read for one of another
    /// number of tokens.
    pub fn check(&self, prompt: &Prompt) -> Result<()> {
        prompt.placeholders.iter().try_for_each(|placeholder| {
            let identity = self.get(&placeholder.name)?;
            identity.check_strength(self.strength(placeholder)?)?;
            let words = identity.words;
            if words == placeholder.words {
                return Ok(());
            }
            let expected = format!("{words}, as the identity <{}> has", placeholder.name);
            let got = placeholder.words.to_string();
            Err(TokensError::Setting { what: "number of tokens at a placeholder", got, expected })
        })
    }

    /// What the identities that any of the prompts of a picture names change in the U-Net, as strongly as they act.
    ///
    /// # Errors
    /// As [`Identities::check_changed_unet`].
    pub fn changed_unet<'p>(
        &self,
        prompts: impl IntoIterator<Item = &'p Prompt>,
    ) -> Result<Option<Cow<'a, UNetChanges>>> {
        match self.changes(prompts)? {
            Some((changes, strength)) => changes.at_strength(&strength),
            None => Ok(None),
        }
    }

    /// Fails if the prompts of a picture want more than one change of the U-Net.
    ///
    /// # Errors
    /// Two identities change something, or one that does is wanted at two strengths; a prompt names one that is not here.
    pub fn check_changed_unet<'p>(&self, prompts: impl IntoIterator<Item = &'p Prompt>) -> Result<()> {
        self.changes(prompts).map(drop)
    }

    fn changes<'p>(
        &self,
        prompts: impl IntoIterator<Item = &'p Prompt>,
    ) -> Result<Option<(&'a UNetChanges, Strength)>> {
        let mut found: Option<(&str, &UNetChanges, &Strength)> = None;
        let prompts: Vec<&Prompt> = prompts.into_iter().collect();
        for placeholder in prompts.iter().flat_map(|prompt| &prompt.placeholders) {
            let Placeholder { name, .. } = placeholder;
            let Some(changes) = &self.get(name)?.unet else { continue };
            let strength = self.strength(placeholder)?;
            match found {
                Some((first, ..)) if first != name => {
                    return Err(TokensError::TwoChangeWeights { first: first.to_owned(), second: name.clone() });
                }
                Some((_, _, first)) if first != strength => {
                    let expected = "one in a picture, because it changes weights of the U-Net".to_owned();
                    let got = format!("{first} and {strength} for the identity <{name}>");
                    return Err(TokensError::Setting { what: "strength", got, expected });
                }
                _ => found = Some((name, changes, strength)),
            }
        }
        Ok(found.map(|(_, changes, strength)| (changes, strength.clone())))
    }

    /// The names that the prompt does not say.
    pub fn unused(&self, prompt: &Prompt) -> Vec<&'a str> {
        self.by_name.keys().copied().filter(|name| !prompt.names(name)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::path::Path;

    use idembed_clip::Tokenizer;

    use super::*;
    use crate::identity::example;

    #[test]
    fn a_name_stands_for_one_identity() {
        let (one, two) = (example(), example());
        let twice = Identities::named([("me", &one), ("me", &two)]).unwrap_err();
        assert!(matches!(twice, TokensError::GivenTwice { name } if name == "me"));
        let both = Identities::named([("me", &one), ("you", &two)]).unwrap();
        assert!(std::ptr::eq(both.get("you").unwrap(), &two));
        let error = both.get("cat").unwrap_err().to_string();
        assert_eq!(error, "the prompt names <cat>, but only <me>, <you> was given");
        assert_eq!(
            Identities::none().get("cat").unwrap_err().to_string(),
            "the prompt names <cat>, but no identity was given"
        );
    }

    #[test]
    fn says_what_a_prompt_lacks_and_leaves_out() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer");
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let one = example();
        let identities = Identities::named([("me", &one), ("you", &one)]).unwrap();
        let prompt = Prompt::parse("<me> at the beach", [&tokenizer]).unwrap();
        identities.check(&prompt).unwrap();
        assert_eq!(identities.unused(&prompt), ["you"]);
        assert!(Identities::none().check(&prompt).is_err());
    }

    #[test]
    fn one_identity_of_a_prompt_may_change_weights() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer");
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let changes = || UNetChanges { sha256: "abcd".to_owned(), deltas: BTreeMap::new() };
        let (plain, one) = (example(), Identity { unet: Some(changes()), ..example() });
        let two = one.clone();
        let identities = Identities::named([("plain", &plain), ("one", &one), ("two", &two)]).unwrap();
        let found = |prompt: &str| identities.changed_unet([&Prompt::parse(prompt, [&tokenizer]).unwrap()]);
        assert!(found("a photo of <plain>").unwrap().is_none());
        let changed = found("<one> with <plain> and <one>").unwrap().unwrap();
        assert!(matches!(changed, Cow::Borrowed(changes) if std::ptr::eq(changes, one.unet.as_ref().unwrap())));
        let error = found("<two> with <one>").unwrap_err();
        assert!(matches!(error, TokensError::TwoChangeWeights { first, second } if first == "two" && second == "one"));
        let [first, second] = ["<one>", "<two> and <one>"].map(|text| Prompt::parse(text, [&tokenizer]).unwrap());
        assert!(identities.changed_unet([&first, &first]).unwrap().is_some());
        assert!(matches!(identities.changed_unet([&first, &second]), Err(TokensError::TwoChangeWeights { .. })));
        assert!(matches!(found("<cat>"), Err(TokensError::UnknownIdentity { .. })));
        assert!(matches!(found("<one:0.5> and <one:0.5/0.5>"), Err(TokensError::Setting { .. })));
        assert!(matches!(found("<one:0.5> and <one:0.5>").unwrap().unwrap(), Cow::Owned(_)));
        assert!(found("<one:0>").unwrap().is_none());
        let error = found("<one:0.5> and <one>").unwrap_err().to_string();
        assert!(error.contains("strength is 0.5 and 1 for the identity <one>, expected one in a picture"), "{error}");
    }

    #[test]
    fn the_prompt_says_the_strength_or_else_who_gives_the_identity() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer");
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let strength = |text: &str| text.parse::<Strength>().unwrap();
        let one = example();
        let identities = Identities::with_strengths([("me", &one, strength("0.5"))]).unwrap();
        let prompt = Prompt::parse("<me> and <me:1.5> and <me:0/1>", [&tokenizer]).unwrap();
        identities.check(&prompt).unwrap();
        let wanted: Vec<String> =
            prompt.placeholders.iter().map(|found| identities.strength(found).unwrap().to_string()).collect();
        assert_eq!(wanted, ["0.5", "1.5", "0/1"]);
        let three = Prompt::parse("<me:0/1/1>", [&tokenizer]).unwrap();
        assert!(identities.check(&three).unwrap_err().to_string().contains("one for each of 2 stages"));
        assert!(Identities::with_strengths([("me", &one, strength("0/1/1"))]).is_err());
    }
}
