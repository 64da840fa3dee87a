//! What is measured, and beside whom: each row is a tree, the commands of every tool, and what ketch is to reach.

use std::path::{Path, PathBuf};

/// A goal of a row: one contestant takes at most this share of the time of another, and at most this memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// Of whom it is asked.
    pub(crate) tool: &'static str,
    pub(crate) peer: &'static str,
    /// `None`: no time is asked for.
    pub(crate) ratio: Option<f64>,
    pub(crate) milliseconds: Option<u64>,
    pub(crate) peak_mib: Option<u64>,
}

impl Goal {
    pub(crate) const fn new(peer: &'static str, ratio: f64) -> Self {
        Goal { tool: "ketch", peer, ratio: Some(ratio), milliseconds: None, peak_mib: None }
    }

    const fn of(self, tool: &'static str) -> Self {
        Goal { tool, ..self }
    }

    pub(crate) const fn below_mib(self, peak_mib: u64) -> Self {
        Goal { peak_mib: Some(peak_mib), ..self }
    }
}

/// What a row works on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data {
    /// Folders, files in each, bytes of each.
    Tree(u64, u64, u64),
    /// So many bytes in files of many sizes.
    Mixed(u64),
}

/// What the destination is before each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing; and afterwards it is proven to be equal.
    Absent,
    /// Nothing, and nothing is to be there afterwards.
    Unused,
    /// A right copy with equal times.
    Copied,
}

/// One tool in a row.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    pub(crate) tool: &'static str,
    /// With `SRC` and `DST` for the two folders.
    pub(crate) command: &'static str,
    /// What it compares before and verifies after.
    pub(crate) verifies: &'static str,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) data: Data,
    pub(crate) before: Before,
    /// The first is the one whose peer the ratios are of.
    pub(crate) goals: Vec<Goal>,
    pub(crate) contestants: Vec<Contestant>,
    /// One of a series that is shown together, by so many entries.
    pub(crate) growth: Option<u64>,
}

impl Contestant {
    /// The command as it is run.
    pub(crate) fn words(&self, ketch: &Path, source: &Path, destination: &Path) -> Vec<String> {
        let word = |word: &str| match word {
            "ketch" => ketch.display().to_string(),
            other => other
                .replace("SRC", &source.display().to_string())
                .replace("DST", &destination.display().to_string()),
        };
        self.command.split(' ').map(word).collect()
    }

    /// The program that must be installed: what `find` runs, if it runs something.
    pub(crate) fn program(&self) -> &'static str {
        let named = self.command.split_once(" -exec ").map_or(self.command, |(_, run)| run);
        named.split(' ').next().unwrap_or_default()
    }
}

/// A tool, its command, and what that compares and verifies.
pub(crate) type Entrant = (&'static str, &'static str, &'static str);

const KETCH_COPY: [Entrant; 4] = [
    (
        "ketch",
        "ketch copy --quiet --fsync none SRC DST",
        "size, and that the source stayed the same before and after",
    ),
    (
        "ketch, syncing",
        "ketch copy --quiet --fsync file SRC DST",
        "the same, and each file is on the disk before it has its name",
    ),
    (
        "ketch, hashing",
        "ketch copy --quiet --fsync none --manifest manifest SRC DST",
        "size; every byte passes through ketch once and is hashed by BLAKE3",
    ),
    (
        "ketch, reading back",
        "ketch copy --quiet --fsync none --verify read-back SRC DST",
        "every byte of both sides is read again and hashed by BLAKE3",
    ),
];
const PEERS_COPY: [Entrant; 6] = [
    ("cp", "cp -r --preserve=timestamps SRC DST", "nothing"),
    ("rsync", "rsync -rt SRC/ DST", "a digest of what it sends, not of what is on the disk"),
    ("rclone", "rclone copy SRC DST", "MD5 of both sides while it copies"),
    (
        "rclone, tuned",
        "rclone copy --transfers 16 --checkers 16 SRC DST",
        "MD5 of both sides while it copies",
    ),
    ("juicefs", "juicefs sync SRC/ DST/", "nothing; compares by size alone"),
    ("xcp", "xcp -r SRC DST", "nothing"),
];
const SYNC: [Entrant; 4] = [
    ("ketch", "ketch sync --quiet SRC DST", "compares size and time"),
    ("rsync", "rsync -rt --delete SRC/ DST", "compares size and time"),
    ("rclone", "rclone sync SRC DST", "compares size and time"),
    ("juicefs", "juicefs sync --delete-dst SRC/ DST/", "compares size alone"),
];
/// Without the digests of the run before: else nothing is read.
const CHECK: Entrant =
    ("ketch", "ketch check --quiet --no-cache SRC DST", "every byte of both sides is compared");
const RCLONE_CHECK: Entrant =
    ("rclone", "rclone check SRC DST", "every byte of both sides is read and hashed by MD5");
const DIFF: Entrant = ("diff", "diff -rq SRC DST", "every byte of both sides is compared");
const JUICEFS_CHECK: Entrant =
    ("juicefs", "juicefs sync --check-all SRC/ DST/", "every byte of both sides is compared");

pub(crate) fn contestants(lists: &[&[Entrant]]) -> Vec<Contestant> {
    let all = lists.iter().flat_map(|list| list.iter());
    all.map(|(tool, command, verifies)| Contestant { tool, command, verifies }).collect()
}

/// All rows; `small` divides the amounts by 20, to see that everything runs. `huge`: also a tree of ten million files.
pub(crate) fn rows(small: bool, huge: bool) -> Vec<Row> {
    let scale = if small { 20 } else { 1 };
    let mut rows = Vec::from(copies(scale));
    rows.extend(syncs(scale));
    rows.extend(checks(scale));
    rows.extend(manifests(scale));
    rows.extend(starts());
    rows.extend(growth(scale, huge));
    rows
}

fn row(name: &'static str, about: &str, data: Data, before: Before, goals: Vec<Goal>) -> Row {
    let about = about.to_owned();
    Row { name, about, data, before, goals, contestants: Vec::new(), growth: None }
}

fn copies(scale: u64) -> [Row; 3] {
    let contestants = contestants(&[&KETCH_COPY, &PEERS_COPY]);
    let copy = |name, about, data, goals| Row {
        contestants: contestants.clone(),
        ..row(name, about, data, Before::Absent, goals)
    };
    let hashing = |ratio| Goal::new("rclone", ratio).of("ketch, hashing");
    [
        copy(
            "copy-small",
            "copy 20 000 files of 4 KiB in 200 folders",
            Data::Tree(200 / scale, 100, 4096),
            vec![Goal::new("cp", 0.6)],
        ),
        copy(
            "copy-mixed",
            "copy 2 GiB in files of log-normal sizes",
            Data::Mixed((2 << 30) / scale),
            vec![Goal::new("cp", 0.6), hashing(0.2)],
        ),
        copy(
            "copy-large",
            "copy one file of 4 GiB",
            Data::Tree(1, 1, (4 << 30) / scale),
            vec![Goal::new("cp", 1.0), hashing(0.4)],
        ),
    ]
}

fn syncs(scale: u64) -> [Row; 2] {
    let sync = |name, about, data, ratio| Row {
        contestants: contestants(&[&SYNC]),
        ..row(name, about, data, Before::Copied, vec![Goal::new("rsync", ratio).below_mib(64)])
    };
    [
        sync(
            "sync-folders",
            "sync 1 000 000 files in 1 000 folders, nothing to do",
            Data::Tree(1000 / scale, 1000, 1),
            0.4,
        ),
        sync(
            "sync-one-folder",
            "sync 200 000 files in one folder, nothing to do",
            Data::Tree(1, 200_000 / scale, 1),
            0.6,
        ),
    ]
}

fn checks(scale: u64) -> [Row; 4] {
    let check = |name, about, data, goal, peers: &[Entrant]| Row {
        contestants: contestants(&[&[CHECK], peers]),
        ..row(name, about, data, Before::Copied, vec![goal])
    };
    let cmp = (
        "cmp",
        "cmp SRC/folder-00000/file-0000000.dat DST/folder-00000/file-0000000.dat",
        "every byte of both sides is compared",
    );
    [
        check(
            "check-large",
            "check one file of 2 GiB against a copy",
            Data::Tree(1, 1, (2 << 30) / scale),
            Goal::new("cmp", 0.4),
            &[cmp, RCLONE_CHECK, JUICEFS_CHECK],
        ),
        check(
            "check-mixed",
            "check 2 GiB in files of log-normal sizes against a copy",
            Data::Mixed((2 << 30) / scale),
            Goal::new("diff", 0.4),
            &[DIFF, RCLONE_CHECK, JUICEFS_CHECK],
        ),
        check(
            "check-small",
            "check 20 000 files of 4 KiB in 200 folders against a copy",
            Data::Tree(200 / scale, 100, 4096),
            Goal::new("diff", 0.6),
            &[DIFF, RCLONE_CHECK, JUICEFS_CHECK],
        ),
        Row {
            contestants: contestants(&[&[
                (
                    "ketch",
                    "ketch check --quiet SRC DST",
                    "remembered digests of files whose inode, size and times are unchanged",
                ),
                ("find", "find SRC DST -size +100M", "nothing: it looks at every entry"),
            ]]),
            ..row(
                "check-again",
                "check 1 000 000 files in 1 000 folders that were checked before",
                Data::Tree(1000 / scale, 1000, 1),
                Before::Copied,
                vec![Goal::new("find", 1.0)],
            )
        },
    ]
}

fn manifests(scale: u64) -> [Row; 2] {
    let manifest = |name, about, data| Row {
        contestants: contestants(&[&[
            (
                "ketch",
                "ketch manifest create --quiet --no-cache SRC -o manifest",
                "every byte is hashed by BLAKE3",
            ),
            ("b3sum", "find SRC -type f -exec b3sum {} +", "every byte is hashed by BLAKE3"),
        ]]),
        ..row(name, about, data, Before::Unused, vec![Goal::new("b3sum", 1.1)])
    };
    [
        manifest(
            "manifest-large",
            "manifest of one file of 4 GiB",
            Data::Tree(1, 1, (4 << 30) / scale),
        ),
        manifest(
            "manifest-small",
            "manifest of 20 000 files of 4 KiB in 200 folders",
            Data::Tree(200 / scale, 100, 4096),
        ),
    ]
}

fn starts() -> [Row; 2] {
    // What a person waits for at most, whatever others do.
    let goal =
        Goal { ratio: None, milliseconds: Some(10), ..Goal::new("ketch", 1.0).below_mib(10) };
    [
        Row {
            contestants: contestants(&[&[
                ("ketch", "ketch --version", ""),
                ("rsync", "rsync --version", ""),
                ("rclone", "rclone --version", ""),
                ("juicefs", "juicefs --version", ""),
                ("xcp", "xcp --version", ""),
            ]]),
            ..row(
                "start",
                "start and say the version",
                Data::Tree(1, 1, 1),
                Before::Copied,
                vec![goal],
            )
        },
        Row {
            contestants: contestants(&[&KETCH_COPY[..2], &PEERS_COPY]),
            ..row(
                "tiny",
                "copy one file of one byte",
                Data::Tree(1, 1, 1),
                Before::Absent,
                vec![goal],
            )
        },
    ]
}

/// The same work on more and more entries. Of ten million, both sides have five million: twenty million are more than the
/// machines at hand can hold.
fn growth(scale: u64, huge: bool) -> Vec<Row> {
    let sizes = [10_000, 100_000, 1_000_000, 5_000_000];
    sizes
        .into_iter()
        .filter(|files| huge || *files <= 1_000_000)
        .map(|files: u64| {
            let files = files / scale;
            Row {
                contestants: contestants(&[&SYNC[..1]]),
                growth: Some(files),
                ..row(
                    "growth",
                    &format!("sync {files} files in folders of 500, nothing to do"),
                    Data::Tree(files / 500, 500, 0),
                    Before::Copied,
                    Vec::new(),
                )
            }
        })
        .collect()
}

/// Where a row's data lies below `folder`.
pub(crate) fn places(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("source"), folder.join("destination"))
}
