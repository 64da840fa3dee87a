//! Uploads whose outcome is unknown, remembered so that they are looked for before they are sent again.
//!
//! A listing may lag, and the one from before the upload may still be in use. So a path with such an upload is looked up in
//! fresh listings only. What is found is recognised by size and digest, at an address that was not there before, and then
//! the upload is finished: what it replaces is removed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ketch_core::source::Body;
use ketch_core::{Digest, RelPath, Result};
use tokio::time::Instant;

use crate::items::FileItem;
use crate::report::Upload;
use crate::sent::digest_of;
use crate::target::Target;

/// The most uploads, and the longest time, that are remembered.
const UPLOADS_MAX: usize = 256;
const LIFE: Duration = Duration::from_secs(30 * 60);

/// An upload of which the node has, or may have, all bytes.
#[derive(Debug)]
pub(crate) struct Pending {
    /// In the account, not in a remote's root.
    pub(crate) path: RelPath,
    pub(crate) target: Target,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// Where its report is.
    pub(crate) upload: Option<Upload>,
    pub(crate) since: Instant,
}

impl Pending {
    /// Remembers an upload that has just been lost.
    pub(crate) fn new(
        path: &RelPath,
        target: Target,
        size: u64,
        digest: Digest,
        upload: Option<Upload>,
    ) -> Self {
        Pending { path: path.clone(), target, size, digest, upload, since: Instant::now() }
    }

    /// Where the upload goes.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Does `body` hold what was uploaded? Reads it, which costs less than to send it. A body that gives its bytes only
    /// once cannot be asked.
    pub(crate) async fn is_of(&self, body: &Body) -> Result<bool> {
        if body.size() != Some(self.size) || !body.replayable() {
            return Ok(false);
        }
        Ok(digest_of(body).await?.as_ref() == Some(&self.digest))
    }
}

/// The uploads of an account whose outcome is unknown: for each path the last one.
#[derive(Debug, Default)]
pub(crate) struct Lost(Mutex<VecDeque<Arc<Pending>>>);

impl Lost {
    /// Remembers an upload in place of an earlier one of the same path.
    pub(crate) fn add(&self, pending: Pending) {
        let mut all = self.lock();
        all.retain(|old| old.path != pending.path && old.since.elapsed() < LIFE);
        if all.len() == UPLOADS_MAX {
            all.pop_front();
        }
        all.push_back(Arc::new(pending));
    }

    /// The upload of that path.
    pub(crate) fn of(&self, path: &RelPath) -> Option<Arc<Pending>> {
        let all = self.lock();
        all.iter().find(|old| old.path == *path && old.since.elapsed() < LIFE).cloned()
    }

    /// Forgets exactly this upload, and no later one of its path.
    pub(crate) fn remove(&self, pending: &Arc<Pending>) {
        self.lock().retain(|old| !Arc::ptr_eq(old, pending));
    }

    /// Of the files of one name, newest first, the one to show. Times are whole seconds: of several of one second it is
    /// the one that the upload does not replace.
    pub(crate) fn newest<'a>(
        &self,
        path: &RelPath,
        files: &[&'a FileItem],
    ) -> Option<&'a FileItem> {
        let first = *files.first()?;
        let Some(pending) = self.of(path) else { return Some(first) };
        let mut same = files.iter().take_while(|file| file.date == first.date);
        let new = same.find(|file| !pending.target.known.contains(&file.url));
        Some(new.copied().unwrap_or(first))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Pending>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Old;
    use ketch_core::HashAlgo;
    use ketch_core::hash::hash_bytes;
    use ketch_core::source::BytesSource;

    fn pending(path: &str, known: &[&str]) -> Pending {
        let known: Vec<String> = known.iter().map(|url| (*url).to_owned()).collect();
        let target = Target {
            folder: 1,
            name: "f".into(),
            remote_name: "f".into(),
            old: Old::Known(known.clone()),
            known,
            at: RelPath::root(),
            before: crate::removal::Before { listing: None, since: None },
        };
        let hashes = hash_bytes(&[HashAlgo::Whirlpool], b"content");
        let digest = hashes.get(HashAlgo::Whirlpool).expect("computed").clone();
        Pending::new(&RelPath::new(path).expect("legal"), target, 7, digest, None)
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_uploads_are_remembered_for_a_while() {
        let lost = Lost::default();
        for number in 0..UPLOADS_MAX + 10 {
            lost.add(pending(&format!("p{number}"), &[]));
        }
        assert!(lost.of(&path("p9")).is_none() && lost.of(&path("p10")).is_some());
        let first = lost.of(&path("p100")).expect("kept");
        lost.add(pending("p100", &["old"]));
        lost.remove(&first);
        let second = lost.of(&path("p100")).expect("a later one stays");
        assert_eq!(second.target().known, ["old"]);
        lost.remove(&second);
        assert!(lost.of(&path("p100")).is_none());
        tokio::time::advance(LIFE).await;
        assert!(lost.of(&path("p50")).is_none());
    }

    #[test]
    fn of_two_files_of_one_second_the_new_one_is_shown() {
        let lost = Lost::default();
        let file = |url: &str, seconds: u64| FileItem {
            name: "f".into(),
            url: url.into(),
            size: Some(7),
            date: Some(std::time::UNIX_EPOCH + Duration::from_secs(seconds)),
            hash: None,
        };
        let (old, new, later) = (file("old", 5), file("new", 5), file("old", 6));
        let shown = |lost: &Lost, files: &[&FileItem]| {
            lost.newest(&path("f"), files).map(|file| (file.url.clone(), file.date))
        };
        assert_eq!(shown(&lost, &[&old, &new]), Some(("old".into(), old.date)));
        lost.add(pending("f", &["old"]));
        assert_eq!(shown(&lost, &[&old, &new]), Some(("new".into(), new.date)));
        assert_eq!(shown(&lost, &[&later, &new]), Some(("old".into(), later.date)));
        assert_eq!(shown(&lost, &[&old]), Some(("old".into(), old.date)));
        assert_eq!(shown(&lost, &[]), None);
    }

    #[tokio::test]
    async fn a_body_is_compared_by_its_content() {
        let pending = pending("f", &[]);
        for (content, expected) in
            [("content", true), ("CONTENT", false), ("longer content", false)]
        {
            let body = BytesSource::body(content);
            assert_eq!(pending.is_of(&body).await.expect("readable"), expected, "{content}");
        }
    }
}
