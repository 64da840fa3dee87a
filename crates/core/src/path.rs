//! Paths relative to the root of a remote, and the one order in which they are sorted.
//!
//! A path knows nothing of the operating system: its components are joined with `/`, are valid UTF-8, and are never empty,
//! `.` or `..`. What a disk or a service calls its names is translated at the edge (see [`crate::names`]), so that
//! no joined path can ever leave the root it is relative to.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A path below the root of a remote. The root itself is the empty path. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath(Arc<str>);

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A component between two slashes was empty (also: a leading or trailing slash).
    #[error("`{0}` has an empty part")]
    EmptyPart(String),
    /// A component was `.` or `..`, which could leave the root.
    #[error("`{0}` has a part `.` or `..`")]
    DotPart(String),
    /// The text has a NUL character, which no file system takes.
    #[error("`{0}` has a NUL character")]
    Nul(String),
    /// A single name had a slash in it.
    #[error("the name `{0}` has a slash")]
    Slash(String),
}

impl RelPath {
    /// The root: the empty path.
    pub fn root() -> Self {
        RelPath(Arc::from(""))
    }

    /// Checks that `text` is a path in canonical form. `""` is the root.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if !text.is_empty() {
            text.split('/').try_for_each(|part| check_name(part, text))?;
        }
        Ok(RelPath(Arc::from(text)))
    }

    /// Reads a path as a person types it: leading, trailing and doubled slashes and `.` components mean nothing;
    /// `..` is refused, because it could leave the root.
    pub fn from_user(text: &str) -> Result<Self, PathError> {
        let parts: Vec<&str> =
            text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        Self::new(&parts.join("/"))
    }

    /// The path as text, without a leading or trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is this the root?
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        if self.is_root() { None } else { self.0.rsplit('/').next() }
    }

    /// The folder that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<RelPath> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.rfind('/') {
            Some(at) => RelPath(Arc::from(&self.0[..at])),
            None => RelPath::root(),
        })
    }

    /// The path of `name` in this folder. Fails when `name` is not a single legal name.
    pub fn join(&self, name: &str) -> Result<RelPath, PathError> {
        if name.contains('/') {
            return Err(PathError::Slash(name.to_owned()));
        }
        check_name(name, name)?;
        Ok(self.join_checked(name))
    }

    /// The path of `below` under this folder.
    pub fn join_path(&self, below: &RelPath) -> RelPath {
        if below.is_root() { self.clone() } else { self.join_checked(below.as_str()) }
    }

    fn join_checked(&self, rest: &str) -> RelPath {
        // Listings make millions of paths, and nearly all are short: those cost one allocation.
        const SHORT_BYTES: usize = 256;
        let length = self.0.len() + 1 + rest.len();
        if self.is_root() {
            return RelPath(Arc::from(rest));
        }
        let mut short = [0; SHORT_BYTES];
        if length <= SHORT_BYTES {
            short[..self.0.len()].copy_from_slice(self.0.as_bytes());
            short[self.0.len()] = b'/';
            short[self.0.len() + 1..length].copy_from_slice(rest.as_bytes());
        }
        if let (true, Ok(text)) =
            (length <= SHORT_BYTES, std::str::from_utf8(&short[..length.min(SHORT_BYTES)]))
        {
            RelPath(Arc::from(text))
        } else {
            let mut text = String::with_capacity(length);
            text.push_str(&self.0);
            text.push('/');
            text.push_str(rest);
            RelPath(Arc::from(text))
        }
    }

    /// The components from the top; none for the root.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// How many components the path has; 0 for the root.
    pub fn depth(&self) -> usize {
        self.parts().count()
    }

    /// Is this path `dir` itself or below it?
    pub fn is_within(&self, dir: &RelPath) -> bool {
        dir.is_root()
            || self
                .0
                .strip_prefix(dir.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path relative to `dir`; `None` when it is not within it.
    pub fn relative_to(&self, dir: &RelPath) -> Option<RelPath> {
        if !self.is_within(dir) {
            return None;
        }
        let rest = &self.0[dir.0.len()..];
        Some(RelPath(Arc::from(rest.strip_prefix('/').unwrap_or(rest))))
    }

    /// The folders above this path, the root first; not the path itself.
    pub fn ancestors(&self) -> impl Iterator<Item = RelPath> + '_ {
        let root = (!self.is_root()).then(RelPath::root);
        root.into_iter()
            .chain(self.0.match_indices('/').map(|(at, _)| RelPath(Arc::from(&self.0[..at]))))
    }
}

fn check_name(part: &str, whole: &str) -> Result<(), PathError> {
    match part {
        "" => Err(PathError::EmptyPart(whole.to_owned())),
        "." | ".." => Err(PathError::DotPart(whole.to_owned())),
        _ if part.contains('\0') => Err(PathError::Nul(whole.to_owned())),
        _ => Ok(()),
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl serde::Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        RelPath::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Compares two entries in the canonical order: the byte order of the *sort key*. The sort key of a file is its path, that of
/// a folder its path and `/`.
///
/// That is the order of flat listings of object stores, and also the order of a depth-first walk in which the
/// children of each folder are sorted by sort key. So a disk and a bucket can be joined without collecting either.
pub fn compare_keys(left: (&str, bool), right: (&str, bool)) -> Ordering {
    compare_key_bytes((left.0.as_bytes(), left.1), (right.0.as_bytes(), right.1))
}

/// [`compare_keys`] for texts given as bytes.
pub(crate) fn compare_key_bytes(left: (&[u8], bool), right: (&[u8], bool)) -> Ordering {
    fn key((path, is_dir): (&[u8], bool)) -> impl Iterator<Item = &u8> {
        path.iter().chain(if is_dir { b"/".iter() } else { b"".iter() })
    }
    let common = left.0.len().min(right.0.len());
    // A comparison of slices is many times faster than one of iterators, and nearly always decides.
    let (left_start, right_start) = (&left.0[..common], &right.0[..common]);
    left_start.cmp(right_start).then_with(|| key(left).cmp(key(right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a legal path")
    }

    #[test]
    fn only_canonical_paths_are_accepted() {
        for good in ["", "a", "a/b", "a b/c.d", "...", "é/ü", "-", "a\nb"] {
            assert_eq!(path(good).as_str(), good);
        }
        for bad in ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn what_a_person_types_is_made_canonical() {
        let check = |input: &str, expected: &str| {
            assert_eq!(RelPath::from_user(input).expect("legal").as_str(), expected);
        };
        check("/a//b/./c/", "a/b/c");
        check("", "");
        check("/", "");
        assert!(RelPath::from_user("a/../b").is_err());
    }

    #[test]
    fn names_parents_and_prefixes() {
        assert_eq!(path("a/b/c").name(), Some("c"));
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert!(path("a/b").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(path("a/b/c").relative_to(&path("a")), Some(path("b/c")));
        assert_eq!(path("a").relative_to(&path("a")), Some(RelPath::root()));
        let above: Vec<_> = path("a/b/c").ancestors().collect();
        assert_eq!(above, [RelPath::root(), path("a"), path("a/b")]);
        assert!(path("a").join("b/c").is_err());
        assert!(path("a").join("..").is_err());
    }

    #[test]
    fn a_folder_sorts_as_if_its_name_ended_in_a_slash() {
        let check = |left, right, expected| assert_eq!(compare_keys(left, right), expected);
        check(("a", true), ("a.txt", false), Ordering::Greater);
        check(("a", true), ("a0", false), Ordering::Less);
        check(("a", false), ("a", true), Ordering::Less);
        check(("a/b", false), ("a", true), Ordering::Greater);
        check(("a", true), ("a", true), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_key_bytes(
            left in "[a-c./]{0,6}", left_dir: bool, right in "[a-c./]{0,6}", right_dir: bool,
        ) {
            let key = |text: &str, dir: bool| if dir { format!("{text}/") } else { text.to_owned() };
            let expected = key(&left, left_dir).into_bytes().cmp(&key(&right, right_dir).into_bytes());
            prop_assert_eq!(compare_keys((&left, left_dir), (&right, right_dir)), expected);
        }
    }
}
