//! Which of the folders that are listed in a folder can be entered, and by which of their names.
//!
//! A number is one folder. One that is listed below itself would have no end, and one that is listed in two places would be
//! two folders to everything above, which then deletes in one of them what the other must keep. So a number is entered once.

use std::collections::BTreeMap;
use std::sync::Arc;

use ketch_core::RelPath;

use crate::items::{FolderItem, FolderListing};
use crate::tree::{TOP, Tree};

/// A folder in a folder.
#[derive(Debug)]
pub(crate) struct Below {
    /// The number of the one it is in.
    pub(crate) parent: u64,
    pub(crate) item: FolderItem,
    /// Not when it is known at another place.
    pub(crate) can_be_entered: bool,
}

/// What is to be shown of the folders in `listings`, which are all at `path`, each name once; and remembers where they are.
pub(crate) fn below(
    tree: &Tree,
    path: &RelPath,
    listings: &[(u64, Arc<FolderListing>)],
) -> Vec<Below> {
    chosen(tree, path, listings, |_| true)
}

/// The same of the folder called `name`.
pub(crate) fn named(
    tree: &Tree,
    path: &RelPath,
    listings: &[(u64, Arc<FolderListing>)],
    name: &str,
) -> Option<Below> {
    chosen(tree, path, listings, |item| item.name == name).pop()
}

fn chosen(
    tree: &Tree,
    path: &RelPath,
    listings: &[(u64, Arc<FolderListing>)],
    is_wanted: impl Fn(&FolderItem) -> bool,
) -> Vec<Below> {
    let above = tree.above(path);
    let mut by_name: BTreeMap<&str, Vec<(u64, &FolderItem)>> = BTreeMap::new();
    let mut loops = Vec::new();
    for (parent, listing) in listings {
        for item in listing.folders.iter().filter(|item| is_wanted(item)) {
            let is_known = |id: u64| listings.iter().any(|(known, _)| *known == id);
            let is_loop = item.id == TOP || is_known(item.id) || above.contains(&item.id);
            let full = path.join(&item.name).ok();
            let other = full.as_ref().and_then(|full| tree.other_place(full, item.id));
            if is_loop || other.is_some() {
                tracing::warn!(id = item.id, name = item.name, "a folder is listed in two places");
                loops.push(Below { parent: *parent, item: item.clone(), can_be_entered: false });
            } else {
                by_name.entry(&item.name).or_default().push((*parent, item));
            }
        }
    }
    let mut shown = Vec::new();
    for (name, mut items) in by_name {
        items.sort_by_key(|(_, item)| item.id);
        items.dedup_by_key(|(_, item)| item.id);
        if let Ok(path) = path.join(name) {
            let ids: Vec<u64> = items.iter().map(|(_, item)| item.id).collect();
            tree.learn_all(&path, &ids);
        }
        // The oldest is shown; what is in the others is shown with what is in it.
        let first = items.first();
        shown.extend(first.map(|(parent, item)| Below {
            parent: *parent,
            item: (*item).clone(),
            can_be_entered: true,
        }));
    }
    // Where a loop has the name of a folder that can be entered, that one is shown.
    loops.retain(|one| !shown.iter().any(|other| other.item.name == one.item.name));
    shown.extend(loops);
    shown
}
