//! What is measured, and beside whom: each row is a tree, the commands of every tool, and what ketch is to reach.

use std::path::{Path, PathBuf};

/// The goal of a row: at most this share of the time of a peer, and at most this memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) peer: &'static str,
    pub(crate) ratio: f64,
    pub(crate) peak_mib: Option<u64>,
}

/// What a row works on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data {
    /// Folders, files in each, bytes of each.
    Tree(u64, u64, u64),
    /// About so many bytes in files of many sizes.
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
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) data: Data,
    pub(crate) before: Before,
    pub(crate) goal: Goal,
    pub(crate) contestants: Vec<Contestant>,
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

const KETCH_COPY: [(&str, &str); 2] = [
    ("ketch", "ketch copy --quiet --fsync none SRC DST"),
    ("ketch, syncing", "ketch copy --quiet --fsync file SRC DST"),
];
const PEERS_COPY: [(&str, &str); 4] = [
    ("cp", "cp -r --preserve=timestamps SRC DST"),
    ("rsync", "rsync -rt SRC/ DST"),
    ("rclone", "rclone copy SRC DST"),
    ("xcp", "xcp -r SRC DST"),
];
const SYNC: [(&str, &str); 3] = [
    ("ketch", "ketch sync --quiet SRC DST"),
    ("rsync", "rsync -rt --delete SRC/ DST"),
    ("rclone", "rclone sync SRC DST"),
];

fn contestants(lists: &[&[(&'static str, &'static str)]]) -> Vec<Contestant> {
    let all = lists.iter().flat_map(|list| list.iter());
    all.map(|(tool, command)| Contestant { tool, command }).collect()
}

/// All rows; `small` divides the amounts by 20, to see that everything runs.
pub(crate) fn rows(small: bool) -> Vec<Row> {
    let scale = if small { 20 } else { 1 };
    let copies = contestants(&[&KETCH_COPY, &PEERS_COPY]);
    let check = ("ketch", "ketch check --quiet SRC DST");
    let manifest = contestants(&[&[
        ("ketch", "ketch manifest create --quiet --no-cache SRC -o manifest"),
        ("b3sum", "find SRC -type f -exec b3sum {} +"),
    ]]);
    let goal = |peer, ratio| Goal { peer, ratio, peak_mib: None };
    let bounded = |peer, ratio| Goal { peer, ratio, peak_mib: Some(64) };
    vec![
        Row {
            name: "copy-small",
            about: "copy 20 000 files of 4 KiB in 200 folders",
            data: Data::Tree(200 / scale, 100, 4096),
            before: Before::Absent,
            goal: goal("cp", 0.6),
            contestants: copies.clone(),
        },
        Row {
            name: "copy-mixed",
            about: "copy 2 GiB in files of 4 KiB to 64 MiB",
            data: Data::Mixed((2 << 30) / scale),
            before: Before::Absent,
            goal: goal("cp", 0.6),
            contestants: copies.clone(),
        },
        Row {
            name: "copy-large",
            about: "copy one file of 4 GiB",
            data: Data::Tree(1, 1, (4 << 30) / scale),
            before: Before::Absent,
            goal: goal("cp", 1.0),
            contestants: copies,
        },
        Row {
            name: "sync-folders",
            about: "sync 1 000 000 files in 1 000 folders, nothing to do",
            data: Data::Tree(1000 / scale, 1000, 1),
            before: Before::Copied,
            goal: bounded("rsync", 0.4),
            contestants: contestants(&[&SYNC]),
        },
        Row {
            name: "sync-one-folder",
            about: "sync 200 000 files in one folder, nothing to do",
            data: Data::Tree(1, 200_000 / scale, 1),
            before: Before::Copied,
            goal: bounded("rsync", 0.6),
            contestants: contestants(&[&SYNC]),
        },
        Row {
            name: "check-large",
            about: "check one file of 2 GiB against a copy",
            data: Data::Tree(1, 1, (2 << 30) / scale),
            before: Before::Copied,
            goal: goal("cmp", 0.4),
            contestants: contestants(&[&[
                check,
                ("cmp", "cmp SRC/folder-00000/file-0000000.dat DST/folder-00000/file-0000000.dat"),
                ("rclone", "rclone check SRC DST"),
            ]]),
        },
        Row {
            name: "check-mixed",
            about: "check 2 GiB in files of 4 KiB to 64 MiB against a copy",
            data: Data::Mixed((2 << 30) / scale),
            before: Before::Copied,
            goal: goal("diff", 0.4),
            contestants: contestants(&[&[
                check,
                ("diff", "diff -rq SRC DST"),
                ("rclone", "rclone check SRC DST"),
            ]]),
        },
        Row {
            name: "check-small",
            about: "check 20 000 files of 4 KiB in 200 folders against a copy",
            data: Data::Tree(200 / scale, 100, 4096),
            before: Before::Copied,
            goal: goal("diff", 0.6),
            contestants: contestants(&[&[
                check,
                ("diff", "diff -rq SRC DST"),
                ("rclone", "rclone check SRC DST"),
            ]]),
        },
        Row {
            name: "check-again",
            about: "check 1 000 000 files in 1 000 folders that were checked before",
            data: Data::Tree(1000 / scale, 1000, 1),
            before: Before::Copied,
            goal: goal("find", 1.0),
            contestants: contestants(&[&[check, ("find", "find SRC DST -size +100M")]]),
        },
        Row {
            name: "manifest-large",
            about: "manifest of one file of 4 GiB",
            data: Data::Tree(1, 1, (4 << 30) / scale),
            before: Before::Unused,
            goal: goal("b3sum", 1.1),
            contestants: manifest.clone(),
        },
        Row {
            name: "manifest-small",
            about: "manifest of 20 000 files of 4 KiB in 200 folders",
            data: Data::Tree(200 / scale, 100, 4096),
            before: Before::Unused,
            goal: goal("b3sum", 1.1),
            contestants: manifest,
        },
        Row {
            name: "start",
            about: "start and say the version",
            data: Data::Tree(1, 1, 1),
            before: Before::Copied,
            goal: Goal { peer: "ketch", ratio: 1.0, peak_mib: Some(10) },
            contestants: contestants(&[&[
                ("ketch", "ketch --version"),
                ("rsync", "rsync --version"),
                ("rclone", "rclone --version"),
            ]]),
        },
    ]
}

/// Where a row's data lies below `folder`.
pub(crate) fn places(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("source"), folder.join("destination"))
}
