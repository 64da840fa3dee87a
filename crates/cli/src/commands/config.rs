//! `ketch config …`.

use serde_json::json;

use crate::context::{Context, Done};
use crate::problem::{Problem, Result};

/// Prints where the configuration is, or would be.
pub(crate) fn path(context: &Context) -> Result<Done> {
    let path = context.config_file.as_ref().ok_or_else(|| {
        Problem::other("there is no place for a configuration: set HOME or KETCH_CONFIG")
    })?;
    let text = path.display().to_string();
    if context.console.is_json() {
        context.console.event("config", json!({ "path": text }))?;
    } else {
        context.console.line(&text)?;
    }
    Ok(Done::ok())
}
