//! A folder that somebody made public: what is seen of it, and that the key never goes there.

mod common;

use std::sync::Arc;

use common::{list, names, path, put, read, request};
use ketch_core::{Backend, ErrorKind};
use ketch_fichier::{Fichier, layered};
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};

struct World {
    sim: Sim,
    owner: Arc<dyn Backend>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        let owner = common::open("", &[("api_url", &sim.api_url()), ("api_key", SANDBOX_KEY)]);
        World { sim, owner, _folder: folder }
    }

    /// Makes a folder public and returns its address.
    async fn share(&self, folder: &str, password: Option<&str>) -> String {
        let entry = self.owner.stat(&path(folder)).await.expect("there");
        let wanted = ketch_core::services::LinkRequest {
            password: password.map(str::to_owned),
            ..Default::default()
        };
        let services = self.owner.services().expect("some");
        services.link(&entry, &wanted).await.expect("shared").url
    }

    fn guest(&self, root: &str, more: &[(&str, &str)]) -> Arc<dyn Backend> {
        let mut request = request(root, &[("api_url", &self.sim.api_url())], None);
        request.options.remove("api_key");
        more.iter().for_each(|(name, value)| request.options.insert(*name, *value));
        layered(request).expect("opens")
    }
}

#[tokio::test]
async fn a_shared_folder_is_listed_and_read_and_no_key_is_sent() {
    let world = World::start().await;
    put(&*world.owner, "open/a.txt", b"content").await.expect("stored");
    put(&*world.owner, "open/\u{e9} <1>", b"more").await.expect("stored");
    put(&*world.owner, "open/below/c", b"hidden").await.expect("stored");
    let paid = world.owner.stat(&path("open/a.txt")).await.expect("there");
    let cdn = ketch_core::services::Attributes { cdn: Some(true), ..Default::default() };
    let services = world.owner.services().expect("some");
    services.set_attributes(&[paid], &cdn).await.expect("set");
    let url = world.share("open", None).await;
    world.sim.reset_stats();
    let guest = world.guest("", &[("shared_folder", &url)]);
    assert_eq!(names(&*guest, "").await, ["a.txt", "\u{e9} <1>"]);
    let file = guest.stat(&path("a.txt")).await.expect("there");
    assert_eq!((file.size, file.mtime, file.hashes.is_none()), (Some(7), None, true));
    assert_eq!(read(&*guest, &file, None).await.expect("its owner pays"), b"content");
    assert_eq!(read(&*guest, &file, Some(2..5)).await.expect("its owner pays"), b"nte");
    let other = guest.stat(&path("\u{e9} <1>")).await.expect("there");
    let error = read(&*guest, &other, None).await.expect_err("nobody pays");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("set api_key"), "{error}");
    let log = world.sim.stats().log;
    assert!(log.len() >= 5 && log.iter().all(|seen| !seen.has_authorization), "{log:?}");
}

#[tokio::test]
async fn a_key_is_used_for_downloads_and_never_shown_to_the_page() {
    let world = World::start().await;
    put(&*world.owner, "open/f", b"content").await.expect("stored");
    let url = world.share("open", None).await;
    world.sim.reset_stats();
    let guest = world.guest("", &[("shared_folder", &url), ("api_key", SANDBOX_KEY)]);
    let file = guest.stat(&path("f")).await.expect("there");
    assert_eq!(read(&*guest, &file, None).await.expect("read"), b"content");
    for seen in world.sim.stats().log {
        assert_eq!(seen.has_authorization, seen.path.starts_with("/v1/"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_password_opens_a_shared_folder_and_a_wrong_one_says_so() {
    let world = World::start().await;
    put(&*world.owner, "open/f", b"content").await.expect("stored");
    let url = world.share("open", Some("p\u{e4}ss & word")).await;
    for (more, words) in [(None, "wants a password"), (Some("wrong!"), "wants another password")] {
        let mut options = vec![("shared_folder", url.as_str())];
        options.extend(more.map(|text| ("shared_password", text)));
        let error = list(&*world.guest("", &options), "").await.expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.message().contains(words), "{error}");
    }
    let options = [("shared_folder", url.as_str()), ("shared_password", "p\u{e4}ss & word")];
    assert_eq!(names(&*world.guest("", &options), "").await, ["f"]);
}

#[tokio::test]
async fn a_shared_folder_that_is_gone_or_does_not_answer_is_never_an_empty_one() {
    let world = World::start().await;
    put(&*world.owner, "open/f", b"content").await.expect("stored");
    let url = world.share("open", None).await;
    let options = [("shared_folder", url.as_str())];
    let gone = [("shared_folder", "https://1fichier.com/dir/AAAAAAAA")];
    let error = list(&*world.guest("", &gone), "").await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for (fault, kind) in [
        ("dir every html please wait", ErrorKind::Denied),
        ("dir every status 500", ErrorKind::Unavailable),
        ("dir every json 200 {}", ErrorKind::Protocol),
        (
            "dir every json 200 [{\"filename\":\"f\",\"link\":\"https://evil.example/?a\"}]",
            ErrorKind::Protocol,
        ),
        ("dir every ip-locked-text", ErrorKind::Throttled),
    ] {
        world.sim.faults().inject(fault.parse().expect("a fault"));
        let mut request = request("", &[("api_url", &world.sim.api_url())], None);
        options.into_iter().for_each(|(name, value)| request.options.insert(name, value));
        let guest = ketch_fichier::raw(request).expect("opens");
        let error = list(&*guest, "").await.expect_err(fault);
        assert_eq!(error.kind(), kind, "{fault}: {error}");
        world.sim.faults().clear();
    }
    assert!(list(&*world.guest("", &options), "below").await.is_err());
    let error = put(&*world.guest("", &options), "new", b"x").await.expect_err("read only");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn only_the_address_of_a_public_folder_is_taken() {
    for wrong in [
        "",
        "https://1fichier.com/?abcdefghij",
        "https://1fichier.com/dir/",
        "https://1fichier.com/dir/a%2e",
        "https://1fichier.com.evil.example/dir/AbCdEfGh",
        "https://user@1fichier.com/dir/AbCdEfGh",
        "http://127.0.0.1:80/dir/AbCdEfGh",
    ] {
        let options = [("shared_folder", wrong), ("api_url", "http://127.0.0.1:9/v1")];
        let request = request("", &options, None);
        let error = layered(request).expect_err(wrong);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let mut without = request("", &[], None);
    without.options.remove("api_key");
    assert!(Fichier::alone(&without).is_err(), "an account needs its key");
}
