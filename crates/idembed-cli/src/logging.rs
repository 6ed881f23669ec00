//! What is said while a command works: warnings and news, on the standard error.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The progress bars; a line that is logged goes above them.
pub(crate) fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Whether progress is to be shown at all.
pub(crate) fn progress_is_wanted() -> bool {
    tracing::enabled!(Level::INFO)
}

/// Starts logging. `IDEMBED_LOG` wins over the flags; it takes a level, or a level for each crate.
pub(crate) fn start(quiet: bool, verbose: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "warn",
        (_, true) => "warn,idembed=debug,idembed_diffusion=debug,idembed_attention=debug,idembed_tokens=debug",
        _ => "warn,idembed=info,idembed_diffusion=info,idembed_attention=info,idembed_tokens=info",
    };
    let filter = EnvFilter::try_from_env("IDEMBED_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().event_format(Plain).with_writer(|| AboveBars).with_env_filter(filter).init();
}

/// `warning: ...` for warnings, the bare message for news.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::INFO => "",
            Level::DEBUG | Level::TRACE => "debug: ",
        })?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
