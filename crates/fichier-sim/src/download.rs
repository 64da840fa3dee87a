//! The URL of a download token: content, whole or in part, with or without mishaps.

use std::io;
use std::sync::Arc;

use crate::call::{is_lost, preempt};
use crate::fault::{Effect, Site};
use crate::faults::Strikes;
use crate::http::{Body, Connection, Finish, Request, Response, Transfer};
use crate::lease::Lease;
use crate::range::{Wanted, wanted};
use crate::token::Denied;
use crate::world::World;
use crate::{names, page};

/// Reads the token out of a path such as `/c123456789` or `/c123456789&inline=1`.
pub(crate) fn token(path: &str) -> Option<u64> {
    let rest = path.strip_prefix("/c")?;
    rest.split('&').next()?.parse().ok()
}

/// Serves GET and HEAD; no key is needed and none is looked at.
pub(crate) async fn serve(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
    token: u64,
) -> io::Result<Response> {
    let strikes = world.faults.strike(&Site::Download);
    if connection.body(64 * 1024).await?.is_none() {
        return Ok(error(413, "Trop gros"));
    }
    if strikes.has(&Effect::Expire) {
        world.tokens.expire(token);
    }
    if let Some(response) = preempt(world, &strikes).await {
        return Ok(response);
    }
    let is_get = request.method == "GET";
    if !is_get && request.method != "HEAD" {
        return Ok(error(405, "Method Not Allowed"));
    }
    let grant = match world.tokens.start(token, is_get, &world.rules()) {
        Ok(grant) => grant,
        Err(Denied::Unknown) => return Ok(error(404, "Le fichier demandé n'existe pas")),
        Err(Denied::Expired) => return Ok(error(410, "Le lien a expiré")),
        Err(Denied::Busy) => {
            return Ok(error(403, "Vous ne pouvez télécharger qu'un fichier à la fois"));
        }
    };
    let mut lease = is_get.then(|| Lease::new(Arc::clone(world), token));
    let Some(file) = world.store.read(|tables| tables.file(&grant.file).cloned()) else {
        return Ok(error(404, "Le fichier demandé n'existe pas"));
    };
    let header = request.header("range").filter(|_| !strikes.has(&Effect::IgnoreRange));
    let (status, offset, length) = match wanted(header, file.size) {
        Wanted::Whole => (200, 0, file.size),
        Wanted::Part { offset, length } => (206, offset, length),
        Wanted::Unsatisfiable => {
            let range = format!("bytes */{}", file.size);
            return Ok(error(416, "Range Not Satisfiable").with_header("Content-Range", range));
        }
    };
    if let Some(lease) = &mut lease {
        lease.needed(file.size - offset);
    }
    let is_inline = grant.inline || request.path.contains("&inline=1");
    let disposition = if is_inline { "inline" } else { "attachment" };
    let mut response = Response::new(status, names::content_type(&file.name), "")
        .with_header("Accept-Ranges", "bytes")
        .with_header(
            "Content-Disposition",
            // A name kept as it came may hold anything; a header may not.
            format!("{disposition}; filename=\"{}\"", names::clean_file_name(&file.name)),
        );
    if status == 206 {
        let shift = u64::from(strikes.has(&Effect::WrongContentRange));
        let (first, last) = (offset + shift, offset + length - 1 + shift);
        let range = format!("bytes {first}-{last}/{}", file.size);
        response = response.with_header("Content-Range", range);
    }
    if strikes.has(&Effect::Gzip) {
        response = response.with_header("Content-Encoding", "gzip");
    }
    let mut transfer = Transfer {
        path: world.store.blob_path(&file.id),
        offset,
        length,
        send: length,
        announce_length: true,
        drip: None,
        flip_at: None,
        hold: strikes.find(|effect| match effect {
            Effect::HoldAfter(bytes) => Some((*bytes, Arc::clone(&world.holds))),
            _ => None,
        }),
        watcher: lease.map(|lease| Box::new(lease) as Box<_>),
    };
    response.finish = mistreat(&mut transfer, &strikes);
    if is_lost(world, &strikes).await {
        transfer.send = 0;
        response.finish = Finish::Reset;
    }
    response.body = Body::Transfer(Box::new(transfer));
    Ok(response)
}

fn mistreat(transfer: &mut Transfer, strikes: &Strikes) -> Finish {
    let mut finish = Finish::KeepAlive;
    for effect in strikes.iter() {
        match effect {
            Effect::ResetAfter(bytes) => {
                transfer.send = transfer.length.min(*bytes);
                finish = Finish::Reset;
            }
            Effect::StallAfter(bytes) => {
                transfer.send = transfer.length.min(*bytes);
                finish = Finish::Stall;
            }
            Effect::Short(bytes) => {
                transfer.send = transfer.length.min(*bytes);
                finish = Finish::Close;
            }
            Effect::CloseDelimited(bytes) => {
                transfer.send = transfer.length.min(*bytes);
                transfer.announce_length = false;
                finish = Finish::Close;
            }
            Effect::Drip(pause) => transfer.drip = Some(*pause),
            Effect::Flip(at) => transfer.flip_at = Some(*at),
            _ => {}
        }
    }
    finish
}

fn error(status: u16, text: &str) -> Response {
    Response::html(status, page::notice(text))
}
