//! Download tokens: short-lived URLs that stand for one file.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::Rules;

/// All tokens that were handed out and not yet forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<u64, Token>>,
}

#[derive(Clone, Debug)]
struct Token {
    file: String,
    inline: bool,
    /// Neither parallel requests nor a second complete one.
    single: bool,
    issued: Instant,
    started: Option<Instant>,
    active: u32,
    used_up: bool,
}

/// What a live token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) file: String,
    pub(crate) inline: bool,
}

/// Why a token does not serve this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Never handed out, or forgotten.
    Unknown,
    /// Not started in time, past its life, or used up.
    Expired,
    /// `single` allows one request at a time.
    Busy,
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Token>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token for a file. Tokens long dead are forgotten on the way.
    pub(crate) fn issue(&self, file: &str, inline: bool, single: bool, rules: &Rules) -> u64 {
        let mut known = self.lock();
        let now = Instant::now();
        if known.len() > 10_000 {
            known.retain(|_, token| token.active > 0 || !token.is_expired(now, rules));
        }
        loop {
            let number = fastrand::u64(100_000_000..10_000_000_000);
            if known.contains_key(&number) {
                continue;
            }
            let token = Token {
                file: file.to_owned(),
                inline,
                single,
                issued: now,
                started: None,
                active: 0,
                used_up: false,
            };
            known.insert(number, token);
            return number;
        }
    }

    /// Starts a request on a token; one with `is_body` is active until its [`Lease`](crate::lease::Lease) goes.
    pub(crate) fn start(&self, number: u64, is_body: bool, rules: &Rules) -> Result<Grant, Denied> {
        let mut known = self.lock();
        let token = known.get_mut(&number).ok_or(Denied::Unknown)?;
        let now = Instant::now();
        if token.used_up || token.is_expired(now, rules) {
            return Err(Denied::Expired);
        }
        if token.single && token.active > 0 {
            return Err(Denied::Busy);
        }
        token.started.get_or_insert(now);
        token.active += u32::from(is_body);
        Ok(Grant { file: token.file.clone(), inline: token.inline })
    }

    /// Ends a token at once.
    pub(crate) fn expire(&self, number: u64) {
        if let Some(token) = self.lock().get_mut(&number) {
            token.used_up = true;
        }
    }

    /// Takes back that a request was complete.
    pub(crate) fn revive(&self, number: u64) {
        if let Some(token) = self.lock().get_mut(&number) {
            token.used_up = false;
        }
    }

    pub(crate) fn finish(&self, number: u64, was_complete: bool) {
        if let Some(token) = self.lock().get_mut(&number) {
            token.active = token.active.saturating_sub(1);
            token.used_up |= token.single && was_complete;
        }
    }
}

impl Token {
    fn is_expired(&self, now: Instant, rules: &Rules) -> bool {
        match self.started {
            None => now.duration_since(self.issued) > rules.token_start,
            Some(started) => now.duration_since(started) > rules.token_life,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_token_starts_within_5_minutes_and_resumes_for_30() {
        let (tokens, rules) = (Tokens::default(), Rules::default());
        let late = tokens.issue("a", false, false, &rules);
        let used = tokens.issue("a", false, false, &rules);
        assert!(tokens.start(used, true, &rules).is_ok());
        tokio::time::advance(Duration::from_secs(301)).await;
        assert_eq!(tokens.start(late, true, &rules), Err(Denied::Expired));
        assert!(tokens.start(used, true, &rules).is_ok());
        tokio::time::advance(Duration::from_secs(1500)).await;
        assert_eq!(tokens.start(used, true, &rules), Err(Denied::Expired));
        assert_eq!(tokens.start(1, true, &rules), Err(Denied::Unknown));
    }

    #[tokio::test]
    async fn single_allows_a_resume_but_neither_company_nor_a_second_whole() {
        let (tokens, rules) = (Tokens::default(), Rules::default());
        let number = tokens.issue("a", false, true, &rules);
        assert!(tokens.start(number, true, &rules).is_ok());
        assert_eq!(tokens.start(number, true, &rules), Err(Denied::Busy));
        tokens.finish(number, false);
        assert!(tokens.start(number, true, &rules).is_ok());
        tokens.finish(number, true);
        assert_eq!(tokens.start(number, true, &rules), Err(Denied::Expired));
    }
}
