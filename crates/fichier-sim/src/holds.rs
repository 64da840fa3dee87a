//! Requests that wait until a test says so, so that a client can be killed at a known moment without any sleeping.

use tokio::sync::watch;

/// The waiting requests, and the gate they wait at.
#[derive(Debug)]
pub struct Holds {
    waiting: watch::Sender<usize>,
    gate: watch::Sender<Gate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    /// How many requests have come to it.
    came: u64,
    /// How many of them may go: always those that came first.
    may_go: u64,
    goes_on: bool,
}

impl Default for Holds {
    fn default() -> Self {
        Self { waiting: watch::Sender::new(0), gate: watch::Sender::new(Gate::default()) }
    }
}

impl Holds {
    /// How many requests wait at this moment.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Returns when at least one request waits. May be dropped and called again at any time.
    pub async fn arrived(&self) {
        // The sender is in `self`, so waiting cannot fail.
        drop(self.waiting.subscribe().wait_for(|count| *count > 0).await);
    }

    /// Lets everything that waits go: on with its work, or (`false`) with a reset, as if it had got no further.
    pub fn release(&self, goes_on: bool) {
        self.gate.send_modify(|gate| *gate = Gate { may_go: gate.came, goes_on, ..*gate });
    }

    /// The same for the one that has waited longest, and no other.
    pub fn release_first(&self, goes_on: bool) {
        self.gate.send_modify(|gate| {
            *gate = Gate { may_go: gate.came.min(gate.may_go + 1), goes_on, ..*gate };
        });
    }

    /// Waits at the gate; `true` = go on.
    pub(crate) async fn wait(&self) -> bool {
        let mut gate = self.gate.subscribe();
        let mut number = 0;
        self.gate.send_modify(|gate| {
            gate.came += 1;
            number = gate.came;
        });
        let _one_more = Counted::new(&self.waiting);
        match gate.wait_for(|gate| gate.may_go >= number).await {
            Ok(gate) => gate.goes_on,
            Err(_) => false,
        }
    }
}

/// One waiting request; it counts until it is dropped.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_seen_and_goes_when_told() {
        let holds = Holds::default();
        for goes_on in [true, false] {
            let told = tokio::join!(holds.wait(), async {
                holds.arrived().await;
                assert_eq!(holds.waiting(), 1);
                holds.release(goes_on);
            });
            assert_eq!((told.0, holds.waiting()), (goes_on, 0));
        }
    }

    #[tokio::test]
    async fn the_first_to_come_can_go_alone() {
        let holds = Holds::default();
        let (mut first, mut second) = (Box::pin(holds.wait()), Box::pin(holds.wait()));
        assert!(
            futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending()
        );
        holds.release_first(true);
        assert!(first.await);
        assert!(futures::poll!(&mut second).is_pending());
        holds.release(false);
        assert!(!second.await);
    }
}
