//! Which folders were seen to receive uploads a moment ago.
//!
//! A node that is given the number of a folder that is gone puts the file into the account's top folder and says nothing.
//! One call (`arrival`) tells where a file is, and holds for all that travelled with it. So it is asked for the first upload
//! into a folder and then once a minute: asking for every file would be the bulk that gets an address locked out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::tree::TOP;

/// For how long a folder that has received a file is taken to be there.
const TRUSTED_FOR: Duration = Duration::from_secs(60);
/// How many folders are remembered.
const FOLDERS_MAX: usize = 4_096;

/// When a file was last seen to have arrived in which folder.
#[derive(Debug, Default)]
pub(crate) struct Placement(Mutex<HashMap<u64, Instant>>);

impl Placement {
    pub(crate) fn is_trusted(&self, folder: u64) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        folder == TOP || known.get(&folder).is_some_and(|seen| seen.elapsed() < TRUSTED_FOR)
    }

    pub(crate) fn trust(&self, folder: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FOLDERS_MAX {
            known.retain(|_, seen| seen.elapsed() < TRUSTED_FOR);
        }
        if known.len() < FOLDERS_MAX {
            known.insert(folder, Instant::now());
        }
    }
}
