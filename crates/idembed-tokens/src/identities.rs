//! The identities that a prompt may name.

use std::collections::BTreeMap;

use crate::prompt::{Placeholder, Prompt};
use crate::{Identity, Result, TokensError, UNetChanges};

/// Identities by the names that a prompt calls them, which need not be those they were learned under.
#[derive(Debug, Clone, Default)]
pub struct Identities<'a> {
    by_name: BTreeMap<&'a str, &'a Identity>,
}

impl<'a> Identities<'a> {
    /// No identities: a plain prompt.
    pub fn none() -> Self {
        Self::default()
    }

    /// Identities with their names.
    ///
    /// # Errors
    /// A name that was given twice.
    pub fn named(identities: impl IntoIterator<Item = (&'a str, &'a Identity)>) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for (name, identity) in identities {
            if by_name.insert(name, identity).is_some() {
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
        self.by_name.get(name).copied().ok_or_else(|| TokensError::UnknownIdentity {
            name: name.to_owned(),
            given: self.by_name.keys().map(|&name| name.to_owned()).collect(),
        })
    }

    /// How many tokens the identity of a name takes: what [`Prompt::parse_with`] wants to know. 1 if there is none.
    pub fn words(&self, name: &str) -> usize {
        self.by_name.get(name).map_or(1, |identity| identity.words)
    }

    /// Fails if the prompt names an identity that is not here, or was read for one of another number of tokens.
    pub fn check(&self, prompt: &Prompt) -> Result<()> {
        prompt.placeholders.iter().try_for_each(|placeholder| {
            let words = self.get(&placeholder.name)?.words;
            if words == placeholder.words {
                return Ok(());
            }
            let expected = format!("{words}, as the identity <{}> has", placeholder.name);
            let got = placeholder.words.to_string();
            Err(TokensError::Setting { what: "number of tokens at a placeholder", got, expected })
        })
    }

    /// What the identities that any of the prompts of a picture names change in the U-Net.
    ///
    /// # Errors
    /// Two of them change something, or a prompt names one that is not here.
    pub fn changed_unet<'p>(&self, prompts: impl IntoIterator<Item = &'p Prompt>) -> Result<Option<&'a UNetChanges>> {
        let mut found: Option<(&str, &UNetChanges)> = None;
        for Placeholder { name, .. } in prompts.into_iter().flat_map(|prompt| &prompt.placeholders) {
            let Some(changes) = &self.get(name)?.unet else { continue };
            match found {
                Some((first, _)) if first != name => {
                    return Err(TokensError::TwoChangeWeights { first: first.to_owned(), second: name.clone() });
                }
                _ => found = Some((name, changes)),
            }
        }
        Ok(found.map(|(_, changes)| changes))
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
        assert!(std::ptr::eq(found("<one> with <plain> and <one>").unwrap().unwrap(), one.unet.as_ref().unwrap()));
        let error = found("<two> with <one>").unwrap_err();
        assert!(matches!(error, TokensError::TwoChangeWeights { first, second } if first == "two" && second == "one"));
        let [first, second] = ["<one>", "<two> and <one>"].map(|text| Prompt::parse(text, [&tokenizer]).unwrap());
        assert!(identities.changed_unet([&first, &first]).unwrap().is_some());
        assert!(matches!(identities.changed_unet([&first, &second]), Err(TokensError::TwoChangeWeights { .. })));
        assert!(matches!(found("<cat>"), Err(TokensError::UnknownIdentity { .. })));
    }
}
