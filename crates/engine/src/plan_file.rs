//! A plan as a file of its own: what a job would do, to be read, kept, and applied later.
//!
//! JSON lines. The first line says what the plan is for. Then comes one line for each action, in the order of execution.
//! The last line has the totals and the BLAKE3 of every byte before it, so that a plan that was cut or edited is not
//! applied. The format is described in docs/PLAN.md; fields are only ever added.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ketch_core::{Error, ErrorKind, Hint, Result};
use serde::{Deserialize, Serialize};

use crate::kind::JobKind;
use crate::plan::Planned;

/// The version of the format. Raised when a field gets another meaning.
const VERSION: u32 = 1;
/// No line of a plan is longer.
const LINE_LIMIT: u64 = 16 * 1024 * 1024;

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanHeader {
    v: u32,
    /// What is to be done.
    pub kind: JobKind,
    /// Where the files come from, as it was typed, with option values hidden.
    pub source: String,
    /// Where they go.
    pub destination: String,
    /// Where the source is, to be compared when the plan is applied.
    pub source_location: String,
    /// Where the destination is.
    pub destination_location: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl PlanHeader {
    /// The header of a plan that is made now.
    pub fn new(
        kind: JobKind,
        places: (String, String),
        locations: (String, String),
        created: u64,
    ) -> Self {
        PlanHeader {
            v: VERSION,
            kind,
            source: places.0,
            destination: places.1,
            source_location: locations.0,
            destination_location: locations.1,
            created,
        }
    }
}

/// The totals of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTotals {
    /// Actions, including those that only report something.
    pub items: u64,
    /// Files to transfer.
    pub copies: u64,
    /// Bytes to transfer.
    pub bytes: u64,
    /// Deletions at the destination.
    pub deletions: u64,
    /// Items that cannot be done, or could not be listed or compared.
    pub refused: u64,
    /// Files that the source's listings showed.
    pub source_files: u64,
    /// Entries that the destination's listings showed.
    pub destination_entries: u64,
    /// Files that need nothing.
    pub unchanged: u64,
    /// Why a limit would stop the plan now; `None` = no limit would.
    pub over_limit: Option<String>,
}

#[expect(clippy::large_enum_variant, reason = "there is one line at a time")]
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Plan(PlanHeader),
    Action {
        seq: u64,
        #[serde(flatten)]
        planned: Cow<'a, Planned>,
    },
    Totals {
        #[serde(flatten)]
        totals: PlanTotals,
        digest: String,
    },
}

/// Writes a plan.
#[derive(Debug)]
pub struct PlanWriter<W> {
    out: W,
    hasher: blake3::Hasher,
    totals: PlanTotals,
}

impl<W: Write> PlanWriter<W> {
    /// Begins with the header.
    pub fn new(out: W, header: &PlanHeader) -> io::Result<Self> {
        let mut writer =
            PlanWriter { out, hasher: blake3::Hasher::new(), totals: PlanTotals::default() };
        writer.line(&Line::Plan(header.clone()))?;
        Ok(writer)
    }

    /// Adds an action.
    pub fn push(&mut self, planned: &Planned) -> io::Result<()> {
        let seq = self.totals.items;
        self.totals.items += 1;
        self.totals.bytes = self.totals.bytes.saturating_add(planned.bytes());
        match planned {
            Planned::Copy { .. } => self.totals.copies += 1,
            Planned::Delete { .. } => self.totals.deletions += 1,
            Planned::Refuse { .. } => self.totals.refused += 1,
            _ => {}
        }
        self.line(&Line::Action { seq, planned: Cow::Borrowed(planned) })
    }

    /// Ends the plan with its totals. It counts the planned items itself; the numbers of listed entries come from `seen`.
    pub fn finish(mut self, seen: PlanTotals) -> io::Result<(W, PlanTotals)> {
        let totals = PlanTotals {
            source_files: seen.source_files,
            destination_entries: seen.destination_entries,
            unchanged: seen.unchanged,
            over_limit: seen.over_limit,
            ..self.totals.clone()
        };
        let digest = self.hasher.finalize().to_hex().to_string();
        self.line(&Line::Totals { totals: totals.clone(), digest })?;
        self.out.flush()?;
        Ok((self.out, totals))
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.hasher.update(&text);
        self.out.write_all(&text)
    }
}

/// A plan that was read to its end once and is whole.
#[derive(Debug)]
pub struct PlanFile {
    /// What it is of.
    pub header: PlanHeader,
    /// Its totals.
    pub totals: PlanTotals,
    /// The digest of the whole plan, which identifies it.
    pub digest: String,
    file: File,
}

impl PlanFile {
    /// Opens a plan and checks that it is whole.
    ///
    /// Errors: `NotFound`; `InvalidInput` that says what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Io,
            };
            Error::new(kind, format!("{}: {error}", path.display()))
        })?;
        PlanFile::of(file).map_err(|error| {
            let text = format!("{}: {}", path.display(), error.message());
            Error::new(error.kind(), text).with_hint_of(&error).with_operation("read the plan")
        })
    }

    fn of(file: File) -> Result<Self> {
        let mut lines = Lines { reader: BufReader::new(&file), text: Vec::new() };
        let mut hasher = blake3::Hasher::new();
        let Some(Line::Plan(header)) = lines.next()? else {
            return Err(refuse("it is no plan of ketch").with_hint(Hint::MakePlan));
        };
        if header.v > VERSION {
            return Err(refuse(format!(
                "its format is {} and this ketch knows {VERSION}",
                header.v
            )));
        }
        hasher.update(&lines.text);
        let mut items = 0;
        let (totals, digest) = loop {
            match lines.next()? {
                Some(Line::Action { .. }) => items += 1,
                Some(Line::Totals { totals, digest }) => break (totals, digest),
                Some(Line::Plan(_)) => return Err(refuse("it has two headers")),
                None => return Err(refuse("it was cut: its totals are missing")),
            }
            hasher.update(&lines.text);
        };
        let expected = hasher.finalize().to_hex();
        if totals.items != items || expected.as_str() != digest {
            return Err(refuse("it was changed after it was made (make a new one)"));
        }
        if lines.next()?.is_some() {
            return Err(refuse("there is something behind its totals"));
        }
        Ok(PlanFile { header, totals, digest, file })
    }

    /// Hands every action to `take`, in the order of execution, until `take` fails.
    pub fn for_each(&mut self, mut take: impl FnMut(Planned) -> Result<()>) -> Result<()> {
        let rewound = (&self.file).seek(SeekFrom::Start(0));
        rewound.map_err(|error| refuse(format!("it cannot be read: {error}")))?;
        let mut lines = Lines { reader: BufReader::new(&self.file), text: Vec::new() };
        while let Some(line) = lines.next()? {
            if let Line::Action { planned, .. } = line {
                take(planned.into_owned())?;
            }
        }
        Ok(())
    }
}

struct Lines<R> {
    reader: R,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line<'static>>> {
        self.text.clear();
        let mut limited = (&mut self.reader).take(LINE_LIMIT);
        limited
            .read_until(b'\n', &mut self.text)
            .map_err(|error| refuse(format!("it cannot be read: {error}")))?;
        if self.text.is_empty() {
            return Ok(None);
        }
        if self.text.last() != Some(&b'\n') {
            return Err(refuse("it was cut in the middle of a line"));
        }
        serde_json::from_slice(&self.text)
            .map(Some)
            .map_err(|error| refuse(format!("a line of it is no line of a plan ({error})")))
    }
}

fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::{Entry, RelPath};
    use proptest::prelude::*;

    fn header() -> PlanHeader {
        let text = |text: &str| text.to_owned();
        let (places, locations) = ((text("a"), text("b:")), (text("local:/a"), text("fichier:b")));
        PlanHeader::new(JobKind::Sync, places, locations, 7)
    }

    fn sample() -> Vec<Planned> {
        let path = |text: &str| RelPath::new(text).expect("legal");
        let entry = Entry::file(path("a"), 3);
        vec![
            Planned::Copy {
                source: entry.clone().into(),
                replaces: None,
                reason: crate::plan::PlannedReason::Missing,
            },
            Planned::MakeDir { path: path("d") },
            Planned::Refuse {
                path: path("x"),
                operation: "list".into(),
                kind: "denied".into(),
                message: "no rights".into(),
                at_source: true,
                hint: None,
            },
            Planned::Delete { entry: entry.into() },
        ]
    }

    fn written() -> Vec<u8> {
        let mut writer = PlanWriter::new(Vec::new(), &header()).expect("writes");
        sample().iter().for_each(|planned| writer.push(planned).expect("writes"));
        let seen = PlanTotals { source_files: 5, ..PlanTotals::default() };
        writer.finish(seen).expect("writes").0
    }

    fn read(text: &[u8]) -> Result<PlanFile> {
        let mut file = tempfile::tempfile().expect("made");
        file.write_all(text).expect("written");
        file.seek(SeekFrom::Start(0)).expect("rewound");
        PlanFile::of(file)
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let mut plan = read(&written()).expect("whole");
        assert_eq!(plan.header, header());
        let totals = PlanTotals {
            items: 4,
            copies: 1,
            bytes: 3,
            deletions: 1,
            refused: 1,
            source_files: 5,
            ..PlanTotals::default()
        };
        assert_eq!(plan.totals, totals);
        for _ in 0..2 {
            let mut found = Vec::new();
            plan.for_each(|planned| {
                found.push(planned);
                Ok(())
            })
            .expect("reads");
            assert_eq!(found, sample());
        }
    }

    #[test]
    fn a_plan_that_was_cut_or_changed_anywhere_is_refused() {
        let whole = written();
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let text = String::from_utf8(whole).expect("text");
        for (from, to) in
            [("\"size\":3", "\"size\":4"), ("\"d\"", "\"e\""), ("\"seq\":1", "\"seq\":9")]
        {
            assert!(text.contains(from), "{from} is in {text}");
            assert!(read(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} became {to}");
        }
        let later = text.replacen("\"v\":1", "\"v\":2", 1);
        let error = read(later.as_bytes()).expect_err("a later version");
        assert!(error.message().contains("its format is 2"), "{error}");
    }

    proptest! {
        #[test]
        fn anything_at_all_is_refused_and_never_a_panic(bytes: Vec<u8>, at in 0_usize..400, byte: u8) {
            prop_assert!(read(&bytes).is_err());
            let mut whole = written();
            let at = at % whole.len();
            whole[at] = byte;
            // A byte may be replaced by itself.
            prop_assert!(read(&whole).is_err() || whole == written());
        }
    }
}
