//! The calls that send the client to another host: for uploads and for downloads.

use serde_json::json;

use super::{Answer, Context, Refusal};
use crate::fault::Effect;
use crate::names;

/// A node and an upload id; the node is this process unless a fault names another.
pub(super) fn get_upload_server(context: &Context<'_>) -> Answer {
    let other = context.strikes.find(|effect| match effect {
        Effect::Node(node) => Some(node.clone()),
        _ => None,
    });
    let node = other.unwrap_or_else(|| context.world.address.to_string());
    Ok(json!({"url": node, "id": names::new_upload_id()}))
}

/// A short-lived URL for a file, on this process.
pub(super) fn get_token(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    if !context.rules.is_customer {
        return Err(Refusal::new(403, "Must be a customer (Premium, Access) #200"));
    }
    let world = context.world;
    let file = world.store.read(|tables| context.file(tables))?;
    context.check_password(&file)?;
    let inline = context.arguments.flag("inline") || file.inline;
    let single = context.arguments.flag("single");
    let token = world.tokens.issue(&file.id, inline, single, &context.rules);
    world.count(|counters| counters.tokens += 1);
    Ok(json!({"status": "OK", "url": format!("http://{}/c{token}", world.address)}))
}
