//! Uploads: the positional parser, the redirect, the report.

use serde_json::json;

use crate::client::{Bench, exchange, form};

const HELLO: &[u8] = b"Hello world\n";
const HELLO_WHIRLPOOL: &str = "0a894ff039da399d5a72116b3665cd952abc8a9ffe37bfae4eae4d5381c5102b\
                               237c27e88b03f71c516e08ffa1cc9de9eac55d7d3abd38ea56220018f006a2c5";
const NO_FILE: &str = "<div class=\"bloc2\">Pas de fichier trouvé dans l'envoi</div>";

#[tokio::test]
async fn the_known_good_body_is_stored_in_its_folder_with_the_right_digest() {
    let bench = Bench::start().await;
    let folder = bench.ok("folder/mkdir", json!({"name": "été"})).await["folder_id"].clone();
    let folder = folder.as_u64().unwrap();
    assert!((1_000_000..10_000_000).contains(&folder));
    let xid = bench.xid().await;
    assert!(xid.len() == 10 && xid.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let reply = bench.post_form(&xid, &form(folder, "été.txt", HELLO)).await.unwrap();
    assert_eq!(reply.status, 302);
    assert_eq!(reply.header("location"), Some(format!("/end.pl?xid={xid}").as_str()));
    assert!(bench.names(folder).await.is_empty(), "visible before the report was fetched");

    let report = bench.report(&xid).await;
    let link = &report["links"][0];
    assert_eq!(report["incoming"], 0);
    assert_eq!(report["links"].as_array().unwrap().len(), 1);
    assert_eq!(link["filename"], "été.txt");
    assert_eq!(link["size"], "12", "a string here");
    assert_eq!(link["whirlpool"], HELLO_WHIRLPOOL);
    assert_eq!(link["remove"], "");
    let download = link["download"].as_str().unwrap();
    let id = download.strip_prefix("https://1fichier.com/?").unwrap();
    assert_eq!(id.len(), 20);

    let listing = bench.ok("file/ls", json!({"folder_id": folder.to_string()})).await;
    let item = &listing["items"][0];
    assert_eq!(listing["count"], 1);
    assert_eq!(item["size"], 12, "an integer here");
    assert_eq!(item["checksum"], HELLO_WHIRLPOOL);
    assert_eq!(item["content-type"], "text/plain");
    assert_eq!(item["url"], download);
    assert_eq!((&item["pass"], &item["acl"], &item["cdn"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(item["date"].as_str().unwrap().len(), "2021-06-22 14:57:25".len());
}

#[tokio::test]
async fn a_bare_file_without_did_lands_in_the_root_and_so_does_a_wrong_did() {
    let bench = Bench::start().await;
    let xid = bench.xid().await;
    let bare = b"--B\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"bare\"\r\n\r\n\
                 x\r\n--B--\r\n";
    assert_eq!(bench.post_form(&xid, bare).await.unwrap().status, 302);
    bench.report(&xid).await;
    bench.upload(7_654_321, "lost", b"x").await;
    assert_eq!(bench.names(0).await, ["bare", "lost"]);
}

#[tokio::test]
async fn breaches_of_position_get_the_french_page_and_store_nothing() {
    let bench = Bench::start().await;
    let part = |head: &str| format!("--B\r\n{head}\r\n\r\ncontent\r\n--B--\r\n");
    let good = "Content-Disposition: form-data; name=\"file[]\"; filename=\"a\"";
    for body in [
        part(&format!("Content-Type: text/plain\r\n{good}")),
        part("Content-Disposition: form-data; name=file[]; filename=a"),
        part(&format!("{good}; filename*=UTF-8''a")),
        part("Content-Disposition: form-data; name=\"other\"; filename=\"a\""),
        part("Content-Disposition: form-data; name=\"did\"\r\nContent-Type: text/plain"),
        part(good).replace("--B--\r\n", ""),
        String::from_utf8(form(0, "empty", b"")).unwrap(),
        String::new(),
    ] {
        let reply = bench.post_form(&bench.xid().await, body.as_bytes()).await.unwrap();
        assert_eq!((reply.status, reply.header("location")), (200, None), "{body}");
        assert!(reply.text().contains(NO_FILE), "{body}: {}", reply.text());
    }
    let quoted = "Content-Type: multipart/form-data; boundary=\"B\"\r\n";
    let line = format!("POST /upload.cgi?id={}", bench.xid().await);
    let reply = bench.request(&line, quoted, part(good).as_bytes()).await.unwrap();
    assert!(reply.text().contains(NO_FILE));
    assert_eq!(bench.sim.stats().uploads_stored, 0);
    let blobs = bench.scratch.path().join("blobs");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0, "blobs were left behind");
}

#[tokio::test]
async fn chunked_bodies_and_bodies_of_unknown_length_are_refused() {
    let bench = Bench::start().await;
    for headers in ["Transfer-Encoding: chunked\r\n", ""] {
        let head = format!(
            "POST /upload.cgi?id=abcdefghij HTTP/1.1\r\nHost: x\r\n{headers}\
             Content-Type: multipart/form-data; boundary=B\r\n\r\n"
        );
        let reply = exchange(bench.address(), &[head.as_bytes()]).await.unwrap();
        assert_eq!(reply.status, 411);
    }
}

#[tokio::test]
async fn a_body_in_small_pieces_with_boundary_like_content_arrives_whole() {
    let bench = Bench::start().await;
    let content = b"\r\n--Bx\r\n--B \r\n--\r\n--B-\r\n\r\n-";
    let body = form(0, "tricky", content);
    let xid = bench.xid().await;
    let head = format!(
        "POST /upload.cgi?id={xid} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
         Authorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n",
        body.len(),
        ketch_fichier_sim::SANDBOX_KEY
    );
    let whole = [head.as_bytes(), &body].concat();
    let pieces: Vec<&[u8]> = whole.chunks(3).collect();
    assert_eq!(exchange(bench.address(), &pieces).await.unwrap().status, 302);
    let link = bench.report(&xid).await["links"][0]["download"].as_str().unwrap().to_owned();
    let path = bench.token(&link, 0).await;
    assert_eq!(bench.get(&path, "").await.unwrap().body, content);
}

#[tokio::test]
async fn many_files_in_one_request_have_one_entry_each_in_their_order() {
    let bench = Bench::start().await;
    let mut body = String::new();
    for number in 0..500 {
        body.push_str(&format!(
            "--B\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"f{number}\"\r\n\r\n\
             content {number}\r\n"
        ));
    }
    body.push_str("--B--\r\n");
    let xid = bench.xid().await;
    assert_eq!(bench.post_form(&xid, body.as_bytes()).await.unwrap().status, 302);
    let report = bench.report(&xid).await;
    let links = report["links"].as_array().unwrap();
    let names: Vec<_> = links.iter().map(|link| link["filename"].as_str().unwrap()).collect();
    let expected: Vec<_> = (0..500).map(|number| format!("f{number}")).collect();
    assert_eq!(names, expected);
    assert_eq!(bench.names(0).await.len(), 500);
}

#[tokio::test]
async fn the_report_is_a_page_json_or_csv_and_may_be_read_again() {
    let bench = Bench::start().await;
    let xid = bench.xid().await;
    bench.post_form(&xid, &form(0, "a.bin", HELLO)).await.unwrap();
    let path = format!("/end.pl?xid={xid}");
    let page = bench.get(&path, "").await.unwrap();
    assert!(page.text().contains("<html") && page.header("content-type").unwrap().contains("html"));
    assert_eq!(bench.report(&xid).await["links"][0]["filename"], "a.bin");
    let indented = bench.get(&path, "JSON: 2\r\n").await.unwrap();
    assert!(indented.text().contains('\n'));
    let csv = bench.get(&path, "EXPORT: 1\r\n").await.unwrap();
    assert!(csv.text().starts_with("a.bin;12;"));
    assert_eq!(bench.get("/end.pl?xid=0000000000", "JSON: 1\r\n").await.unwrap().status, 404);
}

#[tokio::test]
async fn the_same_name_twice_makes_two_files() {
    let bench = Bench::start().await;
    let first = bench.upload(0, "a", b"1").await;
    let second = bench.upload(0, "a", b"1").await;
    assert_ne!(first, second);
    assert_eq!(bench.names(0).await, ["a", "a"]);
}

#[tokio::test]
async fn anonymous_uploads_are_in_no_folder_and_can_be_removed_with_their_code_only() {
    let bench = Bench::start().await;
    let line = "POST /upload.cgi?id=Anonymous0";
    let headers = "Content-Type: multipart/form-data; boundary=B\r\n";
    let reply = bench.request(line, headers, &form(0, "guest", b"x")).await.unwrap();
    assert_eq!(reply.status, 302);
    let report = bench.report("Anonymous0").await;
    let link = &report["links"][0];
    let (url, remove) = (link["download"].as_str().unwrap(), link["remove"].as_str().unwrap());
    assert!(bench.names(0).await.is_empty());
    let info = bench.ok("file/info", json!({"url": url})).await;
    assert!(info.get("folder_id").is_none());
    let (status, _) = bench.ko("file/rm", json!({"files": [{"url": url}]})).await;
    assert_eq!(status, 403);
    let code = remove.rsplit('/').next().unwrap();
    let removed = bench.ok("file/rm", json!({"files": [{"url": url, "code": code}]})).await;
    assert_eq!(removed["removed"], 1);
}

#[tokio::test]
async fn forbidden_characters_are_replaced_unless_the_rules_keep_them() {
    let bench = Bench::start().await;
    bench.upload(0, "../l'a $b", b"x").await;
    assert_eq!(bench.names(0).await, [".._l_a _b"]);
    let mut rules = bench.sim.rules();
    rules.forbidden_file_name = ketch_fichier_sim::ForbiddenFileName::Keep;
    bench.sim.set_rules(rules);
    bench.upload(0, "l'a", b"x").await;
    assert_eq!(bench.names(0).await, [".._l_a _b", "l'a"]);
}

#[tokio::test]
async fn an_upload_whose_report_is_never_fetched_appears_after_a_while() {
    let bench = Bench::with(|options| options.rules.store_after = std::time::Duration::ZERO).await;
    let xid = bench.xid().await;
    bench.post_form(&xid, &form(0, "late", b"x")).await.unwrap();
    assert_eq!(bench.names(0).await, ["late"]);
}

#[tokio::test]
async fn a_large_file_streams_through() {
    let bench = Bench::start().await;
    let content: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let link = bench.upload(0, "large", &content).await;
    let path = bench.token(&link, 0).await;
    assert!(bench.get(&path, "").await.unwrap().body == content);
}
