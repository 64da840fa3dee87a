//! Kinds of call that are over for this process, because a refusal said that a person or another account is needed.
//!
//! Asking again would get the same answer, and 1fichier bans addresses that are refused again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ketch_core::{Error, ErrorKind};
use tokio::time::Instant;

use crate::error::{Refusal, Said};

/// How long a second location is taken to be there: it ends by itself, some minutes after the other one has stopped.
const LOCATION_LASTS: Duration = Duration::from_secs(5 * 60);
/// Stands for every kind of call.
const EVERY: &str = "";

/// The kinds of call that are over, by their names.
#[derive(Debug, Default)]
pub(crate) struct Ended(Mutex<HashMap<&'static str, End>>);

#[derive(Debug)]
struct End {
    said: Said,
    kind: ErrorKind,
    message: String,
    until: Option<Instant>,
}

impl Ended {
    /// Fails with what was said when calls of `verb` are over.
    pub(crate) fn check(&self, verb: &'static str) -> Result<(), Refusal> {
        let ended = self.lock();
        let is_on = |end: &&End| end.until.is_none_or(|until| Instant::now() < until);
        match [EVERY, verb].iter().find_map(|verb| ended.get(verb).filter(is_on)) {
            Some(end) => {
                Err(Refusal { said: end.said, error: Error::new(end.kind, end.message.as_str()) })
            }
            None => Ok(()),
        }
    }

    /// Ends the calls of `verb`, or all calls, if that is what the refusal means.
    pub(crate) fn note(&self, verb: &'static str, refusal: &Refusal) {
        let (verb, lasts) = match refusal.said {
            Said::KeyDead => (EVERY, None),
            Said::OwnerLocked | Said::Customer | Said::Network => (verb, None),
            Said::Location => (verb, Some(LOCATION_LASTS)),
            Said::Flood
            | Said::Locked
            | Said::NotFound
            | Said::Forbidden
            | Said::NoChange
            | Said::Name
            | Said::Quota
            | Said::Other => return,
        };
        let end = End {
            said: refusal.said,
            kind: refusal.error.kind(),
            message: refusal.error.message().to_owned(),
            until: lasts.map(|lasts| Instant::now() + lasts),
        };
        self.lock().insert(verb, end);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::refusal;

    #[tokio::test(start_paused = true)]
    async fn what_a_person_must_change_ends_its_kind_of_call_and_a_dead_key_all() {
        for (message, same, other) in [
            ("Must be a customer (Premium, Access) #200", true, false),
            ("Owner locked #620", true, false),
            ("professional equipment, must have CDN #9", true, false),
            ("Only 1 location allowed at a time #887", true, false),
            ("No such user #93", true, true),
            ("Resource not found #469", false, false),
            ("Resource not allowed #631", false, false),
            ("Flood detected #1", false, false),
            ("", false, false),
        ] {
            let ended = Ended::default();
            ended.note("a", &refusal(403, message));
            let found = [ended.check("a").is_err(), ended.check("b").is_err()];
            assert_eq!(found, [same, other], "{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_location_is_asked_about_again_after_some_minutes() {
        let ended = Ended::default();
        ended.note("a", &refusal(403, "Only 1 location allowed at a time #887"));
        let error = ended.check("a").expect_err("over").error;
        assert_eq!(error.kind(), ErrorKind::Throttled);
        tokio::time::advance(LOCATION_LASTS).await;
        assert!(ended.check("a").is_ok());
    }
}
