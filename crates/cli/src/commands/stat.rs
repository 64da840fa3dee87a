//! `ketch stat`: everything that is known of one thing, one fact a line.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ketch_core::services::Detail;
use ketch_core::{Entry, EntryKind, ErrorKind};
use serde_json::{Map, Value, json};

use super::service::{find, same_name};
use crate::args::{LocalArgs, StatArgs};
use crate::context::{Context, Done};
use crate::hints;
use crate::jsonl;
use crate::location::Location;
use crate::problem::Result;
use crate::settings::place;

/// Prints the facts.
pub(crate) async fn run(context: &Context, args: &StatArgs) -> Result<Done> {
    let place = place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&LocalArgs::default(), &args.recent, false);
    let signals = context.signals()?;
    let work = async {
        let thing = find(&mut remotes, &place).await?;
        let mut all = same_name(&thing.backend, &thing.entry).await?;
        if all.len() < 2 {
            all = vec![thing.entry];
        }
        let services = thing.backend.services();
        let mut facts = Vec::new();
        for entry in all {
            let details = match &services {
                Some(services) => match services.details(&entry).await {
                    Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
                    other => other?,
                },
                None => Vec::new(),
            };
            facts.push((entry, details));
        }
        Ok(facts)
    };
    let all = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    if all.len() > 1 {
        let text = format!("{} files have this name (`ketch dedupe` leaves one)", all.len());
        context.console.tell_notice(&text);
    }
    for (number, (entry, details)) in all.iter().enumerate() {
        if number > 0 && !context.console.is_json() {
            context.console.line("")?;
        }
        show(context, &place, entry, details)?;
    }
    remotes.close().await;
    Ok(Done::with(crate::exit::OK, json!({})))
}

fn show(
    context: &Context,
    place: &Location,
    entry: &Entry,
    details: &[(&'static str, Detail)],
) -> Result<()> {
    let console = &context.console;
    if console.is_json() {
        let (kind, mut body) = jsonl::entry(entry);
        let details: Map<String, Value> =
            details.iter().map(|(name, fact)| ((*name).to_owned(), value(fact))).collect();
        body["kind"] = kind.into();
        body["path"] = place.path.as_str().into();
        body["details"] = Value::Object(details);
        return console.event("stat", body);
    }
    let kind = match entry.kind {
        EntryKind::File => "file".to_owned(),
        EntryKind::Dir => "folder".to_owned(),
        EntryKind::Link => "symbolic link".to_owned(),
        EntryKind::Special(special) => hints::with(special.describe(), special.hint()),
    };
    let mut facts = vec![("kind", kind)];
    facts.extend(entry.size.map(|size| ("size", size.to_string())));
    let time = entry.mtime.and_then(|time| Timestamp::try_from(time).ok());
    facts.extend(time.map(|time| ("time", shown(time))));
    let hashes = entry.hashes.iter().flat_map(|hashes| hashes.iter());
    for digest in hashes {
        facts.push((digest.algo().as_str(), digest.to_string()));
    }
    for digest in entry.claimed.iter().flat_map(|claimed| claimed.iter()) {
        facts.push((digest.algo().as_str(), format!("{digest}  (claimed by who stored it)")));
    }
    console.named_line(&format!("{:<16}", "path"), &place.redacted(), "")?;
    for (name, fact) in details {
        if !facts.iter().any(|(known, _)| known == name) {
            facts.push((name, text(fact)));
        }
    }
    for (name, fact) in facts {
        console.named_line(&format!("{name:<16}"), &fact, "")?;
    }
    Ok(())
}

fn text(fact: &Detail) -> String {
    match fact {
        Detail::Text(text) => text.clone(),
        Detail::Number(number) => number.to_string(),
        Detail::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Detail::Time(time) => Timestamp::try_from(*time).map(shown).unwrap_or_default(),
    }
}

fn value(fact: &Detail) -> Value {
    match fact {
        Detail::Text(text) => text.as_str().into(),
        Detail::Number(number) => (*number).into(),
        Detail::Flag(flag) => (*flag).into(),
        Detail::Time(time) => {
            Timestamp::try_from(*time).map_or(Value::Null, |time| time.to_string().into())
        }
    }
}

fn shown(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%F %T").to_string()
}
