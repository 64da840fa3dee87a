//! The one error type of all crates, and the policy behind it.
//!
//! * The layer that understands the wire builds the error and decides `kind` and `retry`, once. No layer above matches
//!   text.
//! * Layers above add the operation, the remote and the path, if they are missing; they change nothing else.
//! * A message is one line, a lower-case fragment that says what was expected. What a person can do is a
//!   [`Hint`] beside it, as data, for which the program has its own words.
//! * A message never holds a secret or a signed URL.
//! * `Cancelled` is a fact about the caller, not a failure, and is never logged as one.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::hint::Hint;
use crate::path::RelPath;

/// The result of everything that can fail in ketch.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller may want to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The thing is not there.
    NotFound,
    /// The thing is there and must not be.
    AlreadyExists,
    /// The rights do not allow this for this thing.
    Denied,
    /// The remote does not accept the key. Ends the run.
    Unauthenticated,
    /// No room: disk full, quota reached, or a disk that takes nothing because it is read-only. Ends the run.
    Quota,
    /// Asked too often; the remote wants a pause.
    Throttled,
    /// The object is no longer the version that was listed.
    Changed,
    /// Size or digest does not match.
    Corrupt,
    /// The request that completes a change failed, and may have taken effect nevertheless.
    CommitUnknown,
    /// The remote cannot do this at all.
    Unsupported,
    /// The request itself makes no sense (a bad name, a bad option).
    InvalidInput,
    /// The remote cannot be reached or does not work now.
    Unavailable,
    /// The remote's answer cannot be understood.
    Protocol,
    /// The caller stopped.
    Cancelled,
    /// The local system failed, for a reason that has no kind of its own.
    Io,
}

impl ErrorKind {
    /// The stable word for plans, reports and JSON lines.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "not_found",
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::Denied => "denied",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Quota => "quota",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Changed => "changed",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::CommitUnknown => "commit_unknown",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::InvalidInput => "invalid_input",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Io => "io",
        }
    }

    /// The kind of that word; `None` for words of later versions.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Every kind.
    pub const ALL: [ErrorKind; 15] = [
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::Denied,
        ErrorKind::Unauthenticated,
        ErrorKind::Quota,
        ErrorKind::Throttled,
        ErrorKind::Changed,
        ErrorKind::Corrupt,
        ErrorKind::CommitUnknown,
        ErrorKind::Unsupported,
        ErrorKind::InvalidInput,
        ErrorKind::Unavailable,
        ErrorKind::Protocol,
        ErrorKind::Cancelled,
        ErrorKind::Io,
    ];
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Asking again cannot help, or the remote punishes it.
    Never,
    /// Ask again after a pause that grows.
    Backoff,
    /// Ask again, but not before this much time has passed.
    After(Duration),
}

/// An error of any backend or layer. Boxed, so that a `Result` stays small.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    operation: Option<&'static str>,
    remote: Option<Box<str>>,
    path: Option<RelPath>,
    message: Box<str>,
    hint: Option<Hint>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that is not worth another attempt, unless [`Error::with_retry`] says otherwise.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            retry: Retry::Never,
            operation: None,
            remote: None,
            path: None,
            message: message.into().into_boxed_str(),
            hint: None,
            source: None,
        }))
    }

    /// The error of an optional operation that this backend does not have.
    pub fn unsupported(operation: &'static str) -> Self {
        Error::new(ErrorKind::Unsupported, "this remote cannot do that").with_operation(operation)
    }

    /// The error of work that the caller stopped.
    pub fn cancelled() -> Self {
        Error::new(ErrorKind::Cancelled, "stopped")
    }

    /// The same error for another item of the same request: kind, text, hint and whether to ask again, without the place and
    /// the cause.
    pub fn twin(&self) -> Self {
        Error::new(self.kind(), self.message()).with_retry(self.retry()).with_hint_of(self)
    }

    /// Says whether the request may be sent again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Names the operation, if no inner layer did.
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the remote, if no inner layer did.
    pub fn with_remote(mut self, remote: &str) -> Self {
        self.0.remote.get_or_insert_with(|| remote.into());
        self
    }

    /// Names the path, if no inner layer did.
    pub fn with_path(mut self, path: &RelPath) -> Self {
        self.0.path.get_or_insert_with(|| path.clone());
        self
    }

    /// Keeps the cause for `source()`. Its text is not part of this error's own line.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says what a person can do about it.
    pub fn with_hint(mut self, hint: impl Into<Option<Hint>>) -> Self {
        self.0.hint = hint.into().or(self.0.hint);
        self
    }

    /// Takes over what a person can do about another error.
    pub fn with_hint_of(mut self, other: &Error) -> Self {
        self.0.hint = self.0.hint.or(other.0.hint);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the request may be sent again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The operation that failed, if it is known.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The remote that was asked, if it is known.
    pub fn remote(&self) -> Option<&str> {
        self.0.remote.as_deref()
    }

    /// The path that was worked on, if there was one.
    pub fn path(&self) -> Option<&RelPath> {
        self.0.path.as_ref()
    }

    /// What a person can do about it, if one thing helps.
    pub fn hint(&self) -> Option<Hint> {
        self.0.hint
    }

    /// What was expected, without operation, remote and path.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Would every other item fail with this error too?
    pub fn is_fatal(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unauthenticated | ErrorKind::Quota)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        match (inner.operation, inner.remote.as_deref()) {
            // The top of a remote is written `work:`, which has its colon.
            (Some(operation), Some(remote)) => {
                write!(f, "{operation} on {}: ", remote.trim_end_matches(':'))?;
            }
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(remote)) => write!(f, "{}: ", remote.trim_end_matches(':'))?,
            (None, None) => {}
        }
        if let Some(path) = inner.path.as_ref().filter(|path| !path.is_root()) {
            write!(f, "{path}: ")?;
        }
        f.write_str(&inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?} {self}", self.0.kind, self.0.retry)?;
        if let Some(source) = &self.0.source {
            write!(f, " <- {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_operation_remote_path_and_what_happened() {
        let path = RelPath::new("a/b.jpg").expect("legal");
        let error = Error::new(ErrorKind::Quota, "the disk is full")
            .with_path(&path)
            .with_operation("put")
            .with_remote("photos:");
        assert_eq!(error.to_string(), "put on photos: a/b.jpg: the disk is full");
        assert!(error.is_fatal());
    }

    #[test]
    fn outer_layers_do_not_overwrite_what_inner_layers_said() {
        let error = Error::unsupported("copy").with_operation("put");
        assert_eq!(error.operation(), Some("copy"));
    }
}
