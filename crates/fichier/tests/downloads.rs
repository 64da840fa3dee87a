//! Downloads from a server that lies about lengths and ranges, or gives a page in place of the content.

mod common;

use std::ops::Range;

use common::answers::{check, entry, good};
use common::{Reply, Scripted, Seen, read};
use ketch_core::{ErrorKind, Result, Retry};

/// Reads a file of ten bytes from a download host that answers with `reply`, and returns the error and how many tokens
/// were asked for.
async fn download(reply: Reply, range: Option<Range<u64>>) -> (Result<Vec<u8>>, usize) {
    let server = Scripted::with_address(|at| {
        move |seen: &Seen, _| if seen.is("/c1") { reply.clone() } else { good(&at, seen, b"x") }
    })
    .await;
    let result = read(&*server.open(), &entry(), range).await;
    let seen = server.seen();
    assert!(
        seen.iter()
            .filter(|seen| seen.is("/c1"))
            .all(|seen| seen.header("authorization").is_none())
    );
    (result, server.count("get_token"))
}

#[tokio::test]
async fn trap_downloads_of_the_wrong_length_are_never_taken_for_whole() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x\r\nConnection: close\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (reply, kind) in [
        // No length, closed early: the client calls it success.
        (format!("{head}\r\n01234"), ErrorKind::Corrupt),
        (format!("{head}\r\n0123456789ab"), ErrorKind::Corrupt),
        (format!("{head}Content-Length: 10\r\n\r\n01234"), ErrorKind::Corrupt),
        (format!("{head}Content-Length: 12\r\n\r\n0123456789ab"), ErrorKind::Corrupt),
        (format!("{head}Content-Length: 5\r\n\r\n01234"), ErrorKind::Corrupt),
        (format!("{head}{chunked}5\r\n01234\r\n"), ErrorKind::Corrupt),
        (format!("{head}{chunked}5\r\n01234\r\n0\r\n\r\n"), ErrorKind::Corrupt),
        (format!("{head}{chunked}b\r\n0123456789a\r\n0\r\n\r\n"), ErrorKind::Corrupt),
        (
            format!("{head}Content-Length: 10\r\nContent-Length: 5\r\n\r\n0123456789"),
            ErrorKind::Unavailable,
        ),
        (
            format!("{head}Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n0123456789"),
            ErrorKind::Corrupt,
        ),
    ] {
        let (result, _) = download(Reply::raw(reply.clone()), None).await;
        check(&result.expect_err(&reply), kind, Retry::Backoff);
    }
    // More bytes than announced: the client drops the rest, and what is left is right.
    let (result, _) =
        download(Reply::raw(format!("{head}Content-Length: 10\r\n\r\n0123456789ab")), None).await;
    assert_eq!(result.expect("the announced ones"), b"0123456789");
}

#[tokio::test]
async fn a_range_is_the_one_that_was_asked_for_or_an_error() {
    let part = |status: u16, range: &str, body: &str| {
        Reply::raw(format!(
            "HTTP/1.1 {status} X\r\nContent-Range: {range}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    let (result, tokens) = download(part(206, "bytes 2-4/10", "234"), Some(2..5)).await;
    assert_eq!((result.expect("right"), tokens), (b"234".to_vec(), 1));
    for reply in [
        part(200, "", "0123456789"),
        part(206, "bytes 3-5/10", "345"),
        part(206, "bytes 2-4/11", "234"),
        part(206, "bytes 2-5/10", "2345"),
        part(206, "", "234"),
        part(206, "bytes 2-4/10", "23"),
    ] {
        let (result, tokens) = download(reply, Some(2..5)).await;
        check(&result.expect_err("wrong"), ErrorKind::Corrupt, Retry::Backoff);
        assert_eq!(tokens, 2, "one more address, and no third");
    }
}

#[tokio::test]
async fn a_page_is_not_the_content_and_its_words_count() {
    for (reply, kind, tokens) in [
        (Reply::html(200, "<html>VPN detected</html>"), ErrorKind::Unavailable, 2),
        (Reply::html(200, "<h1>IP Locked</h1>"), ErrorKind::Throttled, 1),
        (Reply::html(403, "You must have CDN credits"), ErrorKind::Denied, 1),
        (Reply::html(404, ""), ErrorKind::Unavailable, 2),
        (Reply::html(410, ""), ErrorKind::Unavailable, 2),
        (Reply::html(500, ""), ErrorKind::Unavailable, 1),
        (Reply::redirect("https://evil.example/c1"), ErrorKind::Protocol, 1),
        (Reply::redirect("file:///etc/passwd"), ErrorKind::Protocol, 1),
        (Reply::redirect("/c1"), ErrorKind::Protocol, 1),
    ] {
        let text = String::from_utf8_lossy(&reply.bytes).into_owned();
        let (result, asked) = download(reply, None).await;
        let error = result.expect_err(&text);
        assert_eq!((error.kind(), asked), (kind, tokens), "{text}: {error:?}");
    }
    // A page of the right length is a file that happens to be a page.
    let (result, _) = download(Reply::html(200, "<html>1234"), None).await;
    assert!(result.is_ok());
}

#[tokio::test]
async fn a_token_is_refused_once_without_a_reason_and_for_good_with_one() {
    for (reply, kind, retry) in [
        (Reply::ko(200, ""), ErrorKind::Unavailable, Retry::Backoff),
        (Reply::ko(403, ""), ErrorKind::Denied, Retry::Never),
        (
            Reply::ko(403, "Must be a customer (Premium, Access) #200"),
            ErrorKind::Denied,
            Retry::Never,
        ),
        (
            Reply::ko(200, "Only 1 location allowed at a time #887"),
            ErrorKind::Throttled,
            Retry::Never,
        ),
        (Reply::ko(404, "Resource not found #469"), ErrorKind::NotFound, Retry::Never),
    ] {
        let server = Scripted::start(move |_, _| reply.clone()).await;
        let error = read(&*server.open(), &entry(), None).await.expect_err("refused");
        check(&error, kind, retry);
        assert_eq!(server.count("get_token"), 1);
    }
}
