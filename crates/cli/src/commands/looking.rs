//! How commands of one side read a walk: a folder that cannot be listed is told of between what is found in the others, and
//! the exit code of the command says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use ketch_core::{Backend, Error, ErrorKind, Hint, RelPath};
use ketch_engine::filter::Filter;
use ketch_engine::walk::{Found, Walk, Walking};
use serde_json::json;

use crate::exit;
use crate::hints;
use crate::output::Console;
use crate::problem::Result;

/// What is told when everything is listed once more.
const ANEW: &str = "a listing of everything at once cannot be relied on here, so everything is listed once more, folder by folder: what was shown so far does not count";

/// A walk, and what went wrong so far.
pub(super) struct Look<'a> {
    console: &'a Console,
    walking: Walking,
    codes: BTreeSet<u8>,
}

/// A walk over everything in `backend` that takes part.
pub(super) fn over(backend: &Arc<dyn Backend>, filter: &Arc<Filter>) -> Walk {
    Walk { filter: Arc::clone(filter), ..Walk::new(backend) }
}

impl<'a> Look<'a> {
    pub(super) fn new(console: &'a Console, walk: Walk) -> Self {
        Look { console, walking: walk.start(), codes: BTreeSet::new() }
    }

    /// What is found next. A folder that failed, and that everything comes once more, was told when this returns it.
    ///
    /// Errors: that of the top folder, without which nothing can be shown, and those that every other folder would give.
    pub(super) async fn next(&mut self) -> Result<Option<Found>> {
        let found = match self.walking.next().now_or_never() {
            Some(found) => found,
            None => {
                // What is known already is seen while the next listing is waited for.
                self.console.flush()?;
                self.walking.next().await
            }
        };
        let found = found.transpose()?;
        match &found {
            Some(Found::Failed { dir, error }) => self.failed(dir, error)?,
            Some(Found::Anew) => tell_anew(self.console)?,
            Some(Found::Entry(_) | Found::End { .. }) | None => {}
        }
        Ok(found)
    }

    fn failed(&mut self, dir: &RelPath, error: &Error) -> Result<()> {
        // What is shown so far is told before it, as far as one reader sees both.
        self.console.flush()?;
        match error.path() {
            Some(_) => self.console.tell_error(&hints::told(error)),
            None => self.console.tell_error(&format!("{dir}: {}", hints::told(error))),
        }
        let body = json!({
            "path": dir, "operation": "list", "kind": error.kind().as_str(),
            "message": error.message(), "hint": error.hint().map(Hint::as_str),
        });
        self.console.event("file_error", body)?;
        self.codes.insert(match error.kind() {
            // The place is there; a folder in it is not any more.
            ErrorKind::NotFound => exit::PARTIAL,
            kind => exit::of_kind(kind),
        });
        Ok(())
    }

    /// The exit code of what was looked at.
    pub(super) fn code(&self) -> u8 {
        exit::of_codes(&self.codes)
    }
}

/// Tells that what was shown does not count.
pub(super) fn tell_anew(console: &Console) -> Result<()> {
    console.flush()?;
    console.tell_notice(ANEW);
    console.event("anew", json!({ "text": ANEW }))
}
