//! The state folder outlives the process and belongs to one process at a time.

use std::io::Write;

use ketch_fichier_sim::{Sim, SimError, SimOptions};
use serde_json::json;

use crate::client::{Bench, form};

impl Bench {
    async fn restart(self) -> Self {
        self.sim.shutdown().await;
        let options = SimOptions::new(self.scratch.path());
        Self { sim: Sim::start(options).await.unwrap(), scratch: self.scratch }
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let bench = Bench::start().await;
    let folder = bench.ok("folder/mkdir", json!({"name": "a"})).await["folder_id"].clone();
    let folder = folder.as_u64().unwrap();
    let link = bench.upload(folder, "kept", b"content").await;
    let gone = bench.upload(folder, "gone", b"x").await;
    bench.ok("file/rm", json!({"files": [{"url": gone}]})).await;
    let pending = bench.xid().await;
    bench.post_form(&pending, &form(0, "pending", b"p")).await.unwrap();
    let before = bench.ok("file/info", json!({"url": &link})).await;

    let bench = bench.restart().await.restart().await;
    assert_eq!(bench.names(folder).await, ["kept"]);
    assert_eq!(bench.ok("file/info", json!({"url": &link})).await, before);
    let path = bench.token(&link, 0).await;
    assert_eq!(bench.get(&path, "").await.unwrap().body, b"content");
    assert_eq!(bench.report(&pending).await["links"][0]["filename"], "pending");
    assert_eq!(bench.names(0).await, ["pending"]);
}

#[tokio::test]
async fn a_torn_last_line_and_half_a_blob_are_forgotten() {
    let bench = Bench::start().await;
    bench.upload(0, "kept", b"content").await;
    bench.sim.shutdown().await;
    let root = bench.scratch.path();
    let journal = root.join("journal.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(journal).unwrap();
    file.write_all(b"{\"file\":{\"id\":\"abc").unwrap();
    std::fs::write(root.join("blobs/tmp-7"), b"half").unwrap();
    std::fs::write(root.join("blobs/aaaaaaaaaaaaaaaaaaaa"), b"orphan").unwrap();
    let sim = Sim::start(SimOptions::new(root)).await.unwrap();
    let bench = Bench { sim, scratch: bench.scratch };
    assert_eq!(bench.names(0).await, ["kept"]);
    assert_eq!(std::fs::read_dir(bench.scratch.path().join("blobs")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_that_was_answered() {
    let bench = Bench::start().await;
    let folder = bench.ok("folder/mkdir", json!({"name": "a"})).await["folder_id"].clone();
    let link = bench.upload(folder.as_u64().unwrap(), "kept", b"content").await;
    // What a killed process leaves is what is on disk now, without any farewell.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("blobs")).unwrap();
    let root = bench.scratch.path();
    std::fs::copy(root.join("journal.jsonl"), copy.path().join("journal.jsonl")).unwrap();
    for blob in std::fs::read_dir(root.join("blobs")).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(blob.path(), copy.path().join("blobs").join(blob.file_name())).unwrap();
    }
    let sim = Sim::start(SimOptions::new(copy.path())).await.unwrap();
    let survivor = Bench { sim, scratch: copy };
    assert_eq!(survivor.names(folder.as_u64().unwrap()).await, ["kept"]);
    let path = survivor.token(&link, 0).await;
    assert_eq!(survivor.get(&path, "").await.unwrap().body, b"content");
}

#[tokio::test]
async fn a_second_emulator_is_told_who_has_the_folder() {
    let bench = Bench::start().await;
    match Sim::start(SimOptions::new(bench.scratch.path())).await {
        Err(SimError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    let root = bench.scratch;
    drop(bench.sim);
    Sim::start(SimOptions::new(root.path())).await.unwrap();
}
