//! Downloads that the service makes itself. Nothing leaves this process: what is "downloaded" is the address as a text.
//!
//! An address with `missing` in it fails. A request is carried out when it has been asked about
//! [`crate::Rules::fetch_polls`] times, so that a client has something to wait for.

use serde_json::{Value, json};

use super::{Answer, Context, Refusal};
use crate::fetches::Fetch;
use crate::names;
use crate::store::FileRecord;

/// The most addresses of one request.
const URLS_MAX: usize = 100;
/// What an execution date says before there is one, as seen live.
const NEVER: &str = "1970-01-01 01:00:00";

/// `remote/request`
pub(super) fn request(context: &Context<'_>) -> Answer {
    let urls: Vec<String> = context.arguments.texts("urls");
    if urls.is_empty() {
        return Err(Refusal::missing("urls"));
    }
    if urls.len() > URLS_MAX {
        return Err(Refusal::new(403, "Too many links #701"));
    }
    let world = context.world;
    let folder = world.store.read(|tables| context.folder("folder_id", tables))?;
    let mut all = world.fetches.lock();
    let id = all.keys().next_back().map_or(1_000, |last| last + 1);
    let requested = world.clock.seconds();
    let fetch = Fetch { urls: urls.clone(), folder, requested, polls: 0, executed: None };
    all.insert(id, fetch);
    let headers = context.arguments.value("headers").cloned().unwrap_or_else(|| json!({}));
    let date = world.clock.french(requested);
    Ok(json!({"status": "OK", "id": id, "date": date, "urls": urls, "headers": headers}))
}

/// `remote/ls`
pub(super) fn list(context: &Context<'_>) -> Answer {
    let clock = &context.world.clock;
    let all = context.world.fetches.lock();
    let entry = |(id, fetch): (&u64, &Fetch)| {
        json!({"id": id, "request_date": clock.french(fetch.requested),
            "execution_date": executed(context, fetch)})
    };
    let data: Vec<Value> = all.iter().map(entry).collect();
    Ok(json!({"status": "OK", "data": data}))
}

/// `remote/info`; the id may come as a text.
pub(super) fn info(context: &Context<'_>) -> Answer {
    let id = context.arguments.integer("id").and_then(|id| u64::try_from(id).ok());
    let id = id.ok_or_else(|| Refusal::missing("id"))?;
    let mut fetch = {
        let mut all = context.world.fetches.lock();
        let fetch = all.get_mut(&id).ok_or_else(Refusal::not_found)?;
        fetch.polls += 1;
        fetch.clone()
    };
    if fetch.executed.is_none() && fetch.polls > context.rules.fetch_polls {
        let now = context.world.clock.seconds();
        let results = fetch.urls.iter().map(|url| download(context, url, fetch.folder, now));
        fetch.executed = Some((now, results.collect::<Result<_, Refusal>>()?));
        context.world.fetches.lock().insert(id, fetch.clone());
    }
    let date = context.world.clock.french(fetch.requested);
    let results = fetch.executed.as_ref().map(|(_, results)| results.clone()).unwrap_or_default();
    Ok(json!({"id": id, "request_date": date, "execution_date": executed(context, &fetch),
        "links": fetch.urls, "result": results}))
}

fn executed(context: &Context<'_>, fetch: &Fetch) -> String {
    let at = fetch.executed.as_ref().map(|(at, _)| context.world.clock.french(*at));
    at.unwrap_or_else(|| NEVER.to_owned())
}

fn download(context: &Context<'_>, url: &str, folder: u64, now: i64) -> Result<Value, Refusal> {
    if url.contains("missing") {
        return Ok(json!({"status": "KO", "url": url, "message": "Download failed #702"}));
    }
    let store = &context.world.store;
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("download");
    let id = names::new_file_id();
    let whirlpool = store.write_blob(&id, url.as_bytes())?;
    let file = FileRecord {
        size: url.len() as u64,
        folder: Some(folder),
        domain: context.rules.default_domain,
        ..FileRecord::new(id, context.file_name(name), whirlpool, now)
    };
    let link = file.link();
    store.edit_files(|_| (vec![file], ()))?;
    Ok(json!({"status": "OK", "url": url, "download_link": link, "message": ""}))
}
