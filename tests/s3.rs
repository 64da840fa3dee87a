//! A folder and S3, through the built binary and the emulator of S3: what arrives, what it costs in requests, what a kill leaves,
//! and that no secret is told.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ketch_s3_sim::{KEY, Rules, SECRET, Sim, Stats};
use support::{Home, Run, tree};

const BUCKET: &str = "bucket";
/// How long a process may take to come to where it is held: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A home whose remote `box:` is an emulator.
struct Scene {
    home: Home,
    sim: Sim,
}

impl Scene {
    fn new() -> Scene {
        let (home, sim) = (Home::new(), Sim::start(Rules::default()).unwrap());
        sim.make_bucket(BUCKET);
        let address = sim.address();
        let text = format!(
            "[box]\ntype = \"s3\"\nprovider = \"AWS\"\nendpoint = \"{address}\"\nforce_path_style = true\n\
             chunk_size = 5\nupload_concurrency = 1\naccess_key_id = \"{KEY}\"\nsecret_access_key = \"{SECRET}\"\n"
        );
        let file = home.write("config/ketch/config.toml", text);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        Scene { home, sim }
    }

    /// Runs words; nothing it says or keeps holds the secret.
    #[track_caller]
    fn run(&self, words: &str) -> Run {
        let run = self.home.run(words.split(' '));
        assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{words}");
        self.keeps_no_secret();
        run
    }

    #[track_caller]
    fn keeps_no_secret(&self) {
        for folder in ["state", "cache", "data", "home"] {
            let folder = self.home.path(folder);
            if !folder.exists() {
                continue;
            }
            for (path, bytes) in tree(&folder) {
                let is_there = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
                assert!(!is_there, "the secret is in {}", path.display());
            }
        }
    }

    /// Runs words, and says which requests that took.
    #[track_caller]
    fn costs(&self, code: i32, words: &str) -> (Run, Stats) {
        let before = self.sim.stats();
        let run = self.run(words).expect(code);
        (run, self.sim.stats().since(&before))
    }

    /// What the emulator holds below a folder.
    fn stored(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let below = |key: String| {
            let path = key.strip_prefix(folder)?.strip_prefix('/')?.into();
            Some((path, self.sim.body(BUCKET, &key).unwrap().to_vec()))
        };
        self.sim.keys(BUCKET).into_iter().filter_map(below).collect()
    }

    fn files(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let all = tree(&self.home.path(folder)).into_iter();
        all.filter(|(path, _)| self.home.path(folder).join(path).is_file()).collect()
    }

    #[track_caller]
    fn are_equal(&self, folder: &str, stored: &str) {
        assert!(self.files(folder) == self.stored(stored), "{:?}", self.stored(stored).keys());
    }

    /// So many small files in ten folders.
    fn write_many(&self, count: usize) {
        for number in 0..count {
            let name = format!("src/d{}/file {number}", number % 10);
            self.home.write(name, format!("content {number}"));
        }
    }
}

fn kinds(stats: &Stats) -> Vec<(&str, u64)> {
    stats.requests.iter().map(|(kind, count)| (*kind, *count)).collect()
}

#[test]
fn a_tree_is_copied_and_a_second_copy_sends_nothing() {
    let scene = Scene::new();
    let home = &scene.home;
    home.write("src/plain.txt", "plain");
    home.write("src/d/ü & <b> +%25.txt", "odd");
    home.write("src/d/e/empty", "");
    home.write("src/large", vec![7; 1 << 20]);
    let (_, stats) = scene.costs(0, "copy src box:bucket/there");
    scene.are_equal("src", "there");
    assert_eq!((stats.of("put"), stats.of("get")), (4, 0), "{stats:?}");
    let (_, stats) = scene.costs(0, "copy src box:bucket/there");
    assert_eq!((stats.of("put"), stats.of("get"), stats.of("copy")), (0, 0, 0), "{stats:?}");
    scene.run("copy box:bucket/there back").expect(0);
    assert_eq!(scene.files("src"), scene.files("back"));
    let time = |path: &str| fs::metadata(home.path(path)).unwrap().modified().unwrap();
    assert_eq!(time("src/plain.txt"), time("back/plain.txt"));
}

#[test]
fn a_sync_makes_the_bucket_like_the_folder() {
    let scene = Scene::new();
    scene.write_many(20);
    scene.run("sync src box:bucket/there").expect(0);
    scene.are_equal("src", "there");
    scene.home.write("src/d1/file 1", "another content");
    for number in [2, 12, 3] {
        let name = format!("src/d{}/file {number}", number % 10);
        fs::remove_file(scene.home.path(name)).unwrap();
    }
    let (_, stats) = scene.costs(0, "sync src box:bucket/there");
    scene.are_equal("src", "there");
    // Deletions that are asked for at the same time share a request; whether they are is the affair of the machine.
    let deletions = stats.of("delete") + stats.of("delete-many");
    assert!(stats.of("put") == 1 && (1..=3).contains(&deletions), "{stats:?}");
}

#[test]
fn a_second_sync_of_a_thousand_files_asks_little() {
    let scene = Scene::new();
    scene.write_many(1000);
    let (_, first) = scene.costs(0, "sync src box:bucket/there");
    scene.are_equal("src", "there");
    assert_eq!(first.of("put"), 1000, "{first:?}");
    let (_, second) = scene.costs(0, "sync src box:bucket/there");
    assert_eq!(kinds(&second), [("head", 1), ("list", 1)]);
    // What the place is takes one HEAD and one listing, what its ETags are one HEAD more.
    let (_, check) = scene.costs(0, "check src box:bucket/there");
    assert_eq!(kinds(&check), [("head", 2), ("list", 2)]);
}

#[test]
fn a_check_finds_what_is_other_and_what_is_missing() {
    let scene = Scene::new();
    scene.write_many(10);
    scene.run("copy src box:bucket/there").expect(0);
    scene.run("check src box:bucket/there").expect(0);
    scene.sim.store(BUCKET, "there/d1/file 1", "CONTENT 1");
    let run = scene.run("check src box:bucket/there").expect(1);
    assert!(format!("{}{}", run.stdout, run.stderr).contains("d1/file 1"), "{run:?}");
}

#[test]
fn a_move_within_a_bucket_sends_no_content() {
    let scene = Scene::new();
    scene.write_many(20);
    scene.run("copy src box:bucket/there").expect(0);
    let (_, stats) = scene.costs(0, "move box:bucket/there box:bucket/elsewhere");
    scene.are_equal("src", "elsewhere");
    assert!(scene.stored("there").is_empty());
    assert_eq!((stats.of("copy"), stats.of("put"), stats.of("get")), (20, 0, 0), "{stats:?}");
}

#[test]
fn a_move_from_a_folder_empties_it_when_all_is_stored() {
    let scene = Scene::new();
    scene.write_many(10);
    let before = scene.files("src");
    let (_, stats) = scene.costs(0, "move src box:bucket/there");
    assert_eq!(scene.stored("there"), before);
    assert!(scene.files("src").is_empty());
    assert_eq!(stats.of("put"), 10, "{stats:?}");
}

#[test]
fn names_are_listed_and_objects_deleted() {
    let scene = Scene::new();
    scene.write_many(10);
    scene.run("copy src box:bucket/there").expect(0);
    for number in 0..5 {
        scene.home.write(format!("one/file {number}"), format!("content {number}"));
    }
    scene.run("copy one box:bucket/one").expect(0);
    let (run, stats) = scene.costs(0, "ls --recursive box:bucket/there");
    assert_eq!(run.stdout.matches("file ").count(), 10, "{}", run.stdout);
    assert_eq!(stats.of("get"), 0);
    scene.run("delete box:bucket/there").expect(0);
    assert!(scene.stored("there").is_empty(), "{:?}", scene.sim.keys(BUCKET));
    let (_, stats) = scene.costs(0, "delete box:bucket/one");
    assert!(scene.sim.keys(BUCKET).is_empty(), "{:?}", scene.sim.keys(BUCKET));
    assert_eq!((stats.of("delete-many"), stats.of("delete")), (1, 0), "{stats:?}");
}

/// Many parts are stored, and the last one is held until the process is killed.
#[test]
fn an_upload_that_was_killed_goes_on_with_the_parts_it_has() {
    let scene = Scene::new();
    let content: Vec<u8> = (0..(36 << 20) + 1).map(|at| (at / 3 % 241) as u8).collect();
    scene.home.write("src/large", &content);
    scene.sim.fault("part nth=5 hold").unwrap();
    let mut command = scene.home.command();
    command.args(["copy", "src", "box:bucket/there"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let is_held = scene.sim.wait_until_held(1, PATIENCE);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_held, "the fifth part was never sent");
    scene.keeps_no_secret();
    assert_eq!(scene.sim.open_uploads(BUCKET), [("there/large".to_owned(), 4)]);
    assert!(scene.stored("there").is_empty());
    let (run, stats) = scene.costs(0, "copy src box:bucket/there");
    run.says("32.0 MiB were there from before");
    scene.are_equal("src", "there");
    assert_eq!(
        (stats.of("create"), stats.of("part"), stats.of("complete")),
        (0, 1, 1),
        "{stats:?}"
    );
    assert_eq!(scene.sim.open_uploads(BUCKET), []);
}

/// The open upload of a job that waits is left alone, and goes away with the job.
#[test]
fn cleanup_leaves_the_upload_of_a_job_that_can_go_on() {
    let scene = Scene::new();
    scene.home.write("src/large", vec![1; 20 << 20]);
    scene.sim.fault("part nth=2 hold").unwrap();
    let mut command = scene.home.command();
    command.args(["copy", "src", "box:bucket/there"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let is_held = scene.sim.wait_until_held(1, PATIENCE);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_held, "the second part was never sent");
    // No object lies in that folder, so no listing shows it.
    for place in ["box:bucket/there", "box:bucket"] {
        let run = scene.run(&format!("cleanup {place}")).expect(0);
        run.says("1 may be another machine's");
    }
    assert_eq!(scene.sim.open_uploads(BUCKET).len(), 1);
    scene.run("copy src box:bucket/there").expect(0);
    scene.are_equal("src", "there");
    scene.run("cleanup box:bucket/there").expect(0).says("removed 0 parts");
    scene.run("cleanup box:bucket/nowhere").expect(3);
}

#[test]
fn a_wrong_key_is_told_without_the_key() {
    let scene = Scene::new();
    scene.home.write("src/f", "content");
    let file = scene.home.path("config/ketch/config.toml");
    let text = fs::read_to_string(&file).unwrap().replace(SECRET, "another-SECRET");
    fs::write(&file, text).unwrap();
    let run = scene.run("-vv copy src box:bucket/there");
    assert_ne!(run.code, 0);
    assert!(!run.stderr.contains("another-SECRET") && !run.stdout.contains("another-SECRET"));
    assert!(run.stderr.contains("does not accept the key"), "{}", run.stderr);
    assert!(scene.stored("there").is_empty());
}

/// The service is slow, fails and resets; what arrives is right.
#[test]
fn a_tree_arrives_though_the_service_fails_now_and_then() {
    let scene = Scene::new();
    scene.write_many(30);
    scene.home.write("src/large", vec![5; 20 << 20]);
    for fault in [
        "put nth=3 slowdown 0",
        "put nth=7 reset",
        "put nth=11 error 500",
        "part nth=1 lost",
        "complete nth=1 lost",
        "list nth=1 error 503",
    ] {
        scene.sim.fault(fault).unwrap();
    }
    scene.run("sync src box:bucket/there").expect(0);
    scene.are_equal("src", "there");
    assert_eq!(scene.sim.open_uploads(BUCKET), []);
}
