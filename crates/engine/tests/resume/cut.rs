//! Records that end anywhere: a line that was cut off costs time, and no file.

use super::*;

/// A copy of a job's records in a store of its own.
fn copied(from: &Path) -> Store {
    let store = Store::new();
    let mut waiting = vec![from.to_owned()];
    while let Some(folder) = waiting.pop() {
        let below = folder.strip_prefix(from).unwrap();
        fs::create_dir_all(store.folder.path().join(below)).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => waiting.push(entry.path()),
                false => {
                    let to = store.folder.path().join(below).join(entry.file_name());
                    fs::copy(entry.path(), to).unwrap();
                }
            }
        }
    }
    store
}

fn seeded(name: &str, tree: &BTreeMap<String, bytes::Bytes>) -> Arc<MemoryBackend> {
    let backend = MemoryBackend::new(name);
    seed_all(&backend, tree);
    Arc::new(backend)
}

/// Around every end of a line, and some in between: each cut costs a few forced writes. With `KETCH_CRASH_ALL` everywhere.
fn cuts(text: &[u8]) -> Vec<u64> {
    if std::env::var_os("KETCH_CRASH_ALL").is_some() {
        return (0..=text.len() as u64).collect();
    }
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let around = ends.flat_map(|at| [at, at + 1, at + 5]);
    let mut cuts: Vec<_> = around.chain((0..text.len()).step_by(211)).chain([0]).collect();
    cuts.retain(|cut| *cut <= text.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts.into_iter().map(|cut| cut as u64).collect()
}

#[tokio::test]
async fn a_journal_cut_anywhere_costs_time_and_no_file() {
    for kind in [JobKind::Copy, JobKind::Sync] {
        let store = Store::new();
        let source = MemoryBackend::new("source");
        for (path, content) in
            [("a", "1"), ("d/b", "22"), ("d/c", "333"), ("e/f/g", "4444"), ("z", "5")]
        {
            source.seed(path, content);
        }
        let source = Arc::new(source);
        let destination = MemoryBackend::new("destination");
        destination.seed("d/b", "old content");
        destination.seed("gone/x", "extra");
        let destination = Arc::new(destination);
        let wanted = |kind: JobKind| {
            let mut tree = source.tree();
            if kind == JobKind::Copy {
                tree.insert("gone/x".to_owned(), "extra".into());
            }
            tree
        };
        let journal = store.begin(kind, Earlier::Remember);
        let sides = (source.clone() as Arc<dyn Backend>, destination.clone() as Arc<dyn Backend>);
        let (report, _) = run_until(kind, sides, settings(), Some(journal), 3).await;
        assert!(report.is_open, "{report:?}");
        let left = destination.tree();
        let id = store.jobs().list().unwrap()[0].header.id();
        for name in ["plan", "deletions", "outcomes", "notes"] {
            let path = store.folder.path().join("jobs").join(&id).join(name);
            let text = fs::read(path).unwrap();
            for cut in cuts(&text) {
                let again = copied(store.folder.path());
                let path = again.folder.path().join("jobs").join(&id).join(name);
                fs::File::options().write(true).open(path).unwrap().set_len(cut).unwrap();
                let original = &destination;
                let destination = seeded("destination", &left);
                destination.share_account(original);
                let journal = again.begin(kind, Earlier::Remember);
                let sides =
                    (source.clone() as Arc<dyn Backend>, destination.clone() as Arc<dyn Backend>);
                let checksum = Settings { compare: Compare::Checksum, ..settings() };
                let (report, _) = run_until(kind, sides, checksum, Some(journal), 0).await;
                let what = format!("{kind:?}: {name} cut at {cut} of {}: {report:?}", text.len());
                // What an overwrite left before the cut is recognised by its content, so nothing is torn or lost.
                assert!(report.fatal.is_none(), "{what}");
                if report.failed == 0 {
                    assert_eq!(destination.tree(), wanted(kind), "{what}");
                } else {
                    // The versions of a destination that was copied for this test are others: what was to be replaced is
                    // left alone, and the next run has it.
                    assert!(
                        report.failures.iter().all(|failure| failure.kind == ErrorKind::Changed),
                        "{what}"
                    );
                }
                let sides =
                    (source.clone() as Arc<dyn Backend>, destination.clone() as Arc<dyn Backend>);
                let checksum = Settings { compare: Compare::Checksum, ..settings() };
                let (report, _) = run_until(kind, sides, checksum, None, 0).await;
                assert!(report.is_success(), "{what}: {report:?}");
                assert_eq!(destination.tree(), wanted(kind), "{what}");
            }
        }
    }
}
