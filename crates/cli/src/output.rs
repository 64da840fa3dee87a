//! The only way out: answers to standard output, everything else to standard error.
//!
//! Answers are written as they are asked for; a failure to write one ends the command. What goes to standard error is one
//! escaped line at a time, between the progress lines, and a failure there is nothing that could be told anywhere.

use std::borrow::Borrow;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget};
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_engine::file::close_once;
use serde_json::Value;

use crate::args::{CommonArgs, When};
use crate::environment::Environment;
use crate::jsonl;
use crate::problem::{Problem, Result};
use crate::term::{Color, escape, escape_json, paint};
use crate::waits::Waits;

/// How often progress lines are drawn.
const DRAWS_PER_SECOND: u8 = 10;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Also with `--quiet`.
    Error,
    /// Without any flag.
    Normal,
    /// With `-v`.
    Item,
    /// With `-vv`.
    Detail,
}

/// An answer that is written piece by piece, and shown line by line.
pub(crate) struct Answer<C> {
    console: C,
    line: Vec<u8>,
}

impl<C: Borrow<Console>> Answer<C> {
    pub(crate) fn new(console: C) -> Self {
        Answer { console, line: Vec::new() }
    }

    fn pass(&self, lines: &[u8]) -> io::Result<()> {
        let failed = |_: Problem| io::Error::from(io::ErrorKind::BrokenPipe);
        self.console.borrow().answer(lines).map_err(failed)
    }
}

impl<C: Borrow<Console>> Write for Answer<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.console.borrow().stdout_is_terminal {
            self.pass(bytes)?;
        } else if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&bytes[..=end]);
            let lines = std::mem::take(&mut self.line);
            self.pass(&lines)?;
            self.line.extend_from_slice(&bytes[end + 1..]);
        } else {
            self.line.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// A piece of a line waits for its end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines as a terminal may show them: those of JSON stay JSON.
fn harmless_lines(lines: &[u8]) -> String {
    let shown = |line: &[u8]| match std::str::from_utf8(line) {
        Ok(text) if text.starts_with('{') => escape_json(text).into_owned(),
        _ => escape(&core_from_bytes(line)).into_owned(),
    };
    let (lines, end) = match lines.strip_suffix(b"\n") {
        Some(lines) => (lines, "\n"),
        None => (lines, ""),
    };
    let shown: Vec<String> = lines.split(|byte| *byte == b'\n').map(shown).collect();
    shown.join("\n") + end
}

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Console {
    json: bool,
    level: Level,
    color: bool,
    stdout_is_terminal: bool,
    shows_bars: bool,
    stdout: Mutex<BufWriter<Stdout>>,
    multi: MultiProgress,
    waits: Waits,
}

impl Console {
    /// Decides from flags, environment and terminals.
    pub(crate) fn new(common: &CommonArgs, environment: &Environment) -> Self {
        let on_terminal = io::stderr().is_terminal();
        let dumb = environment.text("TERM") == Some("dumb");
        let progress = if common.progress_always { When::Always } else { common.progress };
        let shows_bars = match progress {
            When::Always => true,
            When::Auto => on_terminal && !dumb && common.quiet == 0,
            When::Never => false,
        };
        let color = match common.color {
            When::Always => true,
            When::Auto => on_terminal && !dumb && environment.get("NO_COLOR").is_none(),
            When::Never => false,
        };
        let level = match (common.quiet, common.verbose) {
            (1.., _) => Level::Error,
            (0, 0) => Level::Normal,
            (0, 1) => Level::Item,
            (0, _) => Level::Detail,
        };
        let target = match shows_bars {
            true => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        Console {
            json: common.json,
            level,
            color,
            stdout_is_terminal: io::stdout().is_terminal(),
            shows_bars,
            stdout: Mutex::new(BufWriter::with_capacity(64 * 1024, io::stdout())),
            multi: MultiProgress::with_draw_target(target),
            waits: Waits::default(),
        }
    }

    /// What is waited for.
    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Are answers JSON lines?
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// [`Console::tell`] of a line that is only made when it is told: for what comes once a file.
    pub(crate) fn tell_of(&self, level: Level, line: impl FnOnce() -> String) {
        if self.tells(level) {
            self.tell(level, &line());
        }
    }

    /// Is this much told?
    pub(crate) fn tells(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Where progress lines are drawn; `None` when they are not wanted.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        self.shows_bars.then_some(&self.multi)
    }

    fn stdout(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes bytes of an answer.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let write = || self.stdout().write_all(bytes);
        write().map_err(|error| Problem::output(&error))
    }

    /// Writes lines of an answer that are complete in themselves, as the bytes they are; on a terminal without anything that
    /// steers it.
    pub(crate) fn answer(&self, lines: &[u8]) -> Result<()> {
        if !self.stdout_is_terminal {
            return self.bytes(lines);
        }
        let shown = harmless_lines(lines);
        self.between_bars(|| {
            self.bytes(shown.as_bytes())?;
            self.flush()
        })
    }

    /// Writes a line of an answer: text, then a name in core form, then text. A name is written as the bytes it is, and
    /// escaped on a terminal. The texts are escaped everywhere, because a message may have a name in it.
    pub(crate) fn named_line(&self, before: &str, name: &str, after: &str) -> Result<()> {
        let (before, after) = (escape(before), escape(after));
        if self.stdout_is_terminal {
            let line = format!("{before}{}{after}\n", escape(name));
            return self.between_bars(|| {
                self.bytes(line.as_bytes())?;
                self.flush()
            });
        }
        let mut line = before.as_bytes().to_vec();
        line.extend_from_slice(&bytes_from_core(name));
        line.extend_from_slice(after.as_bytes());
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Writes a line of an answer.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        self.named_line("", text, "")
    }

    /// Writes a JSON line, if JSON lines are asked for.
    pub(crate) fn event(&self, kind: &str, body: Value) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let line = jsonl::line(kind, body);
        let mut line = escape_json(&line).into_owned();
        line.push('\n');
        self.between_bars(|| self.bytes(line.as_bytes()))
    }

    /// Hands everything written so far to the reader.
    pub(crate) fn flush(&self) -> Result<()> {
        let flush = || self.stdout().flush();
        flush().map_err(|error| Problem::output(&error))
    }

    /// Hands on what was written, unless a write already waits for a reader that does not read.
    pub(crate) fn flush_at_end(&self) -> Result<()> {
        match self.stdout.try_lock() {
            Ok(mut stdout) => {
                // Where it is a file, only closing tells whether the bytes could be stored.
                let written = stdout.flush().and_then(|()| close_once(&std::io::stdout()));
                written.map_err(|error| Problem::output(&error))
            }
            Err(_) => Ok(()),
        }
    }

    /// Tells a line on standard error.
    pub(crate) fn tell(&self, level: Level, text: &str) {
        if self.tells(level) {
            self.write_error(&escape(text));
        }
    }

    /// Tells something that went wrong.
    pub(crate) fn tell_error(&self, text: &str) {
        self.write_error(&format!("{} {}", paint("ketch:", Color::Red, self.color), escape(text)));
    }

    /// Tells something a person should know.
    pub(crate) fn tell_notice(&self, text: &str) {
        if self.tells(Level::Normal) {
            let word = paint("note:", Color::Yellow, self.color);
            self.write_error(&format!("{word} {}", escape(text)));
        }
    }

    fn write_error(&self, line: &str) {
        self.multi.suspend(|| {
            // There is no other place where this could be told.
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    fn between_bars<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.shows_bars && self.stdout_is_terminal { self.multi.suspend(work) } else { work() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_answer_never_steer_a_terminal() {
        for (lines, shown) in [
            (&b"X  a b\n"[..], "X  a b\n"),
            (b"X  e\x1b[31m\r\nY  \xc2\x9b\n", "X  e\\u{1b}[31m\\u{d}\nY  \\u{9b}\n"),
            (b"X  b\xff", "X  b‛FF"),
            (b"{\"path\":\"a\xc2\x9b\"}\n{}\n", "{\"path\":\"a\\u009b\"}\n{}\n"),
        ] {
            assert_eq!(harmless_lines(lines), shown);
        }
    }
}
