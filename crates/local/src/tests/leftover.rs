//! What interrupted transfers left, and who may remove it.

use ketch_core::LeftoverState;

use super::*;
use crate::lock::try_lock;

const DEAD: &str = ".f.ketch-0000dead.part";
const DEAD_LEDGER: &str = ".f.ketch-0000dead.ledger";
const CLAIMED: &str = ".f.ketch-0000beef.part";

async fn states(place: &Place, below: &str, removes: bool) -> Vec<(String, LeftoverState)> {
    let resume = place.backend.facets().resume.clone().expect("it has one");
    let claims: ketch_core::facets::Claims = Arc::new(|number| number == 0xbeef);
    let found = resume.leftovers(&path(below), &claims, removes).await;
    let found = found.expect("readable").into_iter();
    found.map(|left| (left.path.name().expect("a name").to_owned(), left.state)).collect()
}

#[tokio::test]
async fn only_what_nobody_works_on_or_goes_on_with_is_removed() {
    let place = place();
    for name in [DEAD, DEAD_LEDGER, CLAIMED, ".f.ketch-0000beef.ledger", "f"] {
        place.write(&format!("d/{name}"), "content");
    }
    place.write("d/.g.ketch-00000001.ledger", "alone");
    place.write("d/.h.ketch-00000002.part", "worked on");
    place.write("d/.h.ketch-00000002.ledger", "worked on");
    let file = std::fs::File::open(place.file("d/.h.ketch-00000002.part")).expect("there");
    let file = std::os::fd::OwnedFd::from(file);
    assert!(matches!(try_lock(&file), crate::lock::Lock::Ours));
    // A listing shows none of them, and remembers where they are.
    assert_eq!(place.names("d").await, ["f"]);
    let resume = place.backend.facets().resume.clone().expect("it has one");
    assert_eq!(resume.folders_with_leftovers(), [path("d")]);
    assert_eq!(resume.folders_with_leftovers(), []);
    let expected = [
        (CLAIMED.to_owned(), LeftoverState::Claimed),
        (DEAD.to_owned(), LeftoverState::Dead),
        (".g.ketch-00000001.ledger".to_owned(), LeftoverState::Dead),
        (".h.ketch-00000002.part".to_owned(), LeftoverState::InUse),
    ];
    assert_eq!(states(&place, "d", false).await, expected);
    assert_eq!(place.raw_names().len(), 9, "nothing was to be removed");
    assert_eq!(states(&place, "d", true).await, expected);
    let left = [
        ".f.ketch-0000beef.ledger",
        CLAIMED,
        ".h.ketch-00000002.ledger",
        ".h.ketch-00000002.part",
        "d",
        "f",
    ];
    assert_eq!(place.raw_names(), left);
    drop(file);
    assert_eq!(states(&place, "d", true).await.len(), 2);
    assert_eq!(place.raw_names(), [left[0], CLAIMED, "d", "f"]);
    assert_eq!(states(&place, "none", true).await, []);
}

#[tokio::test]
async fn a_folder_with_nothing_but_dead_parts_is_an_empty_one() {
    let place = place();
    place.write(&format!("d/{DEAD}"), "content");
    place.write(&format!("used/{DEAD}"), "content");
    place.write(&format!("full/{DEAD}"), "content");
    place.write("full/f", "content");
    let file = std::fs::File::open(place.file(&format!("used/{DEAD}"))).expect("there");
    let file = std::os::fd::OwnedFd::from(file);
    assert!(matches!(try_lock(&file), crate::lock::Lock::Ours));
    let delete = async |name: &str| place.backend.delete_one(&place.stat(name).await).await;
    delete("d").await.expect("deleted");
    assert_eq!(kind(delete("used").await), ErrorKind::InvalidInput);
    assert_eq!(kind(delete("full").await), ErrorKind::InvalidInput);
    assert!(place.file("used").join(DEAD).exists() && place.file("full/f").exists());
}

#[tokio::test]
async fn what_is_being_written_is_locked_with_and_without_a_job() {
    let place = place();
    let pieces = Pieces { size: None, piece: vec![7; 100_000].into(), count: 30, ends: false };
    let backend = Arc::clone(&place.backend);
    let put = tokio::spawn(async move {
        backend.put(&path("f"), Arc::new(pieces), PutOptions::default()).await
    });
    while !place.raw_names().iter().any(|name| name.ends_with(".part")) {
        tokio::task::yield_now().await;
    }
    // It is made, and locked a moment later.
    let states = loop {
        let states = states(&place, "", false).await;
        if states.iter().all(|(_, state)| *state == LeftoverState::InUse) {
            break states;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(states.len(), 1);
    put.abort();
    let _ = put.await;
    place.eventually_holds(&[]).await;
}
