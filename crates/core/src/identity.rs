//! Which object a name leads to, so that two names of one object are never treated as two objects.
//!
//! Paths cannot tell this: a folder may be mounted at two places, a link may lead to it, a disk may ignore case. Only the
//! system's numbers of the object can. This module has the types and the decisions, which are pure; a backend asks the
//! system.

use std::fmt;

use crate::error::Result;
use crate::path::RelPath;

/// The system's number of one object: no two objects that exist at the same time have the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// The file system it is on.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// One name and the object that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The object. A link is itself an object.
    pub object: ObjectId,
    /// The folder that holds the name.
    pub folder: ObjectId,
    /// The name in that folder.
    pub name: Box<str>,
    /// How many names the object has.
    pub links: u64,
    /// Two different object numbers mean two objects. This is not so on a network share, in a user-space file system, or on
    /// an overlay.
    pub is_certain: bool,
}

/// Whether two names lead to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// They lead to two objects: a change to one does not change the other.
    TwoObjects,
    /// They are two names of one object (hard links): the object is still there when one name is removed.
    TwoNames,
    /// They are the same name, reached in two ways: if it is removed by one way, it is gone by the other.
    OneName,
    /// The file systems cannot tell.
    Unknown,
}

/// Compares two names.
pub fn sameness(left: &Identity, right: &Identity) -> Sameness {
    if left.object != right.object {
        let is_certain = left.is_certain && right.is_certain;
        return if is_certain { Sameness::TwoObjects } else { Sameness::Unknown };
    }
    let spelling = |name: &str| name.to_lowercase();
    let is_one_folder = left.folder == right.folder;
    if left.links <= 1 || is_one_folder && spelling(&left.name) == spelling(&right.name) {
        return Sameness::OneName;
    }
    // Where folders are not told apart for certain, neither are names.
    match left.is_certain && right.is_certain {
        true => Sameness::TwoNames,
        false => Sameness::Unknown,
    }
}

/// Where a place is on the disks of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The folder of the place and those above it, nearest first.
    pub folders: Vec<Above>,
    /// On which file systems its content lies: its own, and that of each mount inside.
    pub regions: Vec<Region>,
    /// The same folder always has the same object number. This is not so on a network share, in a user-space file system,
    /// or on an overlay.
    pub is_certain: bool,
}

/// A file that is made to find out at which other places it appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its name, which no other file has.
    pub name: String,
    /// The names on the path to its folder, from the root of the system.
    pub folder: Vec<String>,
    /// The names on the path from that folder to the place, if the place does not exist yet.
    pub below: Vec<String>,
}

/// How a place overlaps with the marked place. The mark was seen in a folder above the place; the names `up` lead from that
/// folder to the place. `None`: neither place is inside the other.
pub fn seen_above(up: &[String], mark: &Mark) -> Option<Shared> {
    if let Some(rest) = mark.below.strip_prefix(up) {
        return Some(Shared { first: rest.join("/"), second: String::new() });
    }
    let rest = up.strip_prefix(mark.below.as_slice())?;
    Some(Shared { first: String::new(), second: rest.join("/") })
}

/// A folder on the way to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Above {
    /// Its name in the next one.
    pub name: String,
    /// `None`: it is not there.
    pub object: Option<ObjectId>,
}

/// A folder of a file system that appears in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Where it appears in the place; empty for the place itself.
    pub below: String,
    /// Which file system.
    pub volume: String,
    /// Which folder of it, as an absolute path in that file system.
    pub path: String,
}

/// A folder that lies in both places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Where it is in the first place; empty for the place itself.
    pub first: String,
    /// Where it is in the second.
    pub second: String,
}

/// The folders that lie in both places, found by the folders above them and by mounts.
pub fn shared(first: &Standing, second: &Standing) -> Vec<Shared> {
    let mut found = Vec::new();
    if let Some(below) = inside(&second.folders, &first.folders) {
        found.push(Shared { first: below, second: String::new() });
    } else if let Some(below) = inside(&first.folders, &second.folders) {
        found.push(Shared { first: String::new(), second: below });
    }
    for one in &first.regions {
        for other in second.regions.iter().filter(|other| other.volume == one.volume) {
            let common = if let Some(rest) = rest_of(&other.path, &one.path) {
                Shared { first: join(&one.below, rest), second: other.below.clone() }
            } else if let Some(rest) = rest_of(&one.path, &other.path) {
                Shared { first: one.below.clone(), second: join(&other.below, rest) }
            } else {
                continue;
            };
            if !found.contains(&common) {
                found.push(common);
            }
        }
    }
    found
}

/// The path from the place of `outer` to that of `inner`, if the first is among the folders above the second or is the same.
fn inside(inner: &[Above], outer: &[Above]) -> Option<String> {
    let wanted = outer.first()?.object?;
    let at = inner.iter().position(|above| above.object == Some(wanted))?;
    let names: Vec<&str> = inner[..at].iter().rev().map(|above| above.name.as_str()).collect();
    Some(names.join("/"))
}

/// What comes after `outer` in `inner`, both absolute.
fn rest_of<'a>(inner: &'a str, outer: &str) -> Option<&'a str> {
    let rest = inner.strip_prefix(outer.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

fn join(before: &str, after: &str) -> String {
    match (before.is_empty(), after.is_empty()) {
        (true, _) => after.to_owned(),
        (_, true) => before.to_owned(),
        (false, false) => format!("{before}/{after}"),
    }
}

/// Asks the system which objects the names of a place lead to. Every method blocks.
pub trait Identities: fmt::Debug + Send + Sync {
    /// Where the place is now.
    ///
    /// Errors: those of opening the folders; a folder that does not exist is not an error.
    fn standing(&self) -> Result<Standing>;

    /// The object that the name `path` leads to now. No link is followed at its end, also where the place follows links.
    ///
    /// Errors: `NotFound`.
    fn of(&self, path: &RelPath) -> Result<Identity>;

    /// Makes a file in the folder of the place, or in the nearest existing one above it, so that another place can look for
    /// it. `None`: the file system is read-only.
    ///
    /// Errors: `Denied`, and any other reason why no file can be made. The caller then does not know where else the place
    /// appears.
    fn mark(&self) -> Result<Option<Mark>>;

    /// Removes what [`Identities::mark`] made.
    fn unmark(&self, mark: &Mark) -> Result<()>;

    /// How this place overlaps with the marked one. Looks for the mark in the place, in the folders above it, and in the folder
    /// of the place to which the end of the marked folder's path leads.
    ///
    /// Errors: a folder in which the mark might be cannot be read.
    fn sees(&self, mark: &Mark) -> Result<Option<Shared>>;

    /// Does the folder `dir`, or the nearest existing one above it, find a name in another spelling (in another case, say)? With
    /// `may_write`, a file is made for a moment if there is no other way to find out. `None`: unknown.
    fn folds(&self, dir: &RelPath, may_write: bool) -> Result<Option<bool>>;

    /// For each of `names`: how the folder `dir` lists the entry that it finds under this name. `None`: it finds none.
    fn listed_as(&self, dir: &RelPath, names: &[String]) -> Result<Vec<Option<String>>>;

    /// Renames the folder of the place, which exists, to `name`, another spelling of its name.
    ///
    /// Errors: `Unsupported` when that would be another name.
    fn respell(&self, name: &str) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(object: u64, folder: u64, name: &str, links: u64, is_certain: bool) -> Identity {
        let id = |number| ObjectId { device: 1, number };
        Identity { object: id(object), folder: id(folder), name: name.into(), links, is_certain }
    }

    #[test]
    fn two_names_are_told_apart_by_what_they_lead_to() {
        use Sameness::{OneName, TwoNames, TwoObjects, Unknown};
        for (left, right, expected) in [
            (name(1, 9, "f", 1, true), name(2, 9, "f", 1, true), TwoObjects),
            (name(1, 9, "f", 1, true), name(1, 8, "f", 1, true), OneName),
            (name(1, 9, "f", 2, true), name(1, 8, "f", 2, true), TwoNames),
            (name(1, 9, "f", 2, true), name(1, 9, "g", 2, true), TwoNames),
            (name(1, 9, "f", 2, true), name(1, 9, "f", 2, true), OneName),
            (name(1, 9, "f", 2, true), name(1, 9, "F", 2, true), OneName),
            (name(1, 9, "f", 1, false), name(2, 8, "f", 1, true), Unknown),
            (name(1, 9, "f", 1, true), name(2, 8, "f", 1, false), Unknown),
            (name(1, 9, "f", 1, false), name(1, 8, "f", 1, true), OneName),
            (name(1, 9, "f", 2, false), name(1, 8, "f", 2, true), Unknown),
        ] {
            assert_eq!(sameness(&left, &right), expected, "{left:?} {right:?}");
            assert_eq!(sameness(&right, &left), expected, "{right:?} {left:?}");
        }
    }

    /// Folders from the nearest on, each `name=number`, without the number if it is not there.
    fn standing(folders: &str, regions: &[(&str, &str, &str)]) -> Standing {
        let above = |text: &str| {
            let (name, number) = text.split_once('=').unwrap_or((text, ""));
            let object = number.parse().ok().map(|number| ObjectId { device: 1, number });
            Above { name: name.to_owned(), object }
        };
        let region = |(below, volume, path): &(&str, &str, &str)| Region {
            below: (*below).to_owned(),
            volume: (*volume).to_owned(),
            path: (*path).to_owned(),
        };
        Standing {
            folders: folders.split_whitespace().map(above).collect(),
            regions: regions.iter().map(region).collect(),
            is_certain: true,
        }
    }

    #[test]
    fn a_mark_tells_which_place_is_in_which() {
        let texts = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (up, below, expected) in [
            ("", "", Some(("", ""))),
            ("in", "", Some(("", "in"))),
            ("", "new", Some(("new", ""))),
            ("x", "x new", Some(("new", ""))),
            ("x y", "x", Some(("", "y"))),
            ("x", "y", None),
        ] {
            let mark = Mark { name: "m".to_owned(), folder: Vec::new(), below: texts(below) };
            let found = seen_above(&texts(up), &mark);
            let found = found.as_ref().map(|shared| (&*shared.first, &*shared.second));
            assert_eq!(found, expected, "{up} {below}");
        }
    }

    #[test]
    fn what_is_in_two_places_is_found_by_folders_and_by_mounts() {
        let check = |first: &Standing, second: &Standing, expected: &[(&str, &str)]| {
            let of = |found: Vec<Shared>| -> Vec<(String, String)> {
                found.into_iter().map(|shared| (shared.first, shared.second)).collect()
            };
            let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
            let expected: Vec<_> = expected.iter().map(owned).collect();
            assert_eq!(of(shared(first, second)), expected);
            let turned: Vec<_> = expected.into_iter().map(|(a, b)| (b, a)).collect();
            assert_eq!(of(shared(second, first)), turned);
        };
        let a = standing("a=3 w=2 =1", &[("", "8:1", "/w/a")]);
        check(&a, &standing("b=4 w=2 =1", &[("", "8:1", "/w/b")]), &[]);
        // One in the other, there or to be made.
        check(&a, &standing("c=5 b=4 a=3 w=2 =1", &[("", "8:1", "/w/a/b/c")]), &[("b/c", "")]);
        check(&a, &standing("c b a=3 w=2 =1", &[]), &[("b/c", "")]);
        check(&a, &standing("c b w=2 =1", &[]), &[]);
        // The same, by another path or by mounts alone.
        check(&a, &standing("x=3 w=2 =1", &[("", "8:1", "/w/a")]), &[("", "")]);
        check(&a, &standing("x=9 y=8", &[("", "8:1", "/w/a")]), &[("", "")]);
        check(&a, &standing("x=9 y=8", &[("", "8:1", "/w/ab")]), &[]);
        check(&a, &standing("x=9 y=8", &[("", "8:2", "/w/a")]), &[]);
        // A mount leads from inside the second place into the first, or around it.
        let mounts = [("", "8:2", "/"), ("in/m", "8:1", "/w/a/deep")];
        check(&a, &standing("x=9 =8", &mounts), &[("deep", "in/m")]);
        check(&a, &standing("x=9 =8", &[("", "8:2", "/"), ("m", "8:1", "/")]), &[("", "m/w/a")]);
    }
}
