//! `cargo xtask bench`: ketch beside the tools people use, on data made from a seed.
//!
//! The tools of a row take turns, so that whatever else the machine does meets all of them alike; the figures are medians,
//! and what counts are the ratios. Every copy is compared with its source byte by byte once. Knows the command line of
//! ketch and no crate of it.

pub(crate) mod data;
mod fichier;
mod measure;
mod rows;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::data::{difference, make_mixed, make_tree};
use self::measure::{Run, is_installed, median, peak_of_short, resolved, run};
use self::rows::{Before, Contestant, Data, Row, places};
use self::table::{Measured, write};

const SEED: u64 = 0x6b65_7463;
/// Seconds of a run whose peak memory the looks from outside are likely to miss.
const SHORT: f64 = 0.1;

const USAGE: &str = "\
usage: cargo xtask bench [--rounds N] [--at FOLDER] [--only ROW[,ROW]] [--small] [--huge] [--write]
                          [--keep] [--binary FILE] [--without TOOL[,TOOL]]

  --rounds N     runs of each tool (default 5; the first one of a row warms up and is not counted)
  --at FOLDER    where the data is made (default /dev/shm)
  --only ROW     only these rows (copy-small, copy-mixed, copy-large, sync-folders, sync-one-folder,
                 check-large, check-mixed, check-small, check-again, manifest-large,
                 manifest-small, start, tiny, growth, fichier-up,
                 fichier-down)
  --small        a twentieth of the data
  --huge         also a sync of five million files on each side (10 million inodes at FOLDER)
  --write        write docs/BENCHMARKS.md; what is written there by hand, below the table, is kept
  --keep         leave the data
  --binary FILE  measure this program instead of building one
  --without TOOL do not run these peers
";

struct Options {
    rounds: usize,
    at: PathBuf,
    only: Option<Vec<String>>,
    is_small: bool,
    is_huge: bool,
    writes: bool,
    keeps: bool,
    binary: Option<PathBuf>,
    without: Vec<String>,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 5,
        at: "/dev/shm".into(),
        only: None,
        is_small: false,
        is_huge: false,
        writes: false,
        keeps: false,
        binary: None,
        without: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--rounds" => {
                options.rounds = value()?.parse().map_err(|_| "--rounds is a number".to_owned())?;
            }
            "--at" => options.at = value()?.into(),
            "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
            "--small" => options.is_small = true,
            "--huge" => options.is_huge = true,
            "--write" => options.writes = true,
            "--binary" => options.binary = Some(value()?.into()),
            "--without" => options.without = value()?.split(',').map(str::to_owned).collect(),
            "--keep" => options.keeps = true,
            other => return Err(format!("there is no `{other}`\n{USAGE}")),
        }
    }
    Ok(options)
}

/// Measures and prints the table. `Err` says what failed.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    let options = options(arguments)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let (ketch, origin) = match &options.binary {
        Some(binary) => (binary.clone(), format!("a program built before ({})", binary.display())),
        None => {
            super::run(&["build", "--release", "--locked", "--package", "ketch-cli"], &[])?;
            let target = std::env::var_os("CARGO_TARGET_DIR");
            let target = target.map_or(root.join("target"), PathBuf::from);
            (target.join("release/ketch"), format!("commit {}", commit()))
        }
    };
    let scratch = options.at.join(format!("ketch-bench-{}", std::process::id()));
    let measured = measure_rows(&options, &ketch, &scratch);
    if !options.keeps {
        let _ = fs::remove_dir_all(&scratch); // What is left lies in a folder of temporary files.
    }
    let text = write(&measured?, &ketch, &origin, &options.at, options.rounds)?;
    eprintln!("{text}");
    if options.writes {
        let file = root.join("docs/BENCHMARKS.md");
        // A page that is not there yet has nothing written by hand.
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, table::with_what_is_kept(&text, &before))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn measure_rows(options: &Options, ketch: &Path, scratch: &Path) -> Result<Vec<Measured>, String> {
    let mut measured = Vec::new();
    for row in rows::rows(options.is_small, options.is_huge) {
        if options.only.as_ref().is_some_and(|only| !only.iter().any(|name| name == row.name)) {
            continue;
        }
        let folder = scratch.join(row.name);
        eprintln!("{}: making data", row.about);
        prepare(&row, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        measured.push(measure_row(&row, options, ketch, &folder)?);
        if !options.keeps {
            fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", row.name))?;
        }
    }
    measured.extend(fichier::measure(options, ketch, scratch)?);
    Ok(measured)
}

fn prepare(row: &Row, folder: &Path) -> std::io::Result<()> {
    let (source, destination) = places(folder);
    fs::create_dir_all(&source)?;
    let make = |root: &Path| match row.data {
        Data::Tree(folders, files, bytes) => make_tree(root, SEED, folders, files, bytes),
        Data::Mixed(total) => make_mixed(root, SEED, total),
    };
    make(&source)?;
    if row.before == Before::Copied {
        make(&destination)?;
    }
    Ok(())
}

fn measure_row(
    row: &Row,
    options: &Options,
    ketch: &Path,
    folder: &Path,
) -> Result<Measured, String> {
    let (source, destination) = places(folder);
    let here: Vec<Contestant> = row
        .contestants
        .iter()
        .filter(|contestant| !options.without.iter().any(|tool| tool == contestant.tool))
        .filter(|contestant| contestant.program() == "ketch" || is_installed(contestant.program()))
        .cloned()
        .collect();
    let command = |contestant: &Contestant| {
        let mut words = contestant.words(ketch, &source, &destination);
        words[0] = resolved(&words[0]);
        words
    };
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); here.len()];
    for round in 0..=options.rounds {
        for (contestant, runs) in here.iter().zip(&mut runs) {
            if row.before == Before::Absent && destination.exists() {
                let cleared = fs::remove_dir_all(&destination);
                cleared.map_err(|error| format!("{}: {error}", destination.display()))?;
            }
            // Of the run before; a manifest is never replaced.
            let _ = fs::remove_file(folder.join("manifest"));
            let words = command(contestant);
            let one = run(&words, folder, &folder.join("home"))?;
            eprintln!("  {:15} {:8.3} s", contestant.tool, one.seconds);
            if round > 0 {
                runs.push(one);
            } else if row.before == Before::Absent {
                let wrong = difference(&source, &destination);
                if let Some(wrong) = wrong.map_err(|error| error.to_string())? {
                    return Err(format!("{}: {wrong}", contestant.tool));
                }
            }
        }
    }
    let mut results: Vec<_> = here.into_iter().zip(runs.iter().map(|runs| median(runs))).collect();
    for (contestant, result) in results.iter_mut().filter(|(_, result)| result.seconds < SHORT) {
        if row.before == Before::Absent {
            // What is not there need not be removed.
            let _ = fs::remove_dir_all(&destination);
        }
        result.peak_kib = peak_of_short(&command(contestant), folder, &folder.join("home"));
    }
    Ok(Measured { row: row.clone(), results })
}

/// The commit that is measured.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
