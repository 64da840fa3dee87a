//! `ketch link` and `ketch import`: public addresses, in both directions.

use ketch_core::RelPath;
use ketch_core::services::LinkRequest;
use ketch_engine::filter::units::format_duration;
use serde_json::json;

use super::service::{find, one_of_its_name, remotes, services, word};
use crate::args::{ImportArgs, LinkArgs, LocalArgs};
use crate::context::{Context, Done};
use crate::jsonl;
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::settings::place;

/// Prints the address of a file or folder.
pub(crate) async fn run(context: &Context, args: &LinkArgs) -> Result<Done> {
    if args.expire.is_some() {
        return Err(Problem::usage(
            "--expire: 1fichier keeps no date at which a link ends (--direct gives one that lives for half an hour; \
             `ketch attr set --password …` closes a public one)",
        ));
    }
    let password = args.password.as_ref().map(|raw| word(raw, "the password")).transpose()?;
    let place = place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&LocalArgs::default(), &args.recent, false);
    let signals = context.signals()?;
    let work = async {
        let thing = find(&mut remotes, &place).await?;
        one_of_its_name(&thing.backend, &thing.entry).await?;
        if args.unlink {
            thing.services("link")?.unlink(&thing.entry).await?;
            return Ok(None);
        }
        let request = LinkRequest { direct: args.direct, password };
        Ok(Some(thing.services("link")?.link(&thing.entry, &request).await?))
    };
    let link = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let Some(link) = link else {
        context.console.tell(Level::Normal, &format!("{} is private again", place.redacted()));
        remotes.close().await;
        return Ok(Done::ok());
    };
    if context.console.is_json() {
        let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
        let body = json!({
            "path": place.path, "url": link.url, "begin_within_seconds": seconds(link.begin_within),
            "lasts_seconds": seconds(link.lasts),
        });
        context.console.event("link", body)?;
    } else {
        context.console.line(&link.url)?;
    }
    if let (Some(begin), Some(lasts)) = (link.begin_within, link.lasts) {
        let (begin, lasts) = (format_duration(begin), format_duration(lasts));
        let text =
            format!("the download must begin within {begin} and can be continued for {lasts}");
        context.console.tell(Level::Normal, &text);
    }
    remotes.close().await;
    Ok(Done::ok())
}

/// Copies a file of another account into a folder.
pub(crate) async fn import(context: &Context, args: &ImportArgs) -> Result<Done> {
    let url = word(&args.url, "the address")?;
    let password = args.password.as_ref().map(|raw| word(raw, "the password")).transpose()?;
    let place = place(&args.place)?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let work = async {
        let backend = remotes.open(&place).await?;
        let services = services(&*backend, "import")?;
        Ok(services.import(&url, password.as_deref(), &RelPath::root()).await?)
    };
    let entry = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let (kind, body) = jsonl::entry(&entry);
    context.console.event(kind, body)?;
    context.console.tell(Level::Normal, &format!("imported {}", entry.path));
    remotes.close().await;
    Ok(Done::ok())
}
