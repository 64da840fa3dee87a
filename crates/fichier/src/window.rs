//! A span of the dates on which files were sent, for which a listing is asked.

use jiff::ToSpan;
use jiff::civil::DateTime;

use crate::dates;

/// A span of dates, both ends included; `None` is an open end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) after: Option<DateTime>,
    pub(crate) before: Option<DateTime>,
}

impl Window {
    /// All of them.
    pub(crate) const ALL: Window = Window { after: None, before: None };

    /// The bounds to ask for, as 1fichier writes dates.
    pub(crate) fn bounds(&self) -> (Option<String>, Option<String>) {
        let after = self.after.and_then(|date| date.checked_sub(1.second()).ok());
        let before = self.before.and_then(|date| date.checked_add(1.second()).ok());
        (after.map(dates::text), before.map(dates::text))
    }

    /// Is a file of this date no answer to [`Window::bounds`]? Dates of the hour that October repeats prove nothing.
    pub(crate) fn excludes(&self, date: DateTime) -> bool {
        let is_early = self.after.is_some_and(|after| date.saturating_add(1.second()) < after);
        let is_late = self.before.is_some_and(|before| date.saturating_sub(1.second()) > before);
        (is_early || is_late) && !dates::is_repeated(date)
    }

    /// This window as up to `parts` smaller ones, with about as many of these `dates` in each. `None` when it is not longer
    /// than a second, or nothing tells where to cut it.
    pub(crate) fn split(&self, mut dates: Vec<DateTime>, parts: usize) -> Option<Vec<Window>> {
        dates.sort_unstable();
        let (first, last) =
            (self.after.or(dates.first().copied())?, self.before.or(dates.last().copied())?);
        let mut cuts: Vec<DateTime> = (1..parts)
            .filter_map(|part| dates.get(part * dates.len() / parts).copied())
            // The last second of a part is its last chance to be shorter than the whole.
            .map(|cut| if cut >= last { last.saturating_sub(1.second()) } else { cut.max(first) })
            .filter(|cut| *cut >= first && *cut < last)
            .collect();
        cuts.dedup();
        if cuts.is_empty() {
            return None;
        }
        let mut windows = Vec::with_capacity(cuts.len() + 1);
        let mut after = self.after;
        for cut in cuts {
            windows.push(Window { after, before: Some(cut) });
            after = cut.checked_add(1.second()).ok();
        }
        windows.push(Window { after, before: self.before });
        Some(windows)
    }
}
