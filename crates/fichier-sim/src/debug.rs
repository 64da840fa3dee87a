//! The routes under `/__sim/`, for tests that run the emulator in another process.
//!
//! | Route | Effect |
//! |---|---|
//! | `GET /__sim/stats` | [`crate::Stats`] as JSON; with `?log=1` including the request log |
//! | `GET /__sim/files` | every [`crate::StoredFile`] as JSON |
//! | `POST /__sim/reset` | forgets the counters and the log |
//! | `POST /__sim/fault` | one [`crate::Fault`] a line; the line `clear` withdraws all |
//! | `GET /__sim/held` | answers when a request is held |
//! | `POST /__sim/release` | `go` or `drop`: what is held goes on, or is reset |
//! | `POST /__sim/plant` | `COUNT SPACING FOLDER`: many files at once, see [`crate::Plant`] |
//! | `POST /__sim/folders` | `COUNT FOLDER`: many empty folders at once in a folder of the top |
//! | `POST /__sim/lag` | a duration, or `changes N`: listings show what was there so long ago, or before the last N changes, but nothing older than has been shown |
//! | `POST /__sim/seed` | a number that all identifiers of this process follow from |
//! | `POST /__sim/digest` | every upload is told to have this Whirlpool digest, and none is taken; empty: as usual |
//! | `POST /__sim/limits` | new [`crate::Limits`] |

use std::io;

use crate::behind::Behind;
use crate::fault::Fault;
use crate::http::{Connection, Request, Response};
use crate::world::World;

/// Serves one debug route.
pub(crate) async fn serve(
    world: &World,
    connection: &mut Connection,
    request: &Request,
) -> io::Result<Response> {
    let Some(body) = connection.body(1024 * 1024).await? else {
        return Ok(Response::text(413, "too large"));
    };
    let body = String::from_utf8_lossy(&body);
    Ok(match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/__sim/stats") => {
            let mut stats = world.stats();
            if request.query_value("log") != Some("1") {
                stats.log.clear();
            }
            match serde_json::to_string(&stats) {
                Ok(text) => Response::json(200, text),
                Err(error) => Response::text(500, error.to_string()),
            }
        }
        ("GET", "/__sim/files") => match serde_json::to_string(&world.stored()) {
            Ok(text) => Response::json(200, text),
            Err(error) => Response::text(500, error.to_string()),
        },
        ("POST", "/__sim/reset") => {
            world.reset_stats();
            Response::text(200, "OK\n")
        }
        ("GET", "/__sim/held") => {
            world.holds.arrived().await;
            Response::text(200, "held\n")
        }
        ("POST", "/__sim/release") => match body.trim() {
            goes_on @ ("go" | "drop") => {
                world.holds.release(goes_on == "go");
                Response::text(200, "OK\n")
            }
            _ => Response::text(400, "neither go nor drop\n"),
        },
        ("POST", "/__sim/fault") => inject(world, &body),
        ("POST", "/__sim/plant") => {
            match body.parse().map(|plant| crate::plant::plant(world, &plant)) {
                Ok(Ok(())) => Response::text(200, "OK\n"),
                Ok(Err(error)) => Response::text(500, format!("{error}\n")),
                Err(error) => Response::text(400, format!("{error}\n")),
            }
        }
        ("POST", "/__sim/folders") => {
            let words = body.trim().split_once(' ');
            let wanted = words.and_then(|(count, name)| Some((count.parse().ok()?, name.trim())));
            match wanted.filter(|(count, name)| *count <= 1_000_000 && !name.is_empty()) {
                Some((count, name)) => match crate::plant::plant_folders(world, count, name) {
                    Ok(()) => Response::text(200, "OK\n"),
                    Err(error) => Response::text(500, format!("{error}\n")),
                },
                None => Response::text(400, "COUNT, at most a million, and FOLDER\n"),
            }
        }
        ("POST", "/__sim/lag") => match behind(&body) {
            Ok(behind) => {
                world.lag.set_behind(behind);
                Response::text(200, "OK\n")
            }
            Err(error) => Response::text(400, format!("{error}\n")),
        },
        ("POST", "/__sim/seed") => match body.trim().parse() {
            Ok(seed) => {
                crate::names::set_seed(seed);
                Response::text(200, "OK\n")
            }
            Err(error) => Response::text(400, format!("{error}\n")),
        },
        ("POST", "/__sim/digest") => {
            let told = Some(body.trim().to_owned()).filter(|text| !text.is_empty());
            world.set_rules(crate::Rules { told_digest: told, ..world.rules() });
            Response::text(200, "OK\n")
        }
        ("POST", "/__sim/limits") => match body.parse() {
            Ok(limits) => {
                world.set_limits(limits);
                Response::text(200, "OK\n")
            }
            Err(error) => Response::text(400, format!("{error}\n")),
        },
        _ => Response::text(404, "no such debug route\n"),
    })
}

fn behind(text: &str) -> Result<Behind, String> {
    match text.trim().strip_prefix("changes ") {
        Some(count) => count.parse().map(Behind::Changes).map_err(|error| format!("{error}")),
        None => {
            crate::limits::parse_duration(text).map(Behind::Time).map_err(|error| error.to_string())
        }
    }
}

/// All lines are read before any takes effect.
fn inject(world: &World, body: &str) -> Response {
    let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
    let parsed: Result<Vec<Option<Fault>>, _> =
        lines.map(|line| if line == "clear" { Ok(None) } else { line.parse().map(Some) }).collect();
    match parsed {
        Ok(faults) => {
            for fault in faults {
                match fault {
                    Some(fault) => world.faults.inject(fault),
                    None => world.faults.clear(),
                }
            }
            Response::text(200, "OK\n")
        }
        Err(error) => Response::text(400, format!("{error}\n")),
    }
}
