//! `sandbox:`, the remote that needs no account: an emulator of 1fichier in this process, reached over HTTP on loopback.

use std::path::PathBuf;

use ketch_fichier_sim::{Limits, SANDBOX_KEY, Sim, SimError, SimOptions};
use secrecy::SecretString;

use crate::environment::Environment;
use crate::location::Options;
use crate::problem::{Problem, Result};

/// A running emulator, and how it is reached.
pub(crate) struct Sandbox {
    sim: Sim,
    limits: String,
}

/// How to start one.
pub(crate) struct SandboxOptions {
    /// The folder of its files; made when missing.
    pub(crate) state: PathBuf,
    /// Port of 127.0.0.1; 0 = any.
    pub(crate) port: u16,
    /// Rate limits in the emulator's notation.
    pub(crate) limits: String,
}

impl Sandbox {
    /// Starts the one that the environment describes.
    pub(crate) async fn start(environment: &Environment) -> Result<Self> {
        let limits = environment.text("KETCH_SANDBOX_LIMITS").unwrap_or("off").to_owned();
        Sandbox::serve(SandboxOptions { state: folder(environment)?, port: 0, limits }).await
    }

    /// Starts one.
    pub(crate) async fn serve(options: SandboxOptions) -> Result<Self> {
        let SandboxOptions { state, port, limits } = options;
        let parsed: Limits = limits.parse().map_err(|error| Problem::usage(format!("{error}")))?;
        std::fs::create_dir_all(&state).map_err(|error| {
            Problem::other(format!("the sandbox folder {}: {error}", state.display()))
        })?;
        let sim = Sim::start(SimOptions { port, limits: parsed, ..SimOptions::new(state) });
        let sim = sim.await.map_err(|error| match error {
            SimError::InUse { path, pid } => Problem::other(format!(
                "the sandbox folder {} is in use by process {pid} (end it, or set KETCH_SANDBOX_STATE to another folder)",
                path.display()
            )),
            error => Problem::other(format!("the sandbox cannot be started: {error}")),
        })?;
        Ok(Sandbox { sim, limits })
    }

    /// The base of all its calls.
    pub(crate) fn api_url(&self) -> String {
        self.sim.api_url()
    }

    /// The options of a 1fichier remote that reaches it. Its key is public.
    pub(crate) fn options(&self) -> Options {
        let [pace, scale] = pace_for(&self.limits);
        let pairs = [
            ("api_key", SANDBOX_KEY.to_owned()),
            ("api_url", self.api_url()),
            ("pace", pace),
            ("pace_scale", scale),
        ];
        pairs.map(|(name, value)| (name.to_owned(), SecretString::from(value))).into()
    }

    /// Ends it; its files are on disk when this returns.
    pub(crate) async fn stop(self) {
        self.sim.shutdown().await;
    }
}

/// Where the sandbox keeps its files.
pub(crate) fn folder(environment: &Environment) -> Result<PathBuf> {
    environment.sandbox_folder().ok_or_else(|| {
        Problem::other("there is no place for the sandbox: set HOME or KETCH_SANDBOX_STATE")
    })
}

/// The pace, and by how much it is faster, that keeps within `limits`.
fn pace_for(limits: &str) -> [String; 2] {
    let limits = limits.trim();
    let times_faster = limits.strip_prefix("documented/").and_then(|text| text.parse::<f64>().ok());
    // Rounded down, to be slower rather than faster than allowed.
    let scale = times_faster.map_or(1, |times| times as u32).max(1);
    let pace = if limits == "off" { "off" } else { "documented" };
    [pace.to_owned(), scale.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_keeps_within_the_limits() {
        let check = |limits: &str, pace: &str, scale: &str| {
            assert_eq!(pace_for(limits), [pace.to_owned(), scale.to_owned()], "{limits}");
        };
        check("off", "off", "1");
        check("documented", "documented", "1");
        check("documented/100", "documented", "100");
        check("documented/2.9", "documented", "2");
        check("global=3/1s", "documented", "1");
    }
}
