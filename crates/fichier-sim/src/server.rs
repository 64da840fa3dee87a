//! Accepts connections and sends each request to its handler.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Connection, Finish, Request, Response};
use crate::world::World;
use crate::{api, call, debug, download, page, report, shared, upload};

/// Serves until `stop` is true or its sender is gone, then ends every connection.
pub(crate) async fn run(listener: TcpListener, world: Arc<World>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let world = Arc::clone(&world);
                    connections.spawn(async move {
                        if let Err(error) = converse(&world, stream).await {
                            tracing::debug!(%error, "connection ended");
                        }
                    });
                }
                // Out of file descriptors, or a client that left the queue: the next accept may
                // work, but not at once.
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = stopped(&mut stop) => break,
        }
    }
    connections.shutdown().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn converse(world: &Arc<World>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream, Arc::clone(&world.traffic));
    loop {
        let request = match connection.next_request().await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let response = Response::html(400, page::notice("Bad Request"));
                let response = response.finishing(Finish::Close);
                connection.answer(response, &world.clock.http_date()).await?;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let response = route(world, &mut connection, &request).await?;
        if !connection.answer(response, &world.clock.http_date()).await? {
            return Ok(());
        }
    }
}

async fn route(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
) -> io::Result<Response> {
    let path = request.path.as_str();
    if path.starts_with("/__sim/") {
        return debug::serve(world, connection, request).await;
    }
    let name = path.strip_prefix("/v1/").and_then(|rest| rest.strip_suffix(".cgi"));
    if let Some(name) = name.filter(|name| api::CALLS.contains(name)) {
        world.note_request(name, request);
        return call::serve(world, connection, request, name).await;
    }
    if path == "/upload.cgi" {
        world.note_request("upload", request);
        return upload::serve(world, connection, request).await;
    }
    if path == "/end.pl" {
        world.note_request("end.pl", request);
        return report::serve(world, connection, request).await;
    }
    if let Some(token) = download::token(path) {
        world.note_request("download", request);
        return download::serve(world, connection, request, token).await;
    }
    if let Some(code) = shared::code(path) {
        world.note_request("dir", request);
        return shared::folder(world, connection, request, code).await;
    }
    if shared::is_file(request) {
        world.note_request("page", request);
        return shared::file(world, connection, request).await;
    }
    world.note_request("other", request);
    // Whoever sends a body to nowhere gets it read, within reason, so that the answer arrives.
    drop(connection.body(1024 * 1024).await?);
    Ok(Response::html(404, page::notice("Not Found")))
}
