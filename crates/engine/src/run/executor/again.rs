//! Checks an item again before it is done: items that failed with an error that may pass, and items that were planned
//! earlier. A file that has arrived is not sent twice, and a file that no plan replaces is not overwritten.

use super::*;
use crate::blocking::blocking;
use crate::decide::{Action, Decision, decide};
use crate::digest::Memory;
use crate::join::Pair;
use crate::run::item::Acted;
use crate::settings::OnChanged;

/// The result of checking an item again.
pub(super) enum Again {
    /// It must be done, as planned or as both sides are now.
    Act(Action),
    /// It is done.
    Done(Acted),
    /// Something else is at its place now.
    Stranger,
}

pub(super) fn is_same_version(left: &Entry, right: &Entry) -> bool {
    if left.size != right.size {
        return false;
    }
    match (&left.version, &right.version, &left.handle, &right.handle) {
        (Some(left), Some(right), _, _) | (_, _, Some(left), Some(right)) => left == right,
        _ => left.mtime == right.mtime,
    }
}

/// Is `now` the entry that was planned? Where a place keeps modification times, equal size and time are enough: a version
/// may differ only because of other permissions or another name of the same file.
fn is_unchanged(planned: &Entry, now: &Entry, place: &Arc<dyn Backend>) -> bool {
    let same_time = planned.mtime.is_some() && planned.mtime == now.mtime;
    let by_time = place.capabilities().mtime.is_some() && same_time && planned.size == now.size;
    is_same_version(planned, now) || (by_time && planned.kind == now.kind)
}

/// Items that may be tried once more at the end.
const AGAIN_LIMIT: usize = 1_000;

impl Executor {
    pub(super) fn is_worth_another_try(&self, action: &Action, error: &Error) -> bool {
        let may_pass = match error.kind() {
            ErrorKind::Changed => self.context.settings.on_changed == OnChanged::Retry,
            ErrorKind::CommitUnknown => true,
            _ => error.retry() != Retry::Never,
        };
        let is_copy = matches!(action, Action::Copy { .. });
        is_copy
            && may_pass
            && !error.is_fatal()
            && !self.context.is_stopping()
            && self.state().again.len() < AGAIN_LIMIT
    }

    /// Tries the items again that failed with an error that may pass; each is checked first.
    pub(in crate::run) async fn try_again(self: &Arc<Self>) {
        let again = std::mem::take(&mut self.state().again);
        for (mut task, error) in again {
            if self.context.is_stopping() {
                self.ledger.failed(&task, "copy", error).await;
                continue;
            }
            let Action::Copy { source, replaces, reason } = task.action.clone() else { continue };
            let looked = self.look_again(&source, replaces, reason).await;
            match looked {
                Ok(Again::Act(action)) => {
                    task.action = action;
                    self.act(task, true).await;
                }
                Ok(Again::Stranger) => self.ledger.failed(&task, "copy", error).await,
                Ok(Again::Done(acted)) => self.ledger.succeeded(&task, acted).await,
                Err(look) if look.kind() == ErrorKind::NotFound => {
                    // It went away meanwhile; that says more than the error of the first try.
                    self.ledger.failed(&task, "copy", look).await;
                }
                Err(look) => {
                    tracing::debug!(error = %look, "looked at again");
                    self.ledger.failed(&task, "copy", error).await;
                }
            }
        }
    }

    /// What must be done about an item of an old plan, by what both sides show now.
    pub(super) async fn look_at_stored(&self, seq: u64, action: Action) -> Result<Again> {
        match action {
            Action::Copy { source, replaces, reason } => {
                let again = self.look_again(&source, replaces, reason).await?;
                if let Again::Act(Action::Copy { source: now, .. }) = &again {
                    self.drop_other_version(seq, now).await?;
                }
                Ok(again)
            }
            Action::SetTime { source, destination } => {
                let now = self.context.destination.stat(&destination.path).await?;
                let to = &self.context.destination;
                let wanted = self.context.rules().wanted_mode(now.kind, source.mode, now.mode);
                let has_time = source.is_dir() || now.mtime == source.mtime;
                let is_set = now.size == source.size && has_time && wanted.is_none();
                match (is_set, is_unchanged(&destination, &now, to)) {
                    (true, _) => Ok(Again::Done(Outcome::TimeSet.into())),
                    (false, true) => {
                        let destination = Box::new(now);
                        Ok(Again::Act(Action::SetTime { source, destination }))
                    }
                    (false, false) => Ok(Again::Stranger),
                }
            }
            // If the source has it again, it is no longer extra.
            Action::Delete { entry } => match self.context.source.stat(&entry.path).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.look_at_extra(entry).await
                }
                Ok(_) => Ok(Again::Stranger),
                Err(error) => Err(error),
            },
            Action::RemoveSource { source, destination } => {
                // That an earlier process or a plan found both equal is not enough; the contents are compared now.
                let (from, to) = (&self.context.source, &self.context.destination);
                match from.stat(&source.path).await {
                    // The earlier process removed it, but did not record that.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Ok(Again::Done(Outcome::SourceRemoved.into()));
                    }
                    looked => looked?,
                };
                let now = to.stat(&destination.path).await?;
                let is_equal = match self.context.rules().common_hash() {
                    Some(algo) => self.have_same_content((from, &source), (to, &now), algo).await?,
                    None => false,
                };
                match is_equal {
                    true => {
                        let destination = Box::new(now);
                        Ok(Again::Act(Action::RemoveSource { source, destination }))
                    }
                    false => Ok(Again::Stranger),
                }
            }
            Action::MoveDir { source } => {
                let is_there = self.is_folder(&self.context.destination, &source.path).await?;
                match (self.is_folder(&self.context.source, &source.path).await?, is_there) {
                    (true, false) => Ok(Again::Act(Action::MoveDir { source })),
                    (false, true) => Ok(Again::Done(Outcome::DirMoved.into())),
                    (true, true) | (false, false) => Ok(Again::Stranger),
                }
            }
            action @ (Action::MakeDir { .. }
            | Action::RemoveSourceDir { .. }
            | Action::Skip { .. }
            | Action::NotStorable { .. }
            | Action::Refuse { .. }) => Ok(Again::Act(action)),
        }
    }

    async fn is_folder(&self, side: &Arc<dyn Backend>, path: &RelPath) -> Result<bool> {
        match side.stat(path).await {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Does the destination list `path` under exactly that name? A disk that ignores case may find another file.
    async fn is_listed_under(&self, path: &RelPath) -> Result<bool> {
        let Some(identities) = self.context.destination.identities() else { return Ok(true) };
        let (folder, name) = (path.parent().unwrap_or_else(RelPath::root), path.name());
        let names = vec![name.unwrap_or_default().to_owned()];
        let asked = names.clone();
        let listed = blocking(move |_| identities.listed_as(&folder, &asked)).await?;
        Ok(listed.first().and_then(Option::as_ref) == names.first())
    }

    /// Do both have the same content, read or asked for now?
    async fn have_same_content(
        &self,
        source: (&Arc<dyn Backend>, &Entry),
        destination: (&Arc<dyn Backend>, &Entry),
        algo: HashAlgo,
    ) -> Result<bool> {
        let digests = &self.context.settings.digests;
        let same = digests.same_content(source, destination, algo, Memory::IsNoProof).await?;
        Ok(same.is_equal)
    }

    /// What must be done about an extra entry that an old plan deletes.
    async fn look_at_extra(&self, entry: Box<Entry>) -> Result<Again> {
        if entry.is_dir() {
            return Ok(Again::Act(Action::Delete { entry }));
        }
        let to = &self.context.destination;
        match to.stat(&entry.path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Again::Done(Outcome::Deleted.into()))
            }
            Ok(now) if is_unchanged(&entry, &now, to) => {
                Ok(Again::Act(Action::Delete { entry: Box::new(now) }))
            }
            Ok(_) => Ok(Again::Stranger),
            Err(error) => Err(error),
        }
    }

    /// A transfer that an earlier process began for another version of the source is of no use.
    async fn drop_other_version(&self, seq: u64, now: &Entry) -> Result<()> {
        let Some(earlier) = self.kept.checkpoint_of_other_version(seq, now) else {
            return Ok(());
        };
        self.context.destination.abandon(&now.path, &earlier).await
    }

    /// What must be done about a file, by what both sides show now. An upload whose answer was lost may have arrived; then
    /// it is not sent twice. Another file that appeared meanwhile is not overwritten. An earlier plan is executed only for
    /// the version of the source that it names, and for no newer one.
    async fn look_again(
        &self,
        planned_source: &Entry,
        planned: Option<Box<Entry>>,
        reason: Reason,
    ) -> Result<Again> {
        let path = &planned_source.path;
        let wanted = self.context.is_strict.then_some(planned_source);
        let (from, to) = (&self.context.source, &self.context.destination);
        let there = match to.stat(path).await {
            Ok(entry) => Some(entry),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_planned = match (&planned, &there) {
            (_, None) => true,
            (Some(planned), Some(there)) => is_unchanged(planned, there, to),
            (None, Some(_)) => false,
        };
        let source = match from.stat(path).await {
            // A move by the remote removes the source at once. The file at the destination may still be another one.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && self.context.kind == JobKind::Move
                    && !is_planned
                    && let Some(there) = &there =>
            {
                return Ok(match self.looks_moved(planned_source, there) {
                    true => Again::Done(Outcome::Moved.into()),
                    false => Again::Stranger,
                });
            }
            result => result?,
        };
        if wanted.is_some_and(|wanted| !is_unchanged(wanted, &source, from)) {
            let text = "the source is not the version that the plan was made for";
            return Err(Error::new(ErrorKind::Changed, text)
                .with_operation("look")
                .with_path(path)
                .with_remote(from.name()));
        }
        let mut differ = false;
        if let Some(there) = there.as_ref().filter(|_| !is_planned)
            && there.size == source.size
            && self.is_listed_under(path).await?
            && let Some(algo) = self.context.rules().common_hash()
        {
            if self.have_same_content((from, &source), (to, there), algo).await? {
                // Where several files can have one name, the interrupted tries may have stored it several times. The backend knows
                // from its note what they stored: it finds this one, sends nothing, and removes the others.
                if to.capabilities().duplicates && self.kept.is_taken(path) {
                    let source = Box::new(source);
                    return Ok(Again::Act(Action::Copy { source, replaces: planned, reason }));
                }
                return self.finish_stored(source, there, planned).await;
            }
            differ = true;
        }
        if let Some(there) = there.as_ref().filter(|_| !is_planned)
            && !self.is_listed_and_replaced(&source, there, differ)
        {
            return Ok(Again::Stranger);
        }
        let replaces = there.filter(|_| planned.is_some() || !is_planned).map(Box::new);
        Ok(Again::Act(Action::Copy { source: Box::new(source), replaces, reason }))
    }

    /// An interrupted transfer is done again. Is `there` the entry that this run's own listing showed, and would this run
    /// replace it? It may be a damaged file that the interrupted transfer stored and that was never compared. `differ`: the
    /// contents were compared, and differ.
    fn is_listed_and_replaced(&self, source: &Entry, there: &Entry, differ: bool) -> bool {
        let listed = self.kept.listed(&source.path);
        if !listed.is_some_and(|listed| is_unchanged(&listed, there, &self.context.destination)) {
            return false;
        }
        match decide(Pair::of(source.clone(), there.clone()), &self.context.rules()) {
            Decision::Act(Action::Copy { .. }) | Decision::Compare(_) => true,
            Decision::Act(
                Action::SetTime { .. }
                | Action::RemoveSource { .. }
                | Action::Skip {
                    reason: Reason::SameSizeAndTime | Reason::SameSize | Reason::SameHash,
                    ..
                },
            ) => differ,
            Decision::Act(_) | Decision::Nothing => false,
        }
    }

    /// Could `there` be the result of a move of `source`, which is gone? Compares the size, and the time where it is kept.
    fn looks_moved(&self, source: &Entry, there: &Entry) -> bool {
        there.kind == source.kind
            && source.size.is_some()
            && there.size == source.size
            && (!self.context.rules().keeps_times() || there.mtime == source.mtime)
    }

    /// Finishes an item whose file arrived although the answer was lost: does the steps that follow the transfer.
    async fn finish_stored(
        &self,
        source: Entry,
        there: &Entry,
        planned: Option<Box<Entry>>,
    ) -> Result<Again> {
        let to = &self.context.destination;
        let old = planned.filter(|old| old.handle.is_some() && old.handle != there.handle);
        if let Some(old) = old.filter(|_| to.capabilities().duplicates) {
            match to.delete_one(&old).await {
                // An entry of which there can be only one (a link in a catalogue) was replaced by the new one, so it is
                // gone.
                Err(error) if error.kind() == ErrorKind::Changed => {}
                result => result?,
            }
        }
        if self.context.kind == JobKind::Move {
            let (source, destination) = (Box::new(source), Box::new(there.clone()));
            return Ok(Again::Act(Action::RemoveSource { source, destination }));
        }
        // A remote may keep times beside its files, and may not know the time of a file whose answer was lost.
        self.keep_time(&source, there).await?;
        let kept = source.size.unwrap_or(0);
        Ok(Again::Done(Acted { bytes: Some(0), kept, ..Outcome::Copied.into() }))
    }
}
