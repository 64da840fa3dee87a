//! The files of one place in key order, as a manifest sees them: the walk of the engine without folders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{BoxStream, StreamExt};
use ketch_core::{Backend, Entry, EntryKind, Error, Hint, RelPath, Result, Special};

use crate::prove::ProveSettings;
use crate::walk::{self, Shown, Walk};

/// What comes next.
#[derive(Debug)]
pub(super) enum Found {
    /// A file.
    File(Entry),
    /// An entry that is left out because it is neither a file nor a folder, or one of several of one name; with the reason and
    /// what helps.
    Other(RelPath, String, Option<Hint>),
    /// An entry whose name is no path. It does not come in key order.
    Unusable(RelPath, String),
    /// A folder could not be listed; nothing is known about its contents.
    Failed(RelPath, Error),
}

impl Found {
    /// Where it is.
    pub(super) fn path(&self) -> &RelPath {
        match self {
            Found::File(entry) => &entry.path,
            Found::Other(path, ..) | Found::Unusable(path, _) | Found::Failed(path, _) => path,
        }
    }
}

/// The files of a place.
pub(super) struct Files {
    /// In key order. `Err` ends them: without the root there is nothing.
    pub(super) found: BoxStream<'static, Result<Found>>,
    /// They ended early, and what was found does not count.
    pub(super) are_void: Arc<AtomicBool>,
}

/// Everything below the root of `backend` that takes part.
pub(super) fn files(backend: &Arc<dyn Backend>, settings: &ProveSettings) -> Files {
    let walk = Walk {
        filter: Arc::clone(&settings.filter),
        lookahead: settings.checkers.max(1),
        flat: settings.flat,
        progress: settings.progress.clone(),
        ..Walk::new(backend)
    };
    let are_void = Arc::new(AtomicBool::new(false));
    let (progress, has_ended) = (settings.progress.clone(), Arc::clone(&are_void));
    let state = (walk.start(), progress, has_ended);
    let walked = futures::stream::unfold(state, |(mut walking, progress, are_void)| async {
        match walking.next().await {
            Some(Ok(walk::Found::Anew)) => {
                are_void.store(true, Ordering::Relaxed);
                progress.forget_planned();
                None
            }
            Some(found) => Some((found, (walking, progress, are_void))),
            None => {
                progress.finish_listing();
                None
            }
        }
    });
    let except = settings.except.clone();
    let mut ambiguous = None;
    let found = walked.filter_map(move |found| {
        let understood = match found {
            Ok(walk::Found::Entry(shown)) => understand(*shown, &mut ambiguous).map(Ok),
            Ok(walk::Found::Failed { dir, error }) => Some(Ok(Found::Failed(dir, error))),
            // `Anew` never comes as far as this.
            Ok(walk::Found::End { .. } | walk::Found::Anew) => None,
            Err(error) => Some(Err(error)),
        };
        let takes_part = |found: &Result<Found>| match found {
            Ok(Found::File(entry)) => !except.contains(&entry.path),
            _ => true,
        };
        std::future::ready(understood.filter(takes_part))
    });
    Files { found: found.boxed(), are_void }
}

/// What an entry is to a manifest; `None`: nothing, or what was said already. `ambiguous` is the last name of which there are
/// several.
fn understand(shown: Shown, ambiguous: &mut Option<RelPath>) -> Option<Found> {
    let Shown { entry, has_duplicates, is_last: _ } = shown;
    match entry.kind {
        EntryKind::Dir => None,
        EntryKind::File if has_duplicates => {
            if ambiguous.as_ref() == Some(&entry.path) {
                return None;
            }
            *ambiguous = Some(entry.path.clone());
            let text = "there are several of that name".to_owned();
            Some(Found::Other(entry.path, text, None))
        }
        EntryKind::File => Some(Found::File(entry)),
        EntryKind::Link => {
            let text = "a symbolic link".to_owned();
            Some(Found::Other(entry.path, text, Some(Hint::FollowLinks)))
        }
        EntryKind::Special(special @ Special::UnusableName) => {
            Some(Found::Unusable(entry.path, special.describe().to_owned()))
        }
        EntryKind::Special(special) => {
            Some(Found::Other(entry.path, special.describe().to_owned(), special.hint()))
        }
    }
}
