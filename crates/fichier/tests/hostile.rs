//! Against a server that lies, cuts, redirects and falls silent: each trap of the HTTP client, and each promise about the
//! key, has a test here. No TLS provider is installed in this program: an API on this machine needs none.

mod common;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::answers::{ID, LINK, absent, check, entry, good, listing, report, whirlpool};
use common::{KEY, Reply, Scripted, Seen, list, path, put, put_with, read};
use futures::StreamExt;
use ketch_core::source::{Body, ByteStream, BytesSource, Source};
use ketch_core::{Entry, Error, ErrorKind, Expect, PutOptions, Result, Retry};

/// A source that says one length and gives another, or fails, and counts what is taken.
#[derive(Debug, Default)]
struct Liar {
    told: u64,
    given: u64,
    fails: bool,
    hangs: bool,
    taken: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Liar {
    fn size(&self) -> Option<u64> {
        Some(self.told)
    }

    async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
        let (given, taken) = (self.given, Arc::clone(&self.taken));
        let pieces = (0..given.div_ceil(1_000)).map(move |number| {
            let length = (given - number * 1_000).min(1_000);
            taken.fetch_add(length, Ordering::Relaxed);
            Ok(Bytes::from(vec![b'x'; length as usize]))
        });
        let failure = Error::new(ErrorKind::Changed, "the file changed under us");
        let end = futures::stream::iter(self.fails.then_some(Err(failure)));
        let stream = futures::stream::iter(pieces).chain(end);
        if self.hangs {
            return Ok(stream.chain(futures::stream::pending()).boxed());
        }
        Ok(stream.boxed())
    }
}

#[tokio::test]
async fn the_upload_on_the_wire_is_the_known_good_one() {
    let server = Scripted::with_address(|at| move |seen: &Seen, _| good(&at, seen, b"bytes")).await;
    let backend = server.open();
    put_with(&*backend, "f", BytesSource::body("bytes"), absent()).await.expect("stored");
    let seen = server.seen();
    let upload = seen.iter().find(|seen| seen.is("upload.cgi")).expect("sent");
    assert!(upload.head.starts_with(&format!("POST /upload.cgi?id={ID} HTTP/1.1\r\n")));
    let kind = upload.header("content-type").expect("given");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("unquoted");
    assert!(boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"did\"\r\n\r\n0\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"f\"\r\n\
         Content-Type: application/octet-stream\r\n\r\nbytes\r\n--{boundary}--\r\n"
    );
    assert_eq!(upload.text(), expected);
    assert_eq!(upload.header("content-length"), Some(expected.len().to_string().as_str()));
    for absent in ["transfer-encoding", "expect", "referer", "cookie"] {
        assert_eq!(upload.header(absent), None);
    }
    let end = seen.iter().find(|seen| seen.is("end.pl")).expect("asked");
    assert_eq!((end.header("json"), end.header("authorization")), (Some("1"), None));
    let call = seen.iter().find(|seen| seen.is("get_upload_server")).expect("asked");
    assert!(call.head.starts_with("POST /v1/upload/get_upload_server.cgi "));
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(call.text(), "{}");
}

#[tokio::test]
async fn trap_no_redirect_is_followed_and_no_key_goes_along() {
    let foreign = Scripted::start(|_, _| Reply::json(r#"{"status":"OK"}"#)).await;
    let target = format!("http://{}/v1/x", foreign.address);
    let other = target.clone();
    let server = Scripted::with_address(|at| {
        move |seen: &Seen, _| match () {
            () if seen.is("upload.cgi") => Reply::redirect(&format!("{other}?xid=a")),
            () if seen.is("get_upload_server") || seen.is("end.pl") => good(&at, seen, b"x"),
            () => Reply::redirect(&other),
        }
    })
    .await;
    let backend = server.open();
    let error = list(&*backend, "").await.expect_err("redirected");
    check(&error, ErrorKind::Denied, Retry::Never);
    assert!(error.message().contains(&foreign.address), "{error}");
    let stored = put_with(&*backend, "f", BytesSource::body("x"), absent()).await;
    stored.expect("the report is asked for on the node itself");
    let error = backend.delete_one(&entry()).await.expect_err("redirected");
    check(&error, ErrorKind::Denied, Retry::Never);
    assert!(foreign.seen().is_empty());
}

#[tokio::test]
async fn hosts_that_a_server_names_must_be_those_of_1fichier() {
    let foreign = Scripted::start(|_, _| Reply::json("{}")).await;
    for node in [
        foreign.address.clone(),
        "evil1fichier.com".to_owned(),
        "1fichier.com.evil.example".to_owned(),
        "2130706433".to_owned(),
        "0x7f.1".to_owned(),
        "[::1]".to_owned(),
        format!("x@{}", foreign.address),
        "169.254.169.254".to_owned(),
    ] {
        let url = format!("http://{node}/c1");
        let server = Scripted::start(move |seen, _| {
            if seen.is("get_upload_server") {
                Reply::json(&format!(r#"{{"url":"{node}","id":"{ID}"}}"#))
            } else {
                Reply::json(&format!(r#"{{"status":"OK","url":"{url}"}}"#))
            }
        })
        .await;
        let backend = server.open();
        let error = put_with(&*backend, "f", BytesSource::body("x"), absent()).await;
        check(&error.expect_err("refused"), ErrorKind::Protocol, Retry::Never);
        let error = read(&*backend, &entry(), None).await.expect_err("refused");
        check(&error, ErrorKind::Protocol, Retry::Never);
    }
    assert!(foreign.seen().is_empty());
}

#[tokio::test]
async fn trap_surplus_and_shortage_of_the_source_store_nothing() {
    for (told, given) in [(3_000, 4_000), (3_000, 3_001), (5_000, 4_000), (300_000, 299_999)] {
        let server = Scripted::with_address(|at| move |seen: &Seen, _| good(&at, seen, b"x")).await;
        let backend = server.open();
        let body: Body = Arc::new(Liar { told, given, ..Liar::default() });
        let error = put_with(&*backend, "f", body, absent()).await.expect_err("wrong length");
        check(&error, ErrorKind::Changed, Retry::Never);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let seen = server.seen();
        let upload = seen.iter().find(|seen| seen.is("upload.cgi"));
        assert!(upload.is_none_or(|upload| !upload.whole), "{told} {given}");
        assert_eq!(server.count("end.pl"), 0);
    }
}

#[tokio::test]
async fn a_source_that_fails_is_not_a_network_that_fails() {
    let server = Scripted::with_address(|at| move |seen: &Seen, _| good(&at, seen, b"x")).await;
    let backend = server.open();
    let body: Body = Arc::new(Liar { told: 9_000, given: 3_000, fails: true, ..Liar::default() });
    let error = put_with(&*backend, "f", body, absent()).await.expect_err("fails");
    assert_eq!(error.message(), "the file changed under us");
    check(&error, ErrorKind::Changed, Retry::Never);
}

#[tokio::test]
async fn an_upload_that_is_given_up_stores_nothing() {
    let server = Scripted::with_address(|at| move |seen: &Seen, _| good(&at, seen, b"x")).await;
    let backend = server.open();
    let body: Body = Arc::new(Liar { told: 9_000, given: 3_000, hangs: true, ..Liar::default() });
    let upload = put_with(&*backend, "f", body, absent());
    tokio::time::timeout(Duration::from_millis(300), upload).await.expect_err("given up");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(server.seen().iter().all(|seen| !seen.is("upload.cgi") || !seen.whole));
    assert_eq!(server.count("end.pl"), 0);
}

#[tokio::test]
async fn trap_an_early_refusal_stops_the_source_and_is_read() {
    for (reply, kind, retry) in [
        (Reply::ko(403, "No such user #93"), ErrorKind::Unauthenticated, Retry::Never),
        (Reply::html(413, "too large"), ErrorKind::Unsupported, Retry::Never),
        (
            Reply::html(200, "<div class=\"bloc2\">Ne peut ouvrir le fichier destination</div>"),
            ErrorKind::Unavailable,
            Retry::Backoff,
        ),
        (
            Reply::html(
                200,
                "<p>x</p><div class=\"bloc2\">Pas de fichier trouv\u{e9} dans l'envoi</div>",
            ),
            ErrorKind::Protocol,
            Retry::Never,
        ),
    ] {
        let server = Scripted::with_address(|at| {
            move |seen: &Seen, _| {
                if seen.is("upload.cgi") {
                    reply.clone().after(100_000)
                } else {
                    good(&at, seen, b"x")
                }
            }
        })
        .await;
        let backend = server.open();
        let (told, taken) = (1_000_000_000, Arc::<AtomicU64>::default());
        let liar = Liar { told, given: told, taken: Arc::clone(&taken), ..Liar::default() };
        let error = put_with(&*backend, "f", Arc::new(liar), absent()).await.expect_err("refused");
        check(&error, kind, retry);
        assert!(taken.load(Ordering::Relaxed) < told / 2, "the source was read on");
        assert_eq!(server.count("end.pl"), 0);
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_may_be_sent_again() {
    let server = Scripted::with_address(|at| {
        move |seen: &Seen, _| {
            if seen.is("upload.cgi") {
                Reply::nothing(true).after(100_000)
            } else {
                good(&at, seen, b"x")
            }
        }
    })
    .await;
    let backend = server.open();
    let (told, given) = (50_000_000, 50_000_000);
    let body: Body = Arc::new(Liar { told, given, ..Liar::default() });
    let error = put_with(&*backend, "f", body, absent()).await.expect_err("reset");
    check(&error, ErrorKind::Unavailable, Retry::Backoff);
    assert_eq!(server.count("end.pl"), 0);
}

#[tokio::test]
async fn trap_a_lost_reply_is_looked_for_before_anything_is_sent_again() {
    // What end.pl says, what the listing shows, and what must come out.
    let item = format!(
        r#"{{"url":"{LINK}","filename":"f","size":7,"checksum":"{}"}}"#,
        whirlpool(b"content")
    );
    let wait = || Reply::html(200, "Veuillez patienter");
    let table = [
        (report("f", b"content"), String::new(), None),
        (wait(), item, None),
        (Reply::html(404, ""), String::new(), Some(ErrorKind::Unavailable)),
        (wait(), String::new(), Some(ErrorKind::CommitUnknown)),
    ];
    for (end, items, expected) in table {
        let server = Scripted::with_address(|at| {
            move |seen: &Seen, _| match () {
                () if seen.is("upload.cgi") => Reply::nothing(false),
                () if seen.is("end.pl") => end.clone(),
                () if seen.is("/ls.cgi") => listing(&items),
                () => good(&at, seen, b"content"),
            }
        })
        .await;
        let backend = server.open();
        let result = put_with(&*backend, "f", BytesSource::body("content"), absent()).await;
        match (result, expected) {
            (Ok(entry), None) => assert_eq!(entry.size, Some(7)),
            (Err(error), Some(kind)) => check(&error, kind, Retry::Backoff),
            (result, expected) => panic!("{result:?}, expected {expected:?}"),
        }
        assert_eq!(server.count("upload.cgi"), 1);
    }
}

#[tokio::test]
async fn a_lost_upload_that_the_first_listings_lack_is_found_and_replaces_the_old_one() {
    let old = "https://1fichier.com/?oldoldoldoldoldoldol";
    let item = |url: &str, content: &[u8]| {
        let (size, hash) = (content.len(), whirlpool(content));
        let date = "2026-01-02 03:04:05";
        format!(
            r#"{{"url":"{url}","filename":"f","size":{size},"date":"{date}","checksum":"{hash}"}}"#
        )
    };
    // The old version has the same size, and the listings show both with the same second.
    let before = item(old, b"CONTENT");
    let after = format!("{before},{}", item(LINK, b"content"));
    for lacking in 1..=3 {
        let (before, after) = (before.clone(), after.clone());
        let server = Scripted::with_address(|at| {
            move |seen: &Seen, index| match () {
                () if seen.is("upload.cgi") => Reply::nothing(false),
                () if seen.is("end.pl") => Reply::html(200, "Veuillez patienter"),
                () if seen.is("/ls.cgi") && index < lacking => listing(&before),
                () if seen.is("/ls.cgi") => listing(&after),
                () => good(&at, seen, b"content"),
            }
        })
        .await;
        let url = server.api_url();
        let options = [("api_url", url.as_str()), ("pace", "documented")];
        let backend = ketch_fichier::layered(common::request("", &options, None));
        let replaced = Entry {
            handle: Some(format!("file 0 {old}").into()),
            version: Some("oldoldoldoldoldoldol".into()),
            ..Entry::file(path("f"), 7)
        };
        let options =
            PutOptions { expect: Expect::Entry(Box::new(replaced)), ..PutOptions::default() };
        let body = BytesSource::body("content");
        let stored = put_with(&*backend.expect("opens"), "f", body, options).await.expect("found");
        assert_eq!(stored.version.as_deref(), Some("0123456789abcdefghij"), "{lacking}");
        assert_eq!(server.count("upload.cgi"), 1, "{lacking}");
        let seen = server.seen();
        let removed: Vec<_> = seen.iter().filter(|seen| seen.is("file/rm.cgi")).collect();
        assert_eq!(removed.len(), 1, "{lacking}");
        assert_eq!(removed[0].text(), format!(r#"{{"files":[{{"url":"{old}"}}]}}"#));
    }
}

#[tokio::test]
async fn a_report_that_never_comes_is_not_sent_again() {
    let server = Scripted::with_address(|at| {
        move |seen: &Seen, _| {
            if seen.is("end.pl") { Reply::json(r#"{"links":[]}"#) } else { good(&at, seen, b"x") }
        }
    })
    .await;
    let options =
        [("api_url", server.api_url()), ("pace_scale", "2000".into()), ("end_wait", "1".into())];
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let backend = common::open("", &options);
    let error = put_with(&*backend, "f", BytesSource::body("x"), absent()).await;
    check(&error.expect_err("unknown"), ErrorKind::CommitUnknown, Retry::Never);
    assert!(server.count("end.pl") > 2);
}

#[tokio::test]
async fn a_name_that_the_server_changed_is_not_kept() {
    let server = Scripted::with_address(|at| {
        move |seen: &Seen, _| {
            let info = r#"{"filename":"g","folder_id":0,"size":1}"#;
            match () {
                () if seen.is("end.pl") => report("g", b"x"),
                () if seen.is("file/info.cgi") => Reply::json(info),
                () => good(&at, seen, b"x"),
            }
        }
    })
    .await;
    let backend = server.open();
    // What was not there before and is there now is what was sent.
    assert!(list(&*backend, "").await.expect("lists").is_empty());
    let error = put_with(&*backend, "f", BytesSource::body("x"), absent()).await;
    check(&error.expect_err("renamed"), ErrorKind::InvalidInput, Retry::Never);
    let seen = server.seen();
    let removal = seen.iter().find(|seen| seen.is("file/rm.cgi")).expect("removed again");
    assert_eq!(removal.text(), format!(r#"{{"files":[{{"url":"{LINK}"}}]}}"#));
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_not_made_twice() {
    let server = Scripted::with_address(|at| {
        move |seen: &Seen, _| match () {
            () if seen.is("file/cp.cgi") || seen.is("mkdir.cgi") => Reply::nothing(false),
            () => good(&at, seen, b"x"),
        }
    })
    .await;
    let backend = server.open();
    let error = backend.copy(&entry(), &path("g"), absent()).await.expect_err("lost");
    check(&error, ErrorKind::CommitUnknown, Retry::Backoff);
    let error = backend.make_dir(&path("d"), None).await.expect_err("lost");
    check(&error, ErrorKind::CommitUnknown, Retry::Backoff);
    assert_eq!((server.count("file/cp.cgi"), server.count("mkdir.cgi")), (1, 1));
}

#[tokio::test]
async fn a_folder_is_looked_for_when_its_making_is_refused_or_lost() {
    for reply in [Reply::nothing(false), Reply::ko(200, "another folder has this name #5")] {
        let server = Scripted::with_address(|at| {
            move |seen: &Seen, index| match () {
                () if seen.is("mkdir.cgi") => reply.clone(),
                () if seen.is("folder/ls.cgi") && index > 0 => Reply::json(
                    r#"{"status":"OK","files":0,"items":[],"sub_folders":[{"id":5,"name":"d"}]}"#,
                ),
                () => good(&at, seen, b"x"),
            }
        })
        .await;
        let backend = server.open();
        put_with(&*backend, "d/f", BytesSource::body("x"), absent()).await.expect("stored");
        let seen = server.seen();
        let upload = seen.iter().find(|seen| seen.is("upload.cgi")).expect("sent");
        assert!(upload.text().contains("name=\"did\"\r\n\r\n5\r\n"));
        assert_eq!(server.count("mkdir.cgi"), 1);
    }
}

#[tokio::test]
async fn a_made_folder_without_a_number_is_an_error_and_not_the_top() {
    for body in [
        r#"{"status":"OK"}"#,
        r#"{"status":"OK","folder_id":0}"#,
        r#"{"status":"OK","folder_id":null}"#,
    ] {
        let server = Scripted::with_address(|at| {
            move |seen: &Seen, _| {
                if seen.is("mkdir.cgi") { Reply::json(body) } else { good(&at, seen, b"x") }
            }
        })
        .await;
        let backend = server.open();
        let error = put_with(&*backend, "d/f", BytesSource::body("x"), absent()).await;
        check(&error.expect_err("no number"), ErrorKind::CommitUnknown, Retry::Backoff);
        assert_eq!(server.count("upload.cgi"), 0);
    }
}

#[tokio::test]
async fn trap_answers_that_are_cut_packed_or_endless_are_errors() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let good = r#"{"status":"OK","sub_folders":[],"items":[]}"#;
    let nested =
        format!("{{\"status\":\"OK\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let headers: String = (0..20_000).map(|number| format!("X-{number}: y\r\n")).collect();
    for (reply, kind) in [
        (format!("{head}Content-Length: 500\r\n\r\n{good}"), ErrorKind::Unavailable),
        (format!("{head}\r\n{}", &good[..20]), ErrorKind::Protocol),
        (format!("{head}Content-Encoding: gzip\r\n\r\n{good}"), ErrorKind::Protocol),
        (format!("{head}\r\n{nested}"), ErrorKind::Protocol),
        (format!("{head}{headers}\r\n{good}"), ErrorKind::Unavailable),
        (format!("{head}\r\n{good} {}", " ".repeat(65 << 20)), ErrorKind::Protocol),
        (String::new(), ErrorKind::Unavailable),
    ] {
        let shown: String = reply.chars().take(120).collect();
        let server = Scripted::start(move |_, _| Reply::raw(reply.clone())).await;
        let error = list(&*server.open(), "").await.expect_err(&shown);
        assert_eq!(error.kind(), kind, "{shown}: {error:?}");
        assert!(error.to_string().len() < 1_000);
    }
}

#[tokio::test]
async fn trap_a_server_that_falls_silent_is_given_up_on() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let backend = common::open("", &[("api_url", &url)]);
    let task = tokio::spawn(async move { list(&*backend, "").await });
    let _held = listener.accept().await.expect("a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let error = task.await.expect("ends").expect_err("silent");
    check(&error, ErrorKind::Unavailable, Retry::Backoff);
}

#[tokio::test]
async fn an_upload_that_nobody_reads_is_given_up_on() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let server = tokio::spawn(async move {
        // The first call is for the node; the second is the upload, of which nothing is read.
        let (mut call, _) = silent.accept().await.expect("a connection");
        let answer = format!(r#"{{"url":"{}","id":"{ID}"}}"#, silent.local_addr().expect("bound"));
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length";
        let text = format!("{head}: {}\r\n\r\n{answer}", answer.len());
        let mut seen = [0; 4096];
        let _ = tokio::io::AsyncReadExt::read(&mut call, &mut seen).await;
        tokio::io::AsyncWriteExt::write_all(&mut call, text.as_bytes()).await.expect("sent");
        drop(call);
        let upload = silent.accept().await.expect("a connection");
        std::future::pending::<()>().await;
        drop(upload);
    });
    let url = format!("http://{address}/v1");
    let backend = common::open("", &[("api_url", &url)]);
    let (told, given) = (500_000_000, 500_000_000);
    let body: Body = Arc::new(Liar { told, given, ..Liar::default() });
    let task = tokio::spawn(async move { put_with(&*backend, "f", body, absent()).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(130)).await;
    tokio::time::resume();
    let error = task.await.expect("ends").expect_err("stalled");
    check(&error, ErrorKind::Unavailable, Retry::Backoff);
    server.abort();
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_may_be_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    drop(listener);
    let backend = common::open("", &[("api_url", &url)]);
    check(&list(&*backend, "").await.expect_err("refused"), ErrorKind::Unavailable, Retry::Backoff);
    let error = put(&*backend, "f", b"x").await.expect_err("refused");
    check(&error, ErrorKind::Unavailable, Retry::Backoff);
}

/// Has a process written down in the state folder that all have to wait?
fn is_flood_on_record(state_folder: &std::path::Path) -> bool {
    let files = std::fs::read_dir(state_folder).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read(file.path()).ok()).any(|text| {
        let times = serde_json::from_slice::<serde_json::Value>(&text).unwrap_or_default();
        times["cooldown_until"].as_u64().is_some_and(|until| until > 0)
    })
}

#[tokio::test]
async fn a_flood_on_one_process_holds_up_another() {
    let server = Scripted::start(|_, index| match index {
        0 => Reply::ko(403, "Flood detected: IP Locked #374"),
        _ => listing(""),
    })
    .await;
    let folder = tempfile::tempdir().expect("scratch");
    let url = server.api_url();
    let options = [("api_url", url.as_str()), ("pace", "documented"), ("pace_scale", "50")];
    let open = || {
        let request = common::request("", &options, Some(folder.path()));
        ketch_fichier::Fichier::alone(&request).expect("opens")
    };
    let (one, two) = (open(), open());
    let start = tokio::time::Instant::now();
    let first = tokio::spawn(async move { list(&one, "").await });
    while !is_flood_on_record(folder.path()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    list(&two, "").await.expect("after the pause");
    // 30 s at this scale.
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
    first.await.expect("ends").expect("after the pause");
}

#[tokio::test]
async fn an_api_far_away_needs_a_tls_provider_and_says_so() {
    let request = common::request("", &[("api_url", "https://api.1fichier.com/v1")], None);
    let error = ketch_fichier::raw(request).expect_err("no provider");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("TLS provider"), "{error}");
}
