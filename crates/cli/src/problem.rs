//! What ends a command: a line for a person and an exit code.

use std::io;
use std::path::Path;

use crate::{exit, hints};

/// Why a command ended before its end.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The exit code.
    pub(crate) code: u8,
    /// One line that says what is wrong and what to do; `None` = there is nothing to be said.
    pub(crate) text: Option<String>,
}

/// The result of everything in a command.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// Anything that has no code of its own.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Problem { code: exit::OTHER, text: Some(text.into()) }
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Problem { code: exit::USAGE, text: Some(text.into()) }
    }

    /// A signal ended the command.
    pub(crate) fn signal(code: u8) -> Self {
        Problem { code, text: None }
    }

    /// Standard output cannot be written. That the reader closed it is not reported.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem { code: exit::BROKEN_PIPE, text: None },
            _ => Problem::other(format!("standard output cannot be written: {error}")),
        }
    }
}

impl From<ketch_core::Error> for Problem {
    fn from(error: ketch_core::Error) -> Self {
        Problem { code: exit::of_kind(error.kind()), text: Some(hints::told(&error)) }
    }
}

/// What is wrong with a file of this machine: that it cannot be read, or written, or is not what it should be.
pub(crate) fn about_file(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::other(format!("{}: {error}", path.display()))
}
