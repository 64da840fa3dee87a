//! The answers of a server that works, and what the tests of servers that do not share.

use ketch_core::{Entry, Error, ErrorKind, Expect, PutOptions, Retry, hash::hash_bytes};

use super::{Reply, Seen, path};

pub const ID: &str = "9kGjlUU2CV";
pub const LINK: &str = "https://1fichier.com/?0123456789abcdefghij";

pub fn whirlpool(bytes: &[u8]) -> String {
    let algo = ketch_core::HashAlgo::Whirlpool;
    hash_bytes(&[algo], bytes).get(algo).expect("computed").to_string()
}

pub fn listing(items: &str) -> Reply {
    Reply::json(&format!(
        r#"{{"status":"OK","folder_id":0,"files":0,"sub_folders":[],"items":[{items}]}}"#
    ))
}

pub fn report(name: &str, bytes: &[u8]) -> Reply {
    let (size, hash) = (bytes.len(), whirlpool(bytes));
    Reply::json(&format!(
        r#"{{"incoming":0,"links":[{{"download":"{LINK}","filename":"{name}","remove":"","size":"{size}","whirlpool":"{hash}"}}]}}"#
    ))
}

/// The answers of a server that works, for the calls of one upload of `f`.
pub fn good(address: &str, seen: &Seen, bytes: &[u8]) -> Reply {
    if seen.is("get_upload_server") {
        Reply::json(&format!(r#"{{"url":"{address}","id":"{ID}"}}"#))
    } else if seen.is("upload.cgi") {
        Reply::redirect(&format!("/end.pl?xid={ID}"))
    } else if seen.is("end.pl") {
        report("f", bytes)
    } else if seen.is("get_token") {
        Reply::json(&format!(r#"{{"status":"OK","url":"http://{address}/c1"}}"#))
    } else if seen.is("/ls.cgi") {
        listing("")
    } else {
        Reply::json(r#"{"status":"OK"}"#)
    }
}

pub fn absent() -> PutOptions {
    PutOptions { expect: Expect::Absent, ..PutOptions::default() }
}

pub fn check(error: &Error, kind: ErrorKind, retry: Retry) {
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{error:?}");
}

/// A file of ten bytes that the server never heard of.
pub fn entry() -> Entry {
    Entry { handle: Some(format!("file 0 {LINK}").into()), ..Entry::file(path("f"), 10) }
}
