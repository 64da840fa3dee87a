//! Against the emulator, which was written by somebody else from the same description of the wire.

mod common;

use std::sync::Arc;

use common::world::World;
use common::{list, names, path, put, put_with, read};
use ketch_core::source::BytesSource;
use ketch_core::{Backend, ErrorKind, Expect, HashAlgo, PutOptions, RelPath, Retry};
use ketch_fichier::FACTORY;
use ketch_fichier_sim::{ExistingFolder, Limits, SANDBOX_KEY};

#[tokio::test]
async fn a_file_makes_the_whole_way() {
    let world = World::start().await;
    let backend = world.open("");
    let content = b"Hello world\n";
    let stored = put(&*backend, "a/b c/\u{e9}t\u{e9} <1>.txt", content).await.expect("stored");
    assert_eq!(stored.size, Some(12));
    let hash = stored.hashes.as_deref().and_then(|hashes| hashes.get(HashAlgo::Whirlpool));
    assert!(hash.expect("reported").to_string().starts_with("0a894ff039da399d5a72116b3665cd95"));
    assert_eq!(names(&*backend, "").await, ["a/"]);
    assert_eq!(names(&*backend, "a/b c").await, ["a/b c/\u{e9}t\u{e9} <1>.txt"]);
    let found = backend.stat(&stored.path).await.expect("there");
    assert_eq!((found.size, &found.hashes), (Some(12), &stored.hashes));
    assert!(found.mtime.is_some());
    assert_eq!(read(&*backend, &found, None).await.expect("read"), content);
    assert_eq!(read(&*backend, &found, Some(6..11)).await.expect("read"), b"world");
    assert_eq!(read(&*backend, &found, Some(6..6)).await.expect("read"), b"");
    let error = read(&*backend, &found, Some(6..13)).await.expect_err("too far");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let dir = backend.stat(&path("a/b c")).await.expect("there");
    let error = backend.delete_one(&dir).await.expect_err("not empty");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    backend.delete_one(&found).await.expect("deleted");
    backend.delete_one(&found).await.expect("gone is fine");
    backend.delete_one(&dir).await.expect("empty now");
    backend.delete_one(&dir).await.expect("gone is fine");
    let error = backend.stat(&path("a/b c")).await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(list(&*backend, "a/b c").await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_root_that_is_not_there_is_made_by_the_first_file() {
    let world = World::start().await;
    let backend = world.open("/photos//2024/");
    assert!(backend.location().ends_with("/photos/2024"), "{}", backend.location());
    let error = backend.stat(&RelPath::root()).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(list(&*backend, "").await.expect_err("missing").kind(), ErrorKind::NotFound);
    put(&*backend, "a.jpg", b"a").await.expect("stored");
    assert!(backend.stat(&RelPath::root()).await.expect("made").is_dir());
    let file = world.open("photos/2024/a.jpg");
    let entry = file.stat(&RelPath::root()).await.expect("a file");
    assert!(entry.is_file() && entry.path.is_root());
    assert!(world.open("").stat(&RelPath::root()).await.expect("top").is_dir());
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_and_nothing_else() {
    let world = World::start().await;
    let backend = world.open("");
    let first = put(&*backend, "f", b"one").await.expect("stored");
    put(&*backend, "g", b"other").await.expect("stored");
    let second = put(&*backend, "f", b"three").await.expect("stored");
    assert_ne!(first.version, second.version);
    assert_eq!(names(&*backend, "").await, ["f", "g"]);
    let options =
        PutOptions { expect: Expect::Entry(Box::new(second.clone())), ..PutOptions::default() };
    let third = put_with(&*backend, "f", BytesSource::body("four"), options).await.expect("stored");
    assert_eq!(read(&*backend, &third, None).await.expect("read"), b"four");
    let found = list(&*backend, "").await.expect("lists");
    assert_eq!(found[0].version, third.version);
    assert_eq!(found.len(), 2);
    assert_eq!(read(&*backend, &first, None).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn duplicates_are_all_shown_and_replaced_together() {
    let world = World::start().await;
    let backend = world.open("");
    for content in ["one", "two", "three"] {
        let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        put_with(&*backend, "f", BytesSource::body(content), options).await.expect("stored");
    }
    assert_eq!(names(&*backend, "").await, ["f", "f", "f"]);
    put(&*backend, "f", b"the only one").await.expect("stored");
    assert_eq!(names(&*backend, "").await, ["f"]);
    assert_eq!(world.sim.stats().files, 1);
}

#[tokio::test]
async fn files_are_copied_and_moved_on_the_server() {
    let world = World::start().await;
    let backend = world.open("");
    let other = world.open("sub");
    assert_eq!(backend.scope(), other.scope());
    let file = put(&*backend, "a/one", b"content").await.expect("stored");
    put(&*backend, "b/two", b"replaced").await.expect("stored");
    let uploads = world.sim.stats().of("upload");

    let copy = backend.copy(&file, &path("b/two"), PutOptions::default()).await.expect("copied");
    assert_eq!((copy.size, copy.hashes.is_none()), (Some(7), true), "no listing has shown it");
    assert_eq!(backend.stat(&copy.path).await.expect("there").hashes, file.hashes);
    assert_eq!(names(&*backend, "b").await, ["b/two"]);
    assert_eq!(read(&*backend, &copy, None).await.expect("read"), b"content");
    let below = other.copy(&file, &path("one"), PutOptions::default()).await.expect("copied");
    assert_eq!(read(&*other, &below, None).await.expect("read"), b"content");
    let same = backend.copy(&file, &file.path, PutOptions::default()).await.expect("itself");
    assert_eq!(same.version, file.version);

    let moved = backend.rename(&file, &path("a/uno")).await.expect("same folder");
    let moved = backend.rename(&moved, &path("c/uno")).await.expect("same name");
    let moved = backend.rename(&moved, &path("b/two")).await.expect("both, onto another");
    assert_eq!(names(&*backend, "a").await, [""; 0]);
    assert_eq!(names(&*backend, "c").await, [""; 0]);
    assert_eq!(names(&*backend, "b").await, ["b/two"]);
    assert_eq!(read(&*backend, &moved, None).await.expect("read"), b"content");
    let again = backend.rename(&moved, &path("b/two")).await.expect("to itself");
    assert_eq!(again.version, moved.version);
    assert_eq!(world.sim.stats().of("upload"), uploads);
}

#[tokio::test]
async fn folders_are_moved_and_renamed_with_what_is_in_them() {
    let world = World::start().await;
    let backend = world.open("");
    put(&*backend, "a/b/f", b"content").await.expect("stored");
    backend.make_dir(&path("c/x"), None).await.expect("made");
    backend.make_dir(&path("c/x"), None).await.expect("made already");
    let dir = backend.stat(&path("a/b")).await.expect("there");
    let error = backend.rename(&dir, &path("a/b/in")).await.expect_err("into itself");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = backend.rename(&dir, &path("c/x")).await.expect_err("occupied");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let dir = backend.rename(&dir, &path("a/b")).await.expect("to itself");
    let dir = backend.rename(&dir, &path("a/bb")).await.expect("renamed");
    assert_eq!(names(&*backend, "a/bb").await, ["a/bb/f"]);
    let dir = backend.rename(&dir, &path("c/bb")).await.expect("moved");
    let dir = backend.rename(&dir, &path("d")).await.expect("both");
    assert_eq!(names(&*backend, "d").await, ["d/f"]);
    assert_eq!(names(&*backend, "").await, ["a/", "c/", "d/"]);
    assert_eq!(backend.stat(&path("a/b/f")).await.expect_err("moved").kind(), ErrorKind::NotFound);
    // A name that is taken where the folder passes through does not stop it.
    backend.make_dir(&path("c/d"), None).await.expect("made");
    backend.rename(&dir, &path("c/e")).await.expect("both, past a clash");
    assert_eq!(names(&*backend, "c").await, ["c/d/", "c/e/", "c/x/"]);
    // An entry of another remote of the account, which has the same path there.
    let other = world.open("c");
    let dir = other.stat(&path("d")).await.expect("there");
    backend.rename(&dir, &path("d")).await.expect("moved up");
    assert_eq!(names(&*backend, "").await, ["a/", "c/", "d/"]);
    let error = backend.make_dir(&path("c/e/f"), None).await.expect_err("a file is there");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let error = put(&*backend, "c/e", b"x").await.expect_err("a folder is there");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn twenty_files_at_once_make_each_folder_once() {
    // At this pace all twenty look at one and the same listing before they go on.
    for (existing, pace) in [
        (ExistingFolder::Duplicate, "off"),
        (ExistingFolder::Refuse, "off"),
        (ExistingFolder::Duplicate, "documented"),
    ] {
        let world = World::start().await;
        let mut rules = world.sim.rules();
        rules.existing_folder = existing;
        world.sim.set_rules(rules);
        let backend = world.open_with("", &[("pace", pace)]);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let backend = Arc::clone(&backend);
            tasks.spawn(async move {
                let at = format!("a/b/{}/f{number}", number % 2);
                put(&*backend, &at, b"content").await.expect("stored");
            });
        }
        tasks.join_all().await;
        assert_eq!(world.sim.stats().of("folder/mkdir"), 4);
        assert_eq!(names(&*backend, "a/b").await, ["a/b/0/", "a/b/1/"]);
        assert_eq!(names(&*backend, "a/b/0").await.len(), 10);
    }
}

#[tokio::test]
async fn a_folder_that_somebody_else_made_meanwhile_is_used() {
    let world = World::start().await;
    let (one, two) = (world.open_with("", &[("pace", "documented")]), world.open(""));
    put(&*one, "f", b"x").await.expect("stored");
    assert_eq!(names(&*one, "").await, ["f"]);
    two.make_dir(&path("new"), None).await.expect("made");
    put(&*one, "new/f", b"x").await.expect("the server says it exists");
    assert_eq!(names(&*two, "").await, ["f", "new/"]);
    assert_eq!(names(&*two, "new").await, ["new/f"]);
}

#[tokio::test]
async fn many_ranges_cost_one_token() {
    let world = World::start().await;
    let backend = world.open("");
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let file = put(&*backend, "f", &content).await.expect("stored");
    let parts = futures::future::join_all((0..10).map(|part| {
        let (backend, file) = (&*backend, &file);
        async move { read(backend, file, Some(part * 10_000..(part + 1) * 10_000)).await }
    }));
    let parts: Vec<u8> = parts.await.into_iter().flat_map(|part| part.expect("read")).collect();
    assert!(parts == content);
    assert_eq!(world.sim.stats().of("download/get_token"), 1);
    // The whole file has come from it, so it is not asked again.
    world.fault("download next=1 expire");
    assert!(read(&*backend, &file, None).await.expect("a new token") == content);
    assert_eq!(world.sim.stats().of("download/get_token"), 3);
}

#[tokio::test]
async fn room_is_asked_for_once_in_five_minutes() {
    let world = World::start().await;
    let backend = world.open_with("", &[("pace", "documented"), ("pace_scale", "1")]);
    let usage = backend.usage().await.expect("told");
    assert!(usage.free.is_some());
    assert_eq!(backend.usage().await.expect("kept"), usage);
    assert_eq!(world.sim.stats().of("user/info"), 1);
}

#[tokio::test]
async fn the_documented_limits_are_never_exceeded() {
    let world = World::start().await;
    world.sim.set_limits(Limits::documented().scaled(20.0));
    let state = world.folder.path().join("state");
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..2 {
        let url = world.sim.api_url();
        let options = [
            ("api_url", url.as_str()),
            ("api_key", SANDBOX_KEY),
            ("pace", "documented"),
            ("pace_scale", "8"),
        ];
        let request = common::request("", &options, Some(&state));
        let backend = ketch_fichier::Fichier::alone(&request).expect("opens");
        let backend: Arc<dyn Backend> = Arc::new(backend);
        for number in 0..6 {
            let backend = Arc::clone(&backend);
            tasks.spawn(async move {
                let dir = format!("p{process}/d{}", number % 2);
                let file = put(&*backend, &format!("{dir}/f{number}"), b"x").await.expect("stored");
                list(&*backend, &dir).await.expect("lists");
                read(&*backend, &file, None).await.expect("read");
                backend.delete_one(&file).await.expect("deleted");
            });
        }
    }
    tasks.join_all().await;
    assert_eq!(world.sim.stats().floods, 0);
}

#[tokio::test]
async fn a_folder_is_not_listed_twice_within_thirty_seconds() {
    let world = World::start().await;
    let backend = world.open_with("", &[("pace", "documented"), ("pace_scale", "10")]);
    put(&*backend, "d/one", b"x").await.expect("stored");
    for number in 0..5 {
        put(&*backend, &format!("d/f{number}"), b"x").await.expect("stored");
        backend.stat(&path(&format!("d/f{number}"))).await.expect("there");
    }
    assert_eq!(names(&*backend, "d").await.len(), 6);
    let file = backend.stat(&path("d/one")).await.expect("there");
    backend.delete_one(&file).await.expect("deleted");
    assert_eq!(names(&*backend, "d").await.len(), 5);
    let stats = world.sim.stats();
    assert_eq!((stats.of("folder/ls"), stats.of("file/ls")), (1, 0), "the top; `d` is made here");
}

#[tokio::test]
async fn uploads_survive_the_moods_of_the_node() {
    let world = World::start().await;
    let backend = world.open("");
    for (number, fault) in [
        "end.pl next=3 please-wait",
        "end.pl next=3 no-links",
        "end.pl next=1 two-links",
        "end.pl next=1 no-whirlpool",
        "end.pl next=1 upper-case-whirlpool",
        "end.pl next=2 reset",
        "end.pl every dead-report",
        "upload next=1 no-location",
        "upload next=1 lose-answer",
    ]
    .into_iter()
    .enumerate()
    {
        world.sim.faults().clear();
        world.fault(fault);
        let at = format!("f{number}");
        let stored = put(&*backend, &at, b"content").await;
        let stored = stored.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        assert!(stored.hashes.is_some(), "{fault}");
    }
    world.sim.faults().clear();
    assert_eq!(names(&*backend, "").await.len(), 9, "no duplicates");
}

#[tokio::test]
async fn a_damaged_upload_is_removed_and_the_old_version_stays() {
    let world = World::start().await;
    let backend = world.open("");
    let old = put(&*backend, "f", b"old").await.expect("stored");
    for fault in ["upload next=1 damage", "end.pl every wrong-size", "end.pl every wrong-whirlpool"]
    {
        world.fault(fault);
        let error = put(&*backend, "f", b"new").await.expect_err(fault);
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Corrupt, Retry::Backoff), "{fault}");
        world.sim.faults().clear();
        let found = list(&*backend, "").await.expect("lists");
        assert_eq!(found.len(), 1, "{fault}");
        assert_eq!(found[0].version, old.version, "{fault}");
    }
    world.fault("upload next=1 cannot-open");
    let error = put(&*backend, "f", b"new").await.expect_err("storage");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff));
}

#[tokio::test]
async fn damaged_downloads_are_found() {
    let world = World::start().await;
    let backend = world.open("");
    let content = vec![7; 50_000];
    let file = put(&*backend, "f", &content).await.expect("stored");
    for (fault, range) in [
        ("download every short 10", None),
        ("download every close-delimited 10", None),
        ("download every reset-after 1000", None),
        ("download every gzip", None),
        ("download every html VPN detected", None),
        ("download every ignore-range", Some(100..200)),
        ("download every wrong-content-range", Some(100..200)),
        ("download every status 503", None),
    ] {
        world.sim.faults().clear();
        world.fault(fault);
        let error = read(&*backend, &file, range).await.expect_err(fault);
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unavailable),
            "{fault}: {error:?}"
        );
        assert_eq!(error.retry(), Retry::Backoff, "{fault}");
    }
    world.sim.faults().clear();
    world.fault("download next=1 ignore-range");
    assert_eq!(read(&*backend, &file, Some(100..200)).await.expect("read").len(), 100);
}

#[tokio::test]
async fn a_flood_is_waited_out_and_a_lock_or_a_dead_key_is_not_tried_again() {
    for (fault, kind) in [
        ("file/rm next=1 ko 403 No such user #93", ErrorKind::Unauthenticated),
        ("file/rm next=1 ip-locked", ErrorKind::Throttled),
    ] {
        refused_once(fault, kind).await;
    }
}

async fn refused_once(fault: &str, kind: ErrorKind) {
    let world = World::start().await;
    let backend = world.open("");
    world.fault("upload/get_upload_server next=2 flood 1032");
    put(&*backend, "f", b"x").await.expect("after two pauses");
    assert_eq!(world.sim.stats().of("upload/get_upload_server"), 3);
    let file = backend.stat(&path("f")).await.expect("there");
    world.sim.reset_stats();
    world.fault(fault);
    assert_eq!(backend.delete_one(&file).await.expect_err(fault).kind(), kind);
    assert_eq!(world.sim.stats().of("file/rm"), 1, "{fault}");
    let error = backend.stat(&path("f")).await.expect_err("locked out");
    assert_eq!(error.kind(), kind);
    assert_eq!(world.sim.stats().of("folder/ls"), 0, "nothing is asked any more");
}

#[tokio::test]
async fn writers_of_one_name_leave_one_file() {
    let world = World::start().await;
    let backend = world.open_with("", &[("pace", "documented")]);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            put(&*backend, "f", format!("content {number}").as_bytes()).await.expect("stored");
        });
    }
    tasks.join_all().await;
    assert_eq!(names(&*backend, "").await, ["f"]);
    assert_eq!(world.sim.stats().files, 1);
}

#[tokio::test]
async fn a_failed_removal_of_the_old_version_is_said_and_not_repeated_by_sending_again() {
    let world = World::start().await;
    let backend = world.open("");
    put(&*backend, "f", b"old").await.expect("stored");
    world.fault("file/rm every status 500");
    let error = put(&*backend, "f", b"new").await.expect_err("the old one stays");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never));
    assert!(error.message().contains("old one is still there"), "{error}");
    world.sim.faults().clear();
    // The old one is not shown any more; it is owed.
    assert_eq!(world.sim.stats().files, 2);
    assert_eq!(names(&*backend, "").await, ["f"]);
    put(&*backend, "f", b"newest").await.expect("both are replaced");
    assert_eq!(names(&*backend, "").await, ["f"]);
    assert_eq!(world.sim.stats().files, 1);
}

#[tokio::test]
async fn hostile_names_cannot_leave_their_folder() {
    let world = World::start().await;
    let backend = world.open("");
    put(&*backend, "d/f", b"x").await.expect("stored");
    for name in ["../evil", "/etc/passwd", "..", "a\\0b"] {
        world.sim.faults().clear();
        world.fault(&format!("folder/ls every hostile-name {name}"));
        let entries = list(&*backend, "d").await.expect("lists");
        assert!(entries.iter().any(|entry| !entry.is_file()), "{name}: {entries:?}");
        for entry in entries {
            assert_eq!(entry.path.parent(), Some(path("d")), "{name}");
            assert_eq!(entry.is_file(), entry.path.as_str() == "d/f", "{name}");
        }
    }
}

#[tokio::test]
async fn the_key_is_seen_by_the_api_and_the_node_only() {
    let world = World::start().await;
    let backend = world.open("");
    let file = put(&*backend, "f", b"x").await.expect("stored");
    read(&*backend, &file, None).await.expect("read");
    for logged in world.sim.stats().log {
        let wants = logged.path.contains("/v1/") || logged.path.contains("upload.cgi");
        assert_eq!(logged.has_authorization, wants, "{logged:?}");
    }
}

#[tokio::test]
async fn the_factory_checks_its_options_and_adds_the_layers() {
    let world = World::start().await;
    let url = world.sim.api_url();
    let options = [("api_url", url.as_str()), ("api_key", SANDBOX_KEY)];
    let request = common::request("d", &options, Some(&world.folder.path().join("state")));
    let mut wrong = request.clone();
    wrong.options.insert("api_keys", "x");
    assert_eq!(FACTORY.connect(wrong).await.expect_err("unknown").kind(), ErrorKind::InvalidInput);
    let mut wrong = request.clone();
    wrong.options.remove("api_key");
    assert_eq!(FACTORY.connect(wrong).await.expect_err("missing").kind(), ErrorKind::InvalidInput);
    let secrets = ["api_key", "shared_password", "file_password"];
    for option in FACTORY.options {
        assert_eq!(option.secret, secrets.contains(&option.name), "{}", option.name);
    }

    let backend = FACTORY.connect(request.clone()).await.expect("opens");
    let other = FACTORY.connect(request).await.expect("opens");
    world.fault("upload/get_upload_server next=2 flood");
    world.fault("upload next=1 reset-after 100");
    world.fault("upload nth=2 damage");
    world.fault("download next=2 reset-after 1000");
    world.fault("folder/ls next=1 status 502");
    let content = vec![5; 300_000];
    let file = put(&*backend, "a/f", &content).await.expect("the layers repeat");
    assert!(read(&*backend, &file, None).await.expect("resumed") == content);
    assert_eq!(names(&*other, "a").await, ["a/f"], "one account, one memory");
    assert_eq!(world.sim.faults().waiting(), 0);
}
