//! `ketch copyurl` and `ketch remote jobs`: downloads that the remote makes by itself.

use std::time::Duration;

use jiff::Timestamp;
use ketch_core::RelPath;
use ketch_core::services::{Fetch, Services};
use serde_json::{Value, json};

use super::service::{remotes, services, word};
use crate::args::{CopyurlArgs, RawPlace};
use crate::context::{Context, Done};
use crate::exit;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result};
use crate::settings::place;

/// The first wait between two looks, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Asks for the downloads, and waits for their end if that is wanted.
pub(crate) async fn run(context: &Context, args: &CopyurlArgs) -> Result<Done> {
    let Some((target, urls)) = args.words.split_last() else {
        return Err(Problem::usage("at least one address and a folder are needed"));
    };
    let place = place(target)?;
    let urls: Vec<String> =
        urls.iter().map(|raw| word(raw, "an address")).collect::<Result<_>>()?;
    let headers = args.header.iter().map(header).collect::<Result<Vec<_>>>()?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let console = &*context.console;
    let work = async {
        let backend = remotes.open(&place).await?;
        let services = services(&*backend, "copyurl")?;
        let id = services.fetch(&urls, &RelPath::root(), &headers).await?;
        console.event("fetch_begun", json!({ "id": id, "urls": urls }))?;
        if !args.wait {
            if !console.is_json() {
                console.line(&id.to_string())?;
            }
            let name = backend.name();
            console.tell(
                Level::Normal,
                &format!("asked for; `ketch remote jobs {name} {id}` tells what became of it"),
            );
            return Ok(None);
        }
        Ok(Some(wait(&*services, console, id).await?))
    };
    let fetch = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    remotes.close().await;
    match fetch {
        Some(fetch) => tell(console, &fetch),
        None => Ok(Done::ok()),
    }
}

/// Lists the downloads that were asked for, or tells about one.
pub(crate) async fn jobs(context: &Context, raw: &RawPlace, id: Option<u64>) -> Result<Done> {
    let place = place(raw)?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let console = &*context.console;
    let work = async {
        let backend = remotes.open(&place).await?;
        let services = services(&*backend, "remote jobs")?;
        match id {
            Some(id) => Ok(vec![services.fetched(id).await?]),
            None => Ok(services.fetches().await?),
        }
    };
    let fetches = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    remotes.close().await;
    if let (Some(_), [fetch]) = (id, &*fetches) {
        return tell(console, fetch);
    }
    for fetch in &fetches {
        console.event("fetch", body(fetch))?;
        if !console.is_json() {
            let state = if fetch.ended.is_some() { "ended" } else { "waiting" };
            let time = fetch.requested.and_then(|time| Timestamp::try_from(time).ok());
            let time = time.map(|time| time.to_string()).unwrap_or_default();
            console.line(&format!("{:>10}  {state:<8}{time}", fetch.id))?;
        }
    }
    Ok(Done::with(exit::OK, json!({ "counts": { "fetches": fetches.len() } })))
}

async fn wait(services: &dyn Services, console: &Console, id: u64) -> Result<Fetch> {
    let mut wait = FIRST_WAIT;
    loop {
        let fetch = services.fetched(id).await?;
        if fetch.ended.is_some() {
            return Ok(fetch);
        }
        console
            .tell(Level::Item, &format!("not yet, the next look is in {} s", wait.as_secs_f32()));
        tokio::time::sleep(wait).await;
        wait = (wait * 3 / 2).min(LONGEST_WAIT);
    }
}

/// Tells what became of each address; that some failed shows in the exit code.
fn tell(console: &Console, fetch: &Fetch) -> Result<Done> {
    console.event("fetch", body(fetch))?;
    let mut failed = 0;
    for result in &fetch.results {
        match &result.outcome {
            Ok(link) if !console.is_json() => console.line(&format!("{}  {link}", result.url))?,
            Ok(_) => {}
            Err(message) => {
                failed += 1;
                console.tell_error(&format!("{}: {message}", result.url));
            }
        }
    }
    if fetch.ended.is_none() {
        console.tell(Level::Normal, "not yet");
    }
    let code = if failed > 0 { exit::PARTIAL } else { exit::OK };
    let counts = json!({ "files": fetch.results.len(), "failed": failed });
    Ok(Done::with(code, json!({ "counts": counts })))
}

fn body(fetch: &Fetch) -> Value {
    let time = |time: Option<std::time::SystemTime>| {
        time.and_then(|time| Timestamp::try_from(time).ok()).map(|time| time.to_string())
    };
    let results: Vec<Value> = fetch
        .results
        .iter()
        .map(|result| {
            let (link, error) = (result.outcome.as_ref().ok(), result.outcome.as_ref().err());
            json!({ "url": result.url, "link": link, "error": error })
        })
        .collect();
    json!({
        "id": fetch.id, "requested": time(fetch.requested), "ended": time(fetch.ended),
        "results": results,
    })
}

fn header(raw: &RawPlace) -> Result<(String, String)> {
    let text = word(raw, "a header")?;
    let parts = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let Some((name, value)) = parts.filter(|(name, _)| !name.is_empty()) else {
        return Err(Problem::usage("a header is written as 'Name: value'"));
    };
    Ok((name.to_owned(), value.to_owned()))
}
