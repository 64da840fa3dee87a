//! A walk over one place finds the same, whether the place lists everything at once or folder by folder.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::with_an_unusable_name;
use ketch_core::{Backend, Capabilities, EntryKind, Error, ErrorKind, Order};
use ketch_engine::filter::{Filter, FilterSpec};
use ketch_engine::walk::{Found, Gather, Walk};
use ketch_testkit::tree::{Shape, random_tree, seed_all};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

const SHAPE: Shape = Shape { files: 40, folders: 10, bytes_max: 20, empty_files: true };

fn place(is_flat: bool, dirs: bool, list_order: Order) -> MemoryBackend {
    let capabilities = Capabilities {
        list_recursive: is_flat,
        list_order,
        dirs,
        read_local: false,
        duplicates: true,
        ..MemoryBackend::everything()
    };
    MemoryBackend::with("memory", capabilities)
}

/// What a walk finds, in lines; what was taken back is not among them.
async fn found(walk: Walk) -> Vec<String> {
    let mut walking = walk.start();
    let mut lines = Vec::new();
    while let Some(found) = walking.next().await {
        lines.push(match found {
            Ok(Found::Entry(shown)) => {
                let kind = match shown.entry.kind {
                    EntryKind::Dir => "/",
                    EntryKind::File => "",
                    EntryKind::Link | EntryKind::Special(_) => " is no file",
                };
                let several = if shown.has_duplicates { " (one of several)" } else { "" };
                format!("{}{kind} {:?}{several}", shown.entry.path, shown.entry.size)
            }
            Ok(Found::End { dir, has_others }) => format!("end of {dir}, others {has_others}"),
            Ok(Found::Failed { dir, error }) => format!("{dir} failed: {:?}", error.kind()),
            Ok(Found::Anew) => {
                lines.clear();
                continue;
            }
            Err(error) => format!("the end: {:?}", error.kind()),
        });
    }
    lines
}

fn walk(place: Arc<dyn Backend>, flat: bool) -> Walk {
    Walk { flat, lookahead: 3, ..Walk::new(&place) }
}

fn compiled(rules: &str) -> Arc<Filter> {
    let rules = rules.lines().map(str::to_owned).collect();
    let spec = FilterSpec { filter: rules, ..FilterSpec::default() };
    Arc::new(Filter::new(&spec).unwrap())
}

/// A place with names around the keys of folders, and with several files of one name.
fn random_place(seed: u64, random: &mut fastrand::Rng) -> Arc<MemoryBackend> {
    let place = place(true, random.bool(), Order::Key);
    seed_all(&place, &random_tree(seed, SHAPE));
    let names = ["a", "a-b", "a.b", "a b", "a0", "b/x", "b/a", "b-b/c", "c/a/x", "c/a-b", "c/a.x"];
    for _ in 0..20 {
        let path = names[random.usize(0..names.len())];
        let clashes = |known: &str| {
            let is_in = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
            };
            is_in(known, path) || is_in(path, known)
        };
        if place.tree().keys().any(|known| clashes(known)) {
            continue;
        }
        place.seed(path, vec![0; random.usize(0..9)]);
        if random.u8(0..4) == 0 {
            place.insert_duplicate(path, b"twin");
        }
    }
    Arc::new(place)
}

#[tokio::test]
async fn a_walk_over_a_flat_listing_finds_what_a_walk_folder_by_folder_finds() {
    let first = std::env::var("KETCH_WALK_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = first.unwrap_or(5_000);
    eprintln!("seeds from {first} (KETCH_WALK_SEED)");
    let rules = ["- /b/**\n", "- *a*\n", "+ *.txt\n- *\n", "- /a\n"];
    for seed in first..first + 120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let place = random_place(seed, &mut random);
        let filter = match random.usize(0..8) {
            number if number < rules.len() => compiled(rules[number]),
            _ => Arc::default(),
        };
        let of = |place: Arc<dyn Backend>, flat| {
            found(Walk { filter: Arc::clone(&filter), ..walk(place, flat) })
        };
        let walked = of(place.clone(), false).await;
        assert_eq!(of(place.clone(), true).await, walked, "seed {seed}");
        // Wherever the listing is cut, the walk continues folder by folder.
        let cut = random.usize(0..place.tree().len() + 1);
        let error = Error::new(ErrorKind::Unavailable, "the line is cut");
        let broken = Arc::new(Faulty::new(place.clone()).fail_list_once("", cut, error));
        assert_eq!(of(broken, true).await, walked, "seed {seed}, cut behind {cut}");
        place.list_out_of_order();
        assert_eq!(of(place.clone(), true).await, walked, "seed {seed}, out of order");
    }
}

#[tokio::test]
async fn a_thousand_folders_of_a_flat_place_cost_one_listing() {
    let place = place(true, false, Order::Key);
    for number in 0..1_000 {
        place.seed(&format!("d{number:04}/f"), "1");
    }
    let recorder = Arc::new(Recorder::new(Arc::new(place)));
    let lines = found(walk(recorder.clone(), true)).await;
    // A folder, its file and its end; and the end of the root.
    assert_eq!((lines.len(), recorder.count("list")), (3_001, 1));
    let again = found(walk(recorder.clone(), false)).await;
    assert_eq!((again, recorder.count("list")), (lines, 1 + 1_001));
}

#[tokio::test]
async fn only_what_is_wanted_is_listed() {
    let place = place(true, true, Order::Key);
    for path in ["a/b/c/f", "a/g", "h", "z/f"] {
        place.seed(path, "1");
    }
    let recorder = Arc::new(Recorder::new(Arc::new(place)));
    for (depth, expected, listings) in [
        (1, "a/ None,h Some(1),z/ None,end of , others false", 1),
        (
            2,
            "a/ None,a/b/ None,a/g Some(1),end of a, others false,h Some(1),z/ None,z/f Some(1),end of z, others false,end of , others false",
            3,
        ),
    ] {
        let before = recorder.count("list");
        let lines = found(Walk { depth: Some(depth), ..walk(recorder.clone(), true) }).await;
        assert_eq!(lines.join(","), expected);
        assert_eq!(recorder.count("list") - before, listings, "depth {depth}");
    }
    let before = recorder.count("list");
    let spec = FilterSpec { files_from_raw: Some(vec!["a/g".to_owned()]), ..FilterSpec::default() };
    let filter = Arc::new(Filter::new(&spec).unwrap());
    let lines = found(Walk { filter, ..walk(recorder.clone(), true) }).await;
    assert!(lines.contains(&"a/g Some(1)".to_owned()), "{lines:?}");
    assert_eq!(recorder.count("list") - before, 2, "the root and `a`");
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_is_its_own_failure_in_both_ways_of_walking() {
    let place = place(true, true, Order::Unspecified);
    for path in ["a/f", "b/c/f", "b/f", "c/f"] {
        place.seed(path, "1");
    }
    let place: Arc<dyn Backend> = Arc::new(place);
    let error = || Error::new(ErrorKind::Unavailable, "no answer");
    for flat in [true, false] {
        // The flat listing breaks off in `b`, and `b` cannot be listed by itself either.
        let faulty = Faulty::new(Arc::clone(&place));
        let faulty = faulty.fail_list_once("", 5, error()).fail_list_after("b", 1, error());
        let faulty =
            if flat { faulty } else { Faulty::new(Arc::clone(&place)).fail_list("b", error()) };
        let lines = found(walk(Arc::new(faulty), flat)).await;
        assert!(lines.contains(&"b failed: Unavailable".to_owned()), "{lines:?}");
        assert!(!lines.contains(&"end of b, others false".to_owned()), "{lines:?}");
        for line in ["end of a, others false", "c/f Some(1)", "end of , others false"] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
    }
}

#[tokio::test]
async fn without_the_root_there_is_nothing() {
    let error = || Error::new(ErrorKind::Unavailable, "no answer");
    for flat in [true, false] {
        let place = place(flat, true, Order::Key);
        place.seed("a/f", "1");
        let missing = Arc::new(place.reopen("nowhere"));
        assert_eq!(found(walk(missing, flat)).await, ["the end: NotFound"], "flat {flat}");
        let denied = Faulty::new(Arc::new(place)).fail_list("", error());
        assert_eq!(found(walk(Arc::new(denied), flat)).await, ["the end: Unavailable"]);
    }
}

#[tokio::test]
async fn the_last_of_a_folder_is_known_where_it_is_listed_by_itself() {
    let place = place(false, true, Order::Unspecified);
    for path in ["a/f", "a/g", "b"] {
        place.seed(path, "1");
    }
    let mut walking = Walk { filter: compiled("- /a/g\n"), ..walk(Arc::new(place), false) }.start();
    let mut last = Vec::new();
    while let Some(found) = walking.next().await {
        if let Found::Entry(shown) = found.unwrap() {
            last.push((shown.entry.path.to_string(), shown.is_last.unwrap()));
        }
    }
    let expected = [("a", false), ("a/f", true), ("b", true)];
    assert_eq!(last, expected.map(|(path, is_last)| (path.to_owned(), is_last)));
}

/// The folders that are known whole, each with what is in it.
async fn whole_folders(walk: Walk) -> Vec<(String, Vec<String>)> {
    let (mut gather, mut walking) = (Gather::new(&walk.top), walk.start());
    let mut whole = Vec::new();
    while let Some(found) = walking.next().await {
        let Ok(found) = found else { break };
        if let Some(folder) = gather.take(found) {
            assert_eq!(folder.entry.is_none(), folder.dir.is_root());
            let names = folder.entries.iter().map(|shown| shown.entry.path.to_string());
            whole.push((folder.dir.to_string(), names.collect()));
        }
    }
    whole
}

#[tokio::test]
async fn nothing_is_given_to_those_that_remove_of_a_folder_that_was_not_listed_to_its_end() {
    let error = || Error::new(ErrorKind::Unavailable, "no answer");
    for cut in 0..12 {
        let place = place(true, true, Order::Key);
        for path in ["a/f", "b/c/f", "b/f", "b/g", "c/f"] {
            place.seed(path, "1");
        }
        let place: Arc<dyn Backend> = Arc::new(place);
        // The listing of everything breaks off anywhere, and the one of `b` always.
        let faulty = Faulty::new(Arc::clone(&place));
        let faulty = faulty.fail_list_once("", cut, error()).fail_list_after("b", 2, error());
        let whole = whole_folders(walk(Arc::new(faulty), true)).await;
        let b = whole.iter().find(|(dir, _)| dir == "b");
        // Only where everything that is in it had come before the listing broke off.
        assert_eq!(b.is_some(), cut >= 8, "cut behind {cut}: {whole:?}");
        let expected = |dir: &str, names: &[&str]| {
            (dir.to_owned(), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert!(whole.contains(&expected("a", &["a/f"])), "cut behind {cut}: {whole:?}");
        assert!(whole.contains(&expected("c", &["c/f"])), "cut behind {cut}: {whole:?}");
        assert!(whole.contains(&expected("", &["a", "b", "c"])), "cut behind {cut}: {whole:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_path_is_told_and_makes_no_order_wrong() {
    let place = with_an_unusable_name();
    let lists = Arc::new(Recorder::new(Arc::clone(&place)));
    let mut flat = found(walk(lists.clone(), true)).await;
    assert_eq!(lists.count("list"), 1, "the order is right");
    let mut walked = found(walk(Arc::clone(&place), false)).await;
    // It is shown where it is found, and keeps the folder that it may be in from being empty.
    let odd = flat.iter().position(|line| line == "b~~q is no file None").expect("it is told");
    flat.remove(odd);
    let odd = walked.iter().position(|line| line == "b/~q is no file None").expect("it is told");
    walked.remove(odd);
    assert!(flat.contains(&"end of b, others true".to_owned()), "{flat:?}");
    let without_others = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.replace("others true", "others false")).collect()
    };
    assert_eq!(without_others(flat), walked);
}
