//! `ketch sandbox serve`: the emulator for other programs.

use secrecy::ExposeSecret;
use serde_json::json;

use crate::args::ServeArgs;
use crate::context::{Context, Done};
use crate::problem::Result;
use crate::sandbox::{Sandbox, SandboxOptions, folder};
use crate::signals::Signals;

/// Serves until a signal comes.
pub(crate) async fn serve(context: &Context, args: &ServeArgs) -> Result<Done> {
    let console = &context.console;
    let state = match &args.state {
        Some(state) => state.clone(),
        None => folder(&context.environment)?,
    };
    let limits = args.limits.clone().unwrap_or_else(|| "off".to_owned());
    let signals = Signals::listen(console)?;
    let sandbox = Sandbox::serve(SandboxOptions { state, port: args.port, limits }).await?;
    let options = sandbox.options();
    let url = sandbox.api_url();
    if console.is_json() {
        // The key of every sandbox is public.
        let options: serde_json::Map<_, _> = options
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_secret().into()))
            .collect();
        console.event("sandbox", json!({ "api_url": url, "options": options }))?;
    } else {
        console.line(&format!("# The sandbox is at {url} until Ctrl-C. As a remote:"))?;
        console.line("[box]")?;
        console.line("type = \"fichier\"")?;
        for (name, value) in &options {
            console.line(&format!("{name} = \"{}\"", value.expose_secret()))?;
        }
    }
    console.flush()?;
    signals.stop.stopping().await;
    sandbox.stop().await;
    // Ctrl-C is how it is meant to end.
    Ok(Done::ok())
}
