//! Buckets, objects and open uploads, in memory.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;

use crate::digest;

/// A stored object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) body: Bytes,
    pub(crate) etag: String,
    /// What is kept beside it, as headers.
    pub(crate) beside: Vec<(String, String)>,
    pub(crate) modified: SystemTime,
}

impl Object {
    pub(crate) fn new(body: Bytes, beside: Vec<(String, String)>, now: SystemTime) -> Object {
        Object { etag: digest::etag(&body), body, beside, modified: now }
    }
}

/// A part of an open upload.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) body: Bytes,
    pub(crate) md5: [u8; 16],
    pub(crate) stored: SystemTime,
}

impl Part {
    pub(crate) fn new(body: Bytes, now: SystemTime) -> Part {
        Part { md5: digest::md5(&body), body, stored: now }
    }
}

/// An upload that is open.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) beside: Vec<(String, String)>,
    pub(crate) begun: SystemTime,
    /// By their numbers, from 1 on.
    pub(crate) parts: BTreeMap<u32, Part>,
    /// It was begun with a checksum: parts show theirs.
    pub(crate) is_summed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// In the order of the bytes of the keys.
    pub(crate) objects: BTreeMap<String, Object>,
    /// By their ids.
    pub(crate) uploads: BTreeMap<String, Upload>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    ids: u64,
}

impl Store {
    /// An id that was never given before.
    pub(crate) fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("upload-{:06}", self.ids)
    }
}
