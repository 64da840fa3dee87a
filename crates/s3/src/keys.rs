//! Where a path is: a bucket and a key in it.

use ketch_core::{Entry, Error, ErrorKind, RelPath, Result};

use crate::names;

/// The root of an opened place: a folder of a bucket, a bucket, or all buckets of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root(RelPath);

/// An object, or a folder when the key is empty or ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Root {
    /// Errors: `InvalidInput` when `text` is no path.
    pub(crate) fn new(text: &str) -> Result<Root> {
        let root = RelPath::from_user(text);
        root.map(Root).map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))
    }

    /// Is it all buckets of the account?
    pub(crate) fn is_account(&self) -> bool {
        self.0.is_root()
    }

    pub(crate) fn path(&self) -> &RelPath {
        &self.0
    }

    /// Where a file of that path is.
    ///
    /// Errors: `InvalidInput` when that is no place for a file: the account, or the name of a bucket.
    pub(crate) fn file(&self, path: &RelPath) -> Result<Place> {
        let place = self.place(path)?;
        match place.key.is_empty() {
            false => Ok(place),
            true => {
                Err(Error::new(ErrorKind::InvalidInput, "a file needs a bucket and a name in it"))
            }
        }
    }

    /// Where the object of an entry is, which may be one of another folder of the same service: where it was listed.
    pub(crate) fn of(&self, entry: &Entry) -> Result<Place> {
        match entry.handle.as_deref().and_then(|handle| handle.split_once('/')) {
            Some((bucket, key)) => Ok(Place { bucket: bucket.to_owned(), key: key.to_owned() }),
            None => self.file(&entry.path),
        }
    }

    /// Where a folder is: its key is empty or ends in `/`.
    ///
    /// Errors: `InvalidInput` for the account itself.
    pub(crate) fn folder(&self, path: &RelPath) -> Result<Place> {
        let mut place = self.place(path)?;
        if !place.key.is_empty() {
            place.key.push('/');
        }
        Ok(place)
    }

    fn place(&self, path: &RelPath) -> Result<Place> {
        let whole = self.0.join_path(path);
        let mut parts = whole.parts();
        let Some(bucket) = parts.next() else {
            let text = "the name of a bucket is missing: `s3:BUCKET/PATH`";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        };
        let key: Vec<_> = parts.map(names::to_key).collect();
        Ok(Place { bucket: bucket.to_owned(), key: key.join("/") })
    }
}

/// What an entry keeps of where its object is.
pub(crate) fn handle(bucket: &str, key: &str) -> Box<str> {
    format!("{bucket}/{key}").into()
}

/// The path below the folder with the key `prefix` that a key stands for; `None` when no path can hold it.
pub(crate) fn path_of(key: &str, prefix: &str) -> Option<RelPath> {
    let below = key.strip_prefix(prefix)?;
    let names: Option<Vec<_>> = below.split('/').map(names::to_core).collect();
    RelPath::new(&names?.join("/")).ok().filter(|path| !path.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keys_below_the_root_and_back() {
        let root = Root::new("bucket/a b").expect("a path");
        let path = RelPath::new("c/d").expect("a path");
        let place = root.file(&path).expect("a place");
        assert_eq!((place.bucket.as_str(), place.key.as_str()), ("bucket", "a b/c/d"));
        assert_eq!(root.folder(&path).expect("a place").key, "a b/c/d/");
        assert_eq!(path_of("a b/c/d", "a b/"), Some(path));
        for key in ["a b/c//d", "a b/", "a b//c", "a b/./c", "a b/../c", "other/c"] {
            assert_eq!(path_of(key, "a b/"), None, "{key}");
        }
        let account = Root::new("").expect("a path");
        assert!(account.is_account());
        assert!(account.folder(&RelPath::root()).is_err());
        assert!(account.file(&RelPath::new("bucket").expect("a path")).is_err());
        assert_eq!(account.file(&RelPath::new("b/x").expect("a path")).expect("a place").key, "x");
    }
}
