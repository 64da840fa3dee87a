//! What the client makes of a service that fails in the ways services do: the end state is right, and as many requests are made
//! as are needed. The emulator fails by a script, and nothing here depends on time.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use ketch_core::factory::{Connect, ConnectRequest};
use ketch_core::source::BytesSource;
use ketch_core::{
    Backend, Entry, ErrorKind, Expect, ListOptions, Metadata, PutOptions, ReadOptions, RelPath,
    Result,
};
use ketch_s3_sim::{KEY, Rules, SECRET, Sim, Stats};

const BUCKET: &str = "bucket";
/// Three parts.
const LARGE: usize = (16 << 20) + 5;

/// An emulator and a remote on it.
struct Scene {
    sim: Sim,
    backend: Arc<dyn Backend>,
}

impl Scene {
    /// One with everything that AWS has.
    async fn new() -> Scene {
        Scene::of("AWS", Rules::default()).await
    }

    async fn of(provider: &str, rules: Rules) -> Scene {
        let sim = Sim::start(rules).unwrap();
        sim.make_bucket(BUCKET);
        let address = sim.address();
        let options = [
            ("endpoint", address.as_str()),
            ("provider", provider),
            ("force_path_style", "true"),
            ("chunk_size", "5"),
            ("upload_concurrency", "1"),
            ("access_key_id", KEY),
            ("secret_access_key", SECRET),
        ];
        let request = ConnectRequest {
            name: "s3:".to_owned(),
            root: BUCKET.to_owned(),
            options: options.into_iter().collect(),
            ..ConnectRequest::default()
        };
        let Connect::Remote(connect) = ketch_s3::FACTORY.connect else { panic!("a remote") };
        let backend = connect(request).await.unwrap();
        Scene { sim, backend }
    }

    fn fault(&self, line: &str) -> &Scene {
        self.sim.fault(line).unwrap();
        self
    }

    async fn put(&self, name: &str, body: impl Into<Bytes>) -> Result<Entry> {
        self.put_with(name, body, Expect::Anything).await
    }

    async fn put_with(&self, name: &str, body: impl Into<Bytes>, expect: Expect) -> Result<Entry> {
        let options = PutOptions { expect, ..PutOptions::default() };
        let body = BytesSource::body(body);
        self.backend.put(&path(name), body, options).await
    }

    async fn read(&self, entry: &Entry) -> Result<Vec<u8>> {
        let stream = self.backend.read(entry, ReadOptions::default()).await?;
        let pieces: Vec<Bytes> = stream.try_collect().await?;
        Ok(pieces.concat())
    }

    async fn names(&self) -> Result<Vec<String>> {
        let options = ListOptions { recursive: true, ..ListOptions::default() };
        let pages = self.backend.list(&RelPath::root(), options);
        let entries: Vec<Entry> = pages.try_collect().await?;
        Ok(entries.iter().map(|entry| entry.path.as_str().to_owned()).collect())
    }

    #[track_caller]
    fn holds(&self, name: &str, body: &[u8]) {
        let found = self.sim.body(BUCKET, name);
        assert!(found.as_deref() == Some(body), "{name} is missing or something else");
    }

    /// Nothing of what was begun is open.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.sim.open_uploads(BUCKET), []);
    }

    fn stats(&self) -> Stats {
        self.sim.stats()
    }
}

fn path(name: &str) -> RelPath {
    RelPath::new(name).unwrap()
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at / 7 % 251) as u8).collect()
}

#[tokio::test]
async fn a_service_that_wants_fewer_requests_gets_them_later() {
    let scene = Scene::new().await;
    scene.fault("put first=2 slowdown 0");
    scene.put("f", "content").await.unwrap();
    scene.holds("f", b"content");
    assert_eq!((scene.stats().of("put"), scene.stats().total()), (3, 3));
}

#[tokio::test]
async fn a_request_that_failed_or_was_reset_is_made_again() {
    for effect in ["error 500", "error 502", "error 503", "reset"] {
        let scene = Scene::new().await;
        scene.fault(&format!("put nth=1 {effect}")).fault(&format!("get nth=1 {effect}"));
        let entry = scene.put("f", "content").await.unwrap();
        scene.holds("f", b"content");
        assert_eq!(scene.read(&entry).await.unwrap(), b"content");
        scene.fault(&format!("list nth=1 {effect}"));
        assert_eq!(scene.names().await.unwrap(), ["f"]);
        scene.fault(&format!("delete nth=1 {effect}"));
        scene.backend.delete_one(&entry).await.unwrap();
        let stats = scene.stats();
        for kind in ["put", "get", "delete"] {
            assert_eq!(stats.of(kind), 2, "{kind} after {effect}: {stats:?}");
        }
        // A body that was sent whole may be stored: the service is asked what is there before it is sent again.
        let asked = u64::from(effect == "reset");
        // One question more: whether the ETags of the bucket are MD5s.
        let heads = 1 + asked;
        assert_eq!((stats.of("head"), stats.of("list")), (heads, 2 + asked), "{effect}: {stats:?}");
        assert_eq!(scene.sim.keys(BUCKET), [""; 0]);
    }
}

/// The object is there, and the client never heard of it.
#[tokio::test]
async fn an_object_whose_answer_is_lost_is_stored() {
    let scene = Scene::new().await;
    scene.fault("put nth=1 lost");
    let entry = scene.put("f", "content").await.unwrap();
    scene.holds("f", b"content");
    assert_eq!(scene.read(&entry).await.unwrap(), b"content");
    assert_eq!((scene.stats().of("put"), scene.stats().of("head")), (1, 1), "{:?}", scene.stats());
}

#[tokio::test]
async fn parts_that_fail_are_sent_again_and_no_others() {
    for effect in ["error 500", "reset", "lost", "slowdown 0"] {
        let scene = Scene::new().await;
        scene.fault(&format!("part nth=2 {effect}"));
        scene.put("large", large()).await.unwrap();
        scene.holds("large", &large());
        scene.is_clean();
        let stats = scene.stats();
        let counted = ["create", "part", "complete", "abort"].map(|kind| stats.of(kind));
        assert_eq!(counted, [1, 4, 1, 0], "{effect}: {stats:?}");
    }
}

#[tokio::test]
async fn a_large_object_is_completed_once_whatever_becomes_of_the_answer() {
    for effect in ["lost", "error-in-200", "error 500", "reset"] {
        let scene = Scene::new().await;
        scene.fault(&format!("complete nth=1 {effect}"));
        let entry = scene.put("large", large()).await.unwrap();
        scene.holds("large", &large());
        scene.is_clean();
        let stats = scene.stats();
        assert_eq!((stats.of("complete"), stats.of("part")), (2, 3), "{effect}: {stats:?}");
        assert_eq!(scene.read(&entry).await.unwrap(), large(), "{effect}");
    }
}

/// It is completed under a condition that its own first attempt has made untrue.
#[tokio::test]
async fn a_large_object_that_must_be_new_is_stored_though_the_answer_is_lost() {
    let scene = Scene::new().await;
    scene.fault("complete nth=1 lost");
    scene.put_with("large", large(), Expect::Absent).await.unwrap();
    scene.holds("large", &large());
    scene.is_clean();
}

/// Another ETag than the part has: what is completed is what was sent, or nothing.
#[tokio::test]
async fn a_part_that_is_stored_as_something_else_is_not_taken_for_it() {
    let plain = Rules { crc64: false, ..Rules::default() };
    for (provider, rules) in [("AWS", Rules::default()), ("Other", plain)] {
        let scene = Scene::of(provider, rules).await;
        scene.fault("part nth=2 wrong-etag");
        scene.put("large", large()).await.unwrap();
        scene.holds("large", &large());
        scene.is_clean();
        // Where the service proves the whole, the part is found out when the object is made of all of them.
        let expected = if provider == "AWS" { 6 } else { 4 };
        assert_eq!(scene.stats().of("part"), expected, "{provider}: {:?}", scene.stats());
    }
}

#[tokio::test]
async fn a_small_object_that_is_stored_as_something_else_is_stored_again() {
    let scene = Scene::new().await;
    scene.fault("put nth=1 wrong-etag");
    scene.put("f", "content").await.unwrap();
    scene.holds("f", b"content");
    assert_eq!(scene.stats().of("put"), 2);
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_or_read_on() {
    let scene = Scene::new().await;
    let entry = scene.put("f", vec![7; 5000]).await.unwrap();
    scene.fault("get nth=1 cut 1000");
    match scene.read(&entry).await {
        Ok(bytes) => assert_eq!(bytes, vec![7; 5000]),
        Err(error) => assert_ne!(error.retry(), ketch_core::Retry::Never, "{error}"),
    }
    assert_eq!(scene.read(&entry).await.unwrap(), vec![7; 5000]);
}

/// No name is lost. The layers above see that the order is not what was claimed.
#[tokio::test]
async fn a_listing_out_of_order_has_every_name_or_is_an_error() {
    let scene = Scene::new().await;
    for name in ["a", "b/c", "b/d", "e"] {
        scene.put(name, name.to_owned()).await.unwrap();
    }
    scene.fault("list nth=1 unordered");
    if let Ok(mut names) = scene.names().await {
        names.sort();
        assert_eq!(names, ["a", "b/c", "b/d", "e"]);
    }
    assert_eq!(scene.names().await.unwrap(), ["a", "b/c", "b/d", "e"]);
}

#[tokio::test]
async fn a_copy_that_fails_within_its_answer_is_made_again() {
    let scene = Scene::new().await;
    let entry = scene.put("f", "content").await.unwrap();
    scene.fault("copy nth=1 error-in-200");
    scene.backend.copy(&entry, &path("g"), PutOptions::default()).await.unwrap();
    scene.holds("g", b"content");
    assert_eq!(scene.stats().of("copy"), 2);
}

#[tokio::test]
async fn conditions_are_kept_by_the_service() {
    let scene = Scene::new().await;
    let old = scene.put("f", "old").await.unwrap();
    scene.sim.store(BUCKET, "f", "by another");
    let refused = scene.put_with("f", "new", Expect::Entry(Box::new(old.clone()))).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Changed);
    assert_eq!(
        scene.put_with("f", "new", Expect::Absent).await.unwrap_err().kind(),
        ErrorKind::Changed
    );
    assert_eq!(scene.backend.delete_one(&old).await.unwrap_err().kind(), ErrorKind::Changed);
    assert_eq!(scene.read(&old).await.unwrap_err().kind(), ErrorKind::Changed);
    scene.holds("f", b"by another");
}

/// A service that ignores conditions of reading shows another version all the same.
#[tokio::test]
async fn another_version_is_not_read_for_the_listed_one_though_conditions_are_ignored() {
    let scene = Scene::new().await;
    let old = scene.put("f", "old").await.unwrap();
    scene.sim.store(BUCKET, "f", "new");
    scene.fault("get every ignore-conditions");
    assert_eq!(scene.read(&old).await.unwrap_err().kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn the_clock_of_the_service_is_learnt_once() {
    for skew in [7200, -7200] {
        let scene = Scene::new().await;
        scene.fault(&format!("any every skew {skew}"));
        for name in ["a", "b", "c"] {
            scene.put(name, name).await.unwrap();
        }
        assert_eq!(scene.names().await.unwrap(), ["a", "b", "c"]);
        let stats = scene.stats();
        assert_eq!((stats.of("put"), stats.of("list")), (4, 1), "{stats:?}");
    }
}

/// With every deletion one result, also when another one was refused.
#[tokio::test]
async fn many_are_deleted_by_one_request_and_each_is_told() {
    let scene = Scene::new().await;
    let mut entries = Vec::new();
    for name in ["a", "b & <c>", "d"] {
        entries.push(scene.put(name, name).await.unwrap());
    }
    scene.sim.store(BUCKET, "d", "by another");
    let deleted = scene.backend.delete(&entries).await;
    let kinds: Vec<_> =
        deleted.iter().map(|it| it.as_ref().err().map(ketch_core::Error::kind)).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::Changed)]);
    assert_eq!(scene.sim.keys(BUCKET), ["d"]);
    assert_eq!((scene.stats().of("delete-many"), scene.stats().of("delete")), (1, 0));
}

/// What is asked for while the first request is on its way goes with the second one. Nothing here is left to chance: all are
/// asked for before the first answer can be read.
#[tokio::test]
async fn deletions_at_the_same_time_share_a_request() {
    let scene = Scene::new().await;
    let mut entries = Vec::new();
    for number in 0..50 {
        entries.push(scene.put(&format!("f{number}"), "content").await.unwrap());
    }
    scene.sim.store(BUCKET, "f7", "by another");
    let deleted =
        futures::future::join_all(entries.iter().map(|entry| scene.backend.delete_one(entry)));
    for (number, result) in deleted.await.into_iter().enumerate() {
        let expected = (number == 7).then_some(ErrorKind::Changed);
        assert_eq!(result.err().map(|error| error.kind()), expected, "f{number}");
    }
    assert_eq!(scene.sim.keys(BUCKET), ["f7"]);
    let stats = scene.stats();
    assert_eq!((stats.of("delete"), stats.of("delete-many")), (1, 1), "{stats:?}");
}

/// The time is set by a copy of the object onto itself, which must not undo what another one stored meanwhile.
#[tokio::test]
async fn a_time_is_not_set_on_another_version() {
    let scene = Scene::new().await;
    let old = scene.put("f", "old").await.unwrap();
    scene.sim.store(BUCKET, "f", "by another");
    let metadata = Metadata { mtime: Some(std::time::SystemTime::UNIX_EPOCH), mode: None };
    let error = scene.backend.set_metadata(&old, &metadata).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    scene.holds("f", b"by another");
}

/// A wrong secret is refused, told as that, and not tried again.
#[tokio::test]
async fn a_wrong_key_is_told_at_the_first_request() {
    let scene = Scene::new().await;
    let address = scene.sim.address();
    let options = [
        ("endpoint", address.as_str()),
        ("access_key_id", KEY),
        ("secret_access_key", "another secret"),
    ];
    let request = ConnectRequest {
        root: BUCKET.to_owned(),
        options: options.into_iter().collect(),
        ..ConnectRequest::default()
    };
    let backend = ketch_s3::raw(request).unwrap();
    let error = backend.stat(&path("f")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Denied), "{error}");
    assert!(!format!("{error:?} {error}").contains("another secret"));
    assert_eq!(scene.stats().total(), 1);
}

#[tokio::test]
async fn a_listing_that_breaks_behind_a_key_that_is_no_path_leaves_nothing_out() {
    // Three keys a page; the last of the first page is one that no path can hold, and its shown name sorts behind all others.
    let scene = Scene::of("AWS", Rules { page: 3, ..Rules::default() }).await;
    for key in ["-", "/x", "/y", "a", "b", "c", "d"] {
        scene.sim.store(BUCKET, key, "content");
    }
    scene.fault("list nth=2 error 500");
    let names = scene.names().await.unwrap();
    for name in ["-", "a", "b", "c", "d"] {
        assert!(names.iter().any(|known| known == name), "{name} is missing: {names:?}");
    }
}

#[tokio::test]
async fn an_object_of_the_key_of_a_folder_that_holds_something_is_neither_hidden_nor_removed() {
    let scene = Scene::new().await;
    scene.sim.store(BUCKET, "d/", "content");
    let folder = Entry::dir(path("d"));
    let refused = scene.backend.delete_one(&folder).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    scene.holds("d/", b"content");
    assert_eq!(scene.names().await.unwrap().len(), 1, "it is told");
}
