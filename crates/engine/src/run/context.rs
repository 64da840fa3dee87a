//! What a job is made of, and what is known before its first item: read by every part of the job and changed by none.

use std::sync::OnceLock;

use ketch_core::Disk;

use super::overlap::Overlap;
use super::*;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) kind: JobKind,
    pub(super) source: Arc<dyn Backend>,
    pub(super) destination: Arc<dyn Backend>,
    pub(super) settings: Arc<Settings>,
    pub(super) stop: Stop,
    /// Set by an error after which the rest of the job cannot succeed.
    pub(super) abort: CancellationToken,
    pub(super) progress: Progress,
    /// The plan was made by an earlier process or comes from a file: an item is done only if both sides are as planned.
    pub(super) is_strict: bool,
    /// See [`Rules::remembered`].
    pub(super) remembered: Option<HashAlgo>,
    /// How the destination stores modification times, as far as it was known when the job began.
    pub(super) clock: Clock,
    /// Do equal versions prove equal contents, at both sides? See [`Disk::proves_versions`].
    pub(super) proves_versions: bool,
    /// Where the two sides overlap; found out before anything else is done.
    pub(super) overlap: OnceLock<Overlap>,
}

impl Context {
    /// Is no new item to be started?
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_stopping() || self.abort.is_cancelled()
    }

    /// Ends when no new item is to be started.
    pub(super) async fn stopping(&self) {
        tokio::select! {
            () = self.stop.stopping() => {}
            () = self.abort.cancelled() => {}
        }
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            settings: &self.settings,
            delete_extra: self.kind == JobKind::Sync,
            remove_source: self.kind == JobKind::Move,
            source: self.source.capabilities(),
            destination: self.destination.capabilities(),
            remembered: self.remembered,
            clock: self.clock,
        }
    }

    /// Does the job record which version became which? Only if every file is transferred again, and not in a move, because
    /// a move must also remove the source. And only if an equal version proves equal content.
    pub(super) fn remembers_arrivals(&self) -> bool {
        self.settings.compare == Compare::IgnoreTimes
            && self.kind != JobKind::Move
            && self.proves_versions
    }

    /// Does `path` of the destination lead to something of the source, by another name? Then nothing is changed there.
    pub(super) fn is_owned(&self, path: &RelPath) -> bool {
        self.overlap.get().is_some_and(|overlap| overlap.owns(path))
    }

    /// Does something at, above or below `path` of the destination lead to an entry of the source?
    pub(super) fn owns_below(&self, path: &RelPath) -> bool {
        self.is_owned(path) || self.overlap.get().is_some_and(|overlap| overlap.has_below(path))
    }
}

/// The digest by which files are compared if both sides show none in common and both sides' were remembered.
pub(super) async fn remembered_digest(
    settings: &Settings,
    source: &Arc<dyn Backend>,
    destination: &Arc<dyn Backend>,
) -> Option<HashAlgo> {
    let has_common = source.capabilities().common_hash(destination.capabilities()).is_some();
    match settings.compare {
        Compare::Checksum if !has_common => {
            let places = [source, destination].map(Place::new);
            settings.digests.common_remembered([&places[0], &places[1]], None).await
        }
        _ => None,
    }
}

/// Do equal versions prove equal contents, at both sides? A remote that is not a disk sets its versions itself.
pub(super) async fn prove_versions(sides: [&Arc<dyn Backend>; 2]) -> bool {
    let disks = sides.map(|side| side.disk());
    let prove =
        move |_: &_| Ok(disks.iter().flatten().all(|disk: &Arc<dyn Disk>| disk.proves_versions()));
    blocking(prove).await.unwrap_or(false)
}

/// What earlier jobs learnt about how a place stores modification times.
pub(super) async fn known_clock(settings: &Settings, destination: &dyn Backend) -> Clock {
    let (clocks, location) = (settings.clocks.clone(), destination.location());
    let known = blocking(move |_| Ok(clocks.of(&location))).await;
    known.unwrap_or_default() // It is a hint.
}
