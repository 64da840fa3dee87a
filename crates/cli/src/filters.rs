//! From filter flags to a [`FilterSpec`]: rule files read, ages made points in time.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ketch_core::names::core_from_bytes;
use ketch_engine::filter::units::parse_duration;
use ketch_engine::filter::{Filter, FilterSpec};

use crate::args::FilterArgs;
use crate::problem::{Problem, Result};
use crate::text_file;
use crate::values::{is_dash, size};

/// Understands the flags; files are read now and ages count from `now`.
pub(crate) fn spec(args: &FilterArgs, now: Timestamp) -> Result<FilterSpec> {
    let age = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| point_in_time(flag, text, now)).transpose()
    };
    let bytes = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| size(flag, text)).transpose()
    };
    let mut files = Files { stdin_taken: false };
    let mut spec = FilterSpec {
        include: args.include.clone(),
        include_from: files.lines(&args.include_from)?,
        exclude: args.exclude.clone(),
        exclude_from: files.lines(&args.exclude_from)?,
        filter: args.filter.clone(),
        filter_from: files.lines(&args.filter_from)?,
        files_from: files.optional_lines(&args.files_from)?,
        files_from_raw: files.optional_lines(&args.files_from_raw)?,
        ignore_case: args.ignore_case,
        min_size: bytes("--min-size", &args.min_size)?,
        max_size: bytes("--max-size", &args.max_size)?,
        modified_after: age("--max-age", &args.max_age)?,
        modified_before: age("--min-age", &args.min_age)?,
        max_depth: args.max_depth,
    };
    names_something(&mut spec)?;
    Ok(spec)
}

/// A list of files that names none asks for nothing, and is a mistake rather than a wish.
fn names_something(spec: &mut FilterSpec) -> Result<()> {
    let flag = match (&spec.files_from, &spec.files_from_raw) {
        (None, None) => return Ok(()),
        (Some(_), _) => "--files-from",
        (None, Some(_)) => "--files-from-raw",
    };
    // Lists may be long: they are lent and given back, and not copied.
    let (files_from, files_from_raw) = (spec.files_from.take(), spec.files_from_raw.take());
    let lists = FilterSpec { files_from, files_from_raw, ..FilterSpec::default() };
    let names_none = Filter::new(&lists).is_ok_and(|lists| lists.listed_files().next().is_none());
    (spec.files_from, spec.files_from_raw) = (lists.files_from, lists.files_from_raw);
    match names_none {
        true => Err(Problem::usage(format!("{flag}: the list names no file"))),
        false => Ok(()),
    }
}

/// Reads rule files, standard input at most once.
struct Files {
    stdin_taken: bool,
}

impl Files {
    fn optional_lines(&mut self, paths: &[PathBuf]) -> Result<Option<Vec<String>>> {
        if paths.is_empty() { Ok(None) } else { self.lines(paths).map(Some) }
    }

    /// All lines. An empty file gives one blank line, which is a rule that asks for nothing.
    fn lines(&mut self, paths: &[PathBuf]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in paths {
            let bytes = self.read(path)?;
            let of_file = bytes.split(|byte| *byte == b'\n');
            lines.extend(
                of_file.map(|line| core_from_bytes(line.strip_suffix(b"\r").unwrap_or(line))),
            );
        }
        Ok(lines)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>> {
        let no_text = |why: String| Problem::usage(format!("{}: {why}", path.display()));
        if !is_dash(path) {
            let bytes = std::fs::read(path)
                .map_err(|error| Problem::usage(format!("{}: {error}", path.display())))?;
            return text_file::text(bytes).map_err(no_text);
        }
        if std::mem::replace(&mut self.stdin_taken, true) {
            return Err(Problem::usage("`-` is given for two lists, and standard input is one"));
        }
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| Problem::usage(format!("standard input: {error}")))?;
        text_file::text(bytes).map_err(no_text)
    }
}

/// `1d12h` ago, or a date.
fn point_in_time(flag: &str, text: &str, now: Timestamp) -> Result<SystemTime> {
    let refuse = || {
        Problem::usage(format!(
            "{flag} is a duration such as 1d12h, or a date such as 2026-01-31 or 2026-01-31T10:00:00Z: {text}"
        ))
    };
    let time = match parse_duration(text) {
        Ok(age) => {
            let age = SignedDuration::try_from(age).map_err(|_| refuse())?;
            now.checked_sub(age).unwrap_or(Timestamp::MIN)
        }
        Err(_) => absolute(text).ok_or_else(refuse)?,
    };
    Ok(time.into())
}

/// An instant with its offset, or a date of this machine's time zone.
fn absolute(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let date: DateTime = text.parse().ok()?;
    Some(date.to_zoned(TimeZone::system()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ages_are_durations_or_dates() {
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let found = point_in_time("--max-age", text, now).ok();
            let expected =
                expected.map(|text| SystemTime::from(text.parse::<Timestamp>().unwrap()));
            assert_eq!(found, expected, "{text}");
        };
        check("1d12h", Some("2026-01-30T12:00:00Z"));
        check("90", Some("2026-01-31T23:58:30Z"));
        check("2026-01-31T10:00:00Z", Some("2026-01-31T10:00:00Z"));
        check("2026-01-31T10:00:00+02:00", Some("2026-01-31T08:00:00Z"));
        check("yesterday", None);
        check("", None);
        let local = point_in_time("--max-age", "2026-01-31", now).unwrap();
        let utc = SystemTime::from("2026-01-31T00:00:00Z".parse::<Timestamp>().unwrap());
        let apart = local.duration_since(utc).unwrap_or_else(|error| error.duration());
        assert!(apart <= Duration::from_secs(14 * 3600));
    }

    #[test]
    fn lists_are_read_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut files = Files { stdin_taken: false };
        let lines = files.lines(&[write("a", b"x\r\ny"), write("b", b"")]).unwrap();
        assert_eq!(lines, ["x", "y", ""]);
        assert_eq!(files.optional_lines(&[]).unwrap(), None);
        let error = files.lines(&[folder.path().join("none")]).unwrap_err();
        assert_eq!(error.code, 2);
    }
}
