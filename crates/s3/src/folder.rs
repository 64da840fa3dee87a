//! A folder of a bucket: what every request about it needs, and what is known of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ketch_core::{About, Capabilities, HashAlgo, MetadataCost, Order, PartRules};

use crate::client::Client;
use crate::keys::{Place, Root};
use crate::options::Settings;
use crate::removal::Removals;
use crate::uploads::Uploads;

/// The largest object: ten thousand parts, and what the service allows.
pub(crate) const SIZE_MAX: u64 = 5 << 40;
/// The longest key in bytes.
pub(crate) const KEY_BYTES: usize = 1024;

/// An opened folder. Clones share everything.
#[derive(Clone)]
pub(crate) struct S3 {
    pub(crate) client: Arc<Client>,
    pub(crate) root: Root,
    pub(crate) about: Arc<About>,
    /// Uploads that were begun, will not be completed, and could not be given up where that was seen.
    left: Arc<Mutex<Vec<(Place, String)>>>,
    /// The uploads of this process, by their ids.
    pub(crate) uploads: Arc<Uploads>,
    /// Deletions that wait for the next request.
    pub(crate) removals: Arc<Removals>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("location", &self.about.location).finish_non_exhaustive()
    }
}

impl S3 {
    pub(crate) fn new(client: Arc<Client>, root: Root, name: &str) -> S3 {
        let settings = &client.settings;
        let quirks = settings.quirks;
        let capabilities = Capabilities {
            list_order: if quirks.is_ordered { Order::Key } else { Order::Unspecified },
            list_recursive: quirks.lists_flat && !root.is_account(),
            read_range: true,
            put_empty: true,
            put_max: Some(SIZE_MAX),
            copy: true,
            dirs: settings.directory_markers,
            mtime: Some(Duration::from_nanos(1)),
            mtime_by_inspect: true,
            set_mtime: true,
            metadata_cost: MetadataCost::Copy,
            hashes: &[HashAlgo::Md5, HashAlgo::Crc64Nvme],
            // The limit is one of the whole key, so a name alone has none.
            name_max_bytes: None,
            put_parts: Some(part_rules(settings)),
            deletes_at_once: 1000,
            ..Capabilities::default()
        };
        let host = settings.endpoint.host_str().unwrap_or_default();
        let port = settings.endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let scope = format!("s3:{host}{port}");
        let about = About {
            name: name.to_owned(),
            location: format!("{scope}/{}", root.path()),
            scope: Some(scope),
            capabilities,
            view_options: String::new(),
        };
        S3 {
            client,
            root,
            about: Arc::new(about),
            left: Arc::default(),
            uploads: Arc::default(),
            removals: Arc::default(),
        }
    }

    /// An upload that is to be given up when the job ends.
    pub(crate) fn leave(&self, place: Place, id: String) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push((place, id));
    }

    /// One of the uploads that are to be given up.
    pub(crate) fn take_left(&self) -> Option<(Place, String)> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// How parts are cut for this remote.
pub(crate) fn part_rules(settings: &Settings) -> PartRules {
    PartRules {
        from: settings.cutoff,
        part_bytes: settings.part_bytes,
        parts_max: settings.quirks.parts_max,
        at_once: settings.parts_at_once,
    }
}
