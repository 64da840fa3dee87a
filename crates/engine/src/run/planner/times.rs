//! Modification times that listings do not show: they are asked for where a decision needs them, and for no other file.

use ketch_core::Capabilities;

use super::*;
use crate::join::Pair;
use crate::times::add_time;

/// Which side's file must be asked for its time, before two files can be compared by their times.
fn lacking(
    pair: &Pair,
    settings: &Settings,
    sides: (&Capabilities, &Capabilities),
) -> (bool, bool) {
    let (Some(source), Some(destination)) = (&pair.source, &pair.destination) else {
        return (false, false);
    };
    let by_time = settings.update
        || settings.compare == Compare::SizeAndTime && source.size == destination.size;
    if !source.is_file() || !destination.is_file() || settings.ignore_existing || !by_time {
        return (false, false);
    }
    let lacks = |entry: &Entry, side: &Capabilities| side.mtime_by_inspect && entry.mtime.is_none();
    let lack = (lacks(source, sides.0), lacks(destination, sides.1));
    // Where neither is known and both listings show a digest, the digests decide, and nothing is asked.
    let shown =
        |entry: &Entry, algo| entry.hashes.as_ref().is_some_and(|all| all.get(algo).is_some());
    let by_digest = HashAlgo::BY_STRENGTH
        .into_iter()
        .any(|algo| shown(source, algo) && shown(destination, algo));
    match lack {
        (true, true) if by_digest && !settings.update => (false, false),
        lack => lack,
    }
}

impl Planner {
    /// Gives a pair the times that must be known to decide about it. After an error the pair is as it was, but for times.
    pub(super) async fn add_times(&self, pair: &mut Pair) -> Result<()> {
        let (from, to) = (&self.context.source, &self.context.destination);
        let digests = &self.context.settings.digests;
        let sides = (from.capabilities(), to.capabilities());
        let lack = lacking(pair, &self.context.settings, sides);
        if let Some(source) = pair.source.as_mut().filter(|_| lack.0) {
            add_time(digests, from, source).await?;
        }
        if let Some(destination) = pair.destination.as_mut().filter(|_| lack.1) {
            add_time(digests, to, destination).await?;
        }
        Ok(())
    }
}
