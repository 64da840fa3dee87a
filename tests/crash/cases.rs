//! The jobs that are killed: between which places, with which verb, with which files, and what is wanted in the end.

use std::collections::BTreeMap;
use std::fmt;

/// Files by path.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Local,
    Fichier,
}

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Copy,
    Sync,
    Move,
}

impl Verb {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Copy => "copy",
            Verb::Sync => "sync",
            Verb::Move => "move",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub verb: Verb,
    pub from: Side,
    pub to: Side,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |side| match side {
            Side::Local => "local",
            Side::Fichier => "1fichier",
        };
        write!(formatter, "{}, {} to {}", self.verb.word(), name(self.from), name(self.to))
    }
}

/// Every verb between every pair of places that differ in how they store.
pub const CASES: &[Case] = &[
    Case { verb: Verb::Copy, from: Side::Local, to: Side::Local },
    Case { verb: Verb::Sync, from: Side::Local, to: Side::Local },
    Case { verb: Verb::Move, from: Side::Local, to: Side::Local },
    Case { verb: Verb::Copy, from: Side::Local, to: Side::Fichier },
    Case { verb: Verb::Sync, from: Side::Local, to: Side::Fichier },
    Case { verb: Verb::Move, from: Side::Local, to: Side::Fichier },
    Case { verb: Verb::Copy, from: Side::Fichier, to: Side::Local },
    Case { verb: Verb::Sync, from: Side::Fichier, to: Side::Local },
    Case { verb: Verb::Move, from: Side::Fichier, to: Side::Local },
];

/// What is where before the job.
#[derive(Debug, Clone)]
pub struct Files {
    pub source: Tree,
    pub destination: Tree,
    /// Files that are moved at a time.
    pub transfers: usize,
}

/// What a path may hold at any time, and what it holds in the end.
#[derive(Debug)]
pub struct Wanted {
    /// The source, when all is done.
    pub source: Tree,
    /// The destination, when all is done.
    pub destination: Tree,
    /// The bytes that the job has to move.
    pub moved: u64,
    /// The largest file among them.
    pub largest: u64,
}

impl Files {
    /// A handful of everything: new files, nested folders, one above 1 MiB, one overwrite, one that is the same, deletions.
    pub fn small() -> Files {
        let big: Vec<u8> = (0..1_100_000_u32).map(|number| (number % 251) as u8).collect();
        let tree = |files: &[(&str, &[u8])]| {
            files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect()
        };
        Files {
            source: tree(&[
                ("a.txt", b"new"),
                ("big.bin", &big),
                ("deep/one/x.txt", b"nested"),
                ("deep/y.txt", b"less nested"),
                ("over.txt", b"the new content"),
                ("same.txt", b"same"),
            ]),
            destination: tree(&[
                ("gone/z.txt", b"not in the source"),
                ("gone.txt", b"not in the source either"),
                ("over.txt", b"the old one"),
                ("same.txt", b"same"),
            ]),
            transfers: 1,
        }
    }

    /// One file of several parts: three of a copy within the machine, nine of a download.
    pub fn large(random: &mut fastrand::Rng) -> Files {
        let mut large = vec![0; 150 << 20];
        // Enough to tell the parts from each other, and quick.
        large
            .chunks_mut(4096)
            .for_each(|page| page[..8].copy_from_slice(&random.u64(..).to_ne_bytes()));
        let source = Tree::from([("large".to_owned(), large)]);
        Files { source, destination: Tree::new(), transfers: 1 }
    }

    /// Something larger by chance: 24 files of up to 200 000 bytes and one of 5 MiB, a third of them overwrites, four at a
    /// time.
    pub fn random(random: &mut fastrand::Rng) -> Files {
        let mut files = Files { source: Tree::new(), destination: Tree::new(), transfers: 4 };
        let mut content = |size: usize| -> Vec<u8> {
            let mut bytes = vec![0; size];
            random.fill(&mut bytes);
            bytes
        };
        for number in 0..24_usize {
            let path = format!("d{}/e{}/f{number}", number % 3, number % 2);
            // Never of one size, so that no edit hides behind equal sizes.
            let size = 1 + (number * 7919 * 13) % 200_000;
            files.source.insert(path.clone(), content(size));
            if number % 3 == 0 {
                files.destination.insert(path, content(size + 1));
            }
            if number % 4 == 0 {
                files.destination.insert(format!("d1/extra {number}"), content(100));
            }
        }
        files.source.insert("large".to_owned(), content(5 << 20));
        files
    }

    /// What `verb` makes of them.
    pub fn wanted(&self, verb: Verb) -> Wanted {
        let mut destination = match verb {
            Verb::Copy | Verb::Move => self.destination.clone(),
            Verb::Sync => Tree::new(),
        };
        let source = match verb {
            Verb::Copy | Verb::Sync => self.source.clone(),
            Verb::Move => Tree::new(),
        };
        destination.extend(self.source.clone());
        let missing =
            |(path, content): &(&String, &Vec<u8>)| self.destination.get(*path) != Some(*content);
        let sizes = self.source.iter().filter(missing).map(|(_, content)| content.len() as u64);
        let (moved, largest) = (sizes.clone().sum(), sizes.max().unwrap_or(0));
        Wanted { source, destination, moved, largest }
    }
}
