//! Option values that are references: `file:PATH`, `env:NAME`, `cmd:COMMAND`, and keys asked from a person.
//!
//! A reference is followed when the remote is opened and not before. No error here holds a value or a command's output.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};

use crate::environment::Environment;
use crate::text_file;

const COMMAND_TIME: Duration = Duration::from_secs(30);
/// More than any key has; a bound for what a file or command may give.
const VALUE_BYTES: u64 = 64 * 1024;

const KEYRING: &str = "this build has no keyring (use file:PATH, env:NAME or cmd:COMMAND, such as cmd:secret-tool lookup …)";

/// Does the value say where the secret is, instead of being it?
pub(crate) fn is_reference(value: &str) -> bool {
    ["file:", "env:", "cmd:", "keyring:"].iter().any(|prefix| value.starts_with(prefix))
}

/// The value itself. `Err` says what went wrong, without the value.
pub(crate) fn resolve(
    value: &SecretString,
    environment: &Environment,
) -> Result<SecretString, String> {
    resolve_within(value, environment, COMMAND_TIME)
}

fn resolve_within(
    value: &SecretString,
    environment: &Environment,
    limit: Duration,
) -> Result<SecretString, String> {
    let text = value.expose_secret();
    let found = if let Some(path) = text.strip_prefix("file:") {
        read_file(&expand(path, environment))?
    } else if let Some(name) = text.strip_prefix("env:") {
        let found = environment.text(name).map(str::to_owned);
        found.ok_or_else(|| format!("the environment variable {name} is not set"))?
    } else if let Some(command) = text.strip_prefix("cmd:") {
        run(command, limit)?
    } else if text.starts_with("keyring:") {
        return Err(KEYRING.to_owned());
    } else {
        return Ok(value.clone());
    };
    let stripped = found.strip_suffix('\n').unwrap_or(&found);
    Ok(SecretString::from(stripped.strip_suffix('\r').unwrap_or(stripped)))
}

fn expand(path: &str, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.get("HOME")) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => PathBuf::from(path),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let problem = |error: io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(problem)?;
    file.take(VALUE_BYTES).read_to_end(&mut bytes).map_err(problem)?;
    let wrong = |why: &str| format!("{}: {why}", path.display());
    let text = text_file::text(bytes).map_err(|why| wrong(&why))?;
    String::from_utf8(text).map_err(|_| wrong("it is not UTF-8"))
}

/// Runs a command and takes what it prints. It may ask on the terminal, so standard error is left to it.
fn run(command: &str, limit: Duration) -> Result<String, String> {
    let child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child =
        child.map_err(|error| format!("the command for a value cannot be started: {error}"))?;
    let deadline = Instant::now() + limit;
    let output = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    // A thread that waits for a program that does not end lives as long as this process, which then ends soon.
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.map(|output| output.take(VALUE_BYTES).read_to_string(&mut text));
        let _ = sender.send(read.transpose().map(|_| text));
    });
    let text = receiver.recv_timeout(limit);
    let status = wait_until(&mut child, deadline);
    match (text, status) {
        (Ok(Ok(text)), Some(status)) if status.success() => Ok(text),
        (Ok(Ok(_)), Some(status)) => Err(format!("the command for a value failed: {status}")),
        (Ok(Err(_)), Some(_)) => Err("the command for a value printed no text".to_owned()),
        (Err(_), _) | (_, None) => {
            Err(format!("the command for a value did not end within {} s", limit.as_secs()))
        }
    }
}

/// Waits for the end; `None` when there was none in time and the child was killed.
fn wait_until(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                // It may have ended just now; either way it is not waited for any more.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Takes a secret from standard input: one line, not shown when it is typed.
pub(crate) fn ask(prompt: impl FnOnce()) -> io::Result<SecretString> {
    let input = io::stdin();
    let mut line = String::new();
    if input.is_terminal() {
        prompt();
        let _quiet = Quiet::begin(&input)?;
        input.lock().take(VALUE_BYTES).read_line(&mut line)?;
    } else {
        input.lock().take(VALUE_BYTES).read_line(&mut line)?;
    }
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n'])))
}

/// A terminal that does not show what is typed, until it is dropped.
struct Quiet<'a> {
    input: &'a io::Stdin,
    before: rustix::termios::Termios,
}

impl<'a> Quiet<'a> {
    fn begin(input: &'a io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(input)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(input, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { input, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // If this fails there is no way left to put the terminal right.
        let _ = tcsetattr(self.input, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<String, String> {
        let environment = Environment::of(&[("KEY", "CANARY"), ("HOME", "/nonexistent")]);
        resolve_within(&SecretString::from(text), &environment, Duration::from_millis(300))
            .map(|value| value.expose_secret().to_owned())
    }

    #[test]
    fn references_are_followed_and_lose_one_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "CANARY\n\n").unwrap();
        assert_eq!(value(&format!("file:{}", path.display())), Ok("CANARY\n".to_owned()));
        fs::write(&path, "\u{feff}CANARY\r\n").unwrap();
        assert_eq!(value(&format!("file:{}", path.display())), Ok("CANARY".to_owned()));
        assert_eq!(value("env:KEY"), Ok("CANARY".to_owned()));
        assert_eq!(value("cmd:echo CAN; printf 'ARY\\r\\n'"), Ok("CAN\nARY".to_owned()));
        assert_eq!(value("http://h/x"), Ok("http://h/x".to_owned()));
    }

    #[test]
    fn what_cannot_be_followed_says_why_and_nothing_secret() {
        let check = |text: &str, expected: &str| {
            let problem = value(text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("CANARY"), "{problem}");
        };
        check("file:~/none", "/nonexistent/none");
        check("env:NONE", "NONE is not set");
        check("cmd:echo CANARY; exit 3", "exit status: 3");
        check("cmd:exec sleep 60", "did not end");
        check("keyring:work", "no keyring");
    }
}
