//! Which folder the root is, at the moment when it is asked.

use ketch_core::ErrorKind;
use ketch_local::{LocalBackend, LocalOptions};

#[tokio::test]
async fn another_folder_at_the_same_path_is_another_root_and_a_missing_one_is_none() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("root");
    std::fs::create_dir(&path).unwrap();
    let backend = LocalBackend::open(path.clone(), LocalOptions::default());
    let first = backend.root_identity().await.unwrap().expect("disks tell it");
    std::fs::write(path.join("file"), "content").unwrap();
    assert_eq!(backend.root_identity().await.unwrap().as_ref(), Some(&first), "it is the same");
    std::fs::rename(&path, scratch.path().join("away")).unwrap();
    let error = backend.root_identity().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    std::fs::create_dir(&path).unwrap();
    assert_ne!(backend.root_identity().await.unwrap(), Some(first), "another is at its place");
}
