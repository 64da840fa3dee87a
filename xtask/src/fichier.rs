//! The emulator of 1fichier, exercised by clients that nobody of the product wrote: curl, and pyOneFichierClient from PyPI.
//!
//! Knows the built binary (`ketch sandbox serve`) and nothing of the product. What is not installed, and what cannot be
//! fetched because there is no network, is told as skipped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const CURL: &str = include_str!("fichier/curl.sh");
const CLIENT: &str = include_str!("fichier/client.py");
const PACKAGE: &str = "pyOneFichierClient==1.0.4";
/// Public: every sandbox accepts it.
pub(crate) const KEY: &str = "sandbox-KEY_0123456789abcdefghi=";

/// A running emulator; it ends with this.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) api_url: String,
}

impl Emulator {
    /// Starts one that keeps its files in `state`.
    pub(crate) fn start(ketch: &Path, state: &Path) -> Result<Self, String> {
        let mut command = Command::new(ketch);
        command.args(["sandbox", "serve", "--port", "0", "--state"]).arg(state);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the emulator: {error}"))?;
        let output = child.stdout.take().ok_or("the emulator has an output")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let api_url = lines.find_map(|line| {
            line.strip_prefix("api_url = \"").map(|rest| rest.trim_end_matches('"').to_owned())
        });
        let mut emulator = Emulator { child, api_url: String::new() };
        emulator.api_url = api_url.ok_or("the emulator does not say where it is")?;
        // Read on, or it stops at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(emulator)
    }

    /// Runs a client that is given where the emulator is.
    fn run(&self, command: &mut Command) -> Result<(), String> {
        let output = command.arg(&self.api_url).arg(KEY).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The script of curl. `Ok(false)`: there is no curl.
pub(crate) fn curl(ketch: &Path, scratch: &Path) -> Result<bool, String> {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(false);
    }
    let emulator = Emulator::start(ketch, &scratch.join("curl-sim"))?;
    let script = scratch.join("curl.sh");
    fs::write(&script, CURL).map_err(|error| error.to_string())?;
    emulator.run(Command::new("sh").arg(&script)).map(|()| true)
}

/// Runs a command and says whether it succeeded. Nothing of what it prints is shown.
pub(crate) fn quiet(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The Python of the environment in `place`, which is made if it is not there. `None`: there is no Python.
pub(crate) fn python_in(place: &Path) -> Option<PathBuf> {
    let python = place.join("bin/python");
    let is_there =
        python.exists() || quiet(Command::new("python3").args(["-m", "venv"]).arg(place));
    is_there.then_some(python)
}

/// The script of pyOneFichierClient, in an environment of its own below `target`. `Ok(false)`: there is no Python, or the
/// package cannot be fetched.
pub(crate) fn python(ketch: &Path, scratch: &Path, target: &Path) -> Result<bool, String> {
    let Some(python) = python_in(&target.join("interop-python")) else { return Ok(false) };
    let wanted = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--timeout",
        "10",
        "--retries",
        "1",
        PACKAGE,
        "requests",
    ];
    let is_there = quiet(Command::new(&python).args(["-c", "import pyOneFichierClient, requests"]));
    if !is_there && !quiet(Command::new(&python).args(wanted)) {
        return Ok(false);
    }
    let emulator = Emulator::start(ketch, &scratch.join("python-sim"))?;
    let script = scratch.join("client.py");
    fs::write(&script, CLIENT).map_err(|error| error.to_string())?;
    emulator.run(Command::new(&python).arg(&script)).map(|()| true)
}
