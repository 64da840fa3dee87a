//! `ketch mkdir`.

use ketch_core::RelPath;

use crate::args::{LocalArgs, MkdirArgs};
use crate::context::{Context, Done};
use crate::problem::Result;
use crate::settings::place;

/// Makes a folder and those above it.
pub(crate) async fn run(context: &Context, args: &MkdirArgs) -> Result<Done> {
    let place = place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&LocalArgs::default(), &args.recent, true);
    let signals = context.signals()?;
    let backend = signals.guard(remotes.open(&place)).await?;
    context.warn_of_keys(&mut remotes);
    if args.dry_run {
        context.console.named_line("make folder  ", &place.redacted(), "")?;
    } else {
        signals.guard(async { Ok(backend.make_dir(&RelPath::root(), None).await?) }).await?;
    }
    remotes.close().await;
    Ok(Done::ok())
}
