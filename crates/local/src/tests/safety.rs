//! No byte is written outside the root, whoever swaps what for a link.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

#[tokio::test]
async fn nothing_is_changed_through_a_link_to_a_folder() {
    for target in ["../outside", "inside", "."] {
        let place = place();
        let outside = place.scratch.path().join("outside");
        std::fs::create_dir(&outside).expect("made");
        std::fs::create_dir(place.file("inside")).expect("made");
        for folder in [&outside, &place.file("inside"), &place.file("")] {
            std::fs::write(folder.join("f"), "mine").expect("written");
        }
        place.link(target, "link");
        place.write("source", "x");
        let before = place.raw_names();
        let backend = &place.backend;
        let through = Entry { path: path("link/f"), ..place.stat("f").await };
        let source = place.stat("source").await;
        let results = [
            kind(place.put("link/new", "x").await),
            kind(place.put("link/f", "x").await),
            kind(place.put("link/deep/new", "x").await),
            kind(
                backend
                    .put(&path("link/f"), byte_body(vec![1; 3_000_000]), PutOptions::default())
                    .await,
            ),
            kind(backend.make_dir(&path("link/new"), None).await),
            kind(backend.make_dir(&path("link"), None).await),
            kind(backend.delete_one(&through).await),
            kind(backend.rename(&source, &path("link/new")).await),
            kind(backend.rename(&through, &path("new")).await),
            kind(backend.copy(&source, &path("link/new"), PutOptions::default()).await),
            kind(backend.set_mtime(&through, std::time::SystemTime::now()).await),
            kind(backend.stat(&path("link/f")).await),
            kind(place.try_list("link").await),
            kind(place.read(&through).await),
        ];
        assert_eq!(results, [ErrorKind::Denied; 14]);
        assert_eq!(place.raw_names(), before);
        assert_eq!(std::fs::read_dir(&outside).expect("readable").count(), 1);
        assert_eq!(std::fs::read(outside.join("f")).expect("kept"), b"mine");
    }
}

/// A thread exchanges a folder and a link to the outside as fast as it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_of_folder_and_link_never_leads_outside() {
    let place = place();
    let outside = place.scratch.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::create_dir(place.file("d")).expect("made");
    place.link("../outside", "other");
    let touched = |folder: &std::path::Path| {
        std::fs::metadata(folder).expect("there").modified().expect("known")
    };
    let before = touched(&outside);
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (left, right, stop) = (place.file("d"), place.file("other"), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut swaps = 0_u64;
            while !stop.load(Ordering::Relaxed) || swaps % 2 == 1 {
                renameat_with(CWD, &left, CWD, &right, RenameFlags::EXCHANGE).expect("swapped");
                swaps += 1;
            }
            swaps
        })
    };
    let (mut stored, mut refused) = (0, 0);
    for round in 0..1500 {
        let name = format!("d/{}f{round}", if round % 2 == 0 { "deep/" } else { "" });
        let content = vec![1; if round % 50 == 0 { 2_000_000 } else { 10 }];
        match place.backend.put(&path(&name), byte_body(content), PutOptions::default()).await {
            Ok(entry) => {
                stored += 1;
                // Deleting goes the same way, and may meet the link too.
                match place.backend.delete_one(&entry).await {
                    Ok(()) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Denied, "{error}"),
                }
            }
            Err(error) => {
                refused += 1;
                let expected = [ErrorKind::Denied, ErrorKind::Changed];
                assert!(expected.contains(&error.kind()), "{error}");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().expect("ended");
    println!("{swaps} swaps, {stored} stored, {refused} refused");
    assert!(swaps >= 1000 && stored > 0 && refused > 0);
    assert_eq!(std::fs::read_dir(&outside).expect("readable").count(), 0);
    // Making and removing a name would have touched the folder too.
    assert_eq!(touched(&outside), before);
    assert!(!place.raw_names().iter().any(|name| name.ends_with(".part")));
}
