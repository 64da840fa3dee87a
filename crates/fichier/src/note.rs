//! What outlives the process of an upload or a copy: the note behind a checkpoint.
//!
//! It is written before the first byte is sent, and again when what was stored has been verified and the old versions are
//! about to go. So a process that reads it knows which of the two may be removed: before the second writing nothing old has been
//! touched, after it nothing new is in doubt. It says where to look and is never believed without a look.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use ketch_core::checkpoint::Checkpoint;
use ketch_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::removal::Before;
use crate::report::Upload;
use crate::target::Target;

/// The version of the format. Another one is not read, and the transfer begins anew.
const VERSION: u32 = 1;
/// How many earlier uploads are remembered. More would need as many deaths in a row, each within the seconds that the
/// bytes of an upload are on their way.
const EARLIER_MAX: usize = 4;

/// One transfer, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    v: u32,
    /// The version of the source, as the checkpoint names it.
    pub(crate) source: String,
    /// Where the upload's report is; absent for a copy.
    pub(crate) upload: Option<Upload>,
    /// Uploads of the same file before that one, which had not arrived when they were asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<Upload>,
    pub(crate) folder: u64,
    /// In core form.
    pub(crate) name: String,
    pub(crate) size: u64,
    /// The addresses that were there before.
    pub(crate) known: Vec<String>,
    /// The address of the new version, once it has been verified.
    pub(crate) stored: Option<String>,
    /// When it was written first, in seconds since 1970; 0 by an earlier version.
    #[serde(default)]
    begun: u64,
}

impl Note {
    /// What is known of the folder before the transfer.
    pub(crate) fn before(&self) -> Before {
        let since = (self.begun > 0).then(|| UNIX_EPOCH + Duration::from_secs(self.begun));
        Before { listing: None, since }
    }

    /// Reads what [`UploadNote`] wrote; `None` for nothing, and for what this version does not know.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Note> {
        let note: Note = serde_json::from_slice(bytes).ok()?;
        (note.v == VERSION).then_some(note)
    }

    /// Every upload that may have brought the file, the last one first.
    pub(crate) fn uploads(&self) -> impl Iterator<Item = &Upload> {
        self.upload.iter().chain(&self.earlier)
    }

    /// The size that the file has which came with this upload.
    pub(crate) fn size_of(&self, upload: &Upload) -> u64 {
        upload.size.unwrap_or(self.size)
    }
}

/// What the earlier processes of a transfer wrote down.
pub(crate) async fn load(checkpoint: &Checkpoint) -> Result<Option<Note>> {
    Ok(checkpoint.note.load().await?.and_then(|bytes| Note::parse(&bytes)))
}

/// Writes down how far a transfer is, if it has a checkpoint.
#[derive(Debug)]
pub(crate) struct UploadNote {
    checkpoint: Option<Checkpoint>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: Option<Note>,
    /// An earlier process has written, and what it left may be still there.
    is_adopted: bool,
}

impl UploadNote {
    /// Nothing is written yet.
    pub(crate) fn new(checkpoint: Option<Checkpoint>) -> Self {
        UploadNote { checkpoint, state: Mutex::default() }
    }

    /// Will a later process continue what is left behind?
    pub(crate) fn keeps(&self) -> bool {
        self.checkpoint.as_ref().is_some_and(Checkpoint::keeps)
    }

    /// What an earlier process wrote down.
    pub(crate) async fn earlier(&self) -> Result<Option<Note>> {
        match &self.checkpoint {
            Some(checkpoint) => load(checkpoint).await,
            None => Ok(None),
        }
    }

    /// Notes that a transfer of `size` bytes is about to begin.
    pub(crate) async fn begin(
        &self,
        target: &Target,
        size: u64,
        upload: Option<Upload>,
    ) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let before = self.state.lock().await.written.clone();
        let mut earlier: Vec<Upload> = Vec::new();
        if let Some(note) = &before {
            earlier.extend(note.uploads().map(|one| {
                let of_another = Some(note.size_of(one)).filter(|before| *before != size);
                Upload { size: of_another, ..one.clone() }
            }));
        }
        earlier.retain(|other| upload.as_ref().is_none_or(|upload| upload.xid != other.xid));
        earlier.truncate(EARLIER_MAX);
        let note = Note {
            v: VERSION,
            source: checkpoint.source.to_string(),
            upload,
            earlier,
            folder: target.folder,
            name: target.name.clone(),
            size,
            known: target.known.clone(),
            stored: None,
            begun: crate::clock::since_1970().as_secs(),
        };
        self.write(checkpoint, note).await
    }

    /// Notes that the new version is at `url`, verified, and that the old ones go now.
    pub(crate) async fn stored(&self, url: &str, known: &[String]) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let Some(note) = self.state.lock().await.written.clone() else { return Ok(()) };
        let note = Note { stored: Some(url.to_owned()), known: known.to_vec(), ..note };
        self.write(checkpoint, note).await
    }

    /// Continues what an earlier process wrote.
    pub(crate) async fn adopt(&self, note: Note) {
        *self.state.lock().await = State { written: Some(note), is_adopted: true };
    }

    /// Notes that nothing was stored. What an earlier process left is not forgotten.
    pub(crate) async fn undone(&self) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let mut state = self.state.lock().await;
        if state.is_adopted || state.written.take().is_none() {
            return Ok(());
        }
        checkpoint.note.save(Bytes::new()).await
    }

    async fn write(&self, checkpoint: &Checkpoint, note: Note) -> Result<()> {
        let text = serde_json::to_vec(&note).map_err(|error| {
            Error::new(ErrorKind::Io, "the note of a transfer cannot be written").with_source(error)
        })?;
        checkpoint.note.save(text.into()).await?;
        self.state.lock().await.written = Some(note);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_no_other_version_is() {
        let note = Note {
            v: VERSION,
            source: "s".into(),
            upload: Some(Upload {
                node: "up2.1fichier.com".into(),
                xid: "aB3".into(),
                files: 2,
                size: None,
            }),
            earlier: Vec::new(),
            folder: 7,
            name: "f".into(),
            size: 3,
            known: vec!["https://1fichier.com/?a".into()],
            stored: None,
            begun: 7,
        };
        let text = serde_json::to_string(&note).expect("plain data");
        assert_eq!(Note::parse(text.as_bytes()), Some(note));
        let later = text.replace("\"v\":1", "\"v\":2");
        assert_ne!(later, text);
        for other in [later.as_str(), "", "{", "[1]", "{\"v\":1}"] {
            assert_eq!(Note::parse(other.as_bytes()), None, "{other}");
        }
    }
}
