//! The register of injected misbehaviour.

use std::sync::{Mutex, PoisonError};

use crate::fault::{Effect, Fault, Site, When};

/// Misbehaviour to come. Any number of faults may wait at once; one request may trigger several.
#[derive(Debug, Default)]
pub struct Faults {
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    fault: Fault,
    seen: u64,
}

impl Faults {
    /// Injects a fault; its counting begins now.
    pub fn inject(&self, fault: Fault) {
        self.lock().push(Waiting { fault, seen: 0 });
    }

    /// Withdraws everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many faults may still strike.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and returns what strikes it, in the order of injection.
    pub(crate) fn strike(&self, site: &Site) -> Strikes {
        let mut effects = Vec::new();
        self.lock().retain_mut(|waiting| {
            if !waiting.fault.site.covers(site) {
                return true;
            }
            waiting.seen += 1;
            let (hits, stays) = match waiting.fault.when {
                When::Every => (true, true),
                When::Next(count) => (waiting.seen <= count, waiting.seen < count),
                When::Nth(number) => (waiting.seen == number, waiting.seen < number),
            };
            if hits {
                effects.push(waiting.fault.effect.clone());
            }
            stays
        });
        Strikes(effects)
    }
}

/// The effects that strike one request.
#[derive(Debug, Default)]
pub(crate) struct Strikes(Vec<Effect>);

impl Strikes {
    /// Whether this very effect strikes.
    pub(crate) fn has(&self, effect: &Effect) -> bool {
        self.0.contains(effect)
    }

    /// All effects.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.0.iter()
    }

    /// The first effect that `pick` accepts.
    pub(crate) fn find<T>(&self, pick: impl FnMut(&Effect) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(pick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_every_and_nth_strike_when_they_should() {
        let faults = Faults::default();
        faults.inject(Fault::next(2, Site::AnyCall, Effect::Reset));
        faults.inject(Fault::nth(3, Site::call("file/ls"), Effect::Stall));
        faults.inject(Fault::every(Site::Upload, Effect::Damage));
        let site = Site::call("file/ls");
        let strikes: Vec<_> = (0..4).map(|_| faults.strike(&site).0).collect();
        assert_eq!(
            strikes,
            [vec![Effect::Reset], vec![Effect::Reset], vec![Effect::Stall], vec![]]
        );
        assert_eq!(faults.strike(&Site::Upload).0, [Effect::Damage]);
        assert_eq!(faults.waiting(), 1);
        faults.clear();
        assert_eq!(faults.waiting(), 0);
    }
}
