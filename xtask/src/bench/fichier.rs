//! The rows of 1fichier: one large file through the emulator, beside curl.
//!
//! The emulator takes no digests here and is told what to say (`POST /__sim/digest`), so that it is not what is measured.
//! curl gets its upload server and its download address before the clock runs; ketch asks for them by itself. A proof by
//! Whirlpool cannot be spread over several cores, so what Whirlpool alone takes stands beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Options;
use super::data::{difference, make_tree};
use super::measure::{Run, is_installed, median, run};
use super::rows::{Before, Data, Entrant, Goal, Row, contestants, places};
use super::table::Measured;
use crate::fichier::{Emulator, KEY};

const BYTES: u64 = 2 << 30;
/// Where [`make_tree`] puts the only file.
const FILE: &str = "folder-00000/file-0000000.dat";

/// As they are run, with `BOX` for a place on the emulator.
const HASHING: &str = "ketch hashsum --quiet --no-cache whirlpool SRC";
const BY_SIZE: &str = "name and size";
const BY_DIGEST: &str = "Whirlpool of what is sent or comes, against what 1fichier says";
const ALONE: &str = "nothing: it is what the digest costs";
const UP: [Entrant; 4] = [
    ("ketch", "ketch copy --quiet --verify size SRC BOX:up", BY_SIZE),
    ("ketch, hashing", "ketch copy --quiet SRC BOX:up", BY_DIGEST),
    ("whirlpool alone", HASHING, ALONE),
    ("curl", "curl -sS -H AUTHORIZATION -F did=0 -F file[]=@SRC/FILE SERVER", "nothing"),
];
const DOWN: [Entrant; 4] = [
    ("ketch", "ketch copy --quiet --fsync none --verify size BOX:down DST", BY_SIZE),
    ("ketch, hashing", "ketch copy --quiet --fsync none BOX:down DST", BY_DIGEST),
    ("whirlpool alone", HASHING, ALONE),
    ("curl", "curl -sS --create-dirs -o DST/FILE TOKEN", "nothing"),
];

/// Measures the rows that are wanted. Without curl there is nothing to compare with, and they are left out.
pub(super) fn measure(
    options: &Options,
    ketch: &Path,
    scratch: &Path,
) -> Result<Vec<Measured>, String> {
    let bytes = if options.is_small { BYTES / 20 } else { BYTES };
    let row = |name, about: &str, entrants: &[Entrant]| Row {
        name,
        about: about.to_owned(),
        data: Data::Tree(1, 1, bytes),
        before: Before::Absent,
        // At least 60 % of the rate of curl.
        goals: vec![Goal::new("curl", 1.66).below_mib(64)],
        contestants: contestants(&[entrants])
            .into_iter()
            .filter(|contestant| !options.without.iter().any(|tool| tool == contestant.tool))
            .collect(),
        growth: None,
    };
    let mut rows = vec![
        row("fichier-up", "one file of 2 GiB to 1fichier (the emulator)", &UP),
        row("fichier-down", "one file of 2 GiB from 1fichier (the emulator)", &DOWN),
    ];
    if let Some(only) = &options.only {
        rows.retain(|row| only.iter().any(|name| name == row.name));
    }
    if rows.is_empty() || !is_installed("curl") {
        return Ok(Vec::new());
    }
    let folder = scratch.join("fichier");
    let place = Place::new(ketch, &folder, bytes)?;
    let measured = rows.into_iter().map(|row| place.measure(row, options.rounds)).collect();
    drop(place);
    if !options.keeps {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    measured
}

/// A running emulator, and the file.
struct Place<'a> {
    ketch: &'a Path,
    folder: PathBuf,
    emulator: Emulator,
}

impl<'a> Place<'a> {
    fn new(ketch: &'a Path, folder: &Path, bytes: u64) -> Result<Self, String> {
        let (source, _) = places(folder);
        eprintln!("1fichier: making data");
        make_tree(&source, super::SEED, 1, 1, bytes).map_err(|error| error.to_string())?;
        let file = source.join(FILE);
        let sum = told(Command::new(ketch).args(["hashsum", "--no-cache", "whirlpool"]).arg(file))?;
        let digest = sum.split_whitespace().next().unwrap_or_default().to_owned();
        let emulator = Emulator::start(ketch, &folder.join("sim"))?;
        let place = Place { ketch, folder: folder.to_owned(), emulator };
        let base = place.emulator.api_url.trim_end_matches("/v1").to_owned();
        place.curl(&["-d", &digest, &format!("{base}/__sim/digest")])?;
        Ok(place)
    }

    fn measure(&self, row: Row, rounds: usize) -> Result<Measured, String> {
        eprintln!("{}", row.about);
        let (source, destination) = places(&self.folder);
        let is_up = row.name == "fichier-up";
        if !is_up {
            self.ketch(&["copy", "--quiet", "--verify", "size", "SRC", "BOX:down"])?;
        }
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); row.contestants.len()];
        for round in 0..=rounds {
            for (contestant, runs) in row.contestants.iter().zip(&mut runs) {
                let (server, token) = match (contestant.tool, is_up) {
                    ("curl", true) => (self.server()?, String::new()),
                    ("curl", false) => (String::new(), self.token()?),
                    _ => Default::default(),
                };
                let words = contestant.command.split(' ').map(|word| match word {
                    "AUTHORIZATION" => format!("Authorization: Bearer {KEY}"),
                    word => self.word(word).replace("SERVER", &server).replace("TOKEN", &token),
                });
                let words: Vec<String> = words.collect();
                let one = run(&words, &self.folder, &self.folder.join("home"))?;
                eprintln!("  {:15} {:8.3} s", contestant.tool, one.seconds);
                if round > 0 {
                    runs.push(one);
                }
                if contestant.tool == "whirlpool alone" {
                    continue;
                }
                match is_up {
                    true if contestant.tool == "curl" => self.remove(&server)?,
                    true => self.ketch(&["purge", "--quiet", "BOX:up"])?,
                    false => {
                        let wrong = (round == 0).then(|| difference(&source, &destination));
                        if let Some(wrong) = wrong.transpose().map_err(|error| error.to_string())?
                            && let Some(wrong) = wrong
                        {
                            return Err(format!("{}: {wrong}", contestant.tool));
                        }
                        fs::remove_dir_all(&destination).map_err(|error| error.to_string())?;
                    }
                }
            }
        }
        let results = runs.iter().map(|runs| median(runs));
        let results = row.contestants.iter().cloned().zip(results).collect();
        Ok(Measured { row, results })
    }

    /// A word of a command with what it stands for.
    fn word(&self, word: &str) -> String {
        let (source, destination) = places(&self.folder);
        let url = &self.emulator.api_url;
        match word {
            "ketch" => self.ketch.display().to_string(),
            word => word
                .replace("BOX", &format!(":fichier,api_key={KEY},api_url=\"{url}\",pace=off"))
                .replace("SRC", &source.display().to_string())
                .replace("DST", &destination.display().to_string())
                .replace("FILE", FILE),
        }
    }

    fn ketch(&self, words: &[&str]) -> Result<(), String> {
        let words: Vec<String> =
            ["ketch"].iter().chain(words).map(|word| self.word(word)).collect();
        run(&words, &self.folder, &self.folder.join("home")).map(drop)
    }

    fn curl(&self, words: &[&str]) -> Result<String, String> {
        told(Command::new("curl").args(["-sS", "--fail"]).args(words))
    }

    fn call(&self, verb: &str, body: &str) -> Result<String, String> {
        let url = format!("{}/{verb}.cgi", self.emulator.api_url);
        let key = format!("Authorization: Bearer {KEY}");
        self.curl(&["-H", &key, "-H", "Content-Type: application/json", "-d", body, &url])
    }

    /// Where an upload goes.
    fn server(&self) -> Result<String, String> {
        let answer = self.call("upload/get_upload_server", "{}")?;
        Ok(format!("http://{}/upload.cgi?id={}", field(&answer, "url")?, field(&answer, "id")?))
    }

    /// Removes what was uploaded to `server`.
    fn remove(&self, server: &str) -> Result<(), String> {
        let report =
            self.curl(&["-H", "JSON: 1", &server.replace("upload.cgi?id", "end.pl?xid")])?;
        let link = field(&report, "download")?;
        self.call("file/rm", &format!("{{\"files\":[{{\"url\":\"{link}\"}}]}}")).map(drop)
    }

    /// Where the file comes from.
    fn token(&self) -> Result<String, String> {
        let place = self.word(&format!("BOX:down/{FILE}"));
        let link = told(Command::new(self.ketch).args(["link", &place]))?;
        let answer =
            self.call("download/get_token", &format!("{{\"url\":\"{}\"}}", link.trim()))?;
        field(&answer, "url")
    }
}

/// The text of a field of an answer in JSON that has no escapes in it.
fn field(answer: &str, name: &str) -> Result<String, String> {
    let after = answer.split_once(&format!("\"{name}\":\"")).map(|(_, after)| after);
    let text = after.and_then(|after| after.split('"').next());
    text.map(str::to_owned).ok_or_else(|| format!("no `{name}` in {answer}"))
}

/// What a command prints. `Err`: it failed.
fn told(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
