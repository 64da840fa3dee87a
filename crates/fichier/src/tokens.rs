//! Addresses to download from. One serves all parts of a file: each call for one counts against the limits, and a call
//! for every part is what gets other clients locked out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ketch_core::{Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

use crate::api::Api;
use crate::error::Said;
use crate::hosts::Place;
use crate::locks::Locks;

/// A download must begin within five minutes of its address being given out...
const BEGIN_WITHIN: Duration = Duration::from_secs(240);
/// ... and may be continued for half an hour.
const CONTINUE_WITHIN: Duration = Duration::from_secs(25 * 60);
/// The most addresses that are remembered.
const TOKENS_MAX: usize = 256;
/// The addresses in use, one for each file.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<String, Token>>,
    locks: Locks<String>,
    /// Was one given to this process? Until then one task asks at a time, for an account that is given none.
    is_given: AtomicBool,
    first: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Token {
    place: Place,
    given: Instant,
    begun: bool,
    /// How many bytes came from it. When that is the whole file it is spent.
    served: u64,
}

impl Token {
    fn is_good(&self) -> bool {
        let life = if self.begun { CONTINUE_WITHIN } else { BEGIN_WITHIN };
        self.given.elapsed() < life
    }
}

impl Tokens {
    /// The address of a file's content. Tasks that want the same one wait for one call.
    pub(crate) async fn get(&self, api: &Api, url: &str) -> Result<Place> {
        if let Some(place) = self.good(url) {
            return Ok(place);
        }
        let lock = self.locks.get(url.to_owned());
        let _one = lock.lock().await;
        if let Some(place) = self.good(url) {
            return Ok(place);
        }
        let first = match self.is_given.load(Ordering::Relaxed) {
            true => None,
            false => Some(self.first.lock().await),
        };
        let given = api.get_token(url).await;
        self.is_given.fetch_or(given.is_ok(), Ordering::Relaxed);
        drop(first);
        let place = match given {
            Ok(place) => place,
            // Seen live: refused with HTTP 200 and no known reason, given at the next try.
            Err(refusal)
                if refusal.said == Said::Other
                    && refusal.error.message().ends_with("(HTTP 200)") =>
            {
                let message = refusal.error.message().to_owned();
                return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff));
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let mut known = self.lock();
        known.retain(|_, token| token.is_good());
        if known.len() >= TOKENS_MAX {
            let oldest = known.iter().min_by_key(|(_, token)| token.given);
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                known.remove(&oldest);
            }
        }
        let token = Token { place: place.clone(), given: Instant::now(), begun: false, served: 0 };
        known.insert(url.to_owned(), token);
        Ok(place)
    }

    fn good(&self, url: &str) -> Option<Place> {
        self.lock().get(url).filter(|token| token.is_good()).map(|token| token.place.clone())
    }

    /// Notes that a download from it has begun: it may now be continued for longer.
    pub(crate) fn begun(&self, url: &str, place: &Place) {
        if let Some(token) = self.lock().get_mut(url).filter(|token| token.place == *place) {
            token.begun = true;
        }
    }

    /// Notes that `bytes` came from it. One that the whole file of `size` bytes came from is not asked again.
    pub(crate) fn served(&self, url: &str, place: &Place, bytes: u64, size: u64) {
        let is_spent = match self.lock().get_mut(url).filter(|token| token.place == *place) {
            Some(token) => {
                token.served += bytes;
                token.served >= size
            }
            None => false,
        };
        if is_spent {
            self.spent(url, place);
        }
    }

    /// Forgets an address, unless another task has fetched a newer one.
    pub(crate) fn spent(&self, url: &str, place: &Place) {
        let mut known = self.lock();
        if known.get(url).is_some_and(|token| token.place == *place) {
            known.remove(url);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Token>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
