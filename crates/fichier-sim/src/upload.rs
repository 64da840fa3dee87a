//! `upload.cgi` on the node: one multipart body in, a redirect to its report out.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use crate::call::{is_lost, preempt};
use crate::fault::{Effect, Site};
use crate::faults::Strikes;
use crate::http::{Connection, Finish, Request, Response};
use crate::multipart::{Event, Parser, Violation};
use crate::store::{BlobWriter, FileRecord, Report, Store, StoredBlob};
use crate::world::{Key, World};
use crate::{Rules, names, page};

/// What the nodes say whenever they do not recognise a file.
const NO_FILE: &str = "Pas de fichier trouvé dans l'envoi";
/// The real text for an account without room is unknown; this one is about the disk of the emulator.
const FULL: &str = "Quota exceeded: the disk of the sandbox is full";
const CANNOT_OPEN: &str = "Ne peut ouvrir le fichier destination";

/// Receives an upload. Nothing is kept unless the whole body arrived and was understood.
pub(crate) async fn serve(
    world: &Arc<World>,
    connection: &mut Connection,
    request: &Request,
) -> io::Result<Response> {
    let strikes = world.faults.strike(&Site::Upload);
    let rules = world.rules();
    if strikes.has(&Effect::Reset) || strikes.has(&Effect::Stall) {
        return Ok(preempt(world, &strikes).await.unwrap_or(Response::silence(Finish::Reset)));
    }
    match request.content_length() {
        _ if request.is_chunked() => return Ok(page_with(411, "Length Required")),
        // Whatever follows such a head could only be taken for the next request.
        None => return Ok(page_with(411, "Length Required").finishing(Finish::Close)),
        Some(length) if length > rules.upload_bytes => return Ok(page_with(413, "Trop gros")),
        Some(_) => {}
    }
    if let Some(response) = preempt(world, &strikes).await {
        drain(connection).await?;
        return Ok(response);
    }
    let xid = request.query_value("id").unwrap_or_default();
    let is_id = xid.len() == 10 && xid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let key = world.key(request);
    let refused = match key {
        _ if request.method != "POST" => Some(page_with(405, "Method Not Allowed")),
        Key::Revoked | Key::Unknown => Some(page_with(403, "Not authenticated")),
        Key::Known | Key::Absent if !is_id => Some(page_with(200, "Identifiant invalide")),
        Key::Known | Key::Absent => None,
    };
    if let Some(response) = refused {
        drain(connection).await?;
        return Ok(response);
    }

    let mut form = Form::new(world, &rules, &strikes);
    let outcome = match Parser::new(request.header("content-type").unwrap_or_default()) {
        Ok(parser) => form.receive(connection, parser).await?,
        Err(violation) => {
            drain(connection).await?;
            Outcome::Violated(violation)
        }
    };
    match outcome {
        Outcome::Ended => {}
        Outcome::Broken(finish) => return Ok(Response::silence(finish)),
        Outcome::Violated(violation) => {
            tracing::info!(%violation, "upload refused");
            return Ok(page_with(200, NO_FILE));
        }
        Outcome::NoRoom => return Ok(page_with(507, FULL)),
    }
    if form.received.is_empty() {
        return Ok(page_with(200, NO_FILE));
    }
    if strikes.has(&Effect::HoldWhole) && !world.holds.wait().await {
        return Ok(Response::silence(Finish::Reset));
    }
    if let Err(error) = form.store(xid, key == Key::Known) {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let no_room = cause.is_some_and(is_full);
        return Ok(if no_room { page_with(507, FULL) } else { page_with(200, CANNOT_OPEN) });
    }
    if is_lost(world, &strikes).await {
        return Ok(Response::silence(Finish::Reset));
    }
    let moved = Response::html(302, page::notice("Moved ! Temporary Redirect"));
    Ok(if strikes.has(&Effect::NoLocation) {
        moved
    } else {
        moved.with_header("Location", format!("/end.pl?xid={xid}"))
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn page_with(status: u16, text: &str) -> Response {
    Response::html(status, page::notice(text))
}

async fn drain(connection: &mut Connection) -> io::Result<()> {
    while connection.body_chunk().await?.is_some() {}
    Ok(())
}

enum Outcome {
    /// The last delimiter and the last byte were seen.
    Ended,
    /// A fault cut the body off.
    Broken(Finish),
    Violated(Violation),
    /// The disk is full.
    NoRoom,
}

/// What an upload request says. Dropped before [`Form::store`], it removes what it wrote.
struct Form<'a> {
    world: &'a World,
    rules: &'a Rules,
    strikes: &'a Strikes,
    folder: u64,
    domain: Option<u8>,
    password: Option<String>,
    open: Option<(String, BlobWriter)>,
    received: Vec<(String, StoredBlob)>,
    files_seen: usize,
}

impl<'a> Form<'a> {
    fn new(world: &'a World, rules: &'a Rules, strikes: &'a Strikes) -> Self {
        Self {
            world,
            rules,
            strikes,
            folder: 0,
            domain: None,
            password: None,
            open: None,
            received: Vec::new(),
            files_seen: 0,
        }
    }

    async fn receive(
        &mut self,
        connection: &mut Connection,
        mut parser: Parser,
    ) -> io::Result<Outcome> {
        let cut = self.strikes.find(|effect| match effect {
            Effect::ResetAfter(bytes) => Some((*bytes, Finish::Reset)),
            Effect::StallAfter(bytes) => Some((*bytes, Finish::Stall)),
            _ => None,
        });
        let mut hold = self.strikes.find(|effect| match effect {
            Effect::HoldAfter(bytes) => Some(*bytes),
            _ => None,
        });
        let (mut seen, mut ended) = (0, false);
        while let Some(chunk) = connection.body_chunk().await? {
            seen += chunk.len() as u64;
            if let Some((bytes, finish)) = cut
                && seen >= bytes
            {
                return Ok(Outcome::Broken(finish));
            }
            if hold.take_if(|bytes| seen >= *bytes).is_some() && !self.world.holds.wait().await {
                return Ok(Outcome::Broken(Finish::Reset));
            }
            parser.push(&chunk);
            loop {
                match parser.next_event() {
                    Ok(Some(event)) => match self.take(event).await {
                        Ok(is_end) => ended |= is_end,
                        Err(error) if is_full(&error) => {
                            drain(connection).await?;
                            return Ok(Outcome::NoRoom);
                        }
                        Err(error) => return Err(error),
                    },
                    Ok(None) => break,
                    Err(violation) => {
                        drain(connection).await?;
                        return Ok(Outcome::Violated(violation));
                    }
                }
            }
        }
        // A body without its last delimiter is as bad as one without its first.
        Ok(if ended { Outcome::Ended } else { Outcome::Violated(Violation::Boundary) })
    }

    /// Takes one event in; `true` at the end.
    async fn take(&mut self, event: Event) -> io::Result<bool> {
        match event {
            Event::Field { name, value } => self.field(&name, &value),
            Event::FileStart { name, file_name } => {
                self.files_seen += 1;
                let is_wanted = name == "file[]"
                    && !file_name.is_empty()
                    && self.files_seen <= self.rules.upload_files;
                if is_wanted {
                    let told = self.rules.told_digest.clone();
                    self.open = Some((file_name, self.world.store.blob_writer(told)));
                }
            }
            Event::FileData(bytes) => {
                if let Some((_, writer)) = &mut self.open {
                    if self.strikes.has(&Effect::Damage) && writer.size() == 0 {
                        let mut damaged = bytes.to_vec();
                        damaged[0] ^= 1;
                        writer.write(&damaged).await?;
                    } else {
                        writer.write(&bytes).await?;
                    }
                }
            }
            Event::FileEnd => {
                // Empty files are refused; beside others they are passed over.
                if let Some((name, writer)) = self.open.take()
                    && writer.size() > 0
                {
                    let blob = writer.finish(names::new_file_id()).await?;
                    self.received.push((name, blob));
                }
            }
            Event::End => return Ok(true),
        }
        Ok(false)
    }

    fn field(&mut self, name: &str, value: &str) {
        let value = value.trim();
        match name {
            // A wrong folder silently means the root; whether it exists is asked at the end.
            "did" => self.folder = value.parse().unwrap_or(0),
            "domain" => self.domain = value.parse().ok(),
            "dpass" if !value.is_empty() => self.password = Some(value.to_owned()),
            // Notifications and website logins have no effect here.
            _ => {}
        }
    }

    /// Hands the contents over to the store, which shows them once the report is fetched.
    fn store(&mut self, xid: &str, has_key: bool) -> Result<(), crate::store::StoreError> {
        let world = self.world;
        let folder_exists = world.store.read(|tables| tables.has_folder(self.folder));
        let is_misplaced = !folder_exists || self.strikes.has(&Effect::WrongFolder);
        let folder = if is_misplaced { 0 } else { self.folder };
        let uploaded = world.clock.seconds();
        let files: Vec<FileRecord> = self
            .received
            .iter()
            .map(|(name, blob)| FileRecord {
                size: blob.size,
                folder: has_key.then_some(folder),
                domain: match self.domain {
                    Some(domain) if usize::from(domain) < names::DOMAINS.len() => domain,
                    Some(_) | None => self.rules.default_domain,
                },
                remove_code: (!has_key).then(names::new_code),
                password: self.password.clone(),
                ..FileRecord::new(
                    blob.id.clone(),
                    self.rules.stored_name(name),
                    blob.whirlpool.clone(),
                    uploaded,
                )
            })
            .collect();
        let hidden = self.strikes.find(|effect| match effect {
            Effect::Hide(listings) => Some(*listings),
            _ => None,
        });
        for file in &files {
            if let Some(listings) = hidden {
                world.lag.hide(&file.id, listings);
            }
        }
        let count = files.len() as u64;
        // An id that is used twice keeps both uploads; only the report is the newer one.
        world.store.settle(xid)?;
        world.store.put_report(Report { xid: xid.to_owned(), uploaded, settled: false, files })?;
        self.received.clear();
        world.count(|counters| counters.uploads_stored += count);
        Ok(())
    }
}

impl Drop for Form<'_> {
    fn drop(&mut self) {
        for (_, blob) in &self.received {
            remove(&self.world.store, &blob.id);
        }
    }
}

fn remove(store: &Store, id: &str) {
    let path = store.blob_path(id);
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::warn!(%error, path = %path.display(), "blob was not removed");
    }
}
