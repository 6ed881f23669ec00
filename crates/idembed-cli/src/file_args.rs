//! Files on the command line with what belongs to them: names before the first `=`, numbers behind the last colon.

use std::path::PathBuf;
use std::str::FromStr;

use idembed_studio::{ControlWish, Preparation};
use idembed_tokens::{Strength, is_identity_name};

/// ControlNets are trained for 1; far more drowns the rest.
const STRONGEST_CONTROL: f64 = 10.0;

/// A file with the name it goes by in prompts, written `NAME=FILE` or `NAME=FILE:STRENGTH`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedFile {
    /// The name.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: PathBuf,
    /// How strongly the identity acts.
    pub(crate) strength: Strength,
}

impl FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedFile, String> {
        let (name, path) = text.split_once('=').ok_or("expected NAME=FILE, such as me=me.identity.safetensors")?;
        if !is_identity_name(name) {
            return Err(format!("`{name}` cannot be a name; letters, digits, - and _ can"));
        }
        let (path, numbers) = split_numbers(path);
        if path.is_empty() {
            return Err("the file is missing after `=`".to_owned());
        }
        let strength = match numbers {
            Some(numbers) => numbers.parse().map_err(|error| {
                format!("{error} (of a file whose name ends so, the strength has to be said: `{path}:{numbers}:1`)")
            })?,
            None => Strength::default(),
        };
        Ok(NamedFile { name: name.to_owned(), path: PathBuf::from(path), strength })
    }
}

/// A path and the numbers behind its last colon, with `/` between them, if there is nothing but numbers there: a path may hold
/// colons of its own.
pub(crate) fn split_numbers(text: &str) -> (&str, Option<&str>) {
    let are_numbers = |text: &str| text.split('/').all(|number| number.parse::<f64>().is_ok());
    match text.rsplit_once(':').filter(|(_, numbers)| are_numbers(numbers)) {
        Some((path, numbers)) => (path, Some(numbers)),
        None => (text, None),
    }
}

/// A file of LoRA with its strength, written `FILE` or `FILE:STRENGTH`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoraFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// How strongly it acts.
    pub(crate) strength: f64,
}

impl FromStr for LoraFile {
    type Err = String;

    fn from_str(text: &str) -> Result<LoraFile, String> {
        let with_strength = text.rsplit_once(':').and_then(|(path, number)| Some((path, number.parse().ok()?)));
        let (path, strength) = with_strength.unwrap_or((text, 1.0));
        if path.is_empty() {
            return Err("expected FILE or FILE:STRENGTH, such as sketch.safetensors:0.8".to_owned());
        }
        Ok(LoraFile { path: PathBuf::from(path), strength })
    }
}

/// A ControlNet with its picture, written `NET=PICTURE`, `NET=canny:PICTURE:0.8` or `NET=PICTURE:0.8,0,0.5`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlFile(pub(crate) ControlWish);

impl FromStr for ControlFile {
    type Err = String;

    fn from_str(text: &str) -> Result<ControlFile, String> {
        let form = "expected NET=PICTURE, NET=PICTURE:SCALE or NET=PICTURE:SCALE,START,END, such as canny.safetensors=lines.png:0.8";
        let (net, rest) = text.split_once('=').ok_or(form)?;
        let (preparation, rest) = match rest.strip_prefix("canny:") {
            Some(rest) => (Preparation::Canny, rest),
            None => (Preparation::None, rest),
        };
        let numbers = |text: &str| text.split(',').map(|number| number.parse().ok()).collect::<Option<Vec<f64>>>();
        let with_numbers = rest.rsplit_once(':').and_then(|(path, text)| Some((path, numbers(text)?)));
        let (picture, numbers) = with_numbers.unwrap_or((rest, vec![1.0]));
        let (scale, start, end) = match *numbers.as_slice() {
            [scale] => (scale, 0.0, 1.0),
            [scale, start, end] => (scale, start, end),
            _ => return Err(form.to_owned()),
        };
        if net.is_empty() || picture.is_empty() {
            return Err(form.to_owned());
        }
        if !scale.is_finite() || scale.abs() > STRONGEST_CONTROL {
            return Err(format!("the scale is {scale}, expected -{STRONGEST_CONTROL} to {STRONGEST_CONTROL}"));
        }
        if !(0.0..=1.0).contains(&start) || !(0.0..=1.0).contains(&end) || start >= end {
            return Err(format!(
                "it would act from {start} to {end}, expected shares of the steps, from 0 to 1 and ascending"
            ));
        }
        let (net, picture) = (PathBuf::from(net), PathBuf::from(picture));
        Ok(ControlFile(ControlWish { net, picture, preparation, scale, start, end }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_cut_at_the_first_sign() {
        let file = |name: &str, path: &str| NamedFile {
            name: name.to_owned(),
            path: PathBuf::from(path),
            strength: Strength::default(),
        };
        assert_eq!("me=a=b.safetensors".parse(), Ok(file("me", "a=b.safetensors")));
        for (text, expected) in [
            ("me", "NAME=FILE"),
            ("a b=c", "cannot be a name"),
            ("=c", "cannot be"),
            ("me=", "missing"),
            ("me=:0.7", "missing"),
            ("me=a:3", "strength is 3, expected a number from 0 to 2"),
            ("me=a:0.5/nan", "strength is 0.5/NaN"),
            ("me=a:-1", "strength is -1"),
        ] {
            assert!(text.parse::<NamedFile>().unwrap_err().contains(expected), "{text}");
        }
    }

    #[test]
    fn a_strength_is_nothing_but_numbers_behind_the_last_colon() {
        let read = |text: &str| {
            let NamedFile { path, strength, .. } = text.parse().unwrap();
            (path.to_string_lossy().into_owned(), strength.to_string())
        };
        for (text, path, strength) in [
            ("me=a.safetensors:0.7", "a.safetensors", "0.7"),
            ("me=b/a:c:0.2/0.4/1", "b/a:c", "0.2/0.4/1"),
            (r"me=C:\a.safetensors", r"C:\a.safetensors", "1"),
            (r"me=C:\a.safetensors:1.5", r"C:\a.safetensors", "1.5"),
            ("me=a:0.5/b", "a:0.5/b", "1"),
            ("me=a:", "a:", "1"),
            ("me=a:5:1", "a:5", "1"),
        ] {
            assert_eq!(read(text), (path.to_owned(), strength.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_lora_is_cut_at_a_strength_alone() {
        let file = |path: &str, strength| LoraFile { path: PathBuf::from(path), strength };
        assert_eq!("a.safetensors:0.8".parse(), Ok(file("a.safetensors", 0.8)));
        assert_eq!("a:b.safetensors".parse(), Ok(file("a:b.safetensors", 1.0)));
        assert_eq!("a:b:-1e-3".parse(), Ok(file("a:b", -1e-3)));
        assert!(["", ":0.8"].iter().all(|text| text.parse::<LoraFile>().is_err()));
    }

    #[test]
    fn a_control_is_cut_at_its_signs() {
        let wish = |text: &str| text.parse::<ControlFile>().map(|control| control.0);
        let plain = wish("net=lines.png").unwrap();
        assert_eq!((plain.net.to_str(), plain.picture.to_str()), (Some("net"), Some("lines.png")));
        assert_eq!((plain.preparation, plain.scale, plain.start, plain.end), (Preparation::None, 1.0, 0.0, 1.0));
        let whole = wish("a/b.safetensors=canny:x:y.jpg:-0.5,0.1,0.6").unwrap();
        assert_eq!((whole.picture.to_str(), whole.preparation), (Some("x:y.jpg"), Preparation::Canny));
        assert_eq!((whole.scale, whole.start, whole.end), (-0.5, 0.1, 0.6));
        for (text, expected) in [
            ("net", "NET=PICTURE"),
            ("=x.png", "NET=PICTURE"),
            ("net=", "NET=PICTURE"),
            ("net=x.png:1,2", "NET=PICTURE"),
            ("net=x.png:nan", "the scale is NaN"),
            ("net=x.png:1e6", "expected -10 to 10"),
            ("net=x.png:1,0.5,0.5", "from 0.5 to 0.5"),
            ("net=x.png:1,0,1.5", "from 0 to 1.5"),
        ] {
            let error = wish(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
