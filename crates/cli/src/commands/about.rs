//! `ketch about`: how much room a remote has.

use ketch_engine::filter::units::format_size;
use serde_json::json;

use super::service::remotes;
use crate::args::PlaceArgs;
use crate::context::{Context, Done};
use crate::problem::Result;
use crate::settings::place;

/// Prints it.
pub(crate) async fn run(context: &Context, args: &PlaceArgs) -> Result<Done> {
    let place = place(&args.place)?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let work = async {
        let backend = remotes.open(&place).await?;
        let usage = backend.usage().await?;
        // The answer is kept for the next process that asks.
        backend.finish().await?;
        Ok(usage)
    };
    let usage = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let body = json!({ "total": usage.total, "used": usage.used, "free": usage.free });
    context.console.event("about", body)?;
    if !context.console.is_json() {
        for (name, bytes) in [("total", usage.total), ("used", usage.used), ("free", usage.free)] {
            let shown = bytes.map_or_else(|| "unknown".to_owned(), format_size);
            context.console.line(&format!("{name:<8}{shown}"))?;
        }
    }
    remotes.close().await;
    Ok(Done::ok())
}
