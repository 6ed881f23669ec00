//! One GET over HTTP: a range, a token, redirects; and what the answers that bring no file mean.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, config::RedirectAuthHeaders};
use xtask::hint::Hinted;

use crate::endpoints::Request;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// An HTTP client.
pub(crate) struct Client {
    agent: Agent,
}

/// Where to go on with a file.
pub(crate) struct Resume<'a> {
    /// The bytes that are there.
    pub(crate) from: u64,
    /// The version they belong to, if the server named it.
    pub(crate) etag: Option<&'a str>,
}

/// What a server sends of a file.
pub(crate) enum Answer {
    /// Its bytes from `start` on, as far as the connection holds.
    Part { start: u64, total: Option<u64>, etag: Option<String>, body: Box<dyn Read> },
    /// The range that was asked for is not in the file, which has `total` bytes.
    OutOfRange { total: Option<u64> },
}

/// Why there is no answer.
pub(crate) enum Refusal {
    /// It may go better the next time.
    Passing(anyhow::Error),
    /// It will not.
    Final(anyhow::Error),
}

impl Client {
    /// A client with the certificates of `SSL_CERT_FILE`, or else those built in.
    ///
    /// # Errors
    /// When that file cannot be read.
    pub(crate) fn new() -> Result<Self> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A repository that was renamed answers with a path on the same host, and asks for the token there too.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("idembed-download/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .tls_config(TlsConfig::builder().root_certs(root_certs()?).build());
        Ok(Self { agent: config.build().into() })
    }

    /// Asks for a file, or for the rest of it.
    ///
    /// # Errors
    /// When the server cannot be reached or sends no file.
    pub(crate) fn get(&self, request: &Request, resume: Option<&Resume<'_>>) -> Result<Answer, Refusal> {
        let mut get = self.agent.get(&request.url);
        if let Some(token) = &request.token {
            get = get.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(Resume { from, etag }) = resume {
            get = get.header(header::RANGE, format!("bytes={from}-"));
            if let Some(etag) = etag {
                get = get.header(header::IF_RANGE, *etag);
            }
        }
        let response = get.call().map_err(|error| unreachable(request, error))?;
        let (parts, body) = response.into_parts();
        let headers = &parts.headers;
        let (start, total) = match parts.status {
            StatusCode::OK => (0, text(headers, "content-length").and_then(|length| length.parse().ok())),
            StatusCode::PARTIAL_CONTENT => content_range(headers).ok_or_else(|| {
                Refusal::Final(anyhow::anyhow!("`{}` answers with a part that it does not name", request.url))
            })?,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let total =
                    text(headers, "content-range").and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
                return Ok(Answer::OutOfRange { total });
            }
            status => return Err(refused(request, status, text(headers, "x-error-code").unwrap_or_default())),
        };
        if text(headers, "content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let message = format!("`{}` answers with a web page instead of the file", request.url);
            let hint = "does this network want you to log in first? Open any page in a browser and see";
            return Err(Refusal::Final(Hinted::new(message, hint).into()));
        }
        // Only a strong tag promises the same bytes.
        let etag = text(headers, "etag").filter(|etag| etag.starts_with('"')).map(str::to_owned);
        Ok(Answer::Part { start, total, etag, body: Box::new(body.into_reader()) })
    }
}

fn root_certs() -> Result<RootCerts> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let pem = std::fs::read(&path).with_context(|| format!("cannot read SSL_CERT_FILE, `{}`", path.display()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(certificates.into())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Start and total of `bytes 100-199/200`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (span, total) = text(headers, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    Some((span.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn unreachable(request: &Request, error: ureq::Error) -> Refusal {
    let is_passing = !matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::TooManyRedirects);
    let error = anyhow::Error::new(error).context(Hinted::new(
        format!("cannot reach `{}`", request.url),
        "check the network (and HTTPS_PROXY, HF_ENDPOINT, IDEMBED_GITHUB_ENDPOINT if you use them) and run the same \
         command again; it goes on where it stopped",
    ));
    if is_passing { Refusal::Passing(error) } else { Refusal::Final(error) }
}

/// What a status means; `code` is the reason that Hugging Face adds.
fn refused(request: &Request, status: StatusCode, code: &str) -> Refusal {
    let Request { url, page, is_hub, .. } = request;
    let code_shown = if code.is_empty() { String::new() } else { format!(" ({code})") };
    let message = format!("`{url}` answers {status}{code_shown}");
    let hint = match (status.as_u16(), code) {
        (404 | 410, _) | (_, "RepoNotFound" | "EntryNotFound" | "RevisionNotFound") if *is_hub => format!(
            "the publisher may have withdrawn it: see {page}; if you know a copy that you trust, name it with --repo OWNER/NAME"
        ),
        (404 | 410, _) => format!("the publisher may have withdrawn it: see {page}"),
        (401 | 403, _) if *is_hub && request.token.is_none() => format!(
            "log in at {page} and accept its terms there, make a token in the settings of your account, and set HF_TOKEN to it; \
             or the publisher withdrew it: then name a copy with --repo OWNER/NAME"
        ),
        (401 | 403, _) if *is_hub => format!(
            "accept the terms at {page} with the account of your token, and see that the token (HF_TOKEN, or the one saved by \
             `hf auth login`) is valid"
        ),
        (401 | 403, _) => format!("see {page}"),
        (429 | 500..=599, _) => {
            let hint =
                "the server is busy or out of order; run the same command again later, it goes on where it stopped";
            return Refusal::Passing(Hinted::new(message, hint).into());
        }
        _ => format!("see {page}"),
    };
    Refusal::Final(Hinted::new(message, hint).into())
}
