//! One call: its turn, its request, and the one place where an answer becomes a value or an error.
//!
//! A flood is waited out here and not above: a call that was refused has changed nothing, while its caller may have sent
//! gigabytes before it.

use ketch_core::{Error, ErrorKind, Result, Retry};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Api;
use crate::error::{Refusal, Said, not_json, refusal};
use crate::http::{Answer, Fault};
use crate::pace::Want;
use crate::text::snippet;
use crate::types::Envelope;

/// What a lost reply means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Asking again does no harm.
    Repeatable,
    /// The change may have been made, and would be made twice.
    Once,
}

impl Api {
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        body: Value,
        effect: Effect,
    ) -> Result<T, Refusal> {
        self.call_as(verb, body, Want::Call, effect).await.map(|(value, _)| value)
    }

    /// One call; the flag says whether the answer has a status and it is good.
    pub(super) async fn call_as<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        body: Value,
        want: Want,
        effect: Effect,
    ) -> Result<(T, bool), Refusal> {
        self.call_late(verb, || Some(body), want, effect).await
    }

    /// One call whose body is made when its turn has come. Without a body there is nothing to ask: `Cancelled`.
    pub(super) async fn call_late<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        body: impl FnOnce() -> Option<Value> + Send,
        want: Want,
        effect: Effect,
    ) -> Result<(T, bool), Refusal> {
        let place = self.settings.origin.call(verb);
        self.ended.check(verb)?;
        let mut turn = Some(self.pacer.admit(want).await?);
        // Another call may have been refused while this one waited.
        if let Err(refusal) = self.ended.check(verb) {
            self.pacer.unsent(want).await;
            return Err(refusal);
        }
        let Some(body) = body() else {
            return Err(Error::new(ErrorKind::Cancelled, "nobody wants the answer").into());
        };
        let body = body.to_string();
        loop {
            let answer = self.http.call(&place, body.clone()).await;
            match &answer {
                Err(fault) if !fault.sent => self.pacer.unsent(want).await,
                _ => self.pacer.answered(want).await,
            }
            drop(turn.take());
            let answer = match answer {
                Ok(answer) => answer,
                Err(fault) => return Err(lost(fault, effect).into()),
            };
            tracing::debug!(verb, http = answer.status, bytes = answer.body.len(), "answer");
            let refusal = match self.read(verb, &answer) {
                Ok(value) => {
                    self.pacer.spoke(verb);
                    return Ok(value);
                }
                Err(refusal) => Refusal { error: self.scaled(refusal.error), ..refusal },
            };
            match refusal.said {
                Said::Flood => {
                    // Without the advice in front of it.
                    let said = refusal.error.message();
                    let said = said.split_once(": ").map_or(said, |(_, said)| said);
                    if let Err(error) = self.pacer.flooded(want, verb, said).await {
                        return Err(Refusal { said: Said::Flood, error });
                    }
                    // The next turn comes after the pause. For user/info that is too far away, and no reason for others to
                    // wait.
                    if want != Want::UserInfo {
                        turn = Some(self.pacer.admit(want).await?);
                        continue;
                    }
                }
                Said::Locked => self.pacer.locked().await,
                _ => {
                    self.pacer.spoke(verb);
                    self.ended.note(verb, &refusal);
                    if is_counted(answer.status) {
                        self.pacer.refused().await;
                    }
                }
            }
            let refusal = unsettled(refusal, effect);
            if want == Want::UserInfo {
                return Err(Refusal { error: refusal.error.with_retry(Retry::Never), ..refusal });
            }
            return Err(refusal);
        }
    }

    /// The error with its pause as long as those of this remote are.
    pub(crate) fn scaled(&self, error: Error) -> Error {
        match error.retry() {
            Retry::After(pause) => error.with_retry(Retry::After(self.settings.scaled(pause))),
            Retry::Never | Retry::Backoff => error,
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        answer: &Answer,
    ) -> Result<(T, bool), Refusal> {
        if (300..400).contains(&answer.status) {
            let target = answer.location.as_deref().unwrap_or_default();
            let host =
                target.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
            let host = snippet(&self.http.scrub(host.unwrap_or("another path")));
            let message = format!("{verb} leads on to `{host}`, which is not followed");
            // A redirection is an answer: the call was not carried out, and asking again would lead to the same place.
            return Err(Error::new(ErrorKind::Denied, message).into());
        }
        // ORDER: a list would be read as an object whose fields come in order.
        let is_object = answer.body.trim_ascii_start().starts_with(b"{");
        let body = crate::json::mended(&answer.body);
        let envelope: Envelope = match serde_json::from_slice(&body) {
            Ok(envelope) if is_object => envelope,
            _ => {
                let text = self.http.scrub(&String::from_utf8_lossy(&answer.body));
                return Err(not_json(answer.status, text.as_bytes()));
            }
        };
        if envelope.is_refusal() || !(200..300).contains(&answer.status) {
            let message = self.http.scrub(envelope.message.as_deref().unwrap_or_default());
            return Err(refusal(answer.status, &message));
        }
        match serde_json::from_slice(&body) {
            Ok(value) => Ok((value, envelope.is_ok())),
            Err(error) => {
                let text = snippet(&self.http.scrub(&error.to_string()));
                Err(shape(verb, &text).into())
            }
        }
    }
}

/// Is it an answer that 1fichier punishes when it has to be given again and again?
pub(crate) fn is_counted(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 410)
}

/// The error of an answer that is JSON, but not the one that was expected.
pub(super) fn shape(verb: &str, what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the answer to {verb} makes no sense: {what}"))
}

/// The error of a call whose reply was lost.
fn lost(fault: Fault, effect: Effect) -> Error {
    if effect == Effect::Once && fault.sent {
        return unknown(fault.error);
    }
    if fault.error.kind() == ErrorKind::Corrupt {
        // An answer that was cut is not content that was damaged.
        let message = fault.error.message().to_owned();
        return Error::new(ErrorKind::Unavailable, message)
            .with_retry(Retry::Backoff)
            .with_hint_of(&fault.error)
            .with_source(fault.error);
    }
    fault.error
}

/// A refusal that does not say whether a change was made.
fn unsettled(refusal: Refusal, effect: Effect) -> Refusal {
    let is_clear = !matches!(refusal.error.kind(), ErrorKind::Protocol | ErrorKind::Unavailable);
    if effect == Effect::Repeatable || is_clear {
        return refusal;
    }
    Refusal { said: refusal.said, error: unknown(refusal.error) }
}

pub(super) fn unknown(cause: Error) -> Error {
    let message =
        format!("the change may have been made, its answer was lost: {}", cause.message());
    let unknown = Error::new(ErrorKind::CommitUnknown, message).with_retry(Retry::Backoff);
    unknown.with_hint_of(&cause).with_source(cause)
}
