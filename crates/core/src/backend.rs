//! The trait every place implements, and the options of its methods.
//!
//! A backend is opened at a *root* (a folder of a remote); all paths are relative to it. It knows nothing of jobs, plans or
//! the engine. Middleware is only ever a backend around a backend (see [`crate::layer`]).
//!
//! Three decisions shape the trait. `put` *pulls* from a source that can be opened again, so a retry can always start anew
//! and there is no writer object that can be left half-open. `read`, `delete`, `copy` and `rename` take the [`Entry`] that
//! was seen and not a path, so a remote that works with ids needs no second look-up and the version seen travels along.
//! A listing is a stream whose end means *complete*: any error means that it is not, and nothing may be concluded from
//! what is missing in it.
//!
//! All futures and streams may be dropped at any time. What holds after a drop is written at each method.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::bill::{Bill, Work};
use crate::capabilities::Capabilities;
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::path::RelPath;
use crate::services::Services;
use crate::source::{Body, ByteStream};

/// A place that holds files.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What a person calls this place, for messages: `work:photos`, `/home/me/docs`. Never holds a secret.
    fn name(&self) -> &str;

    /// What this place can do. No I/O; the same answer for the life of the backend.
    fn capabilities(&self) -> &Capabilities;

    /// Where this place is, in a form that two backends can be compared by: equal when they are the same folder, and
    /// one a `/`-prefix of the other when one is inside the other. Never holds a secret.
    fn location(&self) -> String;

    /// Which folder the root is at this moment, looked up anew by its path: another text when another folder has taken its
    /// place, as when a disk is mounted or unmounted there. `None`: it cannot be told.
    ///
    /// Errors: `NotFound` when nothing is there.
    async fn root_identity(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// The options of this place that decide what its listings show, as a text to be compared. No I/O.
    fn view_options(&self) -> String {
        String::new()
    }

    /// Backends with equal scopes accept each other's entries in [`Backend::copy`] and [`Backend::rename`] (two folders of
    /// one account). `None`: only this very backend's own entries.
    fn scope(&self) -> Option<&str> {
        None
    }

    /// `entry`, which this backend listed, in the form in which every other backend of this machine's disks takes it in
    /// [`Backend::copy`]. `None`: nobody but this backend can use it.
    fn lend(&self, _entry: &Entry) -> Option<Entry> {
        None
    }

    /// What is at `path`. The root is a folder if it exists, and a *file* entry if the backend was opened at a file: the
    /// caller then opens the parent.
    ///
    /// Errors: `NotFound` when nothing is there.
    async fn stat(&self, path: &RelPath) -> Result<Entry>;

    /// The entries directly in the folder `dir`, complete or ending in an error. Duplicates of one name are all shown.
    /// Links that are neither followed nor kept, sockets and the like are shown as [`crate::EntryKind::Special`].
    ///
    /// Errors: `NotFound` when the folder is not there.
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream;

    /// The content of `entry`, or a range of it. A range must lie within the size.
    ///
    /// Errors, in the result or within the stream: `Changed` when the object is not the version in `entry`, also when
    /// it changes while it is read; `NotFound`; `Corrupt` when fewer or more bytes came than were asked for.
    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream>;

    /// Stores `body` at `path` and returns what is there now, with every digest the remote reports. Folders above it are
    /// made as needed. Atomic: at any time, and after a failure or a drop, a reader finds the whole body or what was
    /// there before. A body that ends early or late fails with the source's error and stores nothing.
    ///
    /// Errors: `Changed` when the remote can see that `options.expect` does not hold; `CommitUnknown` when the
    /// completing request failed; `Quota`; `Unsupported` for bodies the capabilities exclude.
    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry>;

    /// Removes a file, or a folder if it is empty. Removing what is gone already is success.
    ///
    /// Errors: `InvalidInput` for a folder that is not empty; `Changed` for a file that is not the version in `entry`,
    /// if the remote can tell.
    async fn delete(&self, entry: &Entry) -> Result<()>;

    /// Makes a folder and those above it. A folder that is there already is success.
    ///
    /// Errors: `AlreadyExists` when a file has that name.
    async fn make_dir(&self, _path: &RelPath) -> Result<()> {
        Err(Error::unsupported("make folder"))
    }

    /// The same with at most these permissions, for each folder that is made and whatever it is made for
    /// ([`crate::MODE_MASK`]); its owner may always use it. Where no permissions are kept they do not matter.
    async fn make_dir_with(&self, path: &RelPath, _mode: u32) -> Result<()> {
        self.make_dir(path).await
    }

    /// Copies a file within the remote, without moving its bytes through this machine. Replaces what is at `to`, as
    /// atomically as `put` does.
    async fn copy(&self, _from: &Entry, _to: &RelPath, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("copy"))
    }

    /// Moves a file or a folder within the remote. A file replaces what is at `to`; a folder does not.
    async fn rename(&self, _from: &Entry, _to: &RelPath) -> Result<Entry> {
        Err(Error::unsupported("rename"))
    }

    /// What an earlier, interrupted `put` or `copy` to `path` with this checkpoint has of the content: its first bytes, already
    /// at the destination, proven unchanged since they were received. A `put` with this checkpoint then takes them as they
    /// are and needs them only to be read. `None`: nothing, or nothing that can be proven.
    async fn kept(&self, _path: &RelPath, _checkpoint: &Checkpoint) -> Result<Option<Body>> {
        Ok(None)
    }

    /// Removes what an earlier, interrupted `put` or `copy` to `path` with this checkpoint left behind, because nobody will go on
    /// with it. What is at `path` itself stays. Nothing left is success.
    async fn abandon(&self, _path: &RelPath, _checkpoint: &Checkpoint) -> Result<()> {
        Ok(())
    }

    /// Takes a file away from the place that lent it ([`Backend::lend`]) and gives it the name `to` here, in one step: it stays
    /// the same object, with its other names, its owner and everything else it has, and needs no room. `options.expect` says
    /// what may be replaced.
    ///
    /// Errors: `Unsupported` when it cannot be done in one step, and then nothing has changed; `Changed` when either file is not
    /// the version that was listed.
    async fn take(&self, _lent: &Entry, _to: &RelPath, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("take"))
    }

    /// Sets the modification time of a file that exists, and returns what is there now. Of a folder, which is taken as it is
    /// now, where [`Capabilities::dir_times`] says so.
    async fn set_mtime(&self, _entry: &Entry, _mtime: SystemTime) -> Result<Entry> {
        Err(Error::unsupported("set time"))
    }

    /// What the folder held when it was last listed, where the remote has found out for less than a listing costs that all
    /// files of it are still there unchanged. `None`: list it.
    ///
    /// Others may have moved something since, so it can show that nothing is to be done and nothing else: whoever finds
    /// something missing, extra or different lists the folder.
    async fn recall(&self, _dir: &RelPath) -> Option<Vec<Entry>> {
        None
    }

    /// Sets the permission bits that are kept beside a file that exists ([`crate::MODE_MASK`]), and returns what is there now.
    /// Where the capabilities say that permissions are narrowed: takes those away from a file or folder that are not among
    /// `mode`. Only where the capabilities say one of both.
    async fn set_mode(&self, _entry: &Entry, _mode: u32) -> Result<Entry> {
        Err(Error::unsupported("set permissions"))
    }

    /// The files of this place for calls that block, if reading them costs no network. No I/O; a layer that counts, slows
    /// down or changes what is read gives `None` or its own.
    fn disk(&self) -> Option<Arc<dyn Disk>> {
        None
    }

    /// What names of this place lead to, where the same thing may be reached in two ways: on the disks of this machine. No I/O.
    /// `None`: only the entries' handles tell.
    fn identities(&self) -> Option<Arc<dyn Identities>> {
        None
    }

    /// What so much work costs in calls and in time, for a person who waits. No I/O. `None`: nothing worth telling.
    fn bill(&self, _work: &Work) -> Option<Bill> {
        None
    }

    /// What this remote can do beside holding files; `None` = nothing. No layer stands around it: a call waits for its turn
    /// and is not repeated.
    fn services(&self) -> Option<Arc<dyn Services>> {
        None
    }

    /// Why empty files and links that are here may be missing from what this place has listed so far; `None` = nothing may
    /// be. Whoever deletes what this place lacks leaves those alone then. No I/O.
    fn doubt(&self) -> Option<String> {
        None
    }

    /// Stores what the backend knows of what it did and has not stored yet: facts beside the content (times, permissions,
    /// digests), never content. Called at the end of a job, and of a command, whether it went well or not. Calling it twice
    /// is fine.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// How much room there is.
    async fn usage(&self) -> Result<Usage> {
        Err(Error::unsupported("usage"))
    }

    /// Ends what the backend keeps open. Calling it twice is fine.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Options of [`Backend::list`].
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// The caller is a job that may change what is here. Then a backend may first make a change in this folder that an earlier
    /// job decided on and could not make.
    pub may_change: bool,
}

/// Options of [`Backend::read`].
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The bytes wanted; `None` = all.
    pub range: Option<Range<u64>>,
}

/// Options of [`Backend::put`] and [`Backend::copy`].
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// The modification time to store, if the remote keeps one.
    pub mtime: Option<SystemTime>,
    /// The permission bits to store with a new file, if the remote keeps any ([`crate::MODE_MASK`]).
    pub mode: Option<u32>,
    /// What is stored is a symbolic link, and the body is what it points to. Only where the capabilities have links.
    pub is_link: bool,
    /// What the caller knows to be at the path now.
    pub expect: Expect,
    /// What must be proven of what was stored.
    pub proof: Proof,
    /// How this transfer is gone on with when its process dies. `None`: it is not, and nothing is left behind that a
    /// later process would look for.
    pub checkpoint: Option<Checkpoint>,
    /// Where a `copy` shows how many bytes of the content are at the destination so far. `None`: the caller does not watch.
    pub progress: Option<Arc<AtomicU64>>,
    /// Where a `put` or a `copy` says how many bytes of the content the destination had from an earlier try, so that they were
    /// not moved again. `None`: the caller does not ask.
    pub kept: Option<Arc<AtomicU64>>,
}

/// What a caller wants to have proven of what a [`Backend::put`] stored. A remote may prove more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// That it has the digest of what was sent, where the remote shows one.
    #[default]
    Digest,
    /// That it has the size of what was sent. Spares the time that a digest takes, as long as it is clear what became of the
    /// body; what is looked for because that is not clear is still recognised by its digest.
    Size,
}

/// What a caller knows to be at a path before it is written. It is a precondition where the remote can check it, and
/// saves a remote that must list a folder to find a name from doing so.
#[derive(Debug, Clone, Default)]
pub enum Expect {
    /// Nothing is known: whatever is there is replaced.
    #[default]
    Anything,
    /// A completed listing showed nothing of that name.
    Absent,
    /// A completed listing showed this entry, which is replaced.
    Entry(Box<Entry>),
}

/// How much room a remote has, in bytes. Unknown is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Room in all.
    pub total: Option<u64>,
    /// Room taken.
    pub used: Option<u64>,
    /// Room left.
    pub free: Option<u64>,
}
