//! What S3 has beside the methods of every backend: open uploads, and facts about objects that listings do not show.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use ketch_core::facets::{Claims, Inspect, Leftover, LeftoverState, Resume, Wanted};
use ketch_core::{Checkpoint, Entry, Error, ErrorKind, RelPath, Result};
use ketch_wire::Method;
use ketch_wire::xml::{Piece, each};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::client::Ask;
use crate::folder::S3;
use crate::keys::{Place, path_of};

/// Heads that are asked for at the same time.
const HEADS_AT_ONCE: usize = 32;
/// An open upload that is younger may be another machine's.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
struct Noted {
    upload: String,
    bucket: String,
    key: String,
}

#[async_trait]
impl Resume for S3 {
    async fn abandon(&self, _path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        let Some(note) = checkpoint.note.load().await? else { return Ok(()) };
        // What is no note of an upload was not written here.
        let Ok(noted) = serde_json::from_slice::<Noted>(&note) else { return Ok(()) };
        self.end_noted(&noted.bucket, &noted.key, &noted.upload).await
    }

    fn has_leftovers(&self) -> bool {
        true
    }

    async fn leftovers(
        &self,
        dir: &RelPath,
        claims: &Claims,
        removes: bool,
    ) -> Result<Vec<Leftover>> {
        let folder = self.root.folder(dir)?;
        let mut found = Vec::new();
        let OpenUploads { mut all, folders } = self.open_uploads(&folder, true).await?;
        // A folder that holds nothing but open uploads is in no listing.
        for key in folders {
            let place = Place { bucket: folder.bucket.clone(), key };
            if self.is_empty(&place).await? {
                all.append(&mut self.open_uploads(&place, false).await?.all);
            }
        }
        for open in all {
            let Some(path) = path_of(&open.key, &folder.key) else { continue };
            let age = SystemTime::now().duration_since(open.begun).unwrap_or_default();
            // The service does not say which process works on an upload. A job whose upload was removed begins anew.
            let of_others = if age < YOUNG { LeftoverState::Unclear } else { LeftoverState::Dead };
            let state = self.uploads.state(&open.id, claims).unwrap_or(of_others);
            if removes && state == LeftoverState::Dead {
                let place = Place { bucket: folder.bucket.clone(), key: open.key };
                self.abort(&place, &open.id).await?;
            }
            found.push(Leftover { path: dir.join_path(&path), bytes: 0, state });
        }
        Ok(found)
    }
}

struct OpenUpload {
    key: String,
    id: String,
    begun: SystemTime,
}

/// What is open in a folder.
#[derive(Default)]
struct OpenUploads {
    all: Vec<OpenUpload>,
    /// Keys of folders.
    folders: BTreeSet<String>,
}

impl S3 {
    /// Gives up the upload that a note speaks of. If the process died before it heard the id, every open upload of that very key
    /// is given up: one of them is it.
    pub(crate) async fn end_noted(&self, bucket: &str, key: &str, id: &str) -> Result<()> {
        let place = Place { bucket: bucket.to_owned(), key: key.to_owned() };
        if !id.is_empty() {
            return self.abort(&place, id).await;
        }
        let open = self.open_uploads(&place, true).await?.all;
        for open in open.into_iter().filter(|open| open.key == key) {
            self.abort(&place, &open.id).await?;
        }
        Ok(())
    }

    /// Does no object lie below a folder?
    async fn is_empty(&self, folder: &Place) -> Result<bool> {
        let wanted = crate::list::Wanted { place: folder, is_flat: true, after: None, keys: "1" };
        Ok(self.client.list_once(&wanted, None).await?.objects.is_empty())
    }

    /// The uploads that are open in a folder, and the folders in it that have some; or all that are open below it.
    async fn open_uploads(&self, folder: &Place, is_direct: bool) -> Result<OpenUploads> {
        let bucket = Place { bucket: folder.bucket.clone(), key: String::new() };
        let (mut found, mut after) = (OpenUploads::default(), (String::new(), String::new()));
        loop {
            let mut ask = Ask::new(Method::GET, &bucket)
                .query("uploads", "")
                .query("prefix", folder.key.clone());
            if is_direct {
                ask = ask.query("delimiter", "/");
            }
            if !after.0.is_empty() {
                ask = ask
                    .query("key-marker", after.0.clone())
                    .query("upload-id-marker", after.1.clone());
            }
            let answer = match self.client.call(ask, Bytes::new()).await {
                Err(refusal) if refusal.is_missing() => return Ok(found),
                Err(refusal) if refusal.error.kind() == ErrorKind::Unsupported => return Ok(found),
                answer => answer?,
            };
            let (mut is_cut, mut next) = (false, (String::new(), String::new()));
            let mut now: Option<OpenUpload> = None;
            let mut is_prefix = false;
            each(&answer.body, |piece| match piece {
                Piece::Start("Upload") => {
                    let (key, id) = (String::new(), String::new());
                    now = Some(OpenUpload { key, id, begun: SystemTime::now() });
                }
                Piece::End("Upload") => found.all.extend(now.take()),
                Piece::Start("CommonPrefixes") => is_prefix = true,
                Piece::End("CommonPrefixes") => is_prefix = false,
                Piece::Text("Prefix", text) if is_prefix => {
                    found.folders.insert(text.to_owned());
                }
                Piece::Text("IsTruncated", text) => is_cut = text == "true",
                Piece::Text("NextKeyMarker", text) => next.0 = text.to_owned(),
                Piece::Text("NextUploadIdMarker", text) => next.1 = text.to_owned(),
                Piece::Text(name, text) => {
                    let Some(open) = &mut now else { return };
                    match name {
                        "Key" => open.key = text.to_owned(),
                        "UploadId" => open.id = text.to_owned(),
                        "Initiated" => {
                            if let Ok(time) = text.parse::<jiff::Timestamp>() {
                                open.begun = time.into();
                            }
                        }
                        _ => {}
                    }
                }
                _ => {}
            })?;
            if !is_cut || next == after {
                return Ok(found);
            }
            after = next;
        }
    }
}

#[async_trait]
impl Inspect for S3 {
    async fn inspect(&self, entries: &[Entry], _wanted: &Wanted) -> Result<Vec<Result<Entry>>> {
        let mut heads = Vec::with_capacity(entries.len());
        for entry in entries {
            heads.push(self.inspect_one(entry).boxed());
        }
        Ok(stream::iter(heads).buffered(HEADS_AT_ONCE).collect().await)
    }
}

impl S3 {
    async fn inspect_one(&self, entry: &Entry) -> Result<Entry> {
        let found = self.head(&self.root.of(entry)?).await?;
        if entry.version.is_some() && found.version != entry.version {
            let text = "the object is not the version that was listed";
            return Err(Error::new(ErrorKind::Changed, text));
        }
        Ok(Entry { path: entry.path.clone(), ..found })
    }
}
