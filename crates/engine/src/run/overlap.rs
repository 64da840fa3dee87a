//! Two places that are one, or one inside the other.

use ketch_core::RelPath;

use super::Context;
use crate::job::JobKind;

/// May the job run? `Ok(false)` = both sides are the same folder and there is nothing to do; `Err` says why not.
pub(super) fn check(context: &Context) -> Result<bool, String> {
    let source = context.source.location();
    let destination = context.destination.location();
    if source == destination {
        return Ok(false);
    }
    // A filter that leaves out the common part removes the overlap.
    let takes_part = |inner: &str| context.settings.filter.admits_dir(inner);
    if below(&destination, &source).is_some_and(takes_part) {
        return Err(format!(
            "the destination {} is inside the source {}: exclude it or choose another",
            context.destination.name(),
            context.source.name()
        ));
    }
    let source_is_extra = context.kind == JobKind::Sync;
    if source_is_extra && below(&source, &destination).is_some_and(takes_part) {
        return Err(format!(
            "the source {} is inside the destination {}: a sync would delete it; exclude it or choose another",
            context.source.name(),
            context.destination.name()
        ));
    }
    Ok(true)
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
}
