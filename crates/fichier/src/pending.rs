//! A file that is to be sent, and the requests that such files wait for.

use std::sync::Arc;

use ketch_core::source::Body;
use ketch_core::{Proof, RelPath, Result};

use crate::batch::Batches;
use crate::items::FileItem;
use crate::note::UploadNote;
use crate::target::Target;

/// A file to be sent.
pub(crate) struct PendingUpload {
    /// In the account, not in a remote's root.
    pub(crate) path: RelPath,
    pub(crate) target: Target,
    pub(crate) body: Body,
    pub(crate) size: u64,
    pub(crate) proof: Proof,
    pub(crate) upload_note: Arc<UploadNote>,
}

/// The folder a file is in, and the file.
pub(crate) type Arrived = (u64, FileItem);

/// The requests that can still be joined, by folder.
pub(crate) type Uploads = Batches<u64, PendingUpload, Result<Arrived>>;
