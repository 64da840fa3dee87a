//! The table of decisions.

use ketch_core::Special;
use ketch_core::hash::hash_bytes;

use super::*;

/// A disk: keeps times, digests by reading.
fn disk() -> Capabilities {
    Capabilities {
        read_local: true,
        put_empty: true,
        put_unsized: true,
        dirs: true,
        mtime: Some(Duration::from_nanos(1)),
        set_mtime: true,
        ..Capabilities::default()
    }
}

/// 1fichier: keeps no times, has one digest, takes no empty files.
fn service() -> Capabilities {
    Capabilities {
        dirs: true,
        duplicates: true,
        put_max: Some(1_000),
        hashes: &[HashAlgo::Whirlpool],
        ..Capabilities::default()
    }
}

/// Keeps times and has no digest.
fn plain() -> Capabilities {
    Capabilities {
        mtime: Some(Duration::from_secs(1)),
        put_empty: true,
        put_unsized: true,
        ..Capabilities::default()
    }
}

fn file(size: u64, seconds: u64) -> Entry {
    let mut entry = Entry::file(RelPath::new("f").expect("legal"), size);
    entry.mtime = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    entry
}

fn with_digest(mut entry: Entry, content: &str) -> Entry {
    entry.hashes = Some(Box::new(hash_bytes(&[HashAlgo::Whirlpool], content.as_bytes())));
    entry
}

fn pair(source: Option<Entry>, destination: Option<Entry>) -> Pair {
    Pair {
        source,
        destination,
        source_duplicates: false,
        destination_duplicates: false,
        clash: false,
        folds: false,
    }
}

/// The decision in a few words: `copy reason`, `skip reason`, `compare algo`, `delete`, ….
fn show(decision: Decision) -> String {
    match decision {
        Decision::Nothing => "nothing".to_owned(),
        Decision::Compare(comparison) => {
            let algo = comparison.algo;
            let shown = |equal| show(Decision::Act(comparison.clone().resolve(equal, false)));
            format!("compare {algo}: {} | {}", shown(true), shown(false))
        }
        Decision::Act(action) => match action {
            Action::Copy { reason, replaces, .. } => {
                let over = if replaces.is_some() { " over" } else { "" };
                format!("copy{over} {}", reason.as_str())
            }
            Action::SetTime { .. } => "set time".to_owned(),
            Action::MakeDir { .. } => "make dir".to_owned(),
            Action::MoveDir { .. } => "move dir".to_owned(),
            Action::Delete { .. } => "delete".to_owned(),
            Action::RemoveSource { .. } => "remove source".to_owned(),
            Action::RemoveSourceDir { .. } => "remove source dir".to_owned(),
            Action::Skip { reason, .. } => format!("skip {}", reason.as_str()),
            Action::NotStorable { reason, .. } => format!("not storable {}", reason.as_str()),
            Action::Refuse { reason, .. } => format!("refuse {}", reason.as_str()),
        },
    }
}

#[derive(Clone)]
struct Case {
    settings: Settings,
    delete_extra: bool,
    remove_source: bool,
    source: Capabilities,
    destination: Capabilities,
    remembered: Option<HashAlgo>,
}

impl Case {
    fn between(source: Capabilities, destination: Capabilities) -> Self {
        let (delete_extra, remove_source) = (true, false);
        let (settings, remembered) = (Settings::default(), None);
        Case { settings, delete_extra, remove_source, source, destination, remembered }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    fn copying(mut self) -> Self {
        self.delete_extra = false;
        self
    }

    fn moving(mut self) -> Self {
        (self.delete_extra, self.remove_source) = (false, true);
        self
    }

    fn check(&self, pair: Pair, expected: &str) {
        let rules = Rules {
            settings: &self.settings,
            delete_extra: self.delete_extra,
            remove_source: self.remove_source,
            source: &self.source,
            destination: &self.destination,
            remembered: self.remembered,
            clock: Clock::default(),
        };
        assert_eq!(show(decide(pair, &rules)), expected);
    }
}

#[test]
fn what_one_side_lacks() {
    let case = Case::between(disk(), disk());
    case.check(pair(Some(file(1, 1)), None), "copy missing");
    case.check(pair(None, Some(file(1, 1))), "delete");
    case.clone().copying().check(pair(None, Some(file(1, 1))), "nothing");
    let dir = || Entry::dir(RelPath::new("d").expect("legal"));
    case.check(pair(Some(dir()), None), "nothing");
    case.check(pair(Some(dir()), Some(dir())), "nothing");
    case.check(pair(None, Some(dir())), "delete");
    case.set(|settings| settings.create_empty_dirs = true)
        .check(pair(Some(dir()), None), "make dir");
}

#[test]
fn sizes_and_times_where_both_sides_keep_times() {
    let case = Case::between(disk(), disk());
    case.check(pair(Some(file(1, 1)), Some(file(1, 1))), "skip same_size_and_time");
    case.check(pair(Some(file(1, 1)), Some(file(2, 1))), "copy over size_differs");
    case.check(
        pair(Some(file(1, 5)), Some(file(1, 1))),
        "compare blake3: set time | copy over time_differs",
    );
    let coarse = Case::between(plain(), plain());
    coarse.check(pair(Some(file(1, 5)), Some(file(1, 1))), "copy over time_differs");
    let mut near = file(1, 5);
    near.mtime = near.mtime.map(|time| time + Duration::from_millis(900));
    coarse.check(pair(Some(near), Some(file(1, 5))), "skip same_size_and_time");
}

#[test]
fn a_side_without_times_is_compared_by_digest_when_the_source_is_newer_than_the_copy() {
    let case = Case::between(disk(), service());
    case.check(pair(Some(file(1, 1)), Some(file(1, 9))), "skip same_size");
    case.check(
        pair(Some(file(1, 9)), Some(file(1, 1))),
        "compare whirlpool: skip same_hash | copy over source_newer",
    );
    case.check(pair(Some(file(1, 1)), Some(file(2, 9))), "copy over size_differs");
    let both = Case::between(service(), service());
    let stored = |content| with_digest(file(1, 1), content);
    both.check(pair(Some(stored("a")), Some(stored("a"))), "skip same_hash");
    both.check(pair(Some(stored("a")), Some(stored("b"))), "copy over hash_differs");
    let blind = Case::between(plain(), service());
    blind.check(pair(Some(file(1, 9)), Some(file(1, 1))), "copy over source_newer");
}

#[test]
fn an_unknown_size_is_not_an_equal_one() {
    let mut unknown = file(1, 9);
    unknown.size = None;
    let case = Case::between(disk(), service());
    case.check(
        pair(Some(file(1, 1)), Some(unknown.clone())),
        "compare whirlpool: skip same_hash | copy over cannot_tell",
    );
    let case = case.set(|settings| settings.compare = Compare::SizeOnly);
    case.check(pair(Some(file(1, 1)), Some(unknown.clone())), "copy over cannot_tell");
    let blind = Case::between(plain(), service());
    blind.check(pair(Some(file(1, 1)), Some(unknown)), "copy over cannot_tell");
}

#[test]
fn what_the_caller_asked_for() {
    let case = || Case::between(disk(), service());
    let newer_source = || pair(Some(file(1, 9)), Some(file(1, 1)));
    let equal = || pair(Some(file(1, 1)), Some(file(1, 9)));
    case()
        .set(|settings| settings.compare = Compare::Checksum)
        .check(equal(), "compare whirlpool: skip same_hash | copy over hash_differs");
    case()
        .set(|settings| settings.compare = Compare::SizeOnly)
        .check(newer_source(), "skip same_size");
    case()
        .set(|settings| settings.compare = Compare::IgnoreTimes)
        .check(equal(), "copy over asked");
    case().set(|settings| settings.ignore_existing = true).check(newer_source(), "skip existing");
    case().set(|settings| settings.update = true).check(equal(), "skip destination_newer");
    Case::between(disk(), disk())
        .set(|settings| settings.update = true)
        .check(pair(Some(file(1, 1)), Some(file(2, 5))), "skip destination_newer");
}

#[test]
fn promise_3_checksum_without_a_common_digest_does_not_start() {
    let settings = Settings { compare: Compare::Checksum, ..Settings::default() };
    let start_with =
        |remembered, remove_source, source: &Capabilities, destination: &Capabilities| {
            let rules = Rules {
                settings: &settings,
                delete_extra: false,
                remove_source,
                source,
                destination,
                remembered,
                clock: Clock::default(),
            };
            job_can_start(&rules).is_ok()
        };
    let start = |source: &Capabilities, destination: &Capabilities| {
        start_with(None, false, source, destination)
    };
    assert!(start(&disk(), &service()));
    assert!(!start(&plain(), &service()));
    assert!(!start(&disk(), &plain()));
    // What is remembered from sending is a common digest, but no proof to remove the source by.
    let remembered = Some(HashAlgo::Blake3);
    assert!(start_with(remembered, false, &disk(), &plain()));
    assert!(!start_with(remembered, true, &disk(), &plain()));
}

#[test]
fn a_remembered_digest_counts_where_only_digests_count() {
    let mut case = Case::between(disk(), plain());
    case.remembered = Some(HashAlgo::Blake3);
    case.check(pair(Some(file(1, 1)), Some(file(1, 1))), "skip same_size_and_time");
    let case = case.set(|settings| settings.compare = Compare::Checksum);
    case.check(
        pair(Some(file(1, 1)), Some(file(1, 1))),
        "compare blake3: skip same_hash | copy over hash_differs",
    );
}

#[test]
fn what_the_destination_cannot_hold() {
    let case = Case::between(disk(), service());
    case.check(pair(Some(file(0, 1)), None), "not storable empty_file");
    case.check(pair(Some(file(0, 1)), Some(file(5, 1))), "refuse empty_file_over_old");
    case.check(pair(Some(file(1_001, 1)), None), "refuse too_large");
    let mut unsized_file = file(1, 1);
    unsized_file.size = None;
    case.check(pair(Some(unsized_file.clone()), None), "refuse unknown_size");
    Case::between(disk(), disk()).check(pair(Some(unsized_file), None), "copy missing");
    Case::between(disk(), disk()).check(pair(Some(file(0, 1)), None), "copy missing");
}

#[test]
fn what_is_neither_file_nor_folder_is_told_of_and_never_touched() {
    let case = Case::between(disk(), disk());
    let link =
        || Entry::bare(RelPath::new("f").expect("legal"), EntryKind::Special(Special::Symlink));
    case.check(pair(Some(link()), None), "not storable special");
    case.check(pair(Some(link()), Some(file(1, 1))), "not storable special");
    case.check(pair(None, Some(link())), "nothing");
    case.check(pair(Some(file(1, 1)), Some(link())), "refuse clash");
}

#[test]
fn a_link_is_kept_where_both_sides_keep_links_and_told_of_elsewhere() {
    let keeping = || Capabilities { links: true, ..disk() };
    let link = |seconds| Entry { kind: EntryKind::Link, ..file(7, seconds) };
    let case = Case::between(keeping(), keeping());
    case.check(pair(Some(link(1)), None), "copy missing");
    case.check(pair(Some(link(1)), Some(link(1))), "skip same_size_and_time");
    case.check(
        pair(Some(link(1)), Some(link(2))),
        "compare blake3: set time | copy over time_differs",
    );
    case.check(pair(None, Some(link(1))), "delete");
    case.check(pair(Some(link(1)), Some(file(7, 1))), "copy over kind_differs");
    case.check(pair(Some(file(7, 1)), Some(link(1))), "copy over kind_differs");
    case.check(pair(Some(link(1)), Some(Entry::dir(link(1).path))), "refuse clash");
    let case = Case::between(keeping(), disk());
    case.check(pair(Some(link(1)), None), "not storable link_not_kept");
    case.check(pair(Some(link(1)), Some(file(7, 1))), "not storable link_not_kept");
}

#[test]
fn a_time_that_the_destination_does_not_know_is_set_where_the_content_is_equal() {
    let timeless = |entry| Entry { mtime: None, ..entry };
    let keeping = Capabilities { mtime: disk().mtime, set_mtime: true, ..service() };
    let case = Case::between(disk(), keeping.clone());
    case.check(
        pair(Some(file(1, 1)), Some(timeless(file(1, 1)))),
        "compare whirlpool: set time | copy over hash_differs",
    );
    // Permissions alone, where they are a fact beside the content.
    let moded = |mode| Entry { mode: Some(mode), ..file(1, 1) };
    let beside = Capabilities { set_mode: true, ..keeping.clone() };
    let case = Case::between(disk(), beside);
    case.check(pair(Some(moded(0o600)), Some(moded(0o600))), "skip same_size_and_time");
    case.check(pair(Some(moded(0o600)), Some(moded(0o644))), "set time");
    case.check(pair(Some(moded(0o600)), Some(file(1, 1))), "set time");
    let case = Case::between(disk(), disk());
    case.check(pair(Some(moded(0o600)), Some(moded(0o644))), "skip same_size_and_time");
    // Nothing is known that could be set.
    let case = Case::between(keeping, disk());
    case.check(pair(Some(timeless(file(1, 1))), Some(file(1, 1))), "skip same_size");
}

#[test]
fn clashes_and_several_of_one_name_are_refused_and_nothing_is_guessed() {
    let case = Case::between(disk(), service());
    let clash = |source, destination| Pair { clash: true, ..pair(source, destination) };
    case.check(clash(Some(file(1, 1)), None), "refuse clash");
    case.check(clash(None, Some(file(1, 1))), "nothing");
    let several = |source, destination| Pair {
        destination_duplicates: true,
        ..pair(Some(source), Some(destination))
    };
    case.check(several(file(1, 1), file(1, 9)), "skip same_size");
    case.check(several(file(2, 1), file(1, 9)), "refuse ambiguous_destination");
    case.check(
        several(file(1, 9), file(1, 1)),
        "compare whirlpool: skip same_hash | refuse ambiguous_destination",
    );
    let extra = Pair { destination_duplicates: true, ..pair(None, Some(file(1, 1))) };
    case.check(extra.clone(), "refuse ambiguous_destination");
    case.clone().copying().check(extra, "nothing");
    let twice = Pair { source_duplicates: true, ..pair(Some(file(1, 1)), None) };
    case.check(twice, "refuse ambiguous_source");
}

#[test]
fn a_move_removes_at_the_source_only_what_a_digest_proves() {
    let case = Case::between(disk(), disk()).moving();
    case.check(pair(Some(file(1, 1)), None), "copy missing");
    case.check(pair(None, Some(file(1, 1))), "nothing");
    case.check(
        pair(Some(file(1, 1)), Some(file(1, 1))),
        "compare blake3: remove source | copy over hash_differs",
    );
    case.check(
        pair(Some(file(1, 2)), Some(file(1, 1))),
        "compare blake3: remove source | copy over time_differs",
    );
    case.check(pair(Some(file(2, 1)), Some(file(1, 1))), "copy over size_differs");
    case.set(|settings| settings.ignore_existing = true)
        .check(pair(Some(file(1, 1)), Some(file(1, 1))), "skip existing");
    let blind = Capabilities { hashes: &[], ..service() };
    Case::between(blind.clone(), blind)
        .moving()
        .check(pair(Some(file(1, 1)), Some(file(1, 1))), "skip unproven");
    let known = || Some(with_digest(file(1, 1), "x"));
    Case::between(service(), service()).moving().check(pair(known(), known()), "remove source");
}

/// Whatever is settled by a look at packed entries is what [`decide`] would skip, and needs no other look.
#[test]
fn what_needs_nothing_by_a_look_is_what_the_table_skips() {
    let mut settled = 0;
    let times = [None, Some(1_000), Some(1_001), Some(2_000)];
    let sizes = [None, Some(0), Some(5), Some(6)];
    let modes = [None, Some(0o644), Some(0o600)];
    let compares =
        [Compare::SizeAndTime, Compare::SizeOnly, Compare::Checksum, Compare::IgnoreTimes];
    let keeping = |mut capabilities: Capabilities| {
        capabilities.set_mode = true;
        capabilities
    };
    let places = [disk(), service(), plain(), keeping(disk())];
    let flags =
        [(false, false, false), (true, false, false), (false, true, false), (false, false, true)];
    for (source, destination) in
        places.iter().flat_map(|one| places.iter().map(move |two| (one, two)))
    {
        for compare in compares {
            for (update, existing, moving) in flags {
                let settings =
                    Settings { compare, update, ignore_existing: existing, ..Settings::default() };
                let rules = Rules {
                    settings: &settings,
                    delete_extra: !moving,
                    remove_source: moving,
                    source,
                    destination,
                    remembered: None,
                    clock: Clock::default(),
                };
                let sides: Vec<Entry> = sizes
                    .iter()
                    .flat_map(|size| times.iter().map(move |time| (size, time)))
                    .flat_map(|(size, time)| modes.iter().map(move |mode| (size, time, mode)))
                    .map(|(size, time, mode)| Entry {
                        size: *size,
                        mtime: time.map(|time| SystemTime::UNIX_EPOCH + Duration::from_secs(time)),
                        mode: *mode,
                        ..file(1, 1)
                    })
                    .collect();
                for left in &sides {
                    for right in &sides {
                        let both = [left.clone(), right.clone()];
                        let page = ketch_core::Page::of(&RelPath::root(), &both).expect("children");
                        let views: Vec<_> = page.views().collect();
                        if needs_nothing(&views[0], &views[1], &rules) {
                            settled += 1;
                            let pair = pair(Some(left.clone()), Some(right.clone()));
                            let shown = show(decide(pair, &rules));
                            assert!(shown.starts_with("skip "), "{shown}: {left:?} {right:?}");
                            assert!(!shown.contains("unproven"), "{shown}");
                        }
                    }
                }
            }
        }
    }
    assert!(settled > 1_000, "{settled}");
}
