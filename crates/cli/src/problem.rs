//! What ends a command: a line for a person and an exit code.

use std::io;
use std::path::Path;

use ketch_core::Hint;

use crate::{exit, hints};

/// Why a command ended before its end.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The exit code.
    pub(crate) code: u8,
    /// One line that says what is wrong and what to do; `None` = there is nothing to be said.
    pub(crate) text: Option<String>,
    /// The same advice as data. The line has its words.
    pub(crate) hint: Option<Hint>,
}

/// The result of everything in a command.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// Anything that has no code of its own.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Problem { code: exit::OTHER, text: Some(text.into()), hint: None }
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Problem { code: exit::USAGE, ..Problem::other(text) }
    }

    /// The same with what a person can do about it.
    pub(crate) fn with_hint(self, hint: Option<Hint>) -> Self {
        let text = self.text.map(|text| hints::with(&text, hint));
        Problem { text, hint: hint.or(self.hint), ..self }
    }

    /// A signal ended the command.
    pub(crate) fn signal(code: u8) -> Self {
        Problem { code, text: None, hint: None }
    }

    /// Standard output cannot be written. That the reader closed it is not reported.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::signal(exit::BROKEN_PIPE),
            _ => Problem::other(format!("standard output cannot be written: {error}")),
        }
    }
}

impl From<ketch_core::Error> for Problem {
    fn from(error: ketch_core::Error) -> Self {
        let text = Some(hints::told(&error));
        Problem { code: exit::of_kind(error.kind()), text, hint: error.hint() }
    }
}

/// What is wrong with a file of this machine: that it cannot be read, or written, or is not what it should be.
pub(crate) fn about_file(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::other(format!("{}: {error}", path.display()))
}
