//! Every injected misbehaviour does what its name says.

use std::time::{Duration, Instant};

use ketch_fichier_sim::{Canned, Effect, Fault, Site};
use serde_json::{Value, json};

use crate::client::{Bench, form};

#[tokio::test]
async fn canned_answers_come_instead_of_calls() {
    let bench = Bench::start().await;
    let check = async |fault: &str, status: u16, kind: &str, body: &str| {
        bench.fault(fault);
        let reply = bench.raw_call("file/ls", "{}").await.unwrap();
        assert_eq!(reply.status, status, "{fault}");
        assert!(reply.header("content-type").unwrap().starts_with(kind), "{fault}");
        assert!(reply.text().contains(body), "{fault}: {}", reply.text());
        reply
    };
    check("file/ls next=1 flood", 403, "application/json", "Flood detected: IP Locked #374").await;
    check("* next=1 flood 1032", 403, "application/json", "#1032").await;
    check("* next=1 user-locked", 403, "application/json", "User Locked #223").await;
    check("* next=1 ip-locked", 403, "application/json", "IP Locked #79").await;
    check("* next=1 ip-locked-text", 403, "text/plain", "IP Locked").await;
    check("* next=1 ko 200 whatever", 200, "application/json", "whatever").await;
    check("* next=1 html oops", 200, "text/html", "oops").await;
    check("* next=1 status 502", 502, "text/html", "").await;
    let silent = check("* next=1 ko-silent", 403, "application/json", "KO").await;
    assert!(silent.json().get("message").is_none());
    let late = check("* next=1 too-many 5", 429, "application/json", "Flood").await;
    assert_eq!(late.header("retry-after"), Some("5"));
    let moved = check("* next=1 redirect http://evil.example/x", 302, "text/html", "").await;
    assert_eq!(moved.header("location"), Some("http://evil.example/x"));
    bench.ok("file/ls", json!({})).await;
}

#[tokio::test]
async fn calls_can_lose_their_answer_or_never_happen() {
    let bench = Bench::start().await;
    bench.fault("folder/mkdir next=1 reset");
    assert!(bench.raw_call("folder/mkdir", r#"{"name":"a"}"#).await.is_none());
    assert_eq!(bench.sim.stats().folders, 0);
    bench.fault("folder/mkdir next=1 lose-answer");
    assert!(bench.raw_call("folder/mkdir", r#"{"name":"a"}"#).await.is_none());
    assert_eq!(bench.sim.stats().folders, 1);
    bench.fault("folder/ls next=1 stall");
    let stalled =
        tokio::time::timeout(Duration::from_millis(200), bench.raw_call("folder/ls", "{}"));
    assert!(stalled.await.is_err());
}

#[tokio::test]
async fn a_request_is_held_until_it_is_told_to_go_on_or_to_be_dropped() {
    let bench = Bench::start().await;
    let mkdir = |name: &str| format!(r#"{{"name":"{name}"}}"#);
    for (fault, told, is_answered, folders) in [
        ("hold", "drop", false, 0),
        ("hold", "go", true, 1),
        ("hold-answer", "drop", false, 2),
        ("hold-answer", "go", true, 3),
    ] {
        bench.fault(&format!("anything nth=1 {fault}"));
        let body = mkdir(&folders.to_string());
        let (reply, ()) = tokio::join!(bench.raw_call("folder/mkdir", &body), async {
            let held = bench.get("/__sim/held", "").await.unwrap();
            assert_eq!((held.status, bench.sim.holds().waiting()), (200, 1));
            bench.request("POST /__sim/release", "", told.as_bytes()).await.unwrap();
        });
        assert_eq!(reply.is_some(), is_answered, "{fault} {told}");
        assert_eq!(bench.sim.stats().folders, folders, "{fault} {told}");
    }
}

#[tokio::test]
async fn an_upload_and_a_download_are_held_in_the_middle() {
    let bench = Bench::start().await;
    let content = vec![b'x'; 700_000];
    let body = form(0, "a", &content);
    let xid = bench.xid().await;
    bench.fault("upload nth=1 hold-after 300000");
    let (reply, ()) = tokio::join!(bench.post_form(&xid, &body), async {
        bench.sim.holds().arrived().await;
        bench.sim.holds().release(false);
    });
    assert!(reply.is_none());
    assert_eq!((bench.sim.stats().uploads_stored, bench.sim.stored().len()), (0, 0));
    let link = bench.upload(0, "a", &content).await;
    assert_eq!(bench.sim.stored()[0].path, "a");
    let path = bench.token(&link, 0).await;
    bench.fault("download nth=1 hold-after 300000");
    let (reply, ()) = tokio::join!(bench.get(&path, ""), async {
        bench.sim.holds().arrived().await;
        bench.sim.holds().release(false);
    });
    let reply = reply.unwrap();
    assert!(!reply.is_complete && reply.body.len() >= 300_000 && reply.body.len() < 700_000);
}

#[tokio::test]
async fn the_upload_server_can_be_somewhere_else() {
    let bench = Bench::start().await;
    bench.fault("upload/get_upload_server next=1 node 169.254.169.254");
    let answer = bench.ok("upload/get_upload_server", json!({})).await;
    assert_eq!(answer["url"], "169.254.169.254");
}

#[tokio::test]
async fn reports_lie_in_every_way() {
    let bench = Bench::start().await;
    let xid = bench.xid().await;
    bench.post_form(&xid, &form(0, "a", b"Hello world\n")).await.unwrap();
    let fetch = async |fault: &str| {
        bench.fault(fault);
        bench.get(&format!("/end.pl?xid={xid}"), "JSON: 1\r\n").await.unwrap()
    };
    assert!(fetch("end.pl next=1 please-wait").await.text().contains("Veuillez patienter"));
    assert_eq!(fetch("end.pl next=1 dead-report").await.status, 404);
    assert_eq!(fetch("end.pl next=1 no-links").await.json()["links"], json!([]));
    let two = fetch("end.pl next=1 two-links").await.json();
    assert_eq!(two["links"].as_array().unwrap().len(), 2);
    let link = async |fault: &str| fetch(fault).await.json()["links"][0].clone();
    assert_eq!(link("end.pl next=1 wrong-size").await["size"], "13");
    let wrong = link("end.pl next=1 wrong-whirlpool").await["whirlpool"].clone();
    assert!(wrong.as_str().unwrap().starts_with("1a894ff0"));
    let upper = link("end.pl next=1 upper-case-whirlpool").await["whirlpool"].clone();
    assert!(upper.as_str().unwrap().starts_with("0A894FF0"));
    assert!(link("end.pl next=1 no-whirlpool").await.get("whirlpool").is_none());
    let honest = bench.report(&xid).await;
    assert!(honest["links"][0]["whirlpool"].as_str().unwrap().starts_with("0a894ff0"));
}

#[tokio::test]
async fn uploads_fail_in_every_way() {
    let bench = Bench::start().await;
    let folder = bench.ok("folder/mkdir", json!({"name": "f"})).await["folder_id"].clone();
    let folder = folder.as_u64().unwrap();
    let body = form(folder, "a", &[b'x'; 300_000]);
    let send = async |fault: &str| {
        bench.fault(fault);
        let xid = bench.xid().await;
        (bench.post_form(&xid, &body).await, xid)
    };
    let (page, _) = send("upload next=1 cannot-open").await;
    let page = page.unwrap();
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<div class=\"bloc2\">Ne peut ouvrir le fichier destination"));
    assert!(send("upload next=1 reset-after 1000").await.0.is_none());
    assert!(send("upload next=1 reset").await.0.is_none());
    tokio::select! {
        _ = send("upload next=1 stall-after 1000") => panic!("a stalled upload was answered"),
        () = bench.sim.unanswered(1) => {}
    }
    assert_eq!(bench.sim.stats().uploads_stored, 0);

    let (lost, xid) = send("upload next=1 lose-answer").await;
    assert!(lost.is_none());
    assert_eq!(bench.report(&xid).await["links"].as_array().unwrap().len(), 1);
    let (reply, xid) = send("upload next=1 no-location").await;
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.header("location")), (302, None));
    bench.report(&xid).await;
    assert_eq!(bench.names(folder).await, ["a", "a"]);
    let (_, xid) = send("upload next=1 wrong-folder").await;
    bench.report(&xid).await;
    assert_eq!(bench.names(0).await, ["a"]);
}

#[tokio::test]
async fn damaged_uploads_are_damaged_in_every_listing() {
    let bench = Bench::start().await;
    bench.fault("upload next=1 damage");
    let damaged = bench.upload(0, "a", b"Hello world\n").await;
    let info = bench.ok("file/info", json!({"url": &damaged})).await;
    assert!(!info["checksum"].as_str().unwrap().starts_with("0a894ff0"));
    let path = bench.token(&damaged, 0).await;
    assert_eq!(bench.get(&path, "").await.unwrap().body, b"Iello world\n");
}

#[tokio::test]
async fn downloads_fail_in_every_way() {
    let bench = Bench::start().await;
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let link = bench.upload(0, "a", &content).await;
    let path = bench.token(&link, 0).await;
    let fetch = async |fault: &str, headers: &str| {
        bench.fault(fault);
        bench.get(&path, headers).await.unwrap()
    };
    for fault in ["reset-after", "short"] {
        let cut = fetch(&format!("download next=1 {fault} 1000"), "").await;
        assert_eq!((cut.is_complete, cut.body.len()), (false, 1000), "{fault}");
        assert_eq!(cut.header("content-length"), Some("100000"));
    }
    let cut = fetch("download next=1 close-delimited 1000", "").await;
    assert_eq!((cut.header("content-length"), cut.body.len()), (None, 1000));
    let range = "Range: bytes=10-19\r\n";
    let whole = fetch("download next=1 ignore-range", range).await;
    assert_eq!((whole.status, whole.body.len()), (200, 100_000));
    let wrong = fetch("download next=1 wrong-content-range", range).await;
    assert_eq!(wrong.header("content-range"), Some("bytes 11-20/100000"));
    let flipped = fetch("download next=1 flip 15", range).await;
    assert_eq!(flipped.body[5], content[15] ^ 1);
    let zipped = fetch("download next=1 gzip", range).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert_eq!(fetch("download next=1 html Erreur", "").await.status, 200);
    assert_eq!(fetch("download next=1 ip-locked-text", "").await.text(), "IP Locked");
    let started = Instant::now();
    fetch("download next=1 drip 20ms", range).await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    bench.fault("download next=1 stall-after 1000");
    let stalled = tokio::time::timeout(Duration::from_millis(200), bench.get(&path, ""));
    assert!(stalled.await.is_err());
    bench.fault("download next=1 stall");
    let stalled = tokio::time::timeout(Duration::from_millis(200), bench.get(&path, ""));
    assert!(stalled.await.is_err());
    assert_eq!(fetch("download next=1 expire", "").await.status, 410);
    assert_eq!(bench.get(&path, "").await.unwrap().status, 410);
}

#[tokio::test]
async fn listings_lag_behind_uploads_and_removals() {
    let bench = Bench::start().await;
    bench.fault("upload next=1 hide 2");
    let link = bench.upload(0, "a", b"x").await;
    assert!(bench.names(0).await.is_empty());
    assert!(bench.names(0).await.is_empty());
    assert_eq!(bench.names(0).await, ["a"]);
    bench.fault("file/rm next=1 linger 1");
    bench.ok("file/rm", json!({"files": [{"url": link}]})).await;
    assert_eq!(bench.names(0).await, ["a"]);
    assert!(bench.names(0).await.is_empty());
}

#[tokio::test]
async fn answers_are_distorted_in_every_way() {
    let bench = Bench::start().await;
    bench.upload(0, "a", b"x").await;
    let list = async |fault: &str| -> Value {
        bench.fault(&format!("file/ls next=1 {fault}"));
        bench.ok("file/ls", json!({})).await
    };
    let strings = list("integers-as-strings").await;
    assert_eq!((&strings["count"], &strings["items"][0]["size"]), (&json!("1"), &json!("1")));
    assert_eq!(list("nulls").await["items"][0]["pass"], Value::Null);
    assert!(list("extra-fields").await["items"][0].get("x_beta").is_some());
    let renamed = list("underscore-content-type").await;
    assert!(renamed["items"][0].get("content_type").is_some());
    assert!(renamed["items"][0].get("content-type").is_none());
    assert!(list("missing-field url").await["items"][0].get("url").is_none());
    assert_eq!(list("empty-listing").await["items"], json!([]));
    let names: Vec<String> = list(r"hostile-name ../x\e").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["filename"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a", "../x\u{1b}"]);
    bench.fault("file/ls next=1 truncated-json");
    let torn = bench.raw_call("file/ls", "{}").await.unwrap();
    assert!(torn.is_complete && serde_json::from_slice::<Value>(&torn.body).is_err());
    bench.fault("folder/ls next=1 no-sub-folders");
    assert!(bench.ok("folder/ls", json!({})).await.get("sub_folders").is_none());
    bench.fault("folder/ls next=1 files-ignored");
    assert!(bench.ok("folder/ls", json!({"files": 1})).await.get("items").is_none());
}

#[tokio::test]
async fn faults_and_figures_are_reachable_from_another_process() {
    let bench = Bench::start().await;
    let reply = bench
        .request("POST /__sim/fault", "", b"file/ls next=1 flood 412\n\nend.pl every please-wait\n")
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert!(bench.ko("file/ls", json!({})).await.1.contains("#412"));
    assert_eq!(bench.sim.faults().waiting(), 1);
    bench.request("POST /__sim/fault", "", b"clear").await.unwrap();
    assert_eq!(bench.sim.faults().waiting(), 0);
    assert_eq!(bench.request("POST /__sim/fault", "", b"nonsense").await.unwrap().status, 400);
    let stats = bench.get("/__sim/stats", "").await.unwrap().json();
    assert_eq!(stats["requests"]["file/ls"], 1);
    assert!(stats.get("log").is_none());
    let text = bench.get("/__sim/stats?log=1", "").await.unwrap().text();
    assert!(text.contains("\"has_known_key\":true"));
    assert!(!text.contains(ketch_fichier_sim::SANDBOX_KEY));
    bench.request("POST /__sim/reset", "", b"").await.unwrap();
    assert_eq!(bench.sim.stats().requests.len(), 0);
}

#[tokio::test]
async fn faults_can_be_built_in_rust() {
    let bench = Bench::start().await;
    let once = Fault::nth(
        2,
        Site::call("user/info"),
        Effect::Answer(Canned::ko(401, "Not authenticated #48")),
    );
    bench.sim.faults().inject(once);
    bench.ok("user/info", json!({})).await;
    assert_eq!(bench.ko("user/info", json!({})).await.0, 401);
    bench.ok("user/info", json!({})).await;
}
