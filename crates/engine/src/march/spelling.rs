//! Pairs names of one folder that differ on the two sides but are one name to the destination.
//!
//! A disk may find a name regardless of case, or of how an accent is written. Then `Name` at the source and `name` in the
//! destination's listing are a pair: nothing is missing, and nothing is extra. The destination is asked which names these
//! are, because every such disk has its own rules. The names of one folder are held in memory for this.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use ketch_core::{Backend, Entry, ErrorKind, Identities, ListOptions, RelPath, Result};

use super::March;
use crate::blocking::blocking;
use crate::join::Pair;

/// What is known of the names of one folder, where both sides have names that are not equal.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    /// The destination's entry with another spelling, by the source's name.
    partners: HashMap<String, Entry>,
    /// The destination's spellings of these.
    spelled: HashSet<String>,
    /// Names of the source that the destination would treat as another name of the source.
    taken: HashSet<String>,
}

impl Spellings {
    /// Compares the names of both sides of the folder `dir`.
    pub(super) async fn find(
        march: &March,
        identities: Arc<dyn Identities>,
        dir: &RelPath,
        source: Vec<String>,
        there: &HashSet<String>,
    ) -> Result<Self> {
        let alone: Vec<String> =
            source.iter().filter(|name| !there.contains(*name)).cloned().collect();
        let (folder, asked) = (dir.clone(), alone.clone());
        let listed = blocking(move |_| identities.listed_as(&folder, &asked)).await?;
        let mut found: HashMap<&str, Option<String>> = HashMap::new();
        found.extend(alone.iter().map(String::as_str).zip(listed));
        // The name under which the destination lists each name of the source, or else its lower-case form.
        let mut twins: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in &source {
            let listed = match found.get(name.as_str()) {
                None => name.clone(),
                Some(Some(listed)) => listed.clone(),
                Some(None) => name.to_lowercase(),
            };
            let is_new = matches!(found.get(name.as_str()), Some(None));
            // No name begins with a slash.
            let key = if is_new { format!("/{listed}") } else { listed };
            twins.entry(key).or_default().push(name);
        }
        let mut this = Spellings::default();
        for (key, names) in twins {
            // The name that the destination lists exactly so is its partner.
            let first = names.iter().find(|name| **name == key).or(names.first());
            let is_alone = names.len() == 1;
            let others =
                names.iter().filter(|name| Some(*name) != first || march.moves && !is_alone);
            this.taken.extend(others.map(|name| (*name).to_owned()));
            if key.starts_with('/') {
                continue;
            }
            let Some(first) = first.filter(|name| **name != key) else { continue };
            let path = dir.join(&key).unwrap_or_else(|_| dir.clone()); // Never: it is a name.
            match march.destination.stat(&path).await {
                Ok(entry) => _ = this.partners.insert((*first).to_owned(), entry),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            this.spelled.insert(key);
        }
        Ok(this)
    }

    /// Corrects a pair by these spellings. `None`: the destination's entry belongs to another pair.
    pub(super) fn apply(&mut self, mut pair: Pair) -> Option<Pair> {
        match (&pair.source, &pair.destination) {
            (None, Some(there)) => {
                let is_spelled = self.spelled.contains(there.path.name().unwrap_or_default());
                (!is_spelled).then_some(pair)
            }
            (Some(source), None) => {
                let name = source.path.name().unwrap_or_default();
                pair.folds = self.taken.contains(name);
                pair.destination = self.partners.remove(name);
                Some(pair)
            }
            (Some(source), Some(_)) => {
                pair.folds = self.taken.contains(source.path.name().unwrap_or_default());
                Some(pair)
            }
            (None, None) => Some(pair),
        }
    }
}

/// Are there names that differ in case alone?
pub(super) fn has_twins(names: &[String]) -> bool {
    let mut seen = HashSet::with_capacity(names.len());
    names.iter().any(|name| !seen.insert(name.to_lowercase()))
}

/// The names of a folder, listed once more because there are too many to be kept.
pub(super) async fn list_names(backend: &Arc<dyn Backend>, dir: &RelPath) -> Result<Vec<String>> {
    let mut entries = backend.list(dir, ListOptions::default());
    let mut names = Vec::new();
    while let Some(entry) = entries.try_next().await? {
        names.push(entry.path.name().unwrap_or_default().to_owned());
    }
    Ok(names)
}
