//! Serves one call of the API host: checks in the order of the service, then the call itself,
//! then the faults of answers.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{self, Context, Refusal};
use crate::arguments::Arguments;
use crate::fault::{Effect, Site};
use crate::faults::Strikes;
use crate::http::{Connection, Finish, Request, Response};
use crate::json::render;
use crate::world::{Key, World};

/// The largest body of a call.
const BODY_BYTES: u64 = 8 * 1024 * 1024;

/// Reads the body of a call and answers it.
pub(crate) async fn serve(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
    call: &str,
) -> io::Result<Response> {
    let strikes = world.faults.strike(&Site::call(call));
    let Some(body) = connection.body(BODY_BYTES).await? else {
        let status = if request.is_chunked() { 411 } else { 413 };
        return Ok(ko(&Refusal::new(status, "Bad request body #26"), false));
    };
    if let Some(response) = preempt(world, &strikes).await {
        world.note_status(response.status);
        return Ok(response);
    }
    let response = answer(world, request, call, &body, &strikes);
    world.note_status(response.status);
    Ok(if is_lost(world, &strikes).await { Response::silence(Finish::Reset) } else { response })
}

/// Whether the answer to what was carried out never leaves. It may have to wait before that is known.
pub(crate) async fn is_lost(world: &World, strikes: &Strikes) -> bool {
    if strikes.has(&Effect::HoldAnswer) {
        world.traffic.held.send_modify(|held| *held += 1);
        if !world.holds.wait().await {
            return true;
        }
    }
    strikes.has(&Effect::LoseAnswer)
}

/// The effects that come instead of, or before, carrying a request out.
pub(crate) async fn preempt(world: &World, strikes: &Strikes) -> Option<Response> {
    for effect in strikes.iter() {
        match effect {
            Effect::Delay(pause) => tokio::time::sleep(*pause).await,
            Effect::Hold if !world.holds.wait().await => {
                return Some(Response::silence(Finish::Reset));
            }
            Effect::Reset => return Some(Response::silence(Finish::Reset)),
            Effect::Stall => return Some(Response::silence(Finish::Stall)),
            Effect::Answer(canned) => {
                let mut response =
                    Response::new(canned.status, &canned.content_type, canned.body.clone());
                response.headers.extend(canned.headers.iter().cloned());
                return Some(response);
            }
            _ => {}
        }
    }
    None
}

fn answer(
    world: &Arc<World>,
    request: &Request,
    call: &str,
    body: &[u8],
    strikes: &Strikes,
) -> Response {
    let is_json = request.header("content-type").is_some_and(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        return ko(&Refusal::new(400, "Content-Type not JSON #24"), false);
    }
    let parsed = Arguments::parse(body);
    let is_pretty = parsed.as_ref().is_some_and(|arguments| arguments.flag("pretty"));
    match carry_out(world, request, call, parsed, strikes) {
        Ok(mut value) => {
            distort(&mut value, strikes);
            let mut text = render(&value, is_pretty);
            if strikes.has(&Effect::TruncatedJson) {
                let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at));
                text.truncate(middle.unwrap_or(0));
            }
            Response::json(200, text)
        }
        Err(refusal) => ko(&refusal, is_pretty),
    }
}

fn carry_out(
    world: &Arc<World>,
    request: &Request,
    call: &str,
    parsed: Option<Arguments>,
    strikes: &Strikes,
) -> Result<Value, Refusal> {
    match world.key(request) {
        Key::Known => {}
        Key::Revoked => return Err(Refusal::new(403, "No such user #93")),
        Key::Unknown | Key::Absent if api::is_keyless(call) => {}
        Key::Unknown | Key::Absent => return Err(Refusal::new(401, "Not authenticated #247")),
    }
    let is_readable = request.method == "GET" && api::is_keyless(call);
    if request.method != "POST" && !is_readable {
        return Err(Refusal::new(405, "Method not allowed #27"));
    }
    let arguments = parsed.ok_or_else(|| Refusal::new(400, "Bad JSON #28"))?;
    if !world.admit(call, api::cost(call, &arguments)) {
        return Err(Refusal::new(403, "Flood detected: IP Locked #374"));
    }
    world.sweep()?;
    crate::others::act(world, strikes)?;
    let context = Context { world, rules: world.rules(), arguments, strikes };
    api::dispatch(call, &context).unwrap_or_else(|| Err(Refusal::new(404, "Not found #29")))
}

fn ko(refusal: &Refusal, is_pretty: bool) -> Response {
    let value = json!({"status": "KO", "message": refusal.message});
    Response::json(refusal.status, render(&value, is_pretty))
}

fn distort(value: &mut Value, strikes: &Strikes) {
    for effect in strikes.iter() {
        match effect {
            Effect::IntegersAsStrings => each(value, &mut |value| {
                if value.is_number() {
                    *value = value.to_string().into();
                }
            }),
            Effect::NullField(name) => each(value, &mut |value| {
                if let Value::Object(map) = value
                    && let Some(value) = map.get_mut(name)
                {
                    *value = Value::Null;
                }
            }),
            Effect::Nulls => each(value, &mut |value| {
                if *value == json!(0) || *value == json!("") {
                    *value = Value::Null;
                }
            }),
            Effect::ExtraFields => each(value, &mut |value| {
                if let Value::Object(map) = value {
                    map.insert("x_beta".to_owned(), json!({"since": [2027, null]}));
                }
            }),
            Effect::UnderscoreContentType => each(value, &mut |value| {
                if let Value::Object(map) = value
                    && let Some(kind) = map.remove("content-type")
                {
                    map.insert("content_type".to_owned(), kind);
                }
            }),
            Effect::MissingField(name) => each(value, &mut |value| {
                if let Value::Object(map) = value {
                    map.remove(name);
                }
            }),
            _ => {}
        }
    }
}

/// Visits a value and everything inside it, inner values first.
fn each(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| each(value, visit)),
        Value::Object(map) => map.values_mut().for_each(|value| each(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    visit(value);
}
