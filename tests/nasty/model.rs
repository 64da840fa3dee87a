//! Two clients of one machine at work in one account, while another client moves, renames and deletes in it, answers lie or are
//! lost, and listings lag by up to a minute or processes are killed. Whatever happens, no file that exists only once is ever
//! removed by ketch; and where listings do not lag, in the end no path has two files.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use crate::Scene;

/// A file of another client that the reports of a node name in their lies.
const STRANGER: &str = "kept/stranger";

/// What happens to requests while one command runs; `#` becomes a small number.
const FAULTS: [&str; 20] = [
    "",
    "",
    "end.pl next=1 stranger kept/stranger",
    "end.pl next=1 stranger-address kept/stranger",
    "end.pl next=1 wrong-whirlpool",
    "end.pl next=2 please-wait",
    "end.pl next=1 no-links",
    "upload next=1 lose-answer",
    "upload next=1 damage",
    "upload next=1 wrong-folder",
    "upload nth=# reset-after 50",
    "folder/ls nth=# ko 404 Resource not found #469",
    "folder/ls nth=# truncated-json",
    "folder/ls nth=# no-sub-folders",
    "folder/ls nth=# loop d1",
    "folder/mkdir next=1 lose-answer",
    "file/info nth=# ko 404 Resource not found #469",
    "file/rm next=1 ko 403 Something new #777",
    "file/rm next=1 lose-answer",
    "* nth=# reset",
];

struct Model {
    scene: Scene,
    /// Are processes killed, or do listings lag? What a process had stored when it was killed, and nobody has noted, another
    /// job finds in listings only, so both at once may store it twice ("Gaps" in docs/FICHIER.md).
    kills: bool,
    random: fastrand::Rng,
    number: u32,
    /// What may be gone: overwritten, dropped from a source, or deleted by the other client.
    expendable: BTreeSet<String>,
    /// What ketch must never lose: all that was moved there by it.
    moved: BTreeSet<String>,
    /// What the other client has put aside, which is nobody else's business.
    kept: BTreeSet<String>,
    done: Vec<String>,
}

impl Model {
    fn new(seed: u64, kills: bool, limits: &str, pace: &str) -> Model {
        let scene = Scene::limited(limits, pace);
        scene.home.write("aside/stranger", "of another client");
        scene.run("copy aside box:kept").expect(0);
        std::fs::create_dir_all(scene.home.path("mv")).unwrap();
        Model {
            scene,
            kills,
            random: fastrand::Rng::with_seed(seed),
            number: 0,
            expendable: BTreeSet::new(),
            moved: BTreeSet::new(),
            kept: BTreeSet::from(["of another client".to_owned()]),
            done: Vec::new(),
        }
    }

    fn content(&mut self) -> String {
        self.number += 1;
        let length = self.random.usize(0..40);
        format!("content {} {}", self.number, "x".repeat(length))
    }

    fn source_file(&mut self, client: usize) -> String {
        format!("src{client}/d{}/f{}", self.random.u8(0..3), self.random.u8(0..4))
    }

    fn write(&mut self, client: usize) {
        let (path, content) = (self.source_file(client), self.content());
        self.expendable.extend(std::fs::read_to_string(self.scene.home.path(&path)));
        self.scene.home.write(path, content);
    }

    fn drop_one(&mut self, client: usize) {
        let path = self.source_file(client);
        let path = self.scene.home.path(path);
        if let Ok(content) = std::fs::read_to_string(&path) {
            self.expendable.insert(content);
            std::fs::remove_file(path).unwrap();
        }
    }

    /// Puts files where a move takes them from, and returns the command.
    fn begin_move(&mut self) -> String {
        for _ in 0..self.random.u8(1..4) {
            let content = self.content();
            self.scene.home.write(format!("mv/m{}", self.number), &content);
            self.moved.insert(content);
        }
        "move mv box:moved".to_owned()
    }

    fn command(&mut self) -> String {
        let client = self.random.usize(1..3);
        match self.random.u8(0..5) {
            0 => format!("copy src{client} box:c{client}"),
            1 => format!("copy --checksum src{client} box:c{client}"),
            2 => self.begin_move(),
            _ => format!("sync --max-delete 100% src{client} box:c{client}"),
        }
    }

    /// What the other client does at some call of the command.
    fn other_client(&mut self) -> Option<String> {
        let files = self.scene.server.files();
        let chosen = self.random.usize(..files.len().max(1));
        let (path, content) = files.get(chosen)?;
        let when = format!("* nth={}", self.random.u8(1..12));
        if path.starts_with("kept") {
            return None;
        }
        self.number += 1;
        let number = self.number;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Some(match self.random.u8(0..5) {
            0 if path.starts_with('c') => {
                self.expendable.insert(String::from_utf8(content.clone()).unwrap());
                format!("{when} take {path}")
            }
            1 if path.starts_with('c') => format!("{when} move {folder} > kept{number}"),
            2 => format!("{when} move {path} > {folder}/renamed{number}-{name}"),
            _ => format!("{when} move {path} > kept/{number}"),
        })
    }

    fn step(&mut self) {
        for client in 1..3 {
            if self.random.u8(0..3) > 0 {
                self.write(client);
            }
            if self.random.u8(0..6) == 0 {
                self.drop_one(client);
            }
        }
        let lag = ["0s", "0s", "1s", "5s", "20s", "60s"][self.random.usize(0..6)];
        let lag = if self.kills { "0s" } else { lag };
        self.scene.server.lag(lag);
        let fault = FAULTS[self.random.usize(0..FAULTS.len())];
        // A report that lies while listings lag may leave an old version beside the new one ("Gaps" in docs/FICHIER.md).
        let fault = if lag != "0s" && fault.starts_with("end.pl") { "" } else { fault };
        let mut faults = fault.replacen("=#", &format!("={}", self.random.u8(1..6)), 1);
        if self.random.u8(0..2) == 0
            && let Some(other) = self.other_client()
        {
            faults = format!("{faults}\n{other}");
        }
        self.scene.server.fault(&faults);
        let mut commands = vec![self.command()];
        if self.random.u8(0..4) == 0 {
            commands.push(self.command());
        }
        let kill = (self.kills && self.random.u8(0..3) == 0).then(|| self.random.u64(0..60));
        self.done.push(format!("{commands:?} lag {lag}, killed {kill:?}, {faults:?}"));
        let children = commands.iter().map(|command| {
            let mut child = self.scene.home.command();
            let told = std::fs::File::create(self.scene.home.path("told")).unwrap();
            child.args(command.split(' ')).stdout(Stdio::null()).stderr(told);
            child.spawn().unwrap()
        });
        let children: Vec<_> = children.collect();
        for mut child in children {
            if let Some(kill) = kill {
                std::thread::sleep(Duration::from_millis(kill));
                child.kill().unwrap();
            }
            let ended = child.wait().unwrap();
            let told = std::fs::read_to_string(self.scene.home.path("told")).unwrap();
            self.done.push(format!("{ended}: {told}"));
        }
        self.scene.server.fault("clear");
        let twice = self.twice();
        if !twice.is_empty() {
            self.done.push(format!("after that there were twice: {twice:?}"));
        }
        self.check();
    }

    /// The paths that have several files, and how many.
    fn twice(&self) -> BTreeMap<String, u32> {
        let mut paths = BTreeMap::new();
        for (path, _) in self.scene.server.files() {
            *paths.entry(path).or_insert(0) += 1;
        }
        paths.retain(|path, count| *count > 1 && !path.starts_with("kept"));
        paths
    }

    fn contents(&self) -> BTreeMap<String, Vec<String>> {
        let mut contents: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, content) in self.scene.server.files() {
            contents.entry(String::from_utf8(content).unwrap()).or_default().push(path);
        }
        contents
    }

    /// What must be there is there.
    fn check(&mut self) {
        let contents = self.contents();
        let at_hand = crate::support::tree(&self.scene.home.path("mv"));
        let at_hand: BTreeSet<String> =
            at_hand.into_values().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        for content in &self.moved {
            let is_there = contents.contains_key(content) || at_hand.contains(content);
            assert!(is_there, "`{content}` is lost after {}", self.told());
        }
        for content in &self.kept {
            let is_kept = |path: &String| path.starts_with("kept");
            let is_there = contents.get(content).is_some_and(|paths| paths.iter().any(is_kept));
            assert!(is_there, "`{content}` was put aside, and is gone after {}", self.told());
        }
        for (content, paths) in contents {
            if paths.iter().any(|path| path.starts_with("kept")) {
                self.kept.insert(content);
            }
        }
    }

    /// With honest answers everything comes right, and nothing is there twice. Where listings have lagged, whether something
    /// is there twice depends on how fast the machine is, so only that nothing is lost is looked at.
    fn settle(&mut self) {
        self.scene.server.lag("0s");
        let commands = [
            "sync --checksum --max-delete 100% src1 box:c1",
            "sync --checksum --max-delete 100% src2 box:c2",
            "move mv box:moved",
        ];
        for client in 1..3 {
            self.write(client);
        }
        std::fs::create_dir_all(self.scene.home.path("mv")).unwrap();
        for command in commands {
            // A run that meets the rests of one that was killed may have to say so once.
            let mut runs: Vec<_> = Vec::new();
            while runs.len() < 3 && runs.last().is_none_or(|(code, _)| *code != 0) {
                let run = self.scene.run(command);
                runs.push((run.code, run.stderr));
            }
            if !self.kills {
                continue;
            }
            assert_eq!(
                runs.last().map(|run| run.0),
                Some(0),
                "{command}: {runs:?} {}",
                self.told()
            );
        }
        self.check();
        if !self.kills {
            return;
        }
        let twice = self.twice();
        assert!(twice.is_empty(), "stored twice: {twice:?} {}", self.told());
        for client in 1..3 {
            let run = self.scene.run(&format!("check src{client} box:c{client}"));
            assert_eq!(run.code, 0, "{} {} {}", run.stdout, run.stderr, self.told());
        }
    }

    fn told(&self) -> String {
        let from = self.done.len().saturating_sub(60);
        self.done[from..].join("\n")
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn run(seed: u64, steps: u64, mut model: Model) {
    eprintln!("seed {seed}, {steps} steps (KETCH_WIRE_SEED, KETCH_WIRE_STEPS)");
    for step in 1..=steps {
        model.step();
        if step % 20 == 0 || step == steps {
            model.settle();
        }
    }
    assert!(model.scene.server.files().iter().any(|(path, _)| path == STRANGER));
}

const PACE_OFF: &str = "pace = \"off\"\npace_scale = \"1000\"";

fn seed_and_steps() -> (u64, u64) {
    (number("KETCH_WIRE_SEED", 20_261_130), number("KETCH_WIRE_STEPS", 200))
}

#[test]
fn whatever_others_do_and_listings_hide_nothing_is_lost() {
    let (seed, steps) = seed_and_steps();
    run(seed, steps / 2, Model::new(seed, false, "off", PACE_OFF));
}

#[test]
fn whatever_others_do_and_whenever_processes_die_nothing_is_lost_and_nothing_is_there_twice() {
    let (seed, steps) = seed_and_steps();
    run(seed, steps / 2, Model::new(seed, true, "off", PACE_OFF));
}

#[test]
fn at_their_pace_two_clients_meet_no_flood_and_no_ban() {
    let (seed, steps) = seed_and_steps();
    let mut model = Model::new(seed, false, "documented/100", "pace_scale = \"25\"");
    for _ in 0..steps / 20 {
        model.step();
    }
    model.settle();
    assert_eq!(model.scene.server.stat("floods"), 0, "seed {seed}: {}", model.told());
}
