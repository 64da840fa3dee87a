//! The calls of the API host.

use std::collections::HashSet;

use ketch_fichier_sim::{ExistingFolder, SANDBOX_KEY};
use serde_json::{Value, json};

use crate::client::Bench;

async fn folder(bench: &Bench, parent: u64, name: &str) -> u64 {
    let made = bench.ok("folder/mkdir", json!({"name": name, "folder_id": parent})).await;
    assert_eq!(made["name"], name);
    made["folder_id"].as_u64().unwrap()
}

#[tokio::test]
async fn the_content_type_is_checked_before_the_key_and_the_key_before_the_call() {
    let bench = Bench::with(|options| options.revoked_keys = vec!["dead".to_owned()]).await;
    let check = async |headers: &str, status: u16, message: &str| {
        let reply = bench.request("POST /v1/file/ls.cgi", headers, b"{}").await.unwrap();
        assert_eq!((reply.status, &reply.json()["message"]), (status, &json!(message)));
    };
    let json_type = "Content-Type: application/json\r\n";
    check("", 400, "Content-Type not JSON #24").await;
    check("Authorization: Bearer wrong\r\n", 400, "Content-Type not JSON #24").await;
    check(json_type, 401, "Not authenticated #247").await;
    let with = |key: &str| format!("Authorization: Bearer {key}\r\n{json_type}");
    check(&with("wrong"), 401, "Not authenticated #247").await;
    check(&with("dead"), 403, "No such user #93").await;
    let reply =
        bench.request("GET /v1/upload/get_upload_server.cgi", json_type, b"").await.unwrap();
    assert_eq!(reply.status, 200, "needs no key and may be read");
    let reply = bench.request("GET /v1/upload/get_upload_server.cgi", "", b"").await.unwrap();
    assert_eq!(reply.json()["message"], "Content-Type not JSON #24");
    let reply = bench.request("GET /v1/file/ls.cgi", &with(SANDBOX_KEY), b"").await.unwrap();
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn keys_come_in_another_order_every_time_and_pretty_indents() {
    let bench = Bench::start().await;
    bench.upload(0, "a", b"x").await;
    let mut texts = HashSet::new();
    for _ in 0..20 {
        texts.insert(bench.raw_call("file/ls", "").await.unwrap().text());
    }
    assert!(texts.len() > 10, "{texts:?}");
    let pretty = bench.raw_call("file/ls", r#"{"pretty":"1"}"#).await.unwrap();
    assert!(pretty.text().lines().count() > 10);
    assert_eq!(pretty.json()["count"], 1);
}

#[tokio::test]
async fn files_move_only_when_something_changes() {
    let bench = Bench::start().await;
    let target = folder(&bench, 0, "target").await;
    let link = bench.upload(0, "a", b"x").await;
    let move_to = |extra: Value| {
        let mut arguments = json!({"urls": [&link], "destination_folder_id": target});
        arguments.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        arguments
    };
    let (status, _) = bench.ko("file/mv", json!({"urls": [&link]})).await;
    assert_eq!(status, 400, "the destination must be there");
    bench.ko("file/mv", move_to(json!({"destination_folder_id": 0}))).await;
    let (_, message) = bench.ko("file/mv", move_to(json!({"rename": "a"}))).await;
    assert_eq!(message, "No file has been renamed #312");
    let moved = bench.ok("file/mv", move_to(json!({}))).await;
    assert_eq!(moved["moved"], 1);
    assert_eq!(moved["urls"], json!([&link]));
    assert!(moved.get("filename").is_none());
    bench.ko("file/mv", move_to(json!({}))).await;
    let back = move_to(json!({"destination_folder_id": "0", "rename": "b"}));
    assert_eq!(bench.ok("file/mv", back).await["filename"], "b");
    assert_eq!(bench.names(0).await, ["b"]);
    assert!(bench.names(target).await.is_empty());
    bench.ko("file/mv", move_to(json!({"destination_folder_id": 1_111_111}))).await;
}

#[tokio::test]
async fn files_are_renamed_unless_they_already_have_the_name() {
    let bench = Bench::start().await;
    let link = bench.upload(0, "a", b"x").await;
    let rename = |name: &str| json!({"urls": [{"url": &link, "filename": name}]});
    let (status, message) = bench.ko("file/rename", rename("a")).await;
    assert_eq!((status, message.as_str()), (403, "No file has been renamed #312"));
    let renamed = bench.ok("file/rename", rename("b")).await;
    let entry = json!({"url": &link, "old_filename": "a", "new_filename": "b"});
    assert_eq!(renamed["urls"], json!([entry]));
    assert_eq!(bench.names(0).await, ["b"]);
}

#[tokio::test]
async fn copies_have_their_own_link_and_outlive_the_original() {
    let bench = Bench::start().await;
    let target = folder(&bench, 0, "target").await;
    let link = bench.upload(0, "a", b"content").await;
    let copied = bench
        .ok(
            "file/cp",
            json!({"urls": [format!("{link}&af=1")], "folder_id": target, "rename": "b"}),
        )
        .await;
    assert_eq!((&copied["copied"], &copied["filename"]), (&json!(1), &json!("b")));
    let copy = copied["urls"][0]["to_url"].as_str().unwrap().to_owned();
    assert_ne!(copy, link);
    bench.ok("file/rm", json!({"files": [{"url": &link}]})).await;
    assert!(bench.names(0).await.is_empty());
    let path = bench.token(&copy, 0).await;
    assert_eq!(bench.get(&path, "").await.unwrap().body, b"content");
    let info = bench.ok("file/info", json!({"url": copy})).await;
    assert_eq!((&info["path"], &info["folder_id"]), (&json!("target"), &json!(target)));
    assert!(info.get("status").is_none());
}

#[tokio::test]
async fn dead_links_are_not_found_everywhere() {
    let bench = Bench::start().await;
    let link = bench.upload(0, "a", b"x").await;
    bench.ok("file/rm", json!({"files": [{"url": &link}]})).await;
    for (call, arguments) in [
        ("file/info", json!({"url": &link})),
        ("file/rm", json!({"files": [{"url": &link}]})),
        ("download/get_token", json!({"url": &link})),
        ("file/cp", json!({"urls": [&link]})),
        ("file/info", json!({"url": "https://1fichier.com/?zzzzzzzzzzzzzzzzzzzz"})),
        ("file/info", json!({"url": "nonsense"})),
    ] {
        let expected = (404, "Resource not found #469".to_owned());
        assert_eq!(bench.ko(call, arguments).await, expected, "{call}");
    }
}

#[tokio::test]
async fn a_file_belongs_to_its_domain() {
    let bench = Bench::with(|options| options.rules.default_domain = 1).await;
    let link = bench.upload(0, "a", b"x").await;
    assert!(link.starts_with("https://alterupload.com/?"));
    bench.ok("file/info", json!({"url": &link})).await;
    let elsewhere = link.replace("alterupload.com", "1fichier.com");
    assert_eq!(bench.ko("file/info", json!({"url": elsewhere})).await.0, 404);
}

#[tokio::test]
async fn folders_are_listed_with_their_oddities() {
    let bench = Bench::start().await;
    let root = bench.ok("folder/ls", json!({})).await;
    assert_eq!((&root["name"], &root["folder_id"]), (&json!("Root"), &json!(0)));
    assert_eq!((&root["size"], &root["files"]), (&Value::Null, &json!(0)));
    assert_eq!(root["sub_folders"], json!([]));
    assert!(root.get("create_date").is_none());
    let sub = folder(&bench, 0, "sub").await;
    bench.upload(sub, "a", b"12345").await;
    let root = bench.ok("folder/ls", json!({"folder_id": 0})).await;
    let entry = &root["sub_folders"][0];
    assert_eq!(
        (&entry["id"], &entry["name"], &entry["pass"]),
        (&json!(sub), &json!("sub"), &json!(0))
    );
    let listed = bench.ok("folder/ls", json!({"folder_id": sub, "files": 1})).await;
    assert_eq!((&listed["size"], &listed["files"]), (&json!(5), &json!(1)));
    assert_eq!(listed["items"][0]["filename"], "a");
    assert!(bench.ok("folder/ls", json!({"folder_id": sub})).await.get("items").is_none());
    assert_eq!(bench.ko("folder/ls", json!({"folder_id": 1_111_111})).await.0, 404);
}

#[tokio::test]
async fn folder_names_are_checked_and_taken_names_follow_the_rule() {
    let bench = Bench::start().await;
    for bad in ["", "l'a", " a", "a/b", &"x".repeat(251)] {
        let (_, message) = bench.ko("folder/mkdir", json!({"name": bad})).await;
        assert!(message.starts_with("Invalid name"), "{bad}");
    }
    let first = folder(&bench, 0, "a").await;
    bench.ko("folder/mkdir", json!({"name": "a"})).await;
    folder(&bench, 0, "A").await;
    folder(&bench, first, "a").await;
    let mut rules = bench.sim.rules();
    rules.existing_folder = ExistingFolder::SameId;
    bench.sim.set_rules(rules.clone());
    assert_eq!(folder(&bench, 0, "a").await, first);
    rules.existing_folder = ExistingFolder::Duplicate;
    bench.sim.set_rules(rules);
    assert_ne!(folder(&bench, 0, "a").await, first);
}

#[tokio::test]
async fn folders_move_rename_and_go_one_step_at_a_time() {
    let bench = Bench::start().await;
    let (a, b) = (folder(&bench, 0, "a").await, folder(&bench, 0, "b").await);
    let both = json!({"folder_id": a, "destination_folder_id": b, "rename": "c"});
    let answer = bench.ok("folder/mv", both).await;
    assert_eq!((&answer["old_name"], &answer["new_name"]), (&json!("a"), &json!("c")));
    assert!(bench.ok("folder/ls", json!({"folder_id": b})).await["sub_folders"] == json!([]));
    bench.ok("folder/mv", json!({"folder_id": a, "destination_folder_id": b})).await;
    assert_eq!(bench.ok("folder/ls", json!({"folder_id": b})).await["sub_folders"][0]["name"], "c");
    bench.ko("folder/mv", json!({"folder_id": b, "destination_folder_id": a})).await;
    bench.ko("folder/mv", json!({"folder_id": b, "destination_folder_id": b})).await;
    bench.ko("folder/rm", json!({"folder_id": b})).await;
    bench.ko("folder/rm", json!({"folder_id": 0})).await;
    let link = bench.upload(a, "file", b"x").await;
    bench.ko("folder/rm", json!({"folder_id": a})).await;
    bench.ok("file/rm", json!({"files": [{"url": link}]})).await;
    bench.ok("folder/rm", json!({"folder_id": a})).await;
    bench.ok("folder/rm", json!({"folder_id": b})).await;
    assert_eq!(bench.sim.stats().folders, 0);
}

#[tokio::test]
async fn sharing_a_folder_gives_and_takes_a_public_link() {
    let bench = Bench::start().await;
    let id = folder(&bench, 0, "a").await;
    let url = bench.ok("folder/share", json!({"folder_id": id, "share": 1})).await["url"].clone();
    assert!(url.as_str().unwrap().starts_with("https://1fichier.com/dir/"));
    assert_eq!(bench.ok("folder/ls", json!({"folder_id": id})).await["shared"], url);
    let off = bench.ok("folder/share", json!({"folder_id": id, "share": 0})).await;
    assert!(off.get("url").is_none());
}

#[tokio::test]
async fn a_listing_is_cut_off_silently_and_the_whole_account_can_be_listed() {
    let bench = Bench::with(|options| options.rules.listing_entries = 3).await;
    let sub = folder(&bench, 0, "sub").await;
    for number in 0..5 {
        bench.upload(if number < 4 { 0 } else { sub }, &format!("f{number}"), b"x").await;
    }
    assert_eq!(bench.ok("file/ls", json!({})).await["count"], 3);
    let mut rules = bench.sim.rules();
    rules.listing_entries = 5000;
    bench.sim.set_rules(rules);
    let all = bench.ok("file/ls", json!({"folder_id": -1})).await;
    assert_eq!(all["count"], 5);
    assert!(all["items"][0].get("folder_id").is_none());
    let none = bench.ok("file/ls", json!({"sent_after": "2999-01-01 00:00:00"})).await;
    assert_eq!(none["count"], 0);
    let some = bench.ok("file/ls", json!({"sent_before": "2999-01-01 00:00:00"})).await;
    assert_eq!(some["count"], 4);
}

#[tokio::test]
async fn the_account_shows_its_flags_as_strings() {
    let bench = Bench::start().await;
    bench.upload(0, "a", b"12345").await;
    let info = bench.ok("user/info", json!({})).await;
    assert_eq!(
        (&info["offer"], &info["cdn"], &info["2fa"]),
        (&json!("1"), &json!("2"), &json!("0"))
    );
    assert_eq!((&info["hot_storage"], &info["email"]), (&json!(5), &json!("sandbox@example.com")));
}

#[tokio::test]
async fn attributes_change_once_and_a_password_is_then_asked_for() {
    let bench = Bench::start().await;
    let link = bench.upload(0, "a", b"x").await;
    let change = json!({"urls": [&link], "pass": "secret", "description": "d"});
    assert_eq!(bench.ok("file/chattr", change.clone()).await["updated"], 1);
    let (_, message) = bench.ko("file/chattr", change).await;
    assert!(message.starts_with("No changes requested"));
    for pass in [json!({"url": &link}), json!({"url": &link, "pass": "wrong!"})] {
        let (status, message) = bench.ko("download/get_token", pass).await;
        assert!(status == 403 && message.contains("Resource not allowed"), "{message}");
    }
    bench.ok("download/get_token", json!({"url": &link, "pass": "secret"})).await;
}
