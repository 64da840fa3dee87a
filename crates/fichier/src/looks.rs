//! Looks that may be some minutes old: for commands of a person who waits, and whose process is none that changes a tree.
//!
//! A listing that a process of this machine has asked for is shown again where asking would have to wait. It concludes
//! nothing by itself: a file that is taken from it is proven by its address, a folder that is removed must be empty for
//! 1fichier to remove it, and what is missing is told with the age of the look.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ketch_core::{Error, ErrorKind, Hint, RelPath};

use crate::items::FileItem;
use crate::types::Info;

/// The oldest listing that is shown.
const SHOWN_FOR: Duration = Duration::from_secs(300);
/// A wait up to this is shorter than a person's patience: the folder is asked for.
const WAIT: Duration = Duration::from_secs(1);

/// What this process has taken from others.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    is_on: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// When the listings in use were asked for that this process did not ask for.
    pub(crate) asked: HashMap<u64, SystemTime>,
    /// What was told of files when they were proven.
    pub(crate) infos: HashMap<String, Info>,
    /// Files that were proven, by their addresses.
    pub(crate) proven: HashMap<String, FileItem>,
    /// The folder that was found last in a listing of others, and how old that is.
    pub(crate) found: Option<(RelPath, Duration)>,
}

/// How long waits and listings are that are good enough, by the pace of a remote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) shown_for: Duration,
    pub(crate) wait: Duration,
}

impl Bounds {
    /// Those of a remote.
    pub(crate) fn new(settings: &crate::settings::Settings) -> Self {
        Bounds { shown_for: settings.scaled(SHOWN_FOR), wait: settings.scaled(WAIT) }
    }

    /// Is a listing of that age shown where asking would wait so long?
    pub(crate) fn is_shown(self, age: Duration, wait: Duration) -> bool {
        age < self.shown_for && wait > self.wait
    }
}

impl Looks {
    /// Whether listings of others are taken.
    pub(crate) fn new(is_on: bool) -> Self {
        Looks { is_on, state: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// The listing of a folder is one that was asked for so long ago.
    pub(crate) fn taken(&self, folder: u64, age: Duration) {
        self.lock().asked.insert(folder, SystemTime::now() - age);
    }

    /// The folder was listed by this process.
    pub(crate) fn listed(&self, folder: u64) {
        if self.is_on {
            self.lock().asked.remove(&folder);
        }
    }

    /// How old the listing of a folder is that others asked for; `None` for one of this process.
    pub(crate) fn age(&self, folder: u64) -> Option<Duration> {
        let asked = *self.lock().asked.get(&folder)?;
        Some(asked.elapsed().unwrap_or_default())
    }

    /// A folder that was to be made is in a listing of others.
    pub(crate) fn found(&self, path: &RelPath, age: Duration) {
        self.lock().found = Some((path.clone(), age));
    }

    /// How old the look is that showed the folder, if it was found in that way.
    pub(crate) fn found_age(&self, path: &RelPath) -> Option<Duration> {
        self.lock().found.as_ref().filter(|(found, _)| found == path).map(|(_, age)| *age)
    }

    /// What was told of a file when it was proven.
    pub(crate) fn take_info(&self, url: &str) -> Option<Info> {
        self.lock().infos.remove(url)
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a name that an older listing does not have.
pub(crate) fn missing(age: Option<Duration>) -> Error {
    let text = age.map(as_of).unwrap_or_default();
    let error = Error::new(ErrorKind::NotFound, format!("there is nothing of that name{text}"));
    if age.is_some() { error.with_hint(Hint::Refresh) } else { error }
}

/// What is added to a message that rests on an older listing.
pub(crate) fn as_of(age: Duration) -> String {
    format!(" (as of {} s ago)", age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_listing_is_shown_where_asking_would_take_a_persons_patience() {
        let bounds = Bounds { shown_for: SHOWN_FOR, wait: WAIT };
        for (age, wait, expected) in [
            (12, 18, true),
            (40, 3, true),
            (40, 0, false),
            (29, 1, false),
            (299, 2, true),
            (300, 2, false),
            (0, 30, true),
        ] {
            let found = bounds.is_shown(Duration::from_secs(age), Duration::from_secs(wait));
            assert_eq!(found, expected, "{age} s old, {wait} s to wait");
        }
    }
}
