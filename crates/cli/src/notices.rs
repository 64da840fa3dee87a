//! Notices that come in thousands: the first of a kind are told, the rest is counted.

use std::collections::BTreeMap;

use ketch_engine::event::Event;

use crate::hints;
use crate::leftovers::leftovers_line;
use crate::output::{Console, Level};

/// So many of one kind are told.
const TOLD: u64 = 10;
/// Kinds that are told apart; beyond it they count as one.
const KINDS: usize = 100;

/// How many notices of each kind there were.
#[derive(Debug, Default)]
pub(crate) struct Notices(BTreeMap<String, u64>);

impl Notices {
    /// Tells of an event that is a notice. `false`: it is another one.
    pub(crate) fn take(&mut self, console: &Console, event: &Event) -> bool {
        match event {
            Event::Notice { path, text, hint } => {
                let text = hints::with(text, *hint);
                self.tell(console, path.as_ref().map(|path| path.as_str()), &text);
            }
            Event::Leftovers { place, parts, bytes, is_removed } => {
                let text = leftovers_line(place, *parts, *bytes, *is_removed);
                self.tell(console, None, &text);
            }
            _ => return false,
        }
        true
    }

    /// Tells `text` about `subject`, if not too many with the same text were told.
    pub(crate) fn tell(&mut self, console: &Console, subject: Option<&str>, text: &str) {
        if self.admit(text) || console.tells(Level::Item) {
            match subject {
                Some(subject) => console.tell_notice(&format!("{subject}: {text}")),
                None => console.tell_notice(text),
            }
        }
    }

    fn admit(&mut self, text: &str) -> bool {
        let known = self.0.contains_key(text) || self.0.len() < KINDS;
        let count = self.0.entry(if known { text.to_owned() } else { String::new() }).or_default();
        *count += 1;
        *count <= TOLD
    }

    /// Tells how many were not told.
    pub(crate) fn finish(self, console: &Console) {
        if console.tells(Level::Item) {
            return;
        }
        for (text, count) in self.0.iter().filter(|(_, count)| **count > TOLD) {
            let text = if text.is_empty() { "various notices" } else { text };
            console.tell_notice(&format!("and {} more: {text} (-v shows all)", count - TOLD));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_of_a_kind_are_told() {
        let mut notices = Notices::default();
        let told = (0..3_000).filter(|_| notices.admit("a symbolic link")).count();
        assert_eq!((told, notices.0["a symbolic link"]), (10, 3_000));
        assert!(notices.admit("a socket"));
        for kind in 0..1_000 {
            notices.admit(&kind.to_string());
        }
        assert_eq!(notices.0.len(), KINDS + 1);
    }
}
