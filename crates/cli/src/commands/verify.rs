//! `ketch manifest verify` and `ketch repair`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ketch_core::Backend;
use ketch_core::Hint;
use ketch_engine::Progress;
use ketch_engine::file::{close_once, force};
use ketch_engine::filter::units::format_size;
use ketch_engine::prove::repair::{damage, repair};
use ketch_engine::prove::verify::{
    Coverage, Entries, Sample, Verdict, Verified, VerifySettings, verify,
};
use ketch_engine::prove::{Pass, ProveSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{CacheArgs, ManifestVerifyArgs, RepairArgs};
use crate::commands::looking::tell_anew;
use crate::commands::manifest::{prove_settings, with_path};
use crate::context::{Context, Done};
use crate::hints;
use crate::manifest_file::{Reader, entries, names_within, open};
use crate::output::{Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::{exit, settings, watch};

/// Nothing of these commands goes by what was read before.
const NO_CACHE: CacheArgs = CacheArgs { no_cache: true };

/// Compares a place with its manifest.
pub(crate) async fn run_verify(context: &Context, args: &ManifestVerifyArgs) -> Result<Done> {
    let console = &*context.console;
    let place = settings::place(&args.place)?;
    let rounds = args.sample.as_deref().map(rounds_of).transpose()?;
    let (reader, totals) = open(&args.manifest, args.key.as_deref())?;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let only = opened.only.as_deref();
    let prove = ProveSettings {
        except: names_within(&args.manifest, remotes.local_folder(&place)?.as_deref()),
        ..prove_settings(context, &args.read, &args.filter, only, &NO_CACHE)?
    };
    context.warn_of_keys(&mut remotes);
    let location = opened.backend.location();
    let scrub = rounds.map(|rounds| Scrub::load(context, &totals.root, &location, rounds));
    let progress = prove.progress.clone();
    let marks = context.marks(&["verify", &totals.root, &location, &opened.backend.view_options()]);
    let verify_settings =
        VerifySettings { prove, sample: scrub.as_ref().map(Scrub::sample), marks: marks.clone() };
    let mut counts = Counts::default();
    let work = async {
        let manifest =
            OpenManifest { path: &args.manifest, root: &totals.root, next: Some(reader) };
        let take = |judged| match judged {
            Judged::Anew => {
                counts = Counts::default();
                Ok(())
            }
            Judged::File(verified) => {
                counts.add(&verified.verdict);
                tell(console, &verified).map_err(ended)
            }
        };
        Ok(verify_all(console, &opened.backend, manifest, &verify_settings, take).await)
    };
    let result = watch::beside(&progress, console, signals.guard(work)).await;
    drop(verify_settings);
    let is_complete = matches!(result, Ok(Ok(_)));
    if let Some(marks) = marks {
        // A panic in there loses what only saves time.
        let _ = tokio::task::spawn_blocking(move || {
            marks.flush();
            match Arc::into_inner(marks) {
                Some(marks) if is_complete => marks.remove(),
                Some(_) | None => {}
            }
        })
        .await;
    }
    remotes.close().await;
    let coverage = result??;
    let mut sampled = Value::Null;
    if let Some(mut scrub) = scrub {
        let covered = scrub.finish_round()?;
        let text = format!(
            "round {} of {}: {} of {} rounds are done",
            scrub.round + 1,
            scrub.state.rounds,
            covered,
            scrub.state.rounds
        );
        console.tell(Level::Normal, &text);
        sampled =
            json!({ "rounds": scrub.state.rounds, "round": scrub.round, "rounds_done": covered });
    }
    console.tell(Level::Normal, &counts.line(coverage.bytes));
    let mut all = counts.json();
    all["bytes"] = coverage.bytes.into();
    all["resumed"] = coverage.resumed.into();
    Ok(Done::with(counts.code(), json!({ "root": totals.root, "sample": sampled, "counts": all })))
}

/// A manifest that was read once; each pass reads it from its beginning.
struct OpenManifest<'a> {
    path: &'a Path,
    root: &'a str,
    next: Option<Reader>,
}

impl OpenManifest<'_> {
    /// For the next pass.
    fn take(&mut self) -> Result<Entries> {
        let reader = match self.next.take() {
            Some(reader) => reader,
            None => {
                let (reader, totals) = open(self.path, None)?;
                if totals.root != self.root {
                    let error = about_file(self.path, &"it is another one than it was before");
                    return Err(Problem { code: exit::PARTIAL, ..error });
                }
                reader
            }
        };
        Ok(Box::new(entries(reader, self.path)))
    }
}

/// What a verification says.
enum Judged {
    File(Box<Verified>),
    /// Nothing that was said so far counts.
    Anew,
}

/// Verifies everything, folder by folder if a listing of everything at once cannot be relied on.
async fn verify_all(
    console: &Console,
    backend: &Arc<dyn Backend>,
    mut manifest: OpenManifest<'_>,
    settings: &VerifySettings,
    mut take: impl FnMut(Judged) -> ketch_core::Result<()>,
) -> Result<Coverage> {
    let mut settings = settings.clone();
    loop {
        let entries = admitted(manifest.take()?, &settings.prove);
        let each = |verified| take(Judged::File(Box::new(verified)));
        match verify(backend, entries, &settings, each).await? {
            Pass::Done(coverage) => return Ok(coverage),
            Pass::Void => {
                tell_anew(console)?;
                take(Judged::Anew)?;
                settings.prove.flat = false;
            }
        }
    }
}

/// What takes part of a manifest.
fn admitted(mut entries: Entries, prove: &ProveSettings) -> Entries {
    let (filter, except) = (Arc::clone(&prove.filter), prove.except.clone());
    let next = move || loop {
        match entries()? {
            Ok(entry) => {
                let path = entry.path.as_str();
                let above = entry.path.ancestors();
                let is_entered =
                    above.filter(|dir| !dir.is_root()).all(|dir| filter.admits_dir(dir.as_str()));
                let takes_part = is_entered && !except.contains(&entry.path);
                if takes_part && filter.admits_file(path, Some(entry.size), entry.modified()) {
                    return Some(Ok(entry));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    };
    Box::new(next)
}

/// A reader of answers that went away ends the work.
fn ended(problem: Problem) -> ketch_core::Error {
    let text = problem.text.unwrap_or_else(|| "nobody reads the answers any more".to_owned());
    ketch_core::Error::new(ketch_core::ErrorKind::Io, text)
}

/// `1%` as the number of rounds that take everything.
fn rounds_of(text: &str) -> Result<u32> {
    let refuse = || Problem::usage(format!("--sample is a share above 0% up to 100%: {text}"));
    let percent: f64 =
        text.strip_suffix('%').and_then(|text| text.parse().ok()).ok_or_else(refuse)?;
    if !(0.001..=100.0).contains(&percent) {
        return Err(refuse());
    }
    Ok((100.0 / percent).ceil() as u32)
}

/// Which rounds of a sampled verification are done, kept between runs.
struct Scrub {
    path: Option<PathBuf>,
    state: ScrubState,
    round: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct ScrubState {
    rounds: u32,
    done: Vec<u32>,
}

impl Scrub {
    /// With other rounds than before it begins anew, and so it does when all are done.
    fn load(context: &Context, root: &str, location: &str, rounds: u32) -> Self {
        let name = ketch_core::hash::hash_bytes(
            &[ketch_core::HashAlgo::Blake3],
            format!("{root}\n{location}").as_bytes(),
        );
        let name = name.iter().map(ToString::to_string).collect::<String>();
        let folder = context.environment.state_folder();
        let path = folder.map(|folder| folder.join("scrubs").join(format!("{}.json", &name[..32])));
        // What cannot be read is a scrub that has not begun.
        let text = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let known: Option<ScrubState> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let state = match known {
            Some(state) if state.rounds == rounds && state.done.len() < rounds as usize => state,
            Some(_) | None => ScrubState { rounds, done: Vec::new() },
        };
        let round = (0..rounds).find(|round| !state.done.contains(round)).unwrap_or(0);
        Scrub { path, state, round }
    }

    fn sample(&self) -> Sample {
        Sample { rounds: self.state.rounds, round: self.round }
    }

    /// Writes down that this round is done, and says how many are.
    fn finish_round(&mut self) -> Result<usize> {
        self.state.done.push(self.round);
        let Some(path) = &self.path else { return Ok(self.state.done.len()) };
        let write = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(path);
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, &self.state)?;
            force(file.as_file())?;
            close_once(file.as_file())?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|error| about_file(path, &error))?;
        Ok(self.state.done.len())
    }
}

#[derive(Debug, Default)]
struct Counts {
    ok: u64,
    edited: u64,
    rotted: u64,
    truncated: u64,
    missing: u64,
    extra: u64,
    unverifiable: u64,
    not_sampled: u64,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        *match verdict {
            Verdict::Ok => &mut self.ok,
            Verdict::Edited => &mut self.edited,
            Verdict::Rotted(_) => &mut self.rotted,
            Verdict::Truncated(_) => &mut self.truncated,
            Verdict::Missing => &mut self.missing,
            Verdict::Extra => &mut self.extra,
            Verdict::Unverifiable(..) => &mut self.unverifiable,
            Verdict::NotSampled => &mut self.not_sampled,
        } += 1;
    }

    fn parts(&self) -> [(&'static str, u64); 8] {
        [
            ("ok", self.ok),
            ("edited", self.edited),
            ("rotted", self.rotted),
            ("truncated", self.truncated),
            ("missing", self.missing),
            ("extra", self.extra),
            ("unverifiable", self.unverifiable),
            ("not_sampled", self.not_sampled),
        ]
    }

    fn json(&self) -> Value {
        self.parts()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), Value::from(count)))
            .collect()
    }

    fn line(&self, bytes: u64) -> String {
        let counted = self.parts().into_iter().filter(|(name, count)| *count > 0 || *name == "ok");
        let counted: Vec<_> =
            counted.map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect();
        format!("{} ({} compared)", counted.join(", "), format_size(bytes))
    }

    /// What rotted outranks what could not be compared, and that what was changed.
    fn code(&self) -> u8 {
        if self.rotted + self.truncated > 0 {
            return exit::CORRUPT;
        }
        if self.unverifiable > 0 {
            return exit::PARTIAL;
        }
        if self.edited + self.missing + self.extra > 0 { exit::OTHER } else { exit::OK }
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Edited => "edited",
        Verdict::Rotted(_) => "rotted",
        Verdict::Truncated(_) => "truncated",
        Verdict::Missing => "missing",
        Verdict::Extra => "extra",
        Verdict::Unverifiable(..) => "unverifiable",
        Verdict::NotSampled => "not_sampled",
    }
}

fn tell(console: &Console, verified: &Verified) -> Result<()> {
    let verdict = &verified.verdict;
    let (ranges, why, hint): (&[_], _, _) = match verdict {
        Verdict::Rotted(ranges) | Verdict::Truncated(ranges) => (ranges, None, None),
        Verdict::Unverifiable(why, hint) => (&[], Some(hints::with(why, *hint)), *hint),
        _ => (&[], None, None),
    };
    let is_fine = matches!(verdict, Verdict::Ok | Verdict::NotSampled);
    if console.is_json() {
        if *verdict == Verdict::NotSampled {
            return Ok(());
        }
        let ranges: Vec<_> = ranges.iter().map(|range| [range.start, range.end]).collect();
        let body = json!({
            "path": verified.path, "verdict": word(verdict), "damaged": ranges, "text": why,
            "hint": hint.map(Hint::as_str),
        });
        return console.event("verify", body);
    }
    if is_fine {
        console.tell(Level::Item, &format!("{}  {}", word(verdict), verified.path));
        return Ok(());
    }
    let ranges: Vec<_> = ranges
        .iter()
        .map(|range| format!("bytes {} to {}", range.start, range.end.saturating_sub(1)))
        .collect();
    let detail = match (why, ranges.is_empty()) {
        (Some(why), _) => format!("  ({why})"),
        (None, false) => format!("  ({})", ranges.join(", ")),
        (None, true) => String::new(),
    };
    console.named_line(&format!("{:12}  ", word(verdict)), verified.path.as_str(), &detail)
}

/// Repairs what is damaged.
pub(crate) async fn run_repair(context: &Context, args: &RepairArgs) -> Result<Done> {
    let console = &*context.console;
    let (place, from) = (settings::place(&args.place)?, settings::place(&args.from)?);
    let (reader, totals) = open(&args.manifest, args.key.as_deref())?;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let both = remotes.open_job(&from, &place);
    let (other, backend) = signals.guard(both).await?;
    if other.only.is_some() {
        return Err(Problem::usage("--from is a folder"));
    }
    let prove = ProveSettings {
        except: names_within(&args.manifest, remotes.local_folder(&place)?.as_deref()),
        ..prove_settings(context, &args.read, &args.filter, None, &NO_CACHE)?
    };
    context.warn_of_keys(&mut remotes);
    let progress = prove.progress.clone();
    let verify_settings = VerifySettings { prove, ..VerifySettings::default() };
    // ORDER: verified to the end first. A repair that changed the folders being listed would change what is found. At most
    // this many repairs wait; with more damage the command is run again.
    let mut damaged: Vec<Verified> = Vec::new();
    let (mut more, mut left_alone, mut unverifiable) = (false, 0_u64, 0_u64);
    let work = async {
        let manifest =
            OpenManifest { path: &args.manifest, root: &totals.root, next: Some(reader) };
        let take = |judged| {
            let verified = match judged {
                Judged::File(verified) => *verified,
                Judged::Anew => {
                    damaged.clear();
                    (more, left_alone, unverifiable) = (false, 0, 0);
                    return Ok(());
                }
            };
            match &verified.verdict {
                Verdict::Edited | Verdict::Extra => left_alone += 1,
                Verdict::Unverifiable(..) => {
                    unverifiable += 1;
                    return tell(console, &verified).map_err(ended);
                }
                _ => {}
            }
            if damage(&verified).is_some() {
                if damaged.len() < MOST_REPAIRS { damaged.push(verified) } else { more = true }
            }
            Ok(())
        };
        verify_all(console, &backend, manifest, &verify_settings, take).await
    };
    watch::beside(&progress, console, signals.guard(work)).await?;
    let (mut repaired, mut failed, mut fetched) = (0_u64, 0_u64, 0_u64);
    let progress = Progress::default();
    let wanted = damaged.iter().filter_map(damage).flatten().map(|range| range.end - range.start);
    progress.planned_all(damaged.len() as u64, wanted.sum());
    let work = async {
        for verified in &damaged {
            if signals.stop.is_stopping() {
                break;
            }
            let places = (&backend, &other.backend);
            match repair_one(console, places, verified, args.dry_run, &progress).await? {
                Some(bytes) => {
                    repaired += 1;
                    fetched += bytes;
                }
                None => failed += 1,
            }
        }
        Ok(())
    };
    watch::beside(&progress, console, work).await?;
    let stopped = signals.stop.is_stopping();
    remotes.close().await;
    let counts = RepairCounts { repaired, failed, fetched, left_alone, unverifiable };
    counts.tell(console, args.dry_run);
    if more {
        console
            .tell_notice(&format!("there is more damage than {MOST_REPAIRS} files: run it again"));
    }
    let code = match signals.code() {
        Some(code) => code,
        None if failed + unverifiable > 0 || more || stopped => exit::PARTIAL,
        None => exit::OK,
    };
    let counts = counts.json();
    Ok(Done::with(code, json!({ "root": totals.root, "dry_run": args.dry_run, "counts": counts })))
}

/// What a repair did.
struct RepairCounts {
    repaired: u64,
    failed: u64,
    fetched: u64,
    left_alone: u64,
    unverifiable: u64,
}

impl RepairCounts {
    fn tell(&self, console: &Console, dry_run: bool) {
        let (would, fetch) = match dry_run {
            true => ("would repair", "would fetch"),
            false => ("repaired", "fetched"),
        };
        let left = match self.left_alone {
            0 => String::new(),
            count => format!(", left {count} edited or extra alone"),
        };
        let (repaired, fetched) = (self.repaired, format_size(self.fetched));
        console.tell(Level::Normal, &format!("{would} {repaired} files, {fetch} {fetched}{left}"));
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "repaired": self.repaired, "failed": self.failed, "bytes": self.fetched,
            "left_alone": self.left_alone, "unverifiable": self.unverifiable,
        })
    }
}

/// Damaged files that are remembered between verification and repair.
const MOST_REPAIRS: usize = 100_000;

/// How many bytes were fetched for it; `None` when it failed, which is told.
async fn repair_one(
    console: &Console,
    (backend, other): (&Arc<dyn Backend>, &Arc<dyn Backend>),
    verified: &Verified,
    dry_run: bool,
    progress: &Progress,
) -> Result<Option<u64>> {
    let wanted: u64 = damage(verified).iter().flatten().map(|range| range.end - range.start).sum();
    let result = match dry_run {
        true => Ok(wanted),
        false => repair(backend, other, verified, progress).await.map(|repaired| repaired.fetched),
    };
    match result {
        Ok(bytes) => {
            let body = json!({ "path": verified.path, "was": word(&verified.verdict), "bytes": bytes, "dry_run": dry_run });
            console.event("repair", body)?;
            if !console.is_json() {
                let before = if dry_run { "repair    " } else { "repaired  " };
                let was =
                    format!("  (was {}, {} fetched)", word(&verified.verdict), format_size(bytes));
                console.named_line(before, verified.path.as_str(), &was)?;
            }
            Ok(Some(bytes))
        }
        Err(error) => {
            console.tell_error(&with_path(&verified.path, &error));
            let body = json!({
                "path": verified.path, "operation": "repair", "kind": error.kind().as_str(),
                "message": error.to_string(), "hint": error.hint().map(Hint::as_str),
            });
            console.event("file_error", body)?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_becomes_rounds_that_take_everything() {
        let check = |text: &str, expected: Option<u32>| {
            assert_eq!(rounds_of(text).ok(), expected, "{text}");
        };
        check("1%", Some(100));
        check("3%", Some(34));
        check("100%", Some(1));
        check("0.5%", Some(200));
        check("0%", None);
        check("101%", None);
        check("1", None);
        check("NaN%", None);
    }

    #[test]
    fn what_rotted_outranks_the_rest() {
        let of = Counts::default;
        for (counts, expected) in [
            (Counts { ok: 1, not_sampled: 5, ..of() }, 0),
            (Counts { edited: 1, ..of() }, 1),
            (Counts { missing: 1, ..of() }, 1),
            (Counts { extra: 1, ..of() }, 1),
            (Counts { unverifiable: 1, extra: 1, ..of() }, 23),
            (Counts { unverifiable: 1, rotted: 1, ..of() }, 22),
            (Counts { truncated: 1, ..of() }, 22),
        ] {
            assert_eq!(counts.code(), expected, "{counts:?}");
        }
    }
}
