//! `end.pl` on the node: what became of an upload. Asking is what makes the files visible.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::call::{is_lost, preempt};
use crate::fault::{Effect, Site};
use crate::faults::Strikes;
use crate::http::{Connection, Finish, Request, Response};
use crate::json::render;
use crate::page;
use crate::store::{FileRecord, Report};
use crate::world::World;

/// Answers with JSON, CSV or a page, by the headers `JSON` and `EXPORT`.
pub(crate) async fn serve(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
) -> io::Result<Response> {
    let strikes = world.faults.strike(&Site::Report);
    if connection.body(64 * 1024).await?.is_none() {
        return Ok(Response::html(413, page::notice("Trop gros")));
    }
    if let Some(response) = preempt(world, &strikes).await {
        return Ok(response);
    }
    let xid = request.query_value("xid").unwrap_or_default();
    let settled = world.sweep().and_then(|()| world.store.settle(xid));
    if let Err(error) = settled {
        tracing::error!(%error, "emulator state");
        return Ok(Response::html(500, page::notice("Erreur")));
    }
    if is_lost(world, &strikes).await {
        return Ok(Response::silence(Finish::Reset));
    }
    if strikes.has(&Effect::PleaseWait) {
        return Ok(Response::html(200, page::notice("Veuillez patienter")));
    }
    let report = world.store.read(|tables| tables.report(xid).cloned());
    let Some(report) = report.filter(|_| !strikes.has(&Effect::DeadReport)) else {
        return Ok(Response::html(404, page::notice("Rapport introuvable")));
    };
    Ok(match request.header("json") {
        Some("1") => Response::json(200, render(&links(world, &report, &strikes), false)),
        Some("2") => Response::json(200, render(&links(world, &report, &strikes), true)),
        Some(_) | None if request.header("export") == Some("1") => {
            Response::text(200, lines(&report))
        }
        Some(_) | None => Response::html(200, table(&report)),
    })
}

/// The file that a report names in place of the one that was sent, and whether with its size and digest.
fn stranger(world: &World, strikes: &Strikes) -> Option<(FileRecord, bool)> {
    let (path, is_whole) = strikes.find(|effect| match effect {
        Effect::Stranger(path) => Some((path.clone(), true)),
        Effect::StrangerAddress(path) => Some((path.clone(), false)),
        _ => None,
    })?;
    let file = world.store.read(|tables| tables.file_at(&path).cloned())?;
    Some((file, is_whole))
}

fn links(world: &World, report: &Report, strikes: &Strikes) -> Value {
    let mut links = Vec::new();
    let stranger = stranger(world, strikes);
    for file in &report.files {
        let wrong_size = u64::from(strikes.has(&Effect::WrongSize));
        let mut whirlpool = file.whirlpool.clone();
        if strikes.has(&Effect::WrongWhirlpool) {
            let first = if whirlpool.starts_with('0') { "1" } else { "0" };
            whirlpool.replace_range(..1, first);
        }
        if strikes.has(&Effect::UpperCaseWhirlpool) {
            whirlpool.make_ascii_uppercase();
        }
        let mut link = json!({
            "download": file.link(),
            "filename": file.name,
            "remove": file.removal_link(),
            "size": (file.size + wrong_size).to_string(),
            "whirlpool": whirlpool,
        });
        if let Some((other, is_whole)) = &stranger {
            link["download"] = other.link().into();
            if *is_whole {
                link["size"] = other.size.to_string().into();
                link["whirlpool"] = other.whirlpool.as_str().into();
            }
        }
        if strikes.has(&Effect::NoWhirlpool)
            && let Value::Object(map) = &mut link
        {
            map.remove("whirlpool");
        }
        if strikes.has(&Effect::TwoLinks) {
            links.push(link.clone());
        }
        links.push(link);
    }
    if strikes.has(&Effect::NoLinks) {
        links.clear();
    }
    json!({"incoming": 0, "links": links})
}

fn lines(report: &Report) -> String {
    let line = |file: &FileRecord| {
        let code = file.remove_code.as_deref().unwrap_or_default();
        format!("{};{};{};{code};{};\n", file.name, file.size, file.id, file.domain)
    };
    report.files.iter().map(line).collect()
}

fn table(report: &Report) -> String {
    let rows: Vec<_> = report
        .files
        .iter()
        .map(|file| (file.name.clone(), file.link(), file.removal_link()))
        .collect();
    page::report(&rows)
}
