//! What needs a user without rights, or a full disk. Skipped, with a word on why, where the machine cannot give it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::*;

const UNPRIVILEGED: &str = "KETCH_TEST_UNPRIVILEGED";

/// Runs one test of this program again as a user without rights; `None` when that is not possible here.
fn run_unprivileged(test: &str) -> Option<bool> {
    let program = std::env::current_exe().expect("known");
    // Also so that the user can reach it: what cargo builds may lie in a folder of root's own.
    let scratch = tempfile::tempdir().expect("scratch");
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).expect("set");
    let copy = scratch.path().join("tests");
    std::fs::copy(&program, &copy).expect("copied");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"])
        .arg(&copy)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(UNPRIVILEGED, "1")
        .env("TMPDIR", "/tmp")
        .output();
    let Ok(output) = output else {
        println!("skipped: there is no setpriv");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed") || !output.status.success(), "the test must have run");
    Some(output.status.success())
}

/// True when the body of the test is to be run in this process.
fn is_unprivileged(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os(UNPRIVILEGED).is_none(), "the rights were not given up");
    assert_ne!(run_unprivileged(test), Some(false), "failed as another user");
    false
}

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).expect("set");
}

#[tokio::test]
async fn what_may_not_be_touched_is_an_error_of_its_own_and_never_empty() {
    let test = "tests::system::what_may_not_be_touched_is_an_error_of_its_own_and_never_empty";
    if !is_unprivileged(test) {
        return;
    }
    let place = place();
    place.write("closed/f", "x");
    place.write("no-search/f", "x");
    place.write("read-only/f", "x");
    place.write("secret", "x");
    let secret = place.stat("secret").await;
    let inside = place.stat("read-only/f").await;
    set_mode(&place.file("closed"), 0o000);
    set_mode(&place.file("no-search"), 0o444);
    set_mode(&place.file("read-only"), 0o555);
    set_mode(&place.file("secret"), 0o000);
    let expected = ["closed", "no-search", "read-only", "secret"];
    assert_eq!(place.names("").await, expected);
    let closed = place.try_list("closed").await.expect_err("no listing");
    assert_eq!((closed.kind(), closed.path()), (ErrorKind::Denied, Some(&path("closed"))));
    // Names can be read there, but not what they are: an error too, never a folder without files.
    let no_search = place.try_list("no-search").await.expect_err("no listing");
    assert_eq!(
        (no_search.kind(), no_search.path()),
        (ErrorKind::Denied, Some(&path("no-search/f")))
    );
    let secret = Entry { version: None, ..secret };
    assert_eq!(kind(place.read(&secret).await), ErrorKind::Denied);
    assert_eq!(kind(place.put("read-only/new", "x").await), ErrorKind::Denied);
    assert_eq!(kind(place.backend.make_dir(&path("read-only/new"), None).await), ErrorKind::Denied);
    assert_eq!(kind(place.backend.delete_one(&inside).await), ErrorKind::Denied);
    for name in expected {
        set_mode(&place.file(name), 0o700);
    }
    assert_eq!(place.raw_names().len(), 7);
}

/// A small disk of its own; `None` when that is not possible here.
pub(super) struct SmallDisk(pub(super) TempDir);

impl SmallDisk {
    pub(super) fn mount(options: &str) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("scratch");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "ketch-test"])
            .arg(folder.path())
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(folder));
        }
        println!("skipped: nothing can be mounted here");
        None
    }

    pub(super) fn resize(&self, size: &str) {
        let options = format!("remount,{size}");
        let output =
            Command::new("mount").args(["-o", &options]).arg(self.0.path()).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_is_a_quota_error_that_names_the_folder_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount("size=1200k,mode=777") else { return };
    let backend = LocalBackend::open(disk.0.path().join("d"), LocalOptions::default());
    let big = |size, count| Pieces { size, piece: vec![7; 100_000].into(), count, ends: true };
    // Found beforehand, found while writing the first batch, found while writing a later one.
    for body in [big(Some(2_000_000), 20), big(None, 20), big(None, 13), big(None, 12)] {
        let again =
            async || backend.put(&path("f"), Arc::new(body.clone()), PutOptions::default()).await;
        if body.count == 12 {
            let entry = when_there_is_room(again).await;
            backend.delete_one(&entry).await.expect("deleted");
            continue;
        }
        let put = again().await;
        let error = put.expect_err("does not fit");
        assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
        assert!(error.to_string().contains("no space left"), "{error}");
        assert!(error.to_string().contains(disk.0.path().to_str().expect("text")), "{error}");
        let left = || std::fs::read_dir(disk.0.path().join("d")).expect("readable").count();
        while left() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let put =
        async || backend.put(&path("a"), byte_body(vec![7; 700_000]), PutOptions::default()).await;
    let small = when_there_is_room(put).await;
    let copied = backend.copy(&small, &path("b"), PutOptions::default()).await;
    assert_eq!(kind(copied), ErrorKind::Quota);
    // The room of the failed copy is free again.
    while backend.usage().await.expect("known").free.expect("known") <= 400_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What `put` stores. A process that another test of this program is starting holds what is open here until its program begins,
/// and with it the room of files that are removed.
async fn when_there_is_room(put: impl AsyncFn() -> ketch_core::Result<Entry>) -> Entry {
    loop {
        match put().await {
            Err(error) if error.kind() == ErrorKind::Quota => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            put => return put.expect("fits"),
        }
    }
}

#[tokio::test]
async fn a_disk_without_room_for_another_name_is_a_quota_error() {
    let Some(disk) = SmallDisk::mount("size=1m,nr_inodes=4,mode=777") else { return };
    let backend = LocalBackend::open(disk.0.path().to_owned(), LocalOptions::default());
    let mut last = Ok(());
    for number in 0..5 {
        let name = path(&number.to_string());
        last = backend.put(&name, byte_body("x"), PutOptions::default()).await.map(drop);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(kind(last), ErrorKind::Quota);
}

#[tokio::test]
async fn a_read_only_disk_says_so_and_a_move_to_another_disk_is_not_possible() {
    let Some(disk) = SmallDisk::mount("size=1m,mode=777") else { return };
    let backend = LocalBackend::open(disk.0.path().to_owned(), LocalOptions::default());
    backend.put(&path("f"), byte_body("x"), PutOptions::default()).await.expect("put");
    std::fs::create_dir(disk.0.path().join("other")).expect("made");
    let mount = |arguments: &[&str]| {
        let output = Command::new("mount").args(arguments).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
    };
    let other = disk.0.path().join("other");
    mount(&["-t", "tmpfs", "-o", "size=1m", "ketch-test", other.to_str().expect("text")]);
    let entry = backend.stat(&path("f")).await.expect("there");
    let moved = backend.rename(&entry, &path("other/f")).await;
    let copied = backend.copy(&entry, &path("other/f"), PutOptions::default()).await;
    Command::new("umount").arg(&other).output().expect("runs");
    assert_eq!(kind(moved), ErrorKind::Unsupported);
    assert_eq!(copied.expect("copied").size, Some(1));
    mount(&["-o", "remount,ro", disk.0.path().to_str().expect("text")]);
    let put = backend.put(&path("g"), byte_body("x"), PutOptions::default()).await;
    let error = put.expect_err("read-only");
    assert_eq!(error.kind(), ErrorKind::Quota, "every other file would fail as well");
    assert!(error.to_string().contains("read-only"), "{error}");
}
