//! A link that is neither followed nor kept: what a person can do about it comes with every refusal.

use std::os::unix::fs::symlink;

use ketch_core::source::BytesSource;
use ketch_core::{Body, EntryKind, Hint, PutOptions, RelPath, Special};
use ketch_local::{LocalBackend, LocalOptions};

#[tokio::test]
async fn a_refusal_of_a_link_says_what_helps() {
    let scratch = tempfile::tempdir().unwrap();
    symlink("nowhere", scratch.path().join("l")).unwrap();
    let backend = LocalBackend::open(scratch.path().to_owned(), LocalOptions::default());
    let path = RelPath::new("l").unwrap();
    let link = backend.stat(&path).await.unwrap();
    assert_eq!(link.kind, EntryKind::Special(Special::Symlink));
    let body: Body = BytesSource::body("content");
    let to = RelPath::new("m").unwrap();
    for (what, error) in [
        ("delete", backend.delete_one(&link).await.expect_err("refused")),
        ("rename", backend.rename(&link, &to).await.expect_err("refused")),
        ("put", backend.put(&path, body, PutOptions::default()).await.expect_err("refused")),
    ] {
        assert_eq!(error.hint(), Some(Hint::KeepOrFollowLinks), "{what}: {error}");
    }
    assert!(scratch.path().join("l").symlink_metadata().is_ok(), "it stays");
}
