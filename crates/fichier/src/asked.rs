//! How many files were asked about in the last minute: asking about many gets an address locked out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::bounds::ASKED_MAX;
use crate::settings::Settings;

/// In how long, where calls are paced.
const ASKED_SPAN: Duration = Duration::from_secs(60);

/// How many files were asked about in the last minute, where calls are paced.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<VecDeque<Instant>>);

impl Asked {
    /// May so many be asked about now? If so, they count as asked.
    pub(crate) fn admits(&self, settings: &Settings, count: usize) -> bool {
        if !settings.paced {
            return count <= ASKED_MAX;
        }
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|at| at.elapsed() < settings.scaled(ASKED_SPAN));
        let has_room = asked.len() + count <= ASKED_MAX;
        if has_room {
            asked.extend(std::iter::repeat_n(Instant::now(), count));
        }
        has_room
    }

    /// How long it takes until one more may be asked about.
    pub(crate) fn wait(&self, settings: &Settings) -> Duration {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(oldest) = asked.front() else { return Duration::ZERO };
        settings.scaled(ASKED_SPAN).saturating_sub(oldest.elapsed())
    }
}
