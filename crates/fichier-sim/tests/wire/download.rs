//! Download tokens and ranges.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Bench, read_reply};

#[tokio::test]
async fn a_whole_file_and_its_parts_come_without_a_key() {
    let bench = Bench::start().await;
    let link = bench.upload(0, "été.txt", b"0123456789").await;
    let path = bench.token(&link, 0).await;
    let head = bench.request(&format!("HEAD {path}"), "", b"").await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    assert!(head.body.is_empty());
    let whole = bench.get(&path, "").await.unwrap();
    assert_eq!((whole.status, whole.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("content-disposition"), Some("attachment; filename=\"été.txt\""));
    let part = bench.get(&path, "Range: bytes=2-4\r\n").await.unwrap();
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let tail = bench.get(&path, "Range: bytes=7-\r\n").await.unwrap();
    assert_eq!((tail.status, tail.body.as_slice()), (206, &b"789"[..]));
    let none = bench.get(&path, "Range: bytes=10-\r\n").await.unwrap();
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */10")));
    assert_eq!(bench.get("/c1", "").await.unwrap().status, 404);
    assert!(
        bench
            .sim
            .stats()
            .log
            .iter()
            .filter(|seen| seen.path == path)
            .all(|seen| !seen.has_authorization)
    );
}

#[tokio::test]
async fn ranges_run_side_by_side_unless_the_token_is_single() {
    let bench = Bench::start().await;
    let link = bench.upload(0, "a", b"0123456789").await;
    bench.fault("download nth=1 hold-after 0");
    bench.fault("download nth=4 hold-after 0");
    for (single, expected) in [(0, 206), (1, 403)] {
        let path = bench.token(&link, single).await;
        let mut slow = TcpStream::connect(bench.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        slow.write_all(request.as_bytes()).await.unwrap();
        bench.sim.holds().arrived().await;
        let other = bench.get(&path, "Range: bytes=5-\r\n").await.unwrap();
        assert_eq!(other.status, expected, "single: {single}");
        bench.sim.holds().release(true);
        assert_eq!(read_reply(&mut slow, false).await.unwrap().body, b"0123456789");
        let again = bench.get(&path, "").await.unwrap();
        assert_eq!(again.status, if single == 1 { 410 } else { 200 });
    }
}

#[tokio::test]
async fn a_free_account_gets_no_token() {
    let bench = Bench::with(|options| options.rules.is_customer = false).await;
    let link = bench.upload(0, "a", b"x").await;
    let (status, message) = bench.ko("download/get_token", json!({"url": link})).await;
    assert_eq!((status, message.as_str()), (403, "Must be a customer (Premium, Access) #200"));
}

#[tokio::test]
async fn requests_share_a_connection() {
    let bench = Bench::start().await;
    let link = bench.upload(0, "a", b"0123456789").await;
    let path = bench.token(&link, 0).await;
    let mut stream = TcpStream::connect(bench.address()).await.unwrap();
    for _ in 0..3 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read_reply(&mut stream, false).await.unwrap().body, b"0123456789");
    }
}
