//! Follows a running job: its events one by one, its amounts ten times a second.

use std::time::{Duration, Instant};

use ketch_engine::estimate::Estimate;
use ketch_engine::event::{Event, Progress, Snapshot};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::bill::bill_line;
use crate::jsonl;
use crate::output::{Console, Level};
use crate::problem::Result;
use crate::signals::Signals;
use crate::term::{Bars, Speed, total_line};

/// How often amounts are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Between two `progress` lines.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// Between two lines about the whole job where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Follows a job until its events end; `on_event` gets each. When nothing can be told any more the job is stopped.
pub(crate) async fn follow(
    events: &mut mpsc::Receiver<Event>,
    progress: &Progress,
    console: &Console,
    signals: &Signals,
    mut on_event: impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let mut display = Display::new(console);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let result = tokio::select! {
            event = events.recv() => match event {
                Some(event) => on_event(event),
                None => return Ok(()),
            },
            _ = ticks.tick() => display.show(progress),
            () = signals.expired() => return Ok(()),
        };
        if result.is_err() {
            signals.stop.now.cancel();
            return result;
        }
    }
}

/// Shows the amounts of `work` until it ends.
pub(crate) async fn beside<T>(
    progress: &Progress,
    console: &Console,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut display = Display::new(console);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = ticks.tick() => display.show(progress)?,
        }
    }
}

/// Waits for the report of a job that has no more events; `None` when it does not come in time after a stop.
pub(crate) async fn end<T>(report: impl Future<Output = T>, signals: &Signals) -> Option<T> {
    tokio::select! {
        report = report => Some(report),
        () = signals.expired() => None,
    }
}

struct Display<'a> {
    console: &'a Console,
    started: Instant,
    speed: Speed,
    estimate: Estimate,
    bars: Option<Bars>,
    next_json: Instant,
    next_line: Instant,
}

impl<'a> Display<'a> {
    fn new(console: &'a Console) -> Self {
        let started = Instant::now();
        let bars = console.bars().map(Bars::new);
        let (next_json, next_line) = (started + JSON_EVERY, started + LINE_EVERY);
        let (speed, estimate) = (Speed::default(), Estimate::default());
        Display { console, started, speed, estimate, bars, next_json, next_line }
    }

    fn show(&mut self, progress: &Progress) -> Result<()> {
        let now = Instant::now();
        let snapshot = progress.snapshot();
        let speed = self.speed.sample(now, snapshot.done_bytes);
        let elapsed = now - self.started;
        self.estimate.sample(elapsed, snapshot.done_items, snapshot.done_bytes);
        let left = left(&self.estimate, &snapshot);
        let wait = self.console.waits().longest(now);
        if let Some(bars) = &mut self.bars {
            bars.show(&snapshot, speed, elapsed, left, wait.as_ref());
        } else if now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            let line = total_line(&snapshot, speed, elapsed, left, wait.as_ref());
            self.console.tell(Level::Normal, &line);
            for (remote, bill) in &snapshot.bills {
                self.console.tell(Level::Normal, &bill_line(remote, bill));
            }
        }
        if self.console.is_json() && now >= self.next_json {
            self.next_json = now + JSON_EVERY;
            self.console
                .event("progress", jsonl::progress(&snapshot, speed, left, wait.as_ref()))?;
        }
        // A reader sees at most a tick later what was written.
        self.console.flush()
    }
}

/// How long the rest takes. Until the listings are done the rest is not known.
fn left(estimate: &Estimate, snapshot: &Snapshot) -> Option<Duration> {
    let items = snapshot.planned_items.saturating_sub(snapshot.done_items);
    let there = snapshot.done_bytes.saturating_add(snapshot.kept_bytes);
    let bytes = snapshot.planned_bytes.saturating_sub(there);
    if !snapshot.listing_done || (items == 0 && bytes == 0) {
        return None;
    }
    estimate.left(items, bytes)
}
