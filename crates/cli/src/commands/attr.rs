//! `ketch attr set` and `ketch scan`.

use ketch_core::services::{Access, Attributes};
use serde_json::json;

use super::service::{find_file, remotes, word};
use crate::args::{AttrArgs, PlaceArgs};
use crate::context::{Context, Done};
use crate::exit;
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::settings::place;

/// Changes attributes. Files that are named with one folder are changed by one call.
pub(crate) async fn set(context: &Context, args: &AttrArgs) -> Result<Done> {
    let places: Vec<_> = args.places.iter().map(place).collect::<Result<_>>()?;
    let access = Access {
        networks: args.allow_network.clone(),
        countries: args.allow_country.clone(),
        users: args.allow_user.clone(),
        premium: args.allow_premium,
    };
    let attributes = Attributes {
        description: args.description.clone(),
        password: args.password.as_ref().map(|raw| word(raw, "the password")).transpose()?,
        inline: args.inline,
        cdn: args.cdn,
        no_ssl: args.no_ssl,
        access: (args.allow_all || access != Access::default()).then_some(access),
    };
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let work = async {
        let mut groups: Vec<(String, super::service::Thing, Vec<_>)> = Vec::new();
        for place in &places {
            let thing = find_file(&mut remotes, place).await?;
            let scope = thing.backend.scope().unwrap_or_default().to_owned();
            match groups.iter_mut().find(|(known, ..)| *known == scope) {
                Some((_, _, entries)) => entries.push(thing.entry),
                None => {
                    let entries = vec![thing.entry.clone()];
                    groups.push((scope, thing, entries));
                }
            }
        }
        for (_, thing, entries) in groups {
            thing.services("attr set")?.set_attributes(&entries, &attributes).await?;
        }
        Ok(())
    };
    signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    context.console.tell(Level::Item, &format!("changed {} files", places.len()));
    remotes.close().await;
    Ok(Done::with(exit::OK, json!({ "counts": { "files": places.len() } })))
}

/// Has a file looked through.
pub(crate) async fn scan(context: &Context, args: &PlaceArgs) -> Result<Done> {
    let place = place(&args.place)?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let work = async {
        let thing = find_file(&mut remotes, &place).await?;
        Ok(thing.services("scan")?.scan(&thing.entry).await?)
    };
    let scan = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let body = json!({ "path": place.path, "clean": scan.is_clean, "message": scan.message });
    context.console.event("scan", body)?;
    remotes.close().await;
    if !scan.is_clean {
        let text = format!("{} was infected and is gone: {}", place.redacted(), scan.message);
        return Err(Problem::other(text));
    }
    if !context.console.is_json() {
        context.console.line(&format!("clean: {}", scan.message))?;
    }
    Ok(Done::ok())
}
