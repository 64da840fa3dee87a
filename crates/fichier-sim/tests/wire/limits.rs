//! The limits over the wire; their arithmetic is tested beside the limiter.

use std::time::Duration;

use ketch_fichier_sim::Limits;
use serde_json::json;

use crate::client::Bench;

const FLOOD: &str = "Flood detected: IP Locked #374";

#[tokio::test(start_paused = true)]
async fn the_documented_limits_flood_one_endpoint_and_leave_the_others() {
    let bench = Bench::with(|options| options.limits = Limits::documented()).await;
    bench.ok("file/ls", json!({})).await;
    tokio::time::advance(Duration::from_secs(3)).await;
    bench.ok("folder/ls", json!({})).await;
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(bench.ko("file/ls", json!({})).await, (403, FLOOD.to_owned()));
    bench.ok("upload/get_upload_server", json!({})).await;
    tokio::time::advance(Duration::from_secs(25)).await;
    assert_eq!(bench.ko("file/ls", json!({})).await.1, FLOOD, "the lock lasts 30 s");
    tokio::time::advance(Duration::from_secs(6)).await;
    bench.ok("file/ls", json!({})).await;
    bench.ok("user/info", json!({})).await;
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(bench.ko("user/info", json!({})).await.1, FLOOD);
    assert_eq!(bench.sim.stats().floods, 3);
}

#[tokio::test(start_paused = true)]
async fn nodes_and_downloads_are_not_counted() {
    let bench = Bench::with(|options| options.limits = Limits::documented()).await;
    let link = bench.upload(0, "a", b"x").await;
    let path = bench.token(&link, 0).await;
    for _ in 0..20 {
        assert_eq!(bench.get(&path, "").await.unwrap().status, 200);
        assert_eq!(bench.get("/end.pl?xid=0000000000", "").await.unwrap().status, 404);
    }
    bench.ok("file/info", json!({"url": link})).await;
    assert_eq!(bench.sim.stats().floods, 0);
}

#[tokio::test(start_paused = true)]
async fn repeated_refusals_are_punished_with_a_ban() {
    let bench = Bench::with(|options| options.limits = "ban=20/1m".parse().unwrap()).await;
    for _ in 0..20 {
        assert_eq!(bench.ko("file/info", json!({"url": "x"})).await.0, 404);
    }
    assert_eq!(bench.ko("folder/ls", json!({})).await.1, FLOOD);
    tokio::time::advance(Duration::from_secs(31)).await;
    bench.ok("folder/ls", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn limits_can_be_changed_while_running() {
    let bench = Bench::start().await;
    let reply = bench.request("POST /__sim/limits", "", b"folder=30s").await.unwrap();
    assert_eq!(reply.status, 200);
    bench.ok("file/ls", json!({})).await;
    bench.ko("file/ls", json!({})).await;
    bench.sim.set_limits(Limits::off());
    bench.ok("file/ls", json!({})).await;
}
