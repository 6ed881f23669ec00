//! Where the hubs are, who the user is there, and what they have fetched before.

use std::path::PathBuf;

use hf_hub::{Cache, Repo, RepoType};
use xtask::models::Source;

/// The addresses of the hubs.
///
/// `hf-hub` knows the layout of the cache and the place of the token. Its own download neither waits for another
/// process nor checks sums, and it brings a second HTTP client; so the transfer is the one that GitHub is asked with.
pub(crate) struct Endpoints {
    hub: String,
    github: String,
    token: Option<String>,
    cache: Option<Cache>,
}

/// One file to ask for.
pub(crate) struct Request {
    /// Its address.
    pub(crate) url: String,
    /// To be sent to that host, and to no other.
    pub(crate) token: Option<String>,
    /// The page where people read about it.
    pub(crate) page: String,
    /// Whether a copy of it may be elsewhere at Hugging Face.
    pub(crate) is_hub: bool,
}

impl Endpoints {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let address = |name, usual: &str| {
            variable(name).unwrap_or_else(|| usual.to_owned()).trim().trim_end_matches('/').to_owned()
        };
        // Without a home there is no cache; `hf-hub` would panic.
        let has_home = variable("HF_HOME").is_some() || std::env::home_dir().is_some();
        let cache = match variable("HF_HUB_CACHE") {
            Some(folder) => Some(Cache::new(PathBuf::from(folder))),
            None => has_home.then(Cache::from_env),
        };
        let saved_token = || has_home.then(Cache::from_env)?.token();
        Self {
            hub: address("HF_ENDPOINT", "https://huggingface.co"),
            github: address("IDEMBED_GITHUB_ENDPOINT", "https://github.com"),
            token: variable("HF_TOKEN").map(|token| token.trim().to_owned()).or_else(saved_token),
            cache,
        }
    }

    /// The request for the file `from`; none for what pip fetches.
    pub(crate) fn request(&self, source: &Source, from: &str) -> Option<Request> {
        match source {
            Source::HuggingFace { repository, revision } => Some(Request {
                url: format!("{}/{repository}/resolve/{}/{from}", self.hub, revision.replace('/', "%2F")),
                token: self.token.clone(),
                page: format!("{}/{repository}", self.hub),
                is_hub: true,
            }),
            Source::GithubRelease { repository, tag } => Some(Request {
                url: format!("{}/{repository}/releases/download/{tag}/{from}", self.github),
                token: None,
                page: format!("{}/{repository}/releases/tag/{tag}", self.github),
                is_hub: false,
            }),
            Source::Pypi { .. } | Source::PypiSource { .. } => None,
        }
    }

    /// The file `from` in the cache that other programs share, if it is there.
    pub(crate) fn cached(&self, source: &Source, from: &str) -> Option<PathBuf> {
        let Source::HuggingFace { repository, revision } = source else { return None };
        let repo = Repo::with_revision(repository.clone(), RepoType::Model, revision.clone());
        let cache = self.cache.as_ref()?.repo(repo);
        // A branch points to a commit; a commit has a folder of its own.
        cache.get(from).or_else(|| Some(cache.pointer_path(revision).join(from)).filter(|path| path.is_file()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_hubs() {
        let endpoints = Endpoints {
            hub: "https://huggingface.co".to_owned(),
            github: "https://github.com".to_owned(),
            token: Some("secret".to_owned()),
            cache: None,
        };
        let hub = Source::HuggingFace { repository: "a/b".to_owned(), revision: "refs/pr/15".to_owned() };
        let request = endpoints.request(&hub, "unet/config.json").unwrap();
        assert_eq!(request.url, "https://huggingface.co/a/b/resolve/refs%2Fpr%2F15/unet/config.json");
        assert_eq!(request.token.as_deref(), Some("secret"));
        let release = Source::GithubRelease { repository: "a/b".to_owned(), tag: "v1".to_owned() };
        let request = endpoints.request(&release, "w.pth").unwrap();
        assert_eq!(request.url, "https://github.com/a/b/releases/download/v1/w.pth");
        assert_eq!(request.token, None);
    }
}
