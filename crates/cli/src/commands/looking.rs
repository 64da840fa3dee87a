//! How commands that only read walk folders: they show everything that can be shown. A folder that cannot be listed is
//! reported between the entries of the others, and the exit code of the command says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use ketch_core::{Backend, Entry, Error, ErrorKind, Hint, ListOptions, RelPath};
use ketch_engine::filter::Filter;
use serde_json::json;

use super::ls::admits;
use crate::exit;
use crate::hints;
use crate::output::Console;
use crate::problem::Result;

/// What a command looks at, and what went wrong so far.
pub(super) struct Look<'a> {
    pub(super) console: &'a Console,
    pub(super) backend: Arc<dyn Backend>,
    /// `None`: everything takes part.
    pub(super) filter: Option<&'a Filter>,
    codes: BTreeSet<u8>,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        console: &'a Console,
        backend: Arc<dyn Backend>,
        filter: Option<&'a Filter>,
    ) -> Self {
        Look { console, backend, filter, codes: BTreeSet::new() }
    }

    /// The entries of a folder that take part, in key order, and whether these are all. An error is told; those that came
    /// before it are given.
    ///
    /// Errors: that of the top folder, without which nothing can be shown, and those that every other folder would give.
    pub(super) async fn entries(&mut self, dir: &RelPath) -> Result<(Vec<Entry>, bool)> {
        let mut listing = self.backend.list(dir, ListOptions::default());
        let (mut entries, mut is_complete) = (Vec::new(), true);
        while let Some(entry) = listing.next().await {
            match entry {
                Ok(entry) if self.filter.is_none_or(|filter| admits(filter, &entry)) => {
                    entries.push(entry);
                }
                Ok(_) => {}
                Err(error) if error.is_fatal() || dir.is_root() && entries.is_empty() => {
                    return Err(error.into());
                }
                Err(error) => {
                    self.failed(dir, &error)?;
                    is_complete = false;
                    break;
                }
            }
        }
        drop(listing);
        entries.sort_by(Entry::compare_key);
        Ok((entries, is_complete))
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
