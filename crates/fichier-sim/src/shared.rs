//! What everybody can see without a key: the listing of a folder that was made public, and the address of a file.
//!
//! The address of a file is a page with a wait and a riddle for guests, which is not emulated. Whether a file whose owner
//! pays for downloads (the CDN flag) comes from its bare address is inferred, and is what happens here.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::fault::Site;
use crate::http::{Connection, Request, Response};
use crate::world::World;
use crate::{names, page};

/// The code of a public folder in a path such as `/dir/AbCdEfGh`.
pub(crate) fn code(path: &str) -> Option<&str> {
    path.strip_prefix("/dir/").filter(|code| !code.is_empty())
}

/// `GET /dir/CODE?json=1`, or with a password `POST /dir/CODE` with the form `json=1&pass=…`.
pub(crate) async fn folder(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
    code: &str,
) -> io::Result<Response> {
    let strikes = world.faults.strike(&Site::Shared);
    let Some(body) = connection.body(64 * 1024).await? else {
        return Ok(Response::html(413, page::notice("Trop gros")));
    };
    if let Some(response) = crate::call::preempt(world, &strikes).await {
        return Ok(response);
    }
    let form = String::from_utf8_lossy(&body).into_owned();
    let field = |name: &str| {
        let pairs = form.split('&').chain(request.query.split('&'));
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)
    };
    let given = field("pass").map(|(_, value)| decoded(value));
    let found = world.store.read(|tables| {
        let folder = tables.shared_folder(code)?;
        let files: Vec<Value> = tables
            .files_in(folder.id)
            .map(|file| {
                json!({
                    "filename": file.name,
                    "link": file.link(),
                    "size": file.size,
                    "password": u8::from(file.password.is_some()),
                    "acl": u8::from(file.acl.is_some()),
                })
            })
            .collect();
        Some((folder.share_password.clone(), files))
    });
    let Some((password, files)) = found else {
        return Ok(Response::html(404, page::notice("Le dossier n'existe pas")));
    };
    if password.is_some() && password != given {
        return Ok(Response::html(200, page::notice("Ce dossier est protégé par un mot de passe")));
    }
    if field("json").is_none() {
        return Ok(Response::html(200, page::notice("Un dossier partagé")));
    }
    Ok(Response::json(200, Value::from(files).to_string()))
}

/// `GET /?ID`: the content itself only when its owner pays for it.
pub(crate) async fn file(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
) -> io::Result<Response> {
    drop(connection.body(64 * 1024).await?);
    let id = request.query.split('&').next().unwrap_or_default();
    let Some(file) = world.store.read(|tables| tables.file(id).cloned()) else {
        return Ok(Response::html(404, page::notice("Le fichier demandé n'existe pas")));
    };
    if !file.cdn || file.password.is_some() || file.acl.is_some() {
        let text = "Vous devez attendre encore 60 minutes avant de pouvoir télécharger";
        return Ok(Response::html(200, page::notice(text)));
    }
    let token = world.tokens.issue(&file.id, file.inline, false, &world.rules());
    let place = format!("http://{}/c{token}", world.address);
    Ok(Response::html(302, page::notice("Moved !")).with_header("Location", place))
}

/// Is this the address of a file: nothing but an id as query?
pub(crate) fn is_file(request: &Request) -> bool {
    let id = request.query.split('&').next().unwrap_or_default();
    request.path == "/" && names::parse_file_link(&format!("https://1fichier.com/?{id}")).is_some()
}

/// A value of a form.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
