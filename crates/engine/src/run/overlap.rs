//! Finds out whether the two places of a job are the same folder, or one is inside the other: by their paths, or by the
//! objects that the paths lead to.

use std::sync::Arc;

use ketch_core::identity::{Above, Shared, Standing, shared};
use ketch_core::{Backend, Error, ErrorKind, RelPath, Result};

use super::Context;
use crate::blocking::blocking;
use crate::kind::JobKind;

/// How the two places of a job overlap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap {
    /// They are the same folder, by the same path: there is nothing to do.
    pub(super) is_same: bool,
    /// They are the same folder, and the move gives it this spelling of its name.
    pub(super) spelling: Option<String>,
    /// Paths of the destination that lead to entries of the source: nothing is changed there.
    pub(super) owned: Vec<String>,
}

impl Overlap {
    /// Does `path` lead to an entry of the source, or lie inside such a path?
    pub(super) fn owns(&self, path: &RelPath) -> bool {
        let is_in = |owned: &String| {
            let rest = path.as_str().strip_prefix(owned.as_str());
            rest.is_some_and(|rest| owned.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        self.owned.iter().any(is_in)
    }

    /// Does something below `path` lead to an entry of the source?
    pub(super) fn has_below(&self, path: &RelPath) -> bool {
        self.owned.iter().any(|owned| {
            let rest = owned.strip_prefix(path.as_str());
            path.is_root() || rest.is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// Finds where the two places overlap. Errors: `InvalidInput` if the job must not run because of it.
pub(super) async fn find(context: &Context) -> Result<Overlap> {
    let refuse = |message| Error::new(ErrorKind::InvalidInput, message);
    let (source, destination) = (&context.source, &context.destination);
    let by_path = by_path(&source.location(), &destination.location());
    if by_path.as_ref().is_some_and(|common| common.first.is_empty() && common.second.is_empty()) {
        return Ok(Overlap { is_same: true, ..Overlap::default() });
    }
    let standings = standings(source, destination).await?;
    if context.kind == JobKind::Move
        && context.settings.filter.admits_everything()
        && let Some(name) = standings.as_ref().and_then(|(source, there)| spelling(source, there))
    {
        return Ok(Overlap { is_same: true, spelling: Some(name), ..Overlap::default() });
    }
    let is_certain =
        standings.as_ref().is_none_or(|(one, other)| one.is_certain && other.is_certain);
    let mut common = standings.map_or_else(Vec::new, |(source, there)| shared(&source, &there));
    if common.is_empty() && by_path.is_none() && !is_certain && !context.settings.dry_run {
        match by_mark(source, destination).await {
            Ok(found) => common.extend(found),
            // A copy deletes nothing, so it may run without knowing.
            Err(error) if context.kind == JobKind::Copy && error.kind() == ErrorKind::Denied => {}
            Err(error) => return Err(error),
        }
    }
    common.extend(by_path.filter(|found| !common.contains(found)));
    let names = (source.name(), destination.name());
    let admits = |inner: &str| context.settings.filter.admits_dir(inner);
    judge(context.kind, common, admits, names).map_err(refuse)
}

/// The folders and mounts of both places, from the system. `None` if they are not both on disks of this machine.
async fn standings(
    source: &Arc<dyn Backend>,
    destination: &Arc<dyn Backend>,
) -> Result<Option<(Standing, Standing)>> {
    let Some((source, destination)) = source.identities().zip(destination.identities()) else {
        return Ok(None);
    };
    blocking(move |_| Ok(Some((source.standing()?, destination.standing()?)))).await
}

/// Finds the overlap by a file that is created at the destination for a moment and looked for at the source. For file
/// systems where the system cannot tell, for example one in user space that shows a folder of another file system.
async fn by_mark(
    source: &Arc<dyn Backend>,
    destination: &Arc<dyn Backend>,
) -> Result<Option<Shared>> {
    let Some((source, destination)) = source.identities().zip(destination.identities()) else {
        return Ok(None);
    };
    blocking(move |_| {
        let Some(mark) = destination.mark()? else { return Ok(None) };
        let seen = source.sees(&mark);
        let unmarked = destination.unmark(&mark);
        let seen = seen?;
        unmarked.map(|()| seen)
    })
    .await
}

/// The name of the second folder, if both are one folder and the names differ only in case.
fn spelling(first: &Standing, second: &Standing) -> Option<String> {
    let ([one, above, ..], [other, other_above, ..]) = (&first.folders[..], &second.folders[..])
    else {
        return None;
    };
    let is_one = |left: &Above, right: &Above| left.object.is_some() && left.object == right.object;
    let is_spelled = one.name != other.name && one.name.to_lowercase() == other.name.to_lowercase();
    (is_one(one, other) && is_one(above, other_above) && is_spelled).then(|| other.name.clone())
}

/// The overlap of two locations by their paths: they are equal, or one is inside the other.
fn by_path(source: &str, destination: &str) -> Option<Shared> {
    if source == destination {
        return Some(Shared { first: String::new(), second: String::new() });
    }
    if let Some(inner) = below(destination, source) {
        return Some(Shared { first: inner.to_owned(), second: String::new() });
    }
    let inner = below(source, destination)?;
    Some(Shared { first: String::new(), second: inner.to_owned() })
}

/// May the job run? An overlap that a filter excludes does not count.
fn judge(
    kind: JobKind,
    common: Vec<Shared>,
    admits: impl Fn(&str) -> bool,
    (source, destination): (&str, &str),
) -> std::result::Result<Overlap, String> {
    let mut owned = Vec::new();
    for Shared { first, second } in common {
        if first.is_empty() && second.is_empty() {
            return Err(format!(
                "{source} and {destination} are one and the same folder under two names: nothing is done"
            ));
        }
        // If the overlap is the root of the destination, the filter is asked about its path in the source.
        let is_left_out = match second.is_empty() {
            true => !admits(&first),
            false => !admits(&second),
        };
        if is_left_out {
            continue;
        }
        if second.is_empty() {
            return Err(format!(
                "the destination {destination} is inside the source {source} (`{first}`): exclude it or choose another"
            ));
        }
        // If both sides show it under the same path, nothing in it is extra.
        if kind == JobKind::Sync && first != second {
            return Err(match first.is_empty() {
                true => format!(
                    "the source {source} is inside the destination {destination} (`{second}`): a sync would delete it; \
                     exclude it or choose another"
                ),
                false => format!(
                    "`{second}` of the destination {destination} is `{first}` of the source {source}: a sync would \
                     delete in it; exclude it or choose another"
                ),
            });
        }
        owned.push(second);
    }
    Ok(Overlap { owned, ..Overlap::default() })
}

/// The path of `inner` below `outer`, if it is below.
fn below<'a>(inner: &'a str, outer: &str) -> Option<&'a str> {
    let rest = inner.strip_prefix(outer)?;
    let rest = if outer.ends_with('/') { rest } else { rest.strip_prefix('/')? };
    RelPath::new(rest).is_ok().then_some(rest).filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_goes_by_whole_parts() {
        assert_eq!(below("local:/a/b", "local:/a"), Some("b"));
        assert_eq!(below("local:/a/b/c", "local:/"), Some("a/b/c"));
        assert_eq!(below("local:/ab", "local:/a"), None);
        assert_eq!(below("local:/a", "local:/a"), None);
        assert_eq!(below("other:/a/b", "local:/a"), None);
    }

    #[test]
    fn what_is_common_stops_a_job_or_is_left_alone() {
        use JobKind::{Copy, Move, Sync};
        let check = |kinds: &[JobKind], first: &str, second: &str, expected: Option<&[&str]>| {
            for kind in kinds {
                let common = vec![Shared { first: first.to_owned(), second: second.to_owned() }];
                let admits = |path: &str| path != "left out";
                let judged = judge(*kind, common, admits, ("S", "D"));
                let owned = judged.ok().map(|overlap| overlap.owned);
                let expected = expected.map(|owned| owned.iter().map(|path| (*path).to_owned()));
                assert_eq!(owned, expected.map(Iterator::collect), "{kind:?} {first} {second}");
            }
        };
        let all = [Copy, Sync, Move];
        check(&all, "", "", None);
        check(&all, "in", "", None);
        check(&all, "left out", "", Some(&[]));
        check(&[Copy, Move], "", "in", Some(&["in"]));
        check(&[Sync], "", "in", None);
        check(&all, "", "left out", Some(&[]));
        check(&[Copy, Move], "x", "in", Some(&["in"]));
        check(&[Sync], "x", "in", None);
        check(&all, "x", "x", Some(&["x"]));
    }

    #[test]
    fn what_is_owned_is_owned_with_everything_in_it() {
        let overlap = Overlap { owned: vec!["a/b".to_owned()], ..Overlap::default() };
        let owns = |path: &str| overlap.owns(&RelPath::new(path).expect("legal"));
        assert!(owns("a/b") && owns("a/b/c"));
        assert!(!owns("a") && !owns("a/bc") && !owns("b"));
    }
}
