//! What a person should know of a remote and need not be told at every job: once a day, and with `-v` always.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::output::{Console, Level};

/// For so long a reminder is not repeated.
const EVERY: Duration = Duration::from_secs(24 * 3_600);

/// When the reminders were told last: a file each, whose time is that. Without a folder each is told.
#[derive(Debug, Default)]
pub(crate) struct Reminders(Option<PathBuf>);

impl Reminders {
    /// The files in a folder of the state folder.
    pub(crate) fn new(state_folder: Option<PathBuf>) -> Self {
        Reminders(state_folder.map(|folder| folder.join("reminders")))
    }

    /// Tells `text` about `place`, unless the remote of that place had one today.
    pub(crate) fn tell(&self, console: &Console, place: &str, text: &str) {
        if !console.tells(Level::Normal) {
            return; // Nothing is shown, so it is not told.
        }
        let is_due = self.is_due(place, SystemTime::now());
        if is_due || console.tells(Level::Item) {
            console.tell_notice(text);
        }
    }

    fn is_due(&self, place: &str, now: SystemTime) -> bool {
        let Some(folder) = &self.0 else { return true };
        let remote = place.split_once(':').map_or(place, |(remote, _)| remote);
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        let name = remote.chars().map(|one| if is_plain(one) { one } else { '_' });
        let file = folder.join(format!("{}.told", name.collect::<String>()));
        let told = std::fs::metadata(&file).and_then(|metadata| metadata.modified());
        // A time in the future comes from a clock that was put back.
        let is_told = told.is_ok_and(|told| now.duration_since(told).is_ok_and(|age| age < EVERY));
        if !is_told {
            let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, ""));
            if let Err(error) = written {
                tracing::debug!(%error, ?file, "the next job tells this again");
            }
        }
        !is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remote_is_told_of_once_a_day() {
        let scratch = tempfile::tempdir().expect("scratch");
        let reminders = Reminders::new(Some(scratch.path().to_owned()));
        let now = SystemTime::now() + Duration::from_secs(60);
        assert!(reminders.is_due("box:a", now));
        assert!(!reminders.is_due("box:b/c", now));
        assert!(reminders.is_due("other:", now));
        assert!(reminders.is_due(":fichier,api_key=***:a", now));
        assert!(reminders.is_due("box:a", now + EVERY));
        let none = Reminders::new(None);
        assert!(none.is_due("box:", now) && none.is_due("box:", now));
    }
}
