//! The object: found, read, and written again.
//!
//! # Two processes
//!
//! Where a remote replaces an object only if it still is the one that was read, the one that comes second reads what the
//! first has written, takes it in, and writes both. Where a name can be there twice (1fichier) nothing is asked first: each
//! stores its own and removes the one it had read, so both stay, and whoever reads next takes in all there are and leaves
//! one. Either way nothing that a process wrote is lost; what one removed can come back if the other did not know of it.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use ketch_core::source::{BytesSource, collect};
use ketch_core::{
    Backend, Entry, Error, ErrorKind, Expect, ListOptions, PutOptions, ReadOptions, RelPath, Result,
};

use crate::format::{self, FormatError, OBJECT_MAX};
use crate::records::Records;
use crate::view::NAME;

/// How often an object that others replace at the same time is written.
const STORE_TRIES: usize = 4;
/// The most objects that are remembered to be replaced by the next one.
const OBJECTS_MAX: usize = 64;
/// For so long it is remembered that something was removed.
const GONE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is known of the object.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// It was looked for.
    is_looked_for: bool,
    /// What the next one replaces.
    objects: Vec<Entry>,
    /// At least one was read, or written.
    pub(crate) is_read: bool,
    /// One that cannot be read, and why.
    unread: Option<(Entry, FormatError)>,
    /// The last attempt to write was not heard of to its end.
    is_unsure: bool,
}

impl Book {
    /// Why what is there may hold more than is known; `None` = it does not.
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

    /// Looks for the object, unless that is done, and reads it. `listed` is the listing of the root, if somebody has it.
    ///
    /// Errors: those of the remote. An object that makes no sense is told of and is none.
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
            // Another process has replaced it: what it wrote is listed, or will be.
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

    /// Replaces the object by one of what `records` gives, which is asked each time, and is handed what others wrote.
    ///
    /// Errors: those of the remote; `Unsupported` where the one that is there must not be replaced.
    ///
    /// CANCEL: dropped, the old one is there or the new one, or both, and the next look takes in all.
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

    /// One that is damaged is put aside, so that somebody may look at it.
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

/// The records of an object, or why it is none; the outer error is the remote's.
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

/// Does a catalogue of another root hold what no listing shows? One that was put aside holds nothing; of one that makes no
/// sense nobody knows.
pub(crate) async fn holds_anything(inner: &dyn Backend, entry: &Entry) -> Result<bool> {
    if entry.path.name() != Some(NAME) {
        return Ok(false);
    }
    match read(inner, entry).await? {
        Ok(records) => Ok(records.iter().any(|(_, record)| record.fact.content().is_some())),
        Err(_) => Ok(true),
    }
}

/// A catalogue of `records`, without what is old enough to be forgotten.
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
