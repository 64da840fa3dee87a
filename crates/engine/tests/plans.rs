//! Plans: what a dry run shows is what is done, and a plan that is applied later overwrites nothing that it does not know.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use ketch_core::{Backend, RelPath};
use ketch_engine::decide::Action;
use ketch_engine::journal::{ItemOutcome, Status};
use ketch_engine::plan::Planned;
use ketch_engine::plan_file::{PlanFile, PlanHeader, PlanTotals, PlanWriter};
use ketch_engine::{DeleteLimit, Event, JobKind, Report, Request, Settings, start};
use ketch_testkit::MemoryBackend;
use ketch_testkit::tree::{Shape, random_tree, seed_all};

type Sides = (Arc<MemoryBackend>, Arc<MemoryBackend>);

fn settings() -> Settings {
    Settings { delete_limit: DeleteLimit::Percent(100), ..Settings::default() }
}

async fn run(
    kind: JobKind,
    sides: &Sides,
    settings: Settings,
    plan: Option<PlanFile>,
) -> (Report, Vec<Event>) {
    let (source, destination) =
        (sides.0.clone() as Arc<dyn Backend>, sides.1.clone() as Arc<dyn Backend>);
    let mut job = start(Request { settings, plan, ..Request::new(kind, source, destination) });
    let mut events = Vec::new();
    while let Some(event) = job.events.recv().await {
        events.push(event);
    }
    (job.report().await, events)
}

/// The plan, and its file.
async fn plan(kind: JobKind, sides: &Sides) -> (Vec<Planned>, PlanFile) {
    let dry = Settings { dry_run: true, ..settings() };
    let (report, events) = run(kind, sides, dry, None).await;
    let text = |text: &str| text.to_owned();
    let header = PlanHeader::new(
        kind,
        (text("a"), text("b")),
        (sides.0.about().location.clone(), sides.1.about().location.clone()),
        0,
    );
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let mut writer = PlanWriter::new(scratch.reopen().unwrap(), &header).unwrap();
    let mut planned = Vec::new();
    for event in events {
        if let Event::Action(action) = event {
            writer.push(&action).unwrap();
            planned.push(*action);
        }
    }
    let seen = PlanTotals {
        source_files: report.source_entries,
        destination_entries: report.destination_entries,
        ..PlanTotals::default()
    };
    writer.finish(seen).unwrap();
    (planned, PlanFile::open(scratch.path()).unwrap())
}

fn records(events: &[Event]) -> impl Iterator<Item = &ItemOutcome> {
    events.iter().filter_map(|event| match event {
        Event::ItemDone { record, .. } | Event::ItemFailed { record, .. } => Some(&**record),
        _ => None,
    })
}

fn random(seed: u64) -> Sides {
    let (source, destination) = (MemoryBackend::new("source"), MemoryBackend::new("destination"));
    let shape = Shape { empty_files: true, ..Shape::default() };
    seed_all(&source, &random_tree(seed, shape));
    seed_all(&destination, &random_tree(seed + 500, shape));
    (Arc::new(source), Arc::new(destination))
}

#[tokio::test]
async fn what_a_dry_run_shows_is_what_is_done_and_what_a_plan_applied_does() {
    for seed in 0..80 {
        for kind in [JobKind::Copy, JobKind::Sync, JobKind::Move] {
            let sides = random(seed);
            let (before, kept) = (sides.0.tree(), sides.1.tree());
            let (planned, file) = plan(kind, &sides).await;
            assert_eq!((sides.0.tree(), sides.1.tree()), (before, kept), "a plan changes nothing");
            let mut names: Vec<_> = planned.iter().map(|item| item.path().to_string()).collect();
            names.sort();

            let same = random(seed);
            let (_, events) = run(kind, &same, settings(), None).await;
            let mut done: Vec<_> = records(&events).map(|record| record.path.to_string()).collect();
            done.sort();
            assert_eq!(names, done, "seed {seed} {kind:?}");

            let (_, events) = run(kind, &sides, settings(), Some(file)).await;
            let mut applied: Vec<_> = records(&events)
                .filter(|record| record.reason.as_deref() != Some("special"))
                .map(|record| record.path.to_string())
                .collect();
            applied.sort();
            assert_eq!(names, applied, "seed {seed} {kind:?}");
            assert_eq!(sides.1.tree(), same.1.tree(), "seed {seed} {kind:?}");
            assert_eq!(sides.0.tree(), same.0.tree(), "seed {seed} {kind:?}");
        }
    }
}

#[tokio::test]
async fn what_changed_since_the_plan_is_an_outcome_and_never_overwritten() {
    let sides: Sides =
        (Arc::new(MemoryBackend::new("source")), Arc::new(MemoryBackend::new("destination")));
    for (path, content) in
        [("edited", "1"), ("fine", "2"), ("new", "3"), ("over", "44"), ("gone", "5")]
    {
        sides.0.seed(path, content);
    }
    sides.1.seed("over", "old");
    sides.1.seed("extra", "x");
    sides.1.seed("back", "y");
    let (_, file) = plan(JobKind::Sync, &sides).await;
    // Everything that can happen between plan and apply.
    sides.0.seed("edited", "another content");
    sides.0.remove("gone");
    sides.0.seed("back", "the source has it again");
    sides.1.seed("new", "a stranger");
    sides.1.seed("over", "edited there");
    let (report, events) = run(JobKind::Sync, &sides, settings(), Some(file)).await;
    let status = |path: &str| {
        records(&events).find(|record| record.path.as_str() == path).map(|record| record.status)
    };
    assert_eq!(status("fine"), Some(Status::Done));
    assert_eq!(status("edited"), Some(Status::Changed));
    assert_eq!(status("new"), Some(Status::Changed));
    assert_eq!(status("over"), Some(Status::Changed));
    assert_eq!(status("gone"), Some(Status::Vanished));
    // A plan that was made before is done whole, or it is a failure: what went away, too.
    assert_eq!((report.vanished, report.failed), (0, 5), "{report:?}");
    let tree = sides.1.tree();
    assert_eq!(&tree["new"][..], b"a stranger");
    assert_eq!(&tree["over"][..], b"edited there");
    assert!(!tree.contains_key("edited"));
    // What changed elsewhere keeps nothing that is extra, and what the source has again is extra no more.
    assert!(tree.contains_key("back") && !tree.contains_key("extra"));
    assert_eq!(status("back"), Some(Status::Changed));
}

#[tokio::test]
async fn what_the_source_has_again_is_not_deleted_by_an_old_plan() {
    let sides: Sides =
        (Arc::new(MemoryBackend::new("source")), Arc::new(MemoryBackend::new("destination")));
    sides.0.seed("keep", "1");
    sides.1.seed("keep", "1");
    sides.1.seed("d/back", "y");
    sides.1.seed("e/extra", "x");
    let (_, file) = plan(JobKind::Sync, &sides).await;
    sides.0.seed("d/back", "the source has it again");
    run(JobKind::Sync, &sides, settings(), Some(file)).await;
    let names: Vec<_> = sides.1.tree().into_keys().collect();
    assert_eq!(names, ["d/back", "keep"]);
}

/// A plan file that was made by somebody else: its digest is right, and what it says of itself is not.
fn forged(kind: JobKind, sides: &Sides, actions: &[Planned], claims: PlanTotals) -> PlanFile {
    let text = |text: &str| text.to_owned();
    let header = PlanHeader::new(
        kind,
        (text("a"), text("b")),
        (sides.0.about().location.clone(), sides.1.about().location.clone()),
        0,
    );
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let mut writer = PlanWriter::new(scratch.reopen().unwrap(), &header).unwrap();
    actions.iter().for_each(|action| writer.push(action).unwrap());
    writer.finish(claims).unwrap();
    PlanFile::open(scratch.path()).unwrap()
}

async fn deletions_of(sides: &Sides, wanted: usize) -> Vec<Planned> {
    let (planned, _) = plan(JobKind::Sync, sides).await;
    let deletions = planned.into_iter().filter(|item| matches!(item, Planned::Delete { .. }));
    let deletions: Vec<_> = deletions.collect();
    assert_eq!(deletions.len(), wanted);
    deletions
}

#[tokio::test]
async fn a_plan_is_not_believed_about_its_totals() {
    let sides: Sides =
        (Arc::new(MemoryBackend::new("source")), Arc::new(MemoryBackend::new("destination")));
    sides.0.seed("kept", "1");
    sides.1.seed("kept", "1");
    for number in 0..30 {
        sides.1.seed(&format!("d{}/f{number}", number % 3), "x");
    }
    // 30 files in 3 folders.
    let deletions = deletions_of(&sides, 33).await;
    let claims =
        PlanTotals { source_files: 1_000, destination_entries: 1_000_000, ..PlanTotals::default() };
    let guarded = || Settings::default();
    let share = || Settings { delete_limit: DeleteLimit::Percent(50), ..Settings::default() };
    for settings in [guarded(), share()] {
        let file = forged(JobKind::Sync, &sides, &deletions, claims.clone());
        let (report, _) = run(JobKind::Sync, &sides, settings, Some(file)).await;
        let refused = report.fatal.expect("it is over the limit");
        assert!(refused.message().contains("33 of 34 entries"), "{refused}");
        assert_eq!(sides.1.tree().len(), 31, "nothing was changed");
    }
    // A source without any file, whatever the plan says.
    let empty: Sides = (Arc::new(MemoryBackend::new("source")), sides.1.clone());
    let file = forged(JobKind::Sync, &empty, &deletions[..1], claims.clone());
    let (report, _) = run(JobKind::Sync, &empty, guarded(), Some(file)).await;
    assert!(report.fatal.unwrap().message().contains("source is empty"));
    assert_eq!(sides.1.tree().len(), 31, "nothing was changed");
    // What is true goes through.
    let file = forged(JobKind::Sync, &sides, &deletions[..10], claims);
    let (report, _) = run(JobKind::Sync, &sides, guarded(), Some(file)).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.deleted, 10);
}

#[tokio::test]
async fn a_plan_does_nothing_that_its_kind_of_job_does_not() {
    let sides: Sides =
        (Arc::new(MemoryBackend::new("source")), Arc::new(MemoryBackend::new("destination")));
    sides.0.seed("kept", "1");
    for number in 0..30 {
        sides.1.seed(&format!("f{number}"), "x");
    }
    let deletions = deletions_of(&sides, 30).await;
    let totals = PlanTotals { source_files: 1, destination_entries: 30, ..PlanTotals::default() };
    for kind in [JobKind::Copy, JobKind::Move] {
        let file = forged(kind, &sides, &deletions, totals.clone());
        let (report, _) = run(kind, &sides, Settings::default(), Some(file)).await;
        let error = report.fatal.expect("refused");
        assert!(error.message().contains("only a sync deletes"), "{error}");
    }
    assert_eq!(sides.1.tree().len(), 30);
    // One name at the source and another at the destination.
    let (planned, _) = plan(JobKind::Copy, &sides).await;
    let text = serde_json::to_string(&planned[0]).unwrap();
    let text = text.replace("\"replaces\":null", "\"replaces\":{\"path\":\"f1\",\"size\":1}");
    let action: Planned = serde_json::from_str(&text).unwrap();
    let file = forged(JobKind::Copy, &sides, &[action], totals);
    let (report, _) = run(JobKind::Copy, &sides, Settings::default(), Some(file)).await;
    assert!(report.fatal.expect("refused").message().contains("two paths"));
    assert_eq!(sides.1.tree().len(), 30);
}

#[tokio::test]
async fn a_plan_that_removes_at_the_source_proves_the_copy_by_its_content() {
    let sides: Sides =
        (Arc::new(MemoryBackend::new("source")), Arc::new(MemoryBackend::new("destination")));
    for (path, there) in [("other", "wrong"), ("shorter", "no"), ("same", "right")] {
        sides.0.seed(path, "right");
        sides.1.seed(path, there);
    }
    // Both entries are exactly what is there; only that one is a copy of the other is a lie.
    let mut actions = Vec::new();
    for path in ["other", "shorter", "same"] {
        let path = RelPath::new(path).unwrap();
        let source = Box::new(sides.0.stat(&path).await.unwrap());
        let destination = Box::new(sides.1.stat(&path).await.unwrap());
        actions.push(Planned::from_action(Action::RemoveSource { source, destination }).unwrap());
    }
    let file = forged(JobKind::Move, &sides, &actions, PlanTotals::default());
    let (report, _) = run(JobKind::Move, &sides, settings(), Some(file)).await;
    assert_eq!((report.failed, report.sources_removed), (2, 1), "{report:?}");
    let left: Vec<_> = sides.0.tree().into_keys().collect();
    assert_eq!(left, ["other", "shorter"]);
    // What is gone already was removed by whoever did the plan before.
    let file = forged(JobKind::Move, &sides, &actions[2..], PlanTotals::default());
    let (report, _) = run(JobKind::Move, &sides, settings(), Some(file)).await;
    assert!(report.is_success(), "{report:?}");
}
