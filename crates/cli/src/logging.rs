//! Diagnostics of the libraries, and repeated requests, as lines on standard error.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ketch_core::layer::Observer;
use ketch_core::{Error, Hint, RelPath};
use ketch_engine::filter::units::format_duration;
use tracing_subscriber::EnvFilter;

use crate::environment::Environment;
use crate::hints;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result};

/// The crates whose diagnostics are shown in detail. What HTTP libraries say may hold addresses, so they stay silent.
const OURS: [&str; 7] = [
    "ketch",
    "ketch_core",
    "ketch_engine",
    "ketch_local",
    "ketch_fichier",
    "ketch_fichier_sim",
    "ketch_catalog",
];

/// Sends diagnostics to `console`. `KETCH_LOG` says which, in the notation of env-filter.
///
/// Errors: when it cannot be understood.
pub(crate) fn begin(console: &Arc<Console>, environment: &Environment) -> Result<()> {
    let level = if console.tells(Level::Detail) {
        "debug"
    } else if console.tells(Level::Normal) {
        "warn"
    } else {
        "error"
    };
    let usual = || {
        let ours = OURS.map(|name| format!(",{name}={level}")).concat();
        EnvFilter::new(format!("error{ours}"))
    };
    let asked = match environment.get("KETCH_LOG").map(|text| text.to_string_lossy()) {
        Some(text) => Some(EnvFilter::try_new(&text).map_err(|error| {
            Problem::usage(format!(
                "KETCH_LOG is no filter of diagnostics, such as ketch=debug: {error}"
            ))
        })?),
        None => None,
    };
    let console = Arc::clone(console);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(asked.unwrap_or_else(usual))
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || LineWriter { console: Arc::clone(&console), line: Vec::new() })
        .finish();
    // Only the first one counts, and there is only one.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Collects one record and tells it when it is dropped.
struct LineWriter {
    console: Arc<Console>,
    line: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        self.console.tell(Level::Error, &hinted(text.trim()));
    }
}

/// A diagnostic whose last field is a hint, with the words of the hint.
fn hinted(line: &str) -> String {
    let word =
        line.rsplit_once(" hint=\"").and_then(|(text, rest)| Some((text, rest.strip_suffix('"')?)));
    match word {
        Some((text, word)) => hints::with(text, Hint::from_word(word)),
        None => line.to_owned(),
    }
}

/// Tells with `-v` that a request is sent again.
pub(crate) struct Retries {
    pub(crate) console: Arc<Console>,
    /// Is it told how old a look is? Not where what is done is proven by itself.
    pub(crate) tells_age: bool,
}

impl Observer for Retries {
    fn retrying(&self, remote: &str, operation: &'static str, error: &Error, wait: Duration) {
        // The first attempts are routine; a long wait is something a person wonders about.
        let level = if wait >= Duration::from_secs(10) { Level::Normal } else { Level::Item };
        let wait = format_duration(wait);
        let text = format!("{operation} on {remote} again in {wait}: {}", error.message());
        self.console.tell(level, &text);
    }

    fn recent(&self, place: &str, dir: &RelPath, age: Duration) {
        if !self.tells_age {
            return;
        }
        let folder = match (dir.is_root(), place.ends_with(':')) {
            (true, _) => place.to_owned(),
            (false, true) => format!("{place}{dir}"),
            (false, false) => format!("{place}/{dir}"),
        };
        let text =
            format!("{folder} as of {} s ago (--refresh waits for a new look)", age.as_secs());
        self.console.tell(Level::Normal, &text);
    }

    fn waiting(&self, remote: &str, why: &'static str, wait: Duration) {
        // A place that was given whole, with all its options, has no name of its own.
        let remote = if remote == ":" { "the remote" } else { remote };
        self.console.waits().begin(remote, why, wait, Instant::now());
        // The distances between requests are routine; a lock-out is something a person wonders about.
        let level = if wait >= Duration::from_secs(10) { Level::Normal } else { Level::Detail };
        // Shown in whole seconds: milliseconds do not matter here.
        let wait = format_duration(Duration::from_secs(wait.as_secs()));
        self.console.tell(level, &format!("waiting {wait} for {remote} ({why})"));
    }
}
