//! Finds, reads and writes the catalogue's object.
//!
//! # Two processes
//!
//! If the remote replaces an object only if it still is the one that was read, the second process reads what the first has
//! written, merges it, and writes both. If a name can exist twice (1fichier), there is no such check: each process stores
//! its own object and removes the one it had read. Both new objects stay, and the next process that reads merges all of
//! them and leaves one. Either way nothing that a process wrote is lost; a record that one process removed can come back if
//! the other did not know of the removal.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use ketch_core::source::{BytesSource, collect};
use ketch_core::{
    Backend, Entry, Error, ErrorKind, Expect, ListOptions, PutOptions, ReadOptions, RelPath, Result,
};

use crate::format::{self, FormatError, OBJECT_MAX};
use crate::records::Records;
use crate::view::NAME;

/// How often an object is written that other processes replace at the same time.
const STORE_TRIES: usize = 4;
/// The most objects that are remembered to be replaced by the next one.
const OBJECTS_MAX: usize = 64;
/// How long a removal is remembered.
const GONE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is known about the object.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// It was looked for.
    is_looked_for: bool,
    /// The objects that the next one replaces.
    objects: Vec<Entry>,
    /// At least one was read, or written.
    pub(crate) is_read: bool,
    /// An object that cannot be read, and why.
    unread: Option<(Entry, FormatError)>,
    /// It is not known whether the last attempt to write succeeded.
    is_unsure: bool,
}

impl Book {
    /// Why the object may hold more records than are known; `None` = it does not.
    pub(crate) fn doubt(&self) -> Option<String> {
        match &self.unread {
            Some((_, error)) => Some(format!("its catalogue was not read: {error}")),
            None if self.is_read => None,
            None => Some("it has no catalogue".to_owned()),
        }
    }

    /// The folder is gone, and the object with it.
    pub(crate) fn begin_anew(&mut self) {
        *self = Book { is_looked_for: true, is_read: true, ..Book::default() };
    }

    /// Looks for the object, unless that is done, and reads it. `listed` is the listing of the root, if the caller has it.
    ///
    /// Errors: those of the remote. An object that cannot be parsed is reported, and counts as missing.
    pub(crate) async fn look(
        &mut self,
        inner: &dyn Backend,
        listed: Option<&[Entry]>,
    ) -> Result<Records> {
        let mut found = Records::default();
        let fresh;
        let listed = match listed {
            Some(listed) => listed,
            None if self.is_looked_for && !self.is_unsure => return Ok(found),
            None => {
                fresh = list_root(inner).await?;
                &fresh
            }
        };
        let is_known = |book: &Book, entry: &Entry| {
            let known = book.objects.iter().chain(book.unread.as_ref().map(|(entry, _)| entry));
            let mut known = known;
            known.any(|known| known.handle == entry.handle && known.version == entry.version)
        };
        for entry in listed {
            let is_one = entry.is_file() && entry.path.as_str() == NAME;
            if is_one && self.objects.len() < OBJECTS_MAX && !is_known(self, entry) {
                self.take_in(inner, entry, &mut found).await?;
            }
        }
        self.is_looked_for = true;
        self.is_unsure = false;
        Ok(found)
    }

    async fn take_in(
        &mut self,
        inner: &dyn Backend,
        entry: &Entry,
        found: &mut Records,
    ) -> Result<()> {
        let read = match read(inner, entry).await {
            Ok(read) => read,
            // Another process has replaced it: its object is listed, or will be.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Changed) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match read {
            Ok(records) => {
                found.merge(records);
                self.objects.push(entry.clone());
                self.is_read = true;
            }
            Err(error) => {
                let name = inner.name();
                tracing::warn!("the catalogue of {name} is not used: {error}");
                self.unread = Some((entry.clone(), error));
            }
        }
        Ok(())
    }

    /// Replaces the object by one with the records that `records` returns. It is called at each attempt, with the records
    /// that other processes wrote.
    ///
    /// Errors: those of the remote; `Unsupported` where the one that is there must not be replaced.
    ///
    /// CANCEL: when it is dropped, the old object, the new one or both are there, and the next read merges all of them.
    pub(crate) async fn store(
        &mut self,
        inner: &dyn Backend,
        mut records: impl FnMut(Records) -> Result<Vec<u8>>,
    ) -> Result<()> {
        self.make_way(inner).await?;
        let path = own_path(NAME);
        for left in (0..STORE_TRIES).rev() {
            let others = match self.is_unsure {
                true => self.look(inner, None).await?,
                false => Records::default(),
            };
            let bytes = records(others)?;
            let expect = match self.objects.last() {
                Some(entry) => Expect::Entry(Box::new(entry.clone())),
                None => Expect::Absent,
            };
            self.is_unsure = true;
            let options = PutOptions { expect, ..PutOptions::default() };
            match inner.put(&path, BytesSource::body(bytes), options).await {
                Ok(stored) => {
                    self.is_unsure = false;
                    self.is_read = true;
                    // The last one was replaced; there are others only after two processes wrote at the same time.
                    self.objects.pop();
                    let others = std::mem::replace(&mut self.objects, vec![stored]);
                    for other in others {
                        if let Err(error) = inner.delete_one(&other).await {
                            tracing::debug!(%error, "an old catalogue stays");
                            self.objects.insert(0, other);
                        }
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Changed && left > 0 => {
                    self.objects.clear();
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Changed, "others replace the catalogue all the time"))
    }

    /// A damaged object is renamed and kept, so that a person can examine it.
    async fn make_way(&mut self, inner: &dyn Backend) -> Result<()> {
        let Some((entry, error)) = &self.unread else { return Ok(()) };
        let refuse = |message| Err(Error::new(ErrorKind::Unsupported, message));
        if !matches!(error, FormatError::Damaged(_)) {
            return refuse(format!("the catalogue {NAME} stays as it is: {error}"));
        }
        if !inner.capabilities().rename {
            return refuse(format!("the catalogue {NAME} must be removed first: {error}"));
        }
        let aside = own_path(&format!(".ketch-catalog.damaged-{}.zst", now()));
        inner.rename(entry, &aside).await?;
        tracing::warn!("the damaged catalogue of {} is {aside} now", inner.name());
        self.unread = None;
        Ok(())
    }
}

async fn list_root(inner: &dyn Backend) -> Result<Vec<Entry>> {
    let listing = inner.list(&RelPath::root(), ListOptions::default()).try_collect().await;
    match listing {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// The records of an object, or why it is not a catalogue; the outer error is the remote's.
async fn read(inner: &dyn Backend, entry: &Entry) -> Result<Result<Records, FormatError>> {
    if entry.size.is_none_or(|size| size > OBJECT_MAX) {
        return Ok(Err(FormatError::TooLarge("bytes")));
    }
    let stream = match inner.read(entry, ReadOptions::default()).await {
        Ok(stream) => stream,
        // That does not pass, and the files beside it are there all the same.
        Err(error) if error.kind() == ErrorKind::Denied => {
            return Ok(Err(FormatError::Denied(error.message().to_owned())));
        }
        Err(error) => return Err(error),
    };
    // The size was listed, and more than it never comes.
    let bytes = collect(stream, usize::try_from(OBJECT_MAX).unwrap_or(usize::MAX)).await?;
    Ok(format::decode(&bytes))
}

/// Does a catalogue of another root hold entries that no listing shows? A catalogue that was renamed as damaged holds none;
/// for one that cannot be parsed it is not known.
pub(crate) async fn holds_anything(inner: &dyn Backend, entry: &Entry) -> Result<bool> {
    if entry.path.name() != Some(NAME) {
        return Ok(false);
    }
    match read(inner, entry).await? {
        Ok(records) => Ok(records.iter().any(|(_, record)| record.fact.content().is_some())),
        Err(_) => Ok(true),
    }
}

/// A catalogue of `records`, without removals that are old enough to be forgotten.
pub(crate) fn write(records: &mut Records) -> Result<Vec<u8>> {
    records.forget_gone_before(now().saturating_sub(GONE_KEPT.as_millis() as u64));
    format::encode(records).map_err(|error| {
        Error::new(ErrorKind::Io, "the catalogue could not be compressed").with_source(error)
    })
}

fn own_path(name: &str) -> RelPath {
    // Never fails: it is a name without a slash.
    RelPath::new(name).unwrap_or_else(|_| RelPath::root())
}

/// Milliseconds since 1970. A clock before that, or one that was set back, costs no more than the order of two records.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
