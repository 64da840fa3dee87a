//! What is looked at of the folders in which many files are to be removed.
//!
//! Asking about each of many files gets an address locked out, so their folders are looked at. Two questions are answered
//! for each of them. What is in it? A listing of it says that, of every file and not of one for all. Where is it? A listing
//! goes by a number, which a folder keeps wherever others move it. So a new listing of the folder above must show it under
//! its name, for all that are in that one together; and where that one is, one of the files says, whose path names all
//! folders above.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use ketch_core::{Error, ErrorKind, RelPath, Retry};
use tokio::time::Instant;

use super::{Seen, admitted, ask, in_listing, unproven};
use crate::account::Account;
use crate::items::FolderListing;
use crate::items::Places;
use crate::removal::{Ground, Removal};
use crate::tree::TOP;

/// Where calls are paced, a listing of this age still counts as a look: 1fichier lists a folder once in 30 s, and what a run
/// has listed at its end is that old when it comes to its deletions.
const LOOK_LIFE: Duration = Duration::from_secs(45);
/// How many files of a folder are asked where it is, before it is left alone.
const SAMPLES_MAX: usize = 3;

/// How old the last listing of a folder may be when something is removed by it.
pub(crate) fn look_life(account: &Account) -> Duration {
    match account.api.settings.paced {
        true => account.api.settings.scaled(LOOK_LIFE),
        false => Duration::ZERO,
    }
}

/// What was seen of the folders of many removals.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    listings: HashMap<u64, Result<Arc<FolderListing>, Error>>,
    /// Folders that are not where they should be, or of which nothing shows that they are.
    misplaced: HashMap<u64, Error>,
    /// In which folder each file was listed last.
    places: Places,
}

/// The removals in one folder.
struct Group<'a> {
    folder: u64,
    at: RelPath,
    removals: Vec<&'a Removal>,
}

/// What a file of a folder says about where that is.
enum Word {
    Here,
    Elsewhere(Error),
    /// None of them says anything.
    None(Error),
    /// No file of those that are to be removed is left in it: all were asked about, or a new listing shows no other one.
    Empty,
}

impl Folders {
    /// Looks at the folders of `removals`.
    pub(crate) async fn look(account: &Arc<Account>, removals: &[&Removal]) -> Folders {
        let begun = Instant::now();
        let mut seen = Folders::default();
        // ORDER: where calls are paced, what may have to wait for a minute comes first, and the listings, which grow old,
        // after it. Where they are not, a folder that others move is noticed even when they do it between two looks.
        if !account.api.settings.paced {
            seen.list(account, removals, begun).await;
        }
        let mut above = Vec::new();
        for (parent, groups) in by_parent(removals) {
            let is_proven =
                parent.is_root() || account.tree.saw_within(&parent, look_life(account));
            let calls = 1 + usize::from(!is_proven);
            let is_known = account.tree.remembered(&parent).is_some();
            // One file says where one of several folders of one name is.
            let has_twins = !is_proven && !account.tree.twins(&parent).is_empty();
            if groups.len() <= calls || !is_known || has_twins {
                for group in &groups {
                    seen.enter(group.folder, seen_of(account, group, begun).await);
                }
                continue;
            }
            if !is_proven {
                seen.prove_above(account, &groups, begun).await;
            }
            above.push((parent, groups));
        }
        seen.list(account, removals, begun).await;
        for (parent, groups) in above {
            seen.look_above(account, &parent, &groups, begun).await;
        }
        let urls = removals.iter().map(|removal| removal.url.as_str());
        seen.places = account.tree.cache.places(urls);
        seen
    }

    /// Where a file is, as far as its folder tells.
    pub(crate) fn judge(&self, removal: &Removal) -> Seen {
        if let Some(error) = self.misplaced.get(&removal.folder) {
            return Seen::Other(error.twin());
        }
        match self.listing(removal.folder) {
            Some(Ok(listing)) => in_listing(removal, listing, self.places.get(&removal.url)),
            Some(Err(error)) => Seen::Other(error.twin()),
            None => Seen::Other(unproven("its folder was not looked at")),
        }
    }

    /// What is in a folder.
    pub(crate) fn listing(&self, folder: u64) -> Option<&Result<Arc<FolderListing>, Error>> {
        self.listings.get(&folder)
    }

    /// Lists the folders that were not listed yet, or takes listings that are young enough.
    async fn list(&mut self, account: &Arc<Account>, removals: &[&Removal], begun: Instant) {
        for removal in removals {
            if let Entry::Vacant(place) = self.listings.entry(removal.folder) {
                let life = match removal.ground {
                    Ground::Listed => look_life(account),
                    // A new version must be shown, so the listing is as young as it can be.
                    _ => account.api.pacer.listing_life(),
                };
                let life = life.max(begun.elapsed());
                let listing = account.tree.listing(&account.api, removal.folder, life).await;
                place.insert(listing.map_err(Error::from));
            }
        }
    }

    fn enter(&mut self, folder: u64, word: Word) {
        match word {
            Word::Here => {}
            // What was listed before it was asked about is out of date.
            Word::Empty => drop(self.listings.remove(&folder)),
            Word::Elsewhere(error) | Word::None(error) => {
                drop(self.misplaced.insert(folder, error))
            }
        }
    }

    /// One file of one of the folders says where the folder above them all is.
    async fn prove_above(&mut self, account: &Arc<Account>, groups: &[Group<'_>], begun: Instant) {
        for group in groups {
            let error = match seen_of(account, group, begun).await {
                Word::Here => return,
                Word::Empty => {
                    self.listings.remove(&group.folder);
                    continue;
                }
                Word::Elsewhere(error) => {
                    self.misplaced.insert(group.folder, error);
                    let why = "another folder beside its own was moved by others";
                    unproven(why).with_retry(Retry::Backoff)
                }
                Word::None(error) => error,
            };
            for other in groups {
                self.misplaced.entry(other.folder).or_insert_with(|| error.twin());
            }
            return;
        }
    }

    /// The listing of the folder above shows which of these are in it.
    async fn look_above(
        &mut self,
        account: &Arc<Account>,
        parent: &RelPath,
        groups: &[Group<'_>],
        begun: Instant,
    ) {
        let (api, tree) = (&account.api, &account.tree);
        let life = api.pacer.listing_life().max(begun.elapsed());
        let mut shown = Vec::new();
        let mut ids: Vec<u64> = tree.remembered(parent).into_iter().collect();
        ids.extend(tree.twins(parent));
        for id in ids {
            match tree.listing(api, id, life).await {
                Ok(listing) => {
                    let folders = listing.folders.iter();
                    shown.extend(folders.map(|folder| (folder.id, folder.name.clone())));
                }
                Err(refusal) => {
                    let error = Error::from(refusal);
                    for group in groups {
                        self.misplaced.entry(group.folder).or_insert_with(|| error.twin());
                    }
                    return;
                }
            }
        }
        for group in groups {
            let is_it = |(id, name): &(u64, String)| {
                *id == group.folder && Some(name.as_str()) == group.at.name()
            };
            if !shown.iter().any(is_it) {
                let message = "its folder was moved or renamed, so the file was not removed";
                let error = Error::new(ErrorKind::NotFound, message);
                self.misplaced.entry(group.folder).or_insert(error);
            }
        }
    }
}

/// The folders whose place is known and must be proven, by the folder they are in. The top is where it is.
fn by_parent<'a>(removals: &[&'a Removal]) -> Vec<(RelPath, Vec<Group<'a>>)> {
    let mut parents: Vec<(RelPath, Vec<Group<'a>>)> = Vec::new();
    let mut known: HashMap<RelPath, usize> = HashMap::new();
    for removal in removals.iter().filter(|removal| removal.folder != TOP) {
        let Some(at) = &removal.at else { continue };
        let Some(parent) = at.parent() else { continue };
        let place = *known.entry(parent.clone()).or_insert_with(|| {
            parents.push((parent, Vec::new()));
            parents.len() - 1
        });
        let groups = &mut parents[place].1;
        match groups.iter_mut().find(|group| group.folder == removal.folder && group.at == *at) {
            Some(group) => group.removals.push(removal),
            None => groups.push(Group {
                folder: removal.folder,
                at: at.clone(),
                removals: vec![removal],
            }),
        }
    }
    parents
}

/// What the files of a folder say about where that is: one of them, or another one where that was moved by itself.
async fn seen_of(account: &Arc<Account>, group: &Group<'_>, begun: Instant) -> Word {
    let last = account.tree.cache.last(group.folder);
    let is_listed = |removal: &&Removal| {
        last.as_ref().is_none_or(|last| last.files.iter().any(|file| file.url == removal.url))
    };
    let mut files: Vec<&Removal> = group.removals.iter().copied().filter(is_listed).collect();
    fastrand::shuffle(&mut files);
    let (mut told, mut newest) = (None, None);
    let unasked = files.split_off(files.len().min(SAMPLES_MAX));
    for removal in files {
        admitted(account).await;
        match ask(account, removal, begun).await {
            Seen::There => return Word::Here,
            // The folder is elsewhere, with all that is in it.
            Seen::Other(error) if error.kind() == ErrorKind::NotFound => {
                return Word::Elsewhere(error);
            }
            Seen::Other(error) => told = Some(error),
            Seen::Gone => {
                // What is known of the folder is out of date. This listing was asked for since.
                newest = account.tree.cache.last(group.folder);
                account.tree.cache.forget(group.folder);
            }
        }
    }
    let is_left = |removal: &&Removal| {
        newest
            .as_ref()
            .is_some_and(|newest| newest.files.iter().any(|file| file.url == removal.url))
    };
    match told {
        // That those are gone says nothing about the others, with which the folder may have been moved away.
        None if unasked.iter().any(is_left) => {
            let why = "the files of its folder that were asked about are gone";
            Word::None(unproven(why).with_retry(Retry::Backoff))
        }
        Some(error) => {
            let why = format!("of another file of its folder was said: {}", error.message());
            Word::None(unproven(&why).with_retry(Retry::Backoff))
        }
        None => Word::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_proven_with_those_beside_them_and_the_top_needs_no_proof() {
        let removal = |folder, at: Option<&str>| Removal {
            url: "u".into(),
            folder,
            name: "f".into(),
            at: at.map(|at| RelPath::new(at).expect("legal")),
            ground: Ground::Listed,
        };
        let all = [
            removal(TOP, Some("")),
            removal(1, Some("a/b")),
            removal(2, Some("a/c")),
            removal(1, Some("a/b")),
            removal(3, Some("d")),
            removal(4, None),
        ];
        let all: Vec<&Removal> = all.iter().collect();
        let found: Vec<(String, Vec<(u64, usize)>)> = by_parent(&all)
            .into_iter()
            .map(|(parent, groups)| {
                let groups = groups.iter().map(|group| (group.folder, group.removals.len()));
                (parent.to_string(), groups.collect())
            })
            .collect();
        assert_eq!(found, [("a".to_owned(), vec![(1, 2), (2, 1)]), (String::new(), vec![(3, 1)])]);
    }
}
