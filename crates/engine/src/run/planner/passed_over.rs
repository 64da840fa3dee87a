//! After the plan of an earlier process was finished: lists both sides again, because later changes are not in that plan.
//!
//! This changes nothing. It counts what a new plan would still contain: so many items were passed over. If there are any,
//! the job is not a success; running the command again does the rest.

use futures::StreamExt;

use super::consider::Found;
use super::*;
use crate::decide::Rules;
use crate::march::March;

impl Planner {
    /// Counts what both sides still differ in; `clock`: how the destination stores times, as far as is known now.
    pub(in crate::run) async fn look_for_what_was_passed_over(
        self: &Arc<Self>,
        clock: Clock,
    ) -> Result<()> {
        // Folder by folder: a flat march may end early, and then it says nothing of what it has not seen.
        let march = March { flat: false, ..self.march(None, None) };
        let steps = futures::stream::unfold(march.start(), |mut steps| async move {
            steps.next().await.map(|step| (step, steps))
        });
        let found = steps.map(|step| {
            let planner = Arc::clone(self);
            async move { planner.consider(step).await }
        });
        let mut found = Box::pin(found.buffered(self.context.settings.checkers.max(1)));
        let rules = Rules { clock, ..self.context.rules() };
        loop {
            let next = tokio::select! {
                next = found.next() => next,
                () = self.context.stopping() => return Ok(()),
            };
            let Some(next) = next else { return Ok(()) };
            if is_undone(&next?, &rules) {
                self.ledger.passed_over();
            }
        }
    }
}

/// Would a finished job have done this?
fn is_undone(found: &Found, rules: &Rules<'_>) -> bool {
    match found {
        // The last is not found: this march is not flat.
        Found::Nothing | Found::Anew => false,
        Found::Failed(_) => true,
        // The second action removes a folder of the source, in which something may be left; it does not count.
        Found::Action(action) | Found::Both(action, _) => is_undone_action(action, rules),
    }
}

fn is_undone_action(action: &Action, rules: &Rules<'_>) -> bool {
    match action {
        // With `--ignore-times` a new plan would transfer every file again; only a file that differs counts.
        Action::Copy { source, replaces: Some(there), reason: Reason::Asked } => {
            rules.plainly_differ(source, there) || is_to_be_narrowed(source, there, rules)
        }
        Action::Copy { .. } => true,
        Action::MakeDir { .. }
        | Action::MoveDir { .. }
        | Action::Delete { .. }
        | Action::RemoveSource { .. } => true,
        // The content is equal; only permissions that must still be taken away count.
        Action::SetTime { source, destination } => is_to_be_narrowed(source, destination, rules),
        // A folder in which something is left stays.
        Action::RemoveSourceDir { .. } => false,
        // These are reported by themselves.
        Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => false,
    }
}

fn is_to_be_narrowed(source: &Entry, there: &Entry, rules: &Rules<'_>) -> bool {
    rules.wanted_mode(there.kind, source.mode, there.mode).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use ketch_core::Capabilities;

    use super::*;

    fn file(size: u64, seconds: u64, mode: u32) -> Box<Entry> {
        let path = RelPath::new("f").expect("a path");
        let mtime = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        Box::new(Entry { mtime, mode: Some(mode), ..Entry::file(path, size) })
    }

    fn dir(mode: u32) -> Box<Entry> {
        let path = RelPath::new("d").expect("a path");
        Box::new(Entry { mode: Some(mode), ..Entry::dir(path) })
    }

    #[test]
    fn what_a_new_plan_would_do_and_this_one_did_not_was_passed_over() {
        let disk = Capabilities {
            mtime: Some(Duration::from_nanos(1)),
            set_mtime: true,
            narrow_mode: true,
            dirs: true,
            ..Capabilities::default()
        };
        let settings = Settings::default();
        let rules = Rules {
            settings: &settings,
            delete_extra: false,
            remove_source: false,
            source: &disk,
            destination: &disk,
            remembered: None,
            clock: Clock::default(),
        };
        let copy = |source, there, reason| {
            Found::Action(Action::Copy { source, replaces: Some(there), reason })
        };
        let set = |source, destination| Action::SetTime { source, destination };
        let removal = || Action::RemoveSourceDir { entry: dir(0o755) };
        let there = || file(3, 1_000, 0o644);
        for (name, found, expected) in [
            ("the same", copy(there(), there(), Reason::Asked), false),
            ("size", copy(file(4, 1_000, 0o644), there(), Reason::Asked), true),
            ("time", copy(file(3, 1_001, 0o644), there(), Reason::Asked), true),
            ("permissions", copy(file(3, 1_000, 0o600), there(), Reason::Asked), true),
            ("compared", copy(there(), there(), Reason::TimeDiffers), true),
            ("only a time", Found::Action(set(file(3, 9, 0o644), there())), false),
            ("private", Found::Action(set(file(3, 1_000, 0o600), there())), true),
            ("private folder", Found::Both(set(dir(0o700), dir(0o755)), removal()), true),
            ("folder", Found::Both(Action::MakeDir { path: dir(0).path }, removal()), true),
            ("source's folder", Found::Action(removal()), false),
        ] {
            assert_eq!(is_undone(&found, &rules), expected, "{name}");
        }
    }
}
