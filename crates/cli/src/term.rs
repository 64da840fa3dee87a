//! What a terminal needs: text that cannot steer it, colours, and lines that show progress.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use ketch_core::RelPath;
use ketch_engine::event::Snapshot;
use ketch_engine::filter::units::{format_duration, format_size};

use crate::bill::bill_line;
use crate::waits::Wait;

/// Over how much time speed is measured.
const SPEED_WINDOW: Duration = Duration::from_secs(10);
/// Lines for running transfers when the height of the terminal is not known.
const USUAL_HEIGHT: usize = 24;

/// May the character reach a terminal? Not if it steers it, or changes the order in which the rest is shown.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// `text` with everything that could steer a terminal written as `\u{1b}`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            c if is_harmless(c) => escaped.push(c),
            c => _ = write!(escaped, "\\u{{{:x}}}", u32::from(c)),
        }
    }
    Cow::Owned(escaped)
}

/// JSON with the same characters written as JSON escapes: it means the same and is harmless on a terminal.
pub(crate) fn escape_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(is_harmless) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_harmless(c) {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(escaped)
}

/// The colours of words.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Color {
    Red,
    Yellow,
}

/// `word` in a colour, if there are colours.
pub(crate) fn paint(word: &str, color: Color, enabled: bool) -> String {
    let code = match color {
        Color::Red => 31,
        Color::Yellow => 33,
    };
    if enabled { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
}

/// How fast it goes, from samples of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Speed(VecDeque<(Instant, u64)>);

impl Speed {
    /// Takes a sample and gives bytes a second.
    pub(crate) fn sample(&mut self, now: Instant, bytes: u64) -> u64 {
        self.0.push_back((now, bytes));
        while self.0.len() > 2 && self.0.front().is_some_and(|(at, _)| now - *at > SPEED_WINDOW) {
            self.0.pop_front();
        }
        let Some((since, before)) = self.0.front() else { return 0 };
        let seconds = (now - *since).as_secs_f64();
        if seconds <= 0.0 { 0 } else { (bytes.saturating_sub(*before) as f64 / seconds) as u64 }
    }
}

/// One line about the whole job.
pub(crate) fn total_line(
    snapshot: &Snapshot,
    speed: u64,
    elapsed: Duration,
    left: Option<Duration>,
    wait: Option<&Wait>,
) -> String {
    let bound = if snapshot.listing_done { "" } else { "≥ " };
    let mut line = format!(
        "{} of {bound}{}, {} of {bound}{} items, {}/s",
        format_size(snapshot.done_bytes),
        format_size(snapshot.planned_bytes),
        snapshot.done_items,
        snapshot.planned_items,
        format_size(speed),
    );
    if snapshot.kept_bytes > 0 {
        let _ = write!(line, ", {} from before", format_size(snapshot.kept_bytes));
    }
    if snapshot.failed_items > 0 {
        let _ = write!(line, ", {} failed", snapshot.failed_items);
    }
    if let Some(left) = left {
        let _ = write!(line, ", {} left", format_duration(Duration::from_secs(left.as_secs())));
    }
    let _ = write!(line, " ({} listed, {})", snapshot.listed, format_duration(elapsed));
    if let Some(Wait { remote, why, left }) = wait {
        let left = format_duration(Duration::from_secs(left.as_secs()));
        let _ = write!(line, "; waiting {left} for {} ({why})", escape(remote));
    }
    line
}

/// One line about a running transfer.
fn active_line(path: &str, size: Option<u64>, bytes: u64) -> String {
    let path = escape(path);
    match size {
        Some(size) if size > 0 => {
            let percent = (u128::from(bytes) * 100 / u128::from(size)).min(100);
            format!("{percent:>4}% of {:>9}  {path}", format_size(size))
        }
        _ => format!("{:>18}  {path}", format_size(bytes)),
    }
}

/// Transfers up to this size share a line.
const SMALL_BYTES: u64 = 1024 * 1024;

/// The lines about running transfers, at most `most`: one for each large one, and one for all small ones together.
fn active_lines(active: &[(RelPath, Option<u64>, u64)], most: usize) -> Vec<String> {
    let is_small =
        |(_, size, _): &&(RelPath, Option<u64>, u64)| size.is_some_and(|size| size <= SMALL_BYTES);
    let small: Vec<_> = active.iter().filter(is_small).collect();
    let together = small.len() > 1;
    let shown = active.iter().filter(|one| !together || !is_small(one));
    let mut lines: Vec<_> = shown
        .map(|(path, size, bytes)| active_line(path.as_str(), *size, *bytes))
        .take(most.saturating_sub(usize::from(together)))
        .collect();
    if together && most > 0 {
        let sum = |of: fn(&(RelPath, Option<u64>, u64)) -> u64| {
            small.iter().fold(0_u64, |sum, one| sum.saturating_add(of(one)))
        };
        let (size, bytes) = (sum(|one| one.1.unwrap_or(0)), sum(|one| one.2));
        lines.push(active_line(&format!("{} small files", small.len()), Some(size), bytes));
    }
    lines
}

/// The lines at the bottom of a terminal: one about the job and one for each running transfer.
#[derive(Debug)]
pub(crate) struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
    bills: Vec<ProgressBar>,
    active: Vec<ProgressBar>,
}

impl Bars {
    /// Begins to show.
    pub(crate) fn new(multi: &MultiProgress) -> Self {
        let (bills, active) = (Vec::new(), Vec::new());
        Bars { total: add_line(multi), multi: multi.clone(), bills, active }
    }

    /// Shows this moment.
    pub(crate) fn show(
        &mut self,
        snapshot: &Snapshot,
        speed: u64,
        elapsed: Duration,
        left: Option<Duration>,
        wait: Option<&Wait>,
    ) {
        let height = rustix::termios::tcgetwinsize(io::stderr())
            .map_or(USUAL_HEIGHT, |size| usize::from(size.ws_row));
        // Right below the line of the job: they come before the first transfer, and stay.
        while self.bills.len() < snapshot.bills.len() {
            let above = self.bills.last().unwrap_or(&self.total);
            let line = self.multi.insert_after(above, ProgressBar::new_spinner());
            self.bills.push(styled(line));
        }
        for (line, (remote, bill)) in self.bills.iter().zip(&snapshot.bills) {
            line.set_message(escape(&bill_line(remote, bill)).into_owned());
        }
        let most = height.saturating_sub(2 + self.bills.len());
        let lines = active_lines(&snapshot.active, most);
        let wanted = lines.len();
        while self.active.len() < wanted {
            self.active.push(add_line(&self.multi));
        }
        for line in self.active.drain(wanted..) {
            self.multi.remove(&line);
        }
        for (line, text) in self.active.iter().zip(lines) {
            line.set_message(text);
        }
        self.total.set_message(total_line(snapshot, speed, elapsed, left, wait));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for line in self.active.drain(..).chain(self.bills.drain(..)) {
            self.multi.remove(&line);
        }
        self.multi.remove(&self.total);
        // If the terminal is gone there is nothing left to be cleared.
        let _ = self.multi.clear();
    }
}

fn add_line(multi: &MultiProgress) -> ProgressBar {
    styled(multi.add(ProgressBar::new_spinner()))
}

fn styled(line: ProgressBar) -> ProgressBar {
    line.set_style(
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::bill::Bill;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for (text, expected) in [
            ("a é 漢.txt", "a é 漢.txt"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\x7f\r", "\\u{7f}\\u{d}"),
            ("a\u{202E}txt.exe", "a\\u{202e}txt.exe"),
            ("a\u{2066}b\u{200F}", "a\\u{2066}b\\u{200f}"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({ "path": "a\u{202E}\x1b\u{9b}\n漢" });
        let text = value.to_string();
        let escaped = escape_json(&text);
        assert!(escaped.chars().all(is_harmless), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }

    #[test]
    fn totals_are_lower_bounds_until_listings_are_done() {
        let snapshot = Snapshot {
            planned_items: 10,
            planned_bytes: 4096,
            done_items: 2,
            done_bytes: 1024,
            listed: 30,
            ..Snapshot::default()
        };
        let line = total_line(&snapshot, 1024, Duration::from_secs(2), None, None);
        assert_eq!(line, "1.00 KiB of ≥ 4.00 KiB, 2 of ≥ 10 items, 1.00 KiB/s (30 listed, 2s)");
        let snapshot = Snapshot { listing_done: true, failed_items: 1, ..snapshot };
        let line = total_line(
            &snapshot,
            1024,
            Duration::from_secs(2),
            Some(Duration::from_millis(3_400)),
            None,
        );
        assert_eq!(
            line,
            "1.00 KiB of 4.00 KiB, 2 of 10 items, 1.00 KiB/s, 1 failed, 3s left (30 listed, 2s)"
        );
        let left = Duration::from_millis(62_700);
        let wait = Wait { remote: "box:".to_owned(), why: "flood", left };
        let line = total_line(&snapshot, 1024, Duration::from_secs(2), None, Some(&wait));
        assert!(line.ends_with("; waiting 1m2s for box: (flood)"), "{line}");
    }

    #[test]
    fn bars_follow_the_running_transfers() {
        let multi = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut bars = Bars::new(&multi);
        let path = RelPath::new("a\nb").unwrap();
        let active = vec![(path, Some(200 * SMALL_BYTES), 50 * SMALL_BYTES); 3];
        let snapshot = Snapshot { active, ..Snapshot::default() };
        bars.show(&snapshot, 0, Duration::ZERO, None, None);
        assert_eq!(bars.active.len(), 3);
        assert_eq!(bars.active[0].message(), "  25% of   200 MiB  a\\nb");
        bars.show(&Snapshot::default(), 0, Duration::ZERO, None, None);
        assert!(bars.active.is_empty());
    }

    #[test]
    fn small_files_share_a_line() {
        let one = |name: &str, size, bytes| (RelPath::new(name).unwrap(), Some(size), bytes);
        let mut active: Vec<_> =
            (0..64).map(|number| one(&number.to_string(), 1000, 500)).collect();
        active.push(one("large", 4 * SMALL_BYTES, SMALL_BYTES));
        let lines = active_lines(&active, 20);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("large"), "{lines:?}");
        assert!(lines[1].starts_with("  50%") && lines[1].ends_with("64 small files"), "{lines:?}");
        assert_eq!(active_lines(&active, 1).len(), 1);
        assert_eq!(active_lines(&active, 0).len(), 0);
        assert!(active_lines(&active[..1], 9)[0].ends_with("  0"), "one has its name");
    }

    #[test]
    fn what_the_plan_costs_stays_below_the_line_of_the_job() {
        let multi = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut bars = Bars::new(&multi);
        let bill = Bill {
            calls: vec![("listings", 1), ("folders made", 2)],
            time: Duration::from_secs(3),
        };
        let bills = vec![("box:".to_owned(), bill)];
        let snapshot = Snapshot { bills, ..Snapshot::default() };
        for _ in 0..2 {
            bars.show(&snapshot, 0, Duration::ZERO, None, None);
        }
        let shown: Vec<_> = bars.bills.iter().map(ProgressBar::message).collect();
        let line = "box: needs about 3 calls (listings 1, folders made 2); its limits make that 3 s at least";
        assert_eq!(shown, [line]);
    }

    #[test]
    fn speed_is_that_of_the_last_seconds() {
        let (mut speed, start) = (Speed::default(), Instant::now());
        assert_eq!(speed.sample(start, 0), 0);
        assert_eq!(speed.sample(start + Duration::from_secs(2), 2048), 1024);
        for second in 3..30 {
            speed.sample(start + Duration::from_secs(second), 2048);
        }
        assert_eq!(speed.sample(start + Duration::from_secs(30), 2048), 0);
    }
}
