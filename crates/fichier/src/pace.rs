//! The limits of the API, kept by design: every call waits here for its turn.
//!
//! A turn is taken, not promised: a call is let go only at a moment when every rule allows it, and that moment is noted in
//! the same step. So a lock-out that begins while others wait holds for all of them, and a call that is given up while it
//! waits has used nothing. Within a process the turns are in order of arrival; between processes on one machine the times
//! are in a file that is locked for the few microseconds of one step.

mod patience;
mod rules;
mod store;

use std::sync::Arc;
use std::time::Duration;

use ketch_core::layer::Observer;
use ketch_core::{Error, ErrorKind, RelPath, Result, Retry, Usage};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::bill::Tariff;
use crate::settings::Settings;
use patience::Patience;
use rules::{Because, Rules, Verdict};
pub(crate) use rules::{Listing, Want};
use store::{Held, Store};

/// Lets calls go one by one.
#[derive(Debug)]
pub(crate) struct Pacer {
    rules: Rules,
    store: Store,
    patience: Patience,
    /// Held by the one call that waits for the distance between any two calls.
    any: Mutex<()>,
    /// Held by the one listing that waits for the distance between listings, or for its answer.
    listings: Arc<Mutex<()>>,
    /// What is told of waits, and under which name.
    watch: Option<Watch>,
    /// How often it is looked whether another process has its answer.
    others_look: Duration,
    /// After what wait for another process that is told, and after what wait it is taken to have stopped.
    others_told: Duration,
    others_stopped: Duration,
}

/// The right to send one call, held until it was answered.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    _lane: Option<OwnedMutexGuard<()>>,
    _lock: Option<std::fs::File>,
}

/// Who is told of waits.
pub(crate) struct Watch {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) remote: String,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(&self.remote).finish()
    }
}

/// Shorter waits are not told.
const TOLD_FROM: Duration = Duration::from_secs(1);
/// A wait for the listing of another process is told after this time.
const OTHERS_TOLD: Duration = Duration::from_secs(5);
/// A process that keeps its listing longer than this was stopped, and is not waited for.
const OTHERS_STOPPED: Duration = Duration::from_secs(180);

impl Pacer {
    /// A pacer whose times are shared through a file in `folder`, if there is one.
    pub(crate) fn new(
        settings: &Settings,
        folder: Option<&std::path::Path>,
        watch: Option<Watch>,
    ) -> Self {
        let rules = Rules::new(settings.paced, settings.scale, settings.requests_per_hour);
        let forgotten = Duration::from_millis(rules.lock_forgotten);
        Pacer {
            watch,
            rules,
            patience: Patience::new(settings.scaled(settings.flood_patience), forgotten),
            store: Store::new(folder.map(|folder| folder.join(settings.state_name()))),
            any: Mutex::default(),
            listings: Arc::default(),
            others_look: settings.scaled(Duration::from_millis(100)),
            others_told: settings.scaled(OTHERS_TOLD),
            others_stopped: settings.scaled(OTHERS_STOPPED),
        }
    }

    /// For how long a listing may be used again instead of asking: as long as asking would have to wait anyway.
    pub(crate) fn listing_life(&self) -> Duration {
        Duration::from_millis(self.rules.same_folder)
    }

    /// The distances that calls keep, for an estimate of how long they take.
    pub(crate) fn tariff(&self) -> Tariff {
        self.rules.tariff()
    }

    /// How long `want` would have to wait if it were asked for now. Takes no turn.
    pub(crate) async fn wait_for(&self, want: Want) -> Duration {
        let rules = self.rules;
        self.store.step(move |state, now| rules.wait(state, now, want)).await
    }

    /// Waits until `want` may be sent. Fails at once with `Throttled` when that is farther away than a call should wait, or
    /// when floods have been waited for in vain.
    ///
    /// What is returned is held until the answer has been noted: the distance between two listings is one of the service,
    /// which counts from when it has them, and an answer that takes long says that it may not have had the last one yet.
    pub(crate) async fn admit(&self, want: Want) -> Result<Turn> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(lost) = self.patience.lost() {
                return Err(in_vain(lost, "no call is made before the pause is over"));
            }
            let (verdict, turn) = self.turn_of_its_kind(want).await;
            if verdict == Verdict::Go {
                return Ok(turn);
            }
            // Others go on while this one waits.
            drop(turn);
            match verdict {
                Verdict::Go => {}
                Verdict::WaitFlood(wait) => {
                    // The process that brought it about gives up in the end; with many processes there is always another one.
                    if waited + wait > self.patience.limit() {
                        return Err(in_vain(waited, "another process of this machine was told so"));
                    }
                    waited += wait;
                    self.tell("1fichier was asked too often and wants a pause", wait);
                    tokio::time::sleep(wait).await;
                }
                Verdict::Refuse(wait) => return Err(too_long(wait)),
                Verdict::RefuseBudget(wait, most) => return Err(used_up(wait, most)),
                // A pause that was asked for is one for all calls, and this is not one for the others.
                Verdict::RefuseOwn(wait) => return Err(too_long(wait).with_retry(Retry::Never)),
                Verdict::WaitAny(wait, _) | Verdict::WaitListing(wait) => {
                    tokio::time::sleep(wait).await;
                }
                Verdict::WaitOwn(wait) => {
                    self.tell("1fichier lists a folder once in 30 s", wait);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    // CANCEL: nothing is noted before the turn is taken, and both locks are given back on a drop.
    async fn turn_of_its_kind(&self, want: Want) -> (Verdict, Turn) {
        let turn = match want {
            Want::Listing(..) | Want::Account if self.rules.keeps_distances() => {
                let lane = Arc::clone(&self.listings).lock_owned().await;
                Turn { _lane: Some(lane), _lock: self.only_listing().await }
            }
            _ => Turn::default(),
        };
        loop {
            match self.turn(want).await {
                Verdict::WaitListing(wait) => {
                    self.tell("1fichier lists a folder every 3 s", wait);
                    tokio::time::sleep(wait).await;
                }
                other => return (other, turn),
            }
        }
    }

    /// Waits until no other process of this machine waits for the answer to a listing. A lock of the system, which a process
    /// that dies gives back; where there is none, or a process that was stopped keeps it, the distances are kept from when
    /// listings are sent.
    async fn only_listing(&self) -> Option<std::fs::File> {
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            match self.store.try_lock_listings().await {
                Some(Held::Ours(lock)) => return Some(lock),
                Some(Held::Others) if begun.elapsed() >= self.others_stopped => return None,
                Some(Held::Others) => {
                    if !is_told && begun.elapsed() >= self.others_told {
                        is_told = true;
                        let most = self.others_stopped.saturating_sub(begun.elapsed());
                        self.tell("another ketch process waits for a listing", most);
                    }
                    tokio::time::sleep(self.others_look).await;
                }
                None => return None,
            }
        }
    }

    /// Tells that a listing is shown which another process has asked for.
    pub(crate) fn tell_age(&self, place: &str, folder: &RelPath, age: Duration) {
        if let Some(watch) = &self.watch {
            watch.observer.recent(place, folder, age);
        }
    }

    /// Tells of a wait that is long enough to be noticed.
    pub(crate) fn tell(&self, why: &'static str, wait: Duration) {
        if let Some(watch) = self.watch.as_ref().filter(|_| wait >= TOLD_FROM) {
            watch.observer.waiting(&watch.remote, why, wait);
        }
    }

    async fn turn(&self, want: Want) -> Verdict {
        let _lane = self.any.lock().await;
        loop {
            let rules = self.rules;
            match self.store.step(move |state, now| rules.grant(state, now, want)).await {
                Verdict::WaitAny(wait, because) => {
                    self.tell(reason(because), wait);
                    tokio::time::sleep(wait).await;
                }
                other => return other,
            }
        }
    }

    /// Notes that the answer to `want` came. The service counts from when a listing *arrived*, which may be later than when
    /// it was let go (a connection had to be made first), but not later than its answer.
    pub(crate) async fn answered(&self, want: Want) {
        if matches!(want, Want::Listing(..) | Want::Account) && self.rules.same_folder > 0 {
            let rules = self.rules;
            self.store.step(move |state, now| rules.answered(state, now, want)).await;
        }
    }

    /// Notes that `want` never reached the service: the folder may be asked for again at once.
    pub(crate) async fn unsent(&self, want: Want) {
        let rules = self.rules;
        self.store.step(move |state, _| rules.unsent(state, want)).await;
    }

    /// Notes that the answer of `verb` to `want` was a flood: all calls, or only this kind, wait; longer when it happens
    /// again. Fails with `Throttled` when this was waited for too long already; `said` is what 1fichier said.
    pub(crate) async fn flooded(&self, want: Want, verb: &'static str, said: &str) -> Result<()> {
        let rules = self.rules;
        let jitter = fastrand::f64();
        let wait = self.store.step(move |state, now| rules.flooded(state, now, want, jitter)).await;
        tracing::debug!(wait_ms = wait, verb, "1fichier reports a flood, all calls wait");
        if want == Want::UserInfo {
            return Ok(());
        }
        let waited = self.patience.flooded(verb, Duration::from_millis(wait));
        waited.map_err(|waited| in_vain(waited, said))
    }

    /// Notes that `verb` has given an answer that is no flood.
    pub(crate) fn spoke(&self, verb: &'static str) {
        self.patience.answered(verb);
    }

    /// Notes that a call was refused for another reason than a flood.
    pub(crate) async fn refused(&self) {
        let rules = self.rules;
        self.store.step(move |state, now| rules.refused(state, now)).await;
    }

    /// Notes that this address is locked out for long.
    pub(crate) async fn locked(&self) {
        let rules = self.rules;
        self.store.step(move |state, now| rules.locked(state, now)).await;
    }

    /// Keeps an answer of `user/info.cgi`, which may be asked for only every five minutes.
    pub(crate) async fn keep_usage(&self, usage: Usage) {
        self.store
            .step(move |state, _| state.usage = Some([usage.total, usage.used, usage.free]))
            .await;
    }

    /// The last answer of `user/info.cgi`, as long as it may not be asked for again.
    pub(crate) async fn kept_usage(&self) -> Option<Usage> {
        let rules = self.rules;
        let kept = self.store.step(move |state, now| rules.kept_usage(state, now)).await;
        kept.map(|[total, used, free]| Usage { total, used, free })
    }
}

fn reason(because: Because) -> &'static str {
    match because {
        Because::Distance => "two calls a second at most",
        Because::Budget => "the option requests_per_hour is used up for now",
        Because::Refusals => {
            "1fichier refused ten calls within a minute, and bans a client that is refused too often"
        }
    }
}

/// The error of a budget that a person has set.
fn used_up(wait: Duration, most: usize) -> Error {
    let minutes = wait.as_secs().div_ceil(60);
    let message = format!(
        "the {most} calls that the option requests_per_hour of this remote allows in an hour are used up: the next one may \
         be made in {minutes} min (1fichier refused nothing; a higher number, or none, allows more)"
    );
    Error::new(ErrorKind::Throttled, message).with_retry(Retry::After(wait))
}

fn too_long(wait: Duration) -> Error {
    let seconds = wait.as_millis().div_ceil(1_000);
    let message = format!("1fichier does not take this call for another {seconds} s");
    Error::new(ErrorKind::Throttled, message).with_retry(Retry::After(wait))
}

/// The error of floods that have no end. Asking again at once cannot help, a later run can.
fn in_vain(waited: Duration, said: &str) -> Error {
    let waited = match waited.as_secs() {
        0 => "it was not waited for".to_owned(),
        seconds @ 1..120 => format!("{seconds} s of waiting did not help"),
        seconds => format!("{} minutes of waiting did not help", seconds / 60),
    };
    let message = format!(
        "1fichier was asked too often and locks calls out, and {waited}: end other programs that use the account or this \
         address, try again in an hour, or let the option flood_patience be more minutes ({said})"
    );
    Error::new(ErrorKind::Throttled, message)
}

#[cfg(test)]
mod tests;
