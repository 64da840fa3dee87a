//! What 1fichier can do beside holding files.

mod common;

use std::sync::Arc;

use common::{list, path, put, read};
use ketch_core::services::{Access, Attributes, Detail, LinkRequest, Services};
use ketch_core::{Backend, Entry, ErrorKind, RelPath};
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};

struct World {
    sim: Sim,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        World { sim, _folder: folder }
    }

    fn open(&self, root: &str) -> Arc<dyn Backend> {
        common::open(root, &[("api_url", self.sim.api_url().as_str()), ("api_key", SANDBOX_KEY)])
    }

    fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().expect("a fault"));
    }
}

fn services(backend: &Arc<dyn Backend>) -> Arc<dyn Services> {
    backend.services().expect("1fichier has some")
}

async fn detail(backend: &Arc<dyn Backend>, entry: &Entry, name: &str) -> Option<Detail> {
    let details = services(backend).details(entry).await.expect("told");
    details.into_iter().find(|(known, _)| *known == name).map(|(_, detail)| detail)
}

fn text(text: &str) -> Option<Detail> {
    Some(Detail::Text(text.to_owned()))
}

#[tokio::test]
async fn files_and_folders_have_links() {
    let world = World::start().await;
    let backend = world.open("");
    let file = put(&*backend, "a/f", b"content").await.expect("stored");
    let link = services(&backend).link(&file, &LinkRequest::default()).await.expect("linked");
    assert!(link.url.starts_with("https://1fichier.com/?"), "{link:?}");
    assert_eq!(detail(&backend, &file, "link").await, text(&link.url));
    assert_eq!((link.begin_within, link.lasts), (None, None));

    let direct = LinkRequest { direct: true, ..LinkRequest::default() };
    let link = services(&backend).link(&file, &direct).await.expect("linked");
    assert!(link.url.starts_with(&format!("http://{}/c", world.sim.address())), "{link:?}");
    assert!(link.begin_within.is_some() && link.lasts.is_some());

    let folder = backend.stat(&path("a")).await.expect("there");
    assert_eq!(detail(&backend, &folder, "link").await, None);
    let link = services(&backend).link(&folder, &LinkRequest::default()).await.expect("linked");
    assert!(link.url.starts_with("https://1fichier.com/dir/"), "{link:?}");
    assert_eq!(detail(&backend, &folder, "link").await, text(&link.url));
    let error = services(&backend).link(&folder, &direct).await.expect_err("a folder");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_password_is_set_with_the_link_and_never_shown() {
    let world = World::start().await;
    let backend = world.open("");
    let file = put(&*backend, "f", b"content").await.expect("stored");
    assert_eq!(detail(&backend, &file, "has_password").await, Some(Detail::Flag(false)));
    let request = |password: &str| LinkRequest { direct: false, password: Some(password.into()) };
    let error = services(&backend).link(&file, &request("short")).await.expect_err("too short");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.sim.stats().of("file/chattr"), 0);
    services(&backend).link(&file, &request("long enough")).await.expect("linked");
    services(&backend).link(&file, &request("long enough")).await.expect("nothing changes");
    // The owner is asked as well: what is known without it is told.
    assert!(detail(&backend, &file, "link").await.is_some());
    assert!(detail(&backend, &file, "refused").await.is_some());
    assert!(!format!("{:?}", request("long enough")).contains("long"));
}

#[tokio::test]
async fn attributes_of_many_files_are_one_call() {
    let world = World::start().await;
    let backend = world.open("");
    let files = [
        put(&*backend, "f", b"content").await.expect("stored"),
        put(&*backend, "g", b"content").await.expect("stored"),
    ];
    let attributes = Attributes {
        description: Some("a few words".into()),
        inline: Some(true),
        access: Some(Access { countries: vec!["FR".into()], ..Access::default() }),
        ..Attributes::default()
    };
    services(&backend).set_attributes(&files, &attributes).await.expect("changed");
    assert_eq!(world.sim.stats().of("file/chattr"), 1);
    for file in &files {
        assert_eq!(detail(&backend, file, "description").await, text("a few words"));
        assert_eq!(detail(&backend, file, "inline").await, Some(Detail::Flag(true)));
        assert_eq!(detail(&backend, file, "cdn").await, Some(Detail::Flag(false)));
        assert_eq!(detail(&backend, file, "has_access_list").await, Some(Detail::Flag(true)));
    }
    services(&backend).set_attributes(&files, &attributes).await.expect("as it is");
    let open = Attributes { access: Some(Access::default()), ..Attributes::default() };
    services(&backend).set_attributes(&files, &open).await.expect("changed");
    assert_eq!(detail(&backend, &files[0], "has_access_list").await, None);
    let error = services(&backend).set_attributes(&files, &Attributes::default()).await;
    assert_eq!(error.expect_err("nothing").kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_service_downloads_by_itself() {
    let world = World::start().await;
    let backend = world.open("");
    let urls = ["https://example.com/one.txt?x=1", "https://example.com/missing"];
    let urls = urls.map(str::to_owned);
    let headers = [("Cookie".to_owned(), "a=b".to_owned())];
    let id = services(&backend).fetch(&urls, &path("d"), &headers).await.expect("asked for");
    let all = services(&backend).fetches().await.expect("listed");
    assert_eq!((all.len(), all[0].id, all[0].ended), (1, id, None));
    assert!(all[0].requested.is_some());
    assert_eq!(services(&backend).fetched(id).await.expect("told").ended, None);
    let fetch = services(&backend).fetched(id).await.expect("told");
    assert!(fetch.ended.is_some());
    assert!(fetch.results[0].outcome.as_ref().expect("there").starts_with("https://"));
    assert!(fetch.results[1].outcome.as_ref().expect_err("failed").contains("failed"));
    let seen = list(&*backend, "d").await.expect("lists");
    assert_eq!(seen.len(), 1);
    assert_eq!(read(&*backend, &seen[0], None).await.expect("read"), urls[0].as_bytes());
    let bad = services(&backend).fetch(&["file:///etc/passwd".to_owned()], &path("d"), &[]).await;
    assert_eq!(bad.expect_err("no address").kind(), ErrorKind::InvalidInput);
    assert_eq!(services(&backend).fetched(7).await.expect_err("none").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn somebody_elses_file_is_imported_once() {
    let world = World::start().await;
    let theirs = put(&*world.open("theirs"), "f", b"content").await.expect("stored");
    let link = services(&world.open("theirs")).link(&theirs, &LinkRequest::default()).await;
    let link = format!("{}&af=123", link.expect("linked").url);
    let backend = world.open("mine");
    let root = RelPath::root();
    let file = services(&backend).import(&link, None, &root).await.expect("imported");
    assert_eq!((file.path.as_str(), file.size, &file.hashes), ("f", Some(7), &theirs.hashes));
    assert_eq!(read(&*backend, &file, None).await.expect("read"), b"content");
    let again = services(&backend).import(&link, None, &root).await.expect("there already");
    assert_eq!(again.version, file.version);
    assert_eq!(world.sim.stats().of("file/cp"), 1);
    put(&*backend, "f", b"changed").await.expect("stored");
    let error = services(&backend).import(&link, None, &root).await.expect_err("another file");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let gone = "https://1fichier.com/?00000000000000000000";
    let error = services(&backend).import(gone, None, &root).await.expect_err("a dead link");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_scan_tells_a_detection_from_a_refusal() {
    let world = World::start().await;
    let backend = world.open("");
    let file = put(&*backend, "f", b"content").await.expect("stored");
    let found = services(&backend).scan(&file).await.expect("scanned");
    assert!(found.is_clean && found.at.is_some());
    world.fault("file/scan next=1 ko 403 Try again later #1");
    let error = services(&backend).scan(&file).await.expect_err("no detection");
    assert_eq!(error.kind(), ErrorKind::Denied);
    world.fault("file/scan next=1 ko 403 Eicar found #1");
    world.fault("file/info next=1 ko 404 Resource not found #469");
    let found = services(&backend).scan(&file).await.expect("scanned");
    assert!(!found.is_clean && found.message.contains("Eicar"), "{found:?}");
}
