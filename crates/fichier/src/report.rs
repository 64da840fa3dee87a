//! The node's report on an upload: asked for until it is one.
//!
//! While the node stores the file, or looks for viruses in it, the report is a page that asks to wait, or has no links.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ketch_core::Result;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::api::{Api, polls};
use crate::hosts::Place;
use crate::types::{Envelope, Link, Report as Links};
use serde::{Deserialize, Serialize};

/// One upload request, which several files may have travelled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// Host and port.
    pub(crate) node: String,
    pub(crate) xid: String,
    /// How many files travelled in it.
    #[serde(default = "one")]
    pub(crate) files: usize,
    /// The size of the file that the note is about, where that was another version of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
}

fn one() -> usize {
    1
}

/// How often a node may say that it knows of no such upload, after it has said that it took it.
const MISSING_MAX: usize = 3;

/// How often a report may come with too few links before it is taken.
const PARTIAL_MAX: usize = 5;
/// For how long to ask about an upload of an earlier process.
const EARLIER_WAIT: Duration = Duration::from_secs(60);
/// How many of those are remembered.
const REPORTS_MAX: usize = 1_024;

/// What the node says in the end.
#[derive(Debug)]
pub(crate) enum Report {
    /// The files, as they are stored.
    Links(Vec<Link>),
    /// It knows of no such upload.
    Nothing,
    /// It has not said anything useful in time.
    Unclear,
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    Link(usize),
    Wait,
    Missing,
}

/// Asks until there is an answer, for at most `limit`. With `doubt` the first word that there is no such upload counts.
/// An answer with fewer links than `files` is taken when it stays so.
pub(crate) async fn wait(
    api: &Api,
    node: &Place,
    xid: &str,
    files: usize,
    limit: Duration,
    doubt: bool,
) -> Report {
    let place = node.with_path(&format!("/end.pl?xid={xid}"));
    let start = Instant::now();
    let (mut missing, mut partial) = (0, (Vec::new(), 0));
    for pause in polls(&api.settings) {
        if let Ok(answer) = api.http.report(&place).await {
            let (look, links) = look(answer.status, &answer.body);
            tracing::debug!(http = answer.status, ?look, "end.pl");
            match look {
                Look::Link(count) if count >= files => return Report::Links(links),
                Look::Link(_) => {
                    partial = (links, partial.1 + 1);
                    if partial.1 == PARTIAL_MAX {
                        break;
                    }
                }
                Look::Missing => missing += 1,
                Look::Wait => {}
            }
        }
        if missing == if doubt { 1 } else { MISSING_MAX } {
            return Report::Nothing;
        }
        if start.elapsed() + pause > limit {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    if partial.0.is_empty() { Report::Unclear } else { Report::Links(partial.0) }
}

/// What the node says about an upload of an earlier process.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// When it was said.
    pub(crate) at: Instant,
    pub(crate) links: Vec<Link>,
    /// Is it certain that there are no other links?
    pub(crate) is_clear: bool,
}

/// Reports on uploads of earlier processes, each asked for once and for all files that travelled in it.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<HashMap<String, Arc<AsyncMutex<Said>>>>);

/// What was said of one upload.
#[derive(Debug, Default)]
struct Said {
    first: Option<Told>,
    /// Later, when it had not arrived at first; and when that was asked.
    late: Option<(Instant, Told)>,
}

impl Reports {
    /// The report on `upload`. A node that is none of 1fichier is not asked, and says nothing.
    pub(crate) async fn of(&self, api: &Api, upload: &Upload) -> Result<Told> {
        let said = self.said(upload);
        // Tasks that ask at the same time wait for the one answer.
        let mut said = said.lock().await;
        if let Some(told) = &said.first {
            return Ok(told.clone());
        }
        let told = ask(api, upload, EARLIER_WAIT).await?;
        Ok(said.first.insert(told).clone())
    }

    /// What a node says of an upload of this process when it is asked once more. One that is none of 1fichier says nothing.
    pub(crate) async fn again(&self, api: &Api, upload: &Upload) -> Result<Told> {
        now(api, upload).await
    }

    /// What has arrived by `moment` of an upload of which nothing had arrived at first. Asked for once, without waiting.
    pub(crate) async fn late(
        &self,
        api: &Api,
        upload: &Upload,
        moment: Instant,
    ) -> Result<Option<Told>> {
        let said = self.said(upload);
        let mut said = said.lock().await;
        if said.first.as_ref().is_some_and(|told| !told.links.is_empty()) {
            return Ok(None);
        }
        if let Some((_, told)) = said.late.as_ref().filter(|(asked, _)| *asked >= moment) {
            return Ok(Some(told.clone()));
        }
        let asked = Instant::now();
        let told = ask(api, upload, Duration::ZERO).await?;
        said.late = Some((asked, told.clone()));
        Ok(Some(told))
    }

    fn said(&self, upload: &Upload) -> Arc<AsyncMutex<Said>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REPORTS_MAX && !known.contains_key(&upload.xid) {
            known.clear();
        }
        Arc::clone(known.entry(upload.xid.clone()).or_default())
    }
}

/// What a node says of an upload when it is asked once. One that is none of 1fichier says nothing.
pub(crate) async fn now(api: &Api, upload: &Upload) -> Result<Told> {
    ask(api, upload, Duration::ZERO).await
}

async fn ask(api: &Api, upload: &Upload, limit: Duration) -> Result<Told> {
    let node = match api.settings.origin.node(&upload.node) {
        Ok(node) => node,
        // No such node is asked. The emulator of a process that died had another port, and is gone with it.
        Err(error) => {
            tracing::debug!(%error, "an earlier upload cannot be asked about");
            return Ok(Told { at: Instant::now(), links: Vec::new(), is_clear: false });
        }
    };
    let limit = api.settings.scaled(limit);
    let (links, is_clear) = match wait(api, &node, &upload.xid, upload.files, limit, true).await {
        Report::Links(links) => (links, true),
        Report::Nothing => (Vec::new(), true),
        Report::Unclear => (Vec::new(), false),
    };
    Ok(Told { at: Instant::now(), links, is_clear })
}

fn look(status: u16, body: &[u8]) -> (Look, Vec<Link>) {
    let body = &crate::json::mended(body);
    let envelope: Envelope = serde_json::from_slice(body).unwrap_or_default();
    let gone = crate::error::read(envelope.message.as_deref().unwrap_or_default())
        == crate::error::Said::NotFound;
    if matches!(status, 404 | 410) || (envelope.is_refusal() && gone) {
        return (Look::Missing, Vec::new());
    }
    if !(200..300).contains(&status) || envelope.is_refusal() {
        return (Look::Wait, Vec::new());
    }
    let links = match serde_json::from_slice::<Links>(body) {
        Ok(report) => report.links.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    if links.is_empty() { (Look::Wait, links) } else { (Look::Link(links.len()), links) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_ends_the_wait_well() {
        let link =
            r#"{"download":"https://1fichier.com/?a","filename":"f","size":"1","whirlpool":""}"#;
        let one = format!(r#"{{"incoming":0,"links":[{link}]}}"#);
        let two = format!(r#"{{"links":[{link},{link}]}}"#);
        for (status, body, expected) in [
            (200, one.as_str(), Look::Link(1)),
            (200, two.as_str(), Look::Link(2)),
            (200, r#"{"links":[]}"#, Look::Wait),
            (200, r#"{"links":null}"#, Look::Wait),
            (200, "{}", Look::Wait),
            (200, "<html>Veuillez patienter</html>", Look::Wait),
            (200, r#"{"links":[{"#, Look::Wait),
            (500, "", Look::Wait),
            (403, r#"{"status":"KO","message":"Flood detected: IP Locked #374"}"#, Look::Wait),
            (404, "<html></html>", Look::Missing),
            (200, r#"{"status":"KO","message":"Resource not found #1"}"#, Look::Missing),
        ] {
            assert_eq!(look(status, body.as_bytes()).0, expected, "{status} {body}");
        }
    }
}
