//! From raw flags to the settings of a job. Everything that cannot be understood is told here, before anything is opened.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ketch_engine::filter::units::{parse_duration, parse_size_or_off};
use ketch_engine::filter::{Filter, FilterSpec};
use ketch_engine::{Compare, DeleteLimit, OnChanged, Settings, Verify};

use crate::args::{
    CompareArgs, CopyArgs, FilterArgs, LimitArgs, OnChangedWhat, SpeedArgs, VerifyArgs, VerifyHow,
};
use crate::descriptors;
use crate::filters;
use crate::hints;
use crate::location::Location;
use crate::problem::{Problem, Result};
use crate::values::size;

/// Ranges of one file are this large, unless the buffer is too small for it.
const PART_BYTES: u64 = 4 * 1024 * 1024;

/// The settings of a `copy` or `sync`; its filter is still as it was asked for. `every_file`: what begins and what needs
/// nothing is told, too. Ages count from `now`.
pub(crate) fn for_copy(
    args: &CopyArgs,
    every_file: bool,
    now: Timestamp,
) -> Result<(Settings, FilterSpec)> {
    let compare = &args.compare;
    let settings = Settings {
        compare: choose_compare(compare)?,
        update: compare.update,
        ignore_existing: compare.ignore_existing,
        modify_window: match &compare.modify_window {
            Some(text) => duration("--modify-window", text)?,
            None => Settings::default().modify_window,
        },
        create_empty_dirs: args.create_empty_src_dirs,
        dir_times: !args.no_dir_times,
        dry_run: args.dry_run,
        report_unchanged: every_file,
        report_started: every_file,
        ..for_limits(&args.limits, &args.verify, for_speed(&args.speed)?)?
    };
    Ok((settings, filters::spec(&args.filter, now)?))
}

/// `settings` with limits and the verification that was asked for.
pub(crate) fn for_limits(
    limits: &LimitArgs,
    verify: &VerifyArgs,
    settings: Settings,
) -> Result<Settings> {
    Ok(Settings {
        delete_limit: match &limits.max_delete {
            Some(text) => delete_limit(text)?,
            None => DeleteLimit::default(),
        },
        max_transfer: match &limits.max_transfer {
            Some(text) => Some(size("--max-transfer", text)?),
            None => None,
        },
        allow_empty_source: limits.allow_empty_source,
        on_changed: match verify.on_changed {
            OnChangedWhat::Retry => OnChanged::Retry,
            OnChangedWhat::Skip => OnChanged::Skip,
            OnChangedWhat::Fail => OnChanged::Fail,
        },
        verify: match verify.verify {
            VerifyHow::None => Verify::None,
            VerifyHow::Size => Verify::Size,
            VerifyHow::Hash => Verify::Hash,
            VerifyHow::ReadBack => Verify::ReadBack,
        },
        ..settings
    })
}

/// Settings of which only the speed is chosen.
pub(crate) fn for_speed(args: &SpeedArgs) -> Result<Settings> {
    let buffer_bytes = size("--buffer-size", &args.buffer_size)?;
    let buffer = NonZeroU64::new(buffer_bytes)
        .ok_or_else(|| Problem::usage("--buffer-size must be above 0"))?;
    let bandwidth = bandwidth(&args.bwlimit)?;
    Ok(Settings {
        transfers: args.transfers.map(usize::from),
        checkers: checkers(args.checkers),
        parallel_from: size("--multi-thread-cutoff", &args.multi_thread_cutoff)?,
        streams: usize::from(args.multi_thread_streams),
        part_bytes: PART_BYTES.min(buffer.get()),
        buffer_bytes: buffer.get(),
        bandwidth,
        ..Settings::default()
    })
}

/// So many folders and digests at the same time, or fewer where few files may be open.
pub(crate) fn checkers(asked: u16) -> usize {
    usize::from(asked).min(descriptors::connections().unwrap_or(usize::MAX))
}

/// Bytes a second; `None` = as fast as it goes.
pub(crate) fn bandwidth(text: &str) -> Result<Option<u64>> {
    let bytes = parse_size_or_off(text).map_err(|error| {
        let is_timetable = text.contains([',', ':']);
        let more = if is_timetable { " (timetables are not supported)" } else { "" };
        Problem::usage(format!("--bwlimit: {error}{more}"))
    })?;
    Ok(bytes.filter(|bytes| *bytes > 0))
}

/// Compiles the filter of a job. A source that is one file leaves no room for other filters.
pub(crate) fn compile(mut spec: FilterSpec, only: Option<&str>) -> Result<Arc<Filter>> {
    let usage = |error| Problem::usage(hints::of_filter(&error));
    if let Some(name) = only {
        if !Filter::new(&spec).map_err(usage)?.admits_everything() {
            let text = "the source is one file, so filters make no sense (leave them out, or name its folder)";
            return Err(Problem::usage(text));
        }
        spec.files_from_raw = Some(vec![name.to_owned()]);
    }
    Filter::new(&spec).map(Arc::new).map_err(usage)
}

/// The filter of a command that takes nothing else from it.
pub(crate) fn filter(args: &FilterArgs, only: Option<&str>) -> Result<Arc<Filter>> {
    compile(filters::spec(args, Timestamp::now())?, only)
}

/// Reads a place.
pub(crate) fn place(raw: &crate::args::RawPlace) -> Result<Location> {
    Location::parse(&raw.0).map_err(|error| Problem::usage(format!("{error}")))
}

fn choose_compare(args: &CompareArgs) -> Result<Compare> {
    let choices = [
        (args.checksum, "--checksum", Compare::Checksum),
        (args.size_only, "--size-only", Compare::SizeOnly),
        (args.ignore_times, "--ignore-times", Compare::IgnoreTimes),
    ];
    let mut given = choices.iter().filter(|(given, _, _)| *given);
    match (given.next(), given.next()) {
        (None, _) => Ok(Compare::SizeAndTime),
        (Some((_, _, compare)), None) => Ok(*compare),
        (Some((_, left, _)), Some((_, right, _))) => Err(Problem::usage(format!(
            "{left} and {right} say different things: give one of them"
        ))),
    }
}

fn delete_limit(text: &str) -> Result<DeleteLimit> {
    let limit = match text.strip_suffix('%') {
        Some(percent) => {
            percent.parse().ok().filter(|percent| *percent <= 100).map(DeleteLimit::Percent)
        }
        None => text.parse().ok().map(DeleteLimit::Count),
    };
    limit.ok_or_else(|| {
        Problem::usage(format!("--max-delete is a number, or a share from 0% to 100%: {text}"))
    })
}

fn duration(flag: &str, text: &str) -> Result<Duration> {
    parse_duration(text).map_err(|error| Problem::usage(format!("{flag}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn settings(flags: &[&str]) -> Result<Settings> {
        let line = ["ketch", "sync", "a", "b"].iter().chain(flags);
        match Cli::try_parse_from(line).expect("flags that exist").command {
            Command::Sync(args) => {
                for_copy(&args, false, Timestamp::now()).map(|(settings, _)| settings)
            }
            _ => unreachable!("it says sync"),
        }
    }

    #[test]
    fn without_flags_a_job_has_the_engines_defaults() {
        // Starts of transfers are not reported, unless the user asks for every file.
        let engine = Settings { report_started: false, ..Settings::default() };
        let ours = settings(&[]).unwrap();
        assert_eq!(format!("{ours:?}"), format!("{engine:?}"));
    }

    #[test]
    fn flags_become_settings() {
        let of = |flags: &[&str]| settings(flags).unwrap();
        assert_eq!(of(&["-c"]).compare, Compare::Checksum);
        assert_eq!(of(&["--size-only"]).compare, Compare::SizeOnly);
        assert_eq!(of(&["-I"]).compare, Compare::IgnoreTimes);
        assert_eq!(of(&["--max-delete", "7"]).delete_limit, DeleteLimit::Count(7));
        assert_eq!(of(&["--max-delete=100%"]).delete_limit, DeleteLimit::Percent(100));
        assert_eq!(of(&["--bwlimit", "1M"]).bandwidth, Some(1024 * 1024));
        assert_eq!(of(&["--bwlimit", "10"]).bandwidth, Some(10 * 1024));
        assert_eq!(of(&["--bwlimit", "off"]).bandwidth, None);
        assert_eq!(of(&["--modify-window", "2s"]).modify_window, Duration::from_secs(2));
        assert_eq!(of(&["--buffer-size", "1M"]).part_bytes, 1024 * 1024);
        assert!(of(&["-n"]).dry_run);
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for flags in [
            &["-c", "--size-only"][..],
            &["--max-delete", "101%"],
            &["--max-delete", "-1"],
            &["--max-delete", "many"],
            &["--bwlimit", "08:00,1M"],
            &["--buffer-size", "0"],
            &["--modify-window", "soon"],
            &["--min-size", "big"],
        ] {
            let line = ["ketch", "sync", "a", "b"].iter().chain(flags);
            if Cli::try_parse_from(line).is_ok() {
                assert_eq!(settings(flags).expect_err("refused").code, 2, "{flags:?}");
            }
        }
    }

    #[test]
    fn one_file_takes_no_other_filter() {
        let spec = FilterSpec { exclude: vec!["a".to_owned()], ..FilterSpec::default() };
        assert_eq!(compile(spec, Some("a")).expect_err("refused").code, 2);
        let filter = compile(FilterSpec::default(), Some("a b ")).unwrap();
        assert!(filter.admits_file("a b ", None, None) && !filter.admits_file("c", None, None));
    }
}
