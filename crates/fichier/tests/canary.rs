//! The key must never be seen: not in an error, not in Debug, not in a log, not in a file.

mod common;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use common::{KEY, Reply, Scripted, Seen, list, path, put, read};
use ketch_core::{Backend, Entry, Expect, PutOptions};
use tracing::field::{Field, Visit};
use tracing::span;

/// The secret part of a download address.
const TOKEN: &str = "cSECRETTOKEN";

/// Keeps everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn visit(&self, record: &dyn Fn(&mut dyn Visit)) {
        struct Fields<'a>(&'a mut String);
        impl Visit for Fields<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        record(&mut Fields(&mut self.0.lock().expect("sane")));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.visit(&|visit| attributes.record(visit));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        self.visit(&|visit| values.record(visit));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.visit(&|visit| event.record(visit));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Answers that echo the key in every place that may end in a message.
fn echo(address: &str, how: usize) -> impl Fn(&Seen, usize) -> Reply + Send + Sync + use<> {
    let address = address.to_owned();
    move |seen: &Seen, _| match how {
        0 => Reply::ko(403, &format!("bad key Bearer {KEY} #1")),
        1 => Reply::ko(200, KEY),
        2 => Reply::html(200, &format!("<div class=\"bloc2\">{KEY}</div>")),
        3 => Reply::redirect(&format!("https://{KEY}.example/{KEY}")),
        4 => {
            Reply::json(&format!(r#"{{"status":"OK","items":"{KEY}","url":"{KEY}","id":"{KEY}"}}"#))
        }
        5 => Reply::json(&format!(
            r#"{{"status":"OK","url":"http://{KEY}@evil.example/{TOKEN}","id":"x"}}"#
        )),
        6 => Reply::nothing(true),
        7 if seen.is("get_token") => {
            Reply::json(&format!(r#"{{"status":"OK","url":"http://{address}/{TOKEN}?{TOKEN}"}}"#))
        }
        7 if seen.is("get_upload_server") => {
            Reply::json(&format!(r#"{{"status":"OK","url":"{address}","id":"9kGjlUU2CV"}}"#))
        }
        7 if seen.is("upload.cgi") => Reply::html(200, &format!("<p>{KEY}</p>")),
        7 if seen.is(TOKEN) => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012"),
        _ => Reply::html(500, &format!("see https://{address}/{TOKEN} and {KEY}")),
    }
}

#[tokio::test]
async fn the_key_and_the_download_addresses_are_never_shown() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let state = tempfile::tempdir().expect("scratch");
    let mut shown = String::new();
    for how in 0..9 {
        let server = Scripted::with_address(|address| echo(&address, how)).await;
        let url = server.api_url();
        let options = [("api_url", url.as_str()), ("pace_scale", "5000")];
        let request = common::request("root", &options, Some(state.path()));
        let _ = write!(shown, "{request:?}");
        let backend = ketch_fichier::Fichier::alone(&request).expect("opens");
        let backend: &dyn Backend = &backend;
        let _ = write!(shown, "{backend:?} {} {:?}", backend.location(), backend.scope());
        let handle = Some("file 0 https://1fichier.com/?abc".into());
        let file = Entry { handle, ..Entry::file(path("f"), 10) };
        let absent = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        let body = ketch_core::source::BytesSource::body("x");
        let errors = [
            list(backend, "").await.err(),
            backend.stat(&path("f")).await.err(),
            put(backend, "f", b"x").await.err(),
            backend.put(&path("g"), body, absent.clone()).await.err(),
            read(backend, &file, None).await.err(),
            backend.delete_one(&file).await.err(),
            backend.make_dir(&path("d"), None).await.err(),
            backend.copy(&file, &path("h"), absent).await.err(),
            backend.rename(&file, &path("h")).await.err(),
            backend.usage().await.err(),
        ];
        assert!(errors.iter().flatten().count() >= 8, "{how}: {errors:?}");
        for error in errors.iter().flatten() {
            let _ = write!(shown, "{error} {error:?} {error:#?}");
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                let _ = write!(shown, "{inner} {inner:?}");
                cause = inner.source();
            }
        }
    }
    let opened = common::request("", &[("api_url", "https://x"), ("pace", KEY)], None);
    let error = ketch_fichier::raw(opened).expect_err("no such pace");
    let _ = write!(shown, "{error} {error:?}");
    for file in std::fs::read_dir(state.path()).expect("readable") {
        let path = file.expect("entry").path();
        let _ = write!(shown, "{path:?} {}", std::fs::read_to_string(&path).expect("text"));
    }
    shown.push_str(&log.0.lock().expect("sane"));
    assert!(shown.contains("folder/ls.cgi"), "the log was kept");
    for secret in [KEY, &KEY.to_lowercase(), "CANARY", "canary", TOKEN, "SECRETTOKEN"] {
        if let Some(at) = shown.find(secret) {
            let start = shown[..at].char_indices().rev().nth(300).map_or(0, |(at, _)| at);
            panic!("`{secret}` is shown: {}", &shown[start..(at + 60).min(shown.len())]);
        }
    }
}
