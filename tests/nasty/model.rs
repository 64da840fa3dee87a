//! Two clients of one machine at work in one account, while another client moves, renames and deletes in it, answers lie or are
//! lost, listings lag, and processes are killed. Whatever happens, no file that exists only once is ever removed by ketch, and
//! in the end no path has two files.
//!
//! Nothing here is a matter of time: listings lag by so many changes, a process is killed when its N-th request is held, and
//! where two are at work at once the second one runs to its end while a request of the first is held. The emulator's
//! identifiers follow from the seed. So a seed gives nearly the same run on every machine; what is left to chance are the
//! seconds that files were stored in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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

/// How far listings lag, in changes of the account.
const LAGS: [&str; 6] = ["0s", "0s", "changes 2", "changes 8", "changes 40", "changes 100"];

/// Where a request is held; `#` becomes a small number. Before it is carried out, or before its answer.
const MOMENTS: [&str; 8] = [
    "anything nth=# hold",
    "anything nth=# hold-answer",
    "anything nth=# hold",
    "anything nth=# hold-answer",
    "upload nth=1 hold-whole",
    "end.pl nth=1 hold-answer",
    "file/rm nth=1 hold",
    "file/rm nth=1 hold-answer",
];

/// Nothing that is waited for takes so long.
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Model {
    scene: Scene,
    seed: u64,
    random: fastrand::Rng,
    number: u32,
    /// What may be gone: overwritten, dropped from a source, or deleted by the other client.
    expendable: BTreeSet<String>,
    /// What ketch must never lose: all that was moved there by it.
    moved: BTreeSet<String>,
    /// What the other client has put aside, which is nobody else's business.
    kept: BTreeSet<String>,
    /// Commands whose process was killed or that failed, by where they go. They are what goes there next: only they know what
    /// their upload was to replace.
    open: BTreeMap<String, String>,
    /// Was a request held in this step, with which an upload is cut off? Then what it has sent may be removed again.
    is_upload_cut: bool,
    done: Vec<String>,
}

impl Model {
    fn new(seed: u64, limits: &str, pace: &str) -> Model {
        let scene = Scene::limited(limits, pace);
        scene.server.seed(seed);
        scene.home.write("aside/stranger", "of another client");
        scene.run("copy aside box:kept").expect(0);
        for folder in ["mv", "src1", "src2"] {
            std::fs::create_dir_all(scene.home.path(folder)).unwrap();
        }
        Model {
            scene,
            seed,
            random: fastrand::Rng::with_seed(seed),
            number: 0,
            expendable: BTreeSet::new(),
            moved: BTreeSet::new(),
            kept: BTreeSet::from(["of another client".to_owned()]),
            open: BTreeMap::new(),
            is_upload_cut: false,
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
        let command = match self.random.u8(0..5) {
            0 => format!("copy src{client} box:c{client}"),
            1 => format!("copy --checksum src{client} box:c{client}"),
            2 => self.begin_move(),
            _ => format!("sync --max-delete 100% src{client} box:c{client}"),
        };
        self.open.get(place(&command)).cloned().unwrap_or(command)
    }

    /// What the other client does at some call of the command.
    fn other_client(&mut self) -> Option<String> {
        let mut files = self.scene.server.files();
        files.sort();
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
        let lag = LAGS[self.random.usize(0..LAGS.len())];
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
        let command = self.command();
        let held = match self.random.u8(0..4) {
            0 | 1 => None,
            _ => {
                let moment = MOMENTS[self.random.usize(0..MOMENTS.len())];
                Some(moment.replacen('#', &self.random.u8(1..24).to_string(), 1))
            }
        };
        let second = (self.random.u8(0..2) == 0).then(|| self.command());
        let told = format!("{command} lag {lag}, {faults:?}, held {held:?}, then {second:?}");
        self.done.push(told);
        self.scene.server.fault(held.as_deref().unwrap_or_default());
        let mut first = self.begin(&command, "first");
        let is_held = self.is_held(&mut first);
        self.is_upload_cut = is_held;
        if let Some(second) = is_held.then_some(second) {
            match second {
                // The other client's job runs while this one waits.
                Some(second) => {
                    let mut other = self.begin(&second, "second");
                    let ended = self.end_of(&mut other, "second");
                    self.ended(&second, "second", ended);
                    self.scene.server.release(true);
                }
                None => {
                    first.kill().unwrap();
                    first.wait().unwrap();
                    // What has left the process arrives without it.
                    self.let_go(held.as_deref().is_some_and(|held| held.ends_with("hold-whole")));
                }
            }
        }
        let ended = self.end_of(&mut first, "first");
        self.ended(&command, "first", ended);
        self.scene.server.fault("clear");
        let twice = self.twice();
        if !twice.is_empty() {
            self.done.push(format!("after that there were twice: {twice:?}"));
        }
        self.check();
    }

    /// With `KETCH_WIRE_VERBOSE` a failure tells every request.
    fn verbose(&self) -> &'static [&'static str] {
        if std::env::var_os("KETCH_WIRE_VERBOSE").is_some() { &["-vvv"] } else { &[] }
    }

    fn begin(&self, command: &str, name: &str) -> Child {
        let mut child = self.scene.home.command();
        let told = File::create(self.scene.home.path(name)).unwrap();
        child.args(command.split(' ')).args(self.verbose()).stdout(Stdio::null()).stderr(told);
        child.spawn().unwrap()
    }

    fn ended(&mut self, command: &str, name: &str, ended: ExitStatus) {
        let told = std::fs::read_to_string(self.scene.home.path(name)).unwrap();
        self.done.push(format!("{command}: {ended}: {told}"));
        // 7: it has found the place in use.
        match ended.code() {
            Some(0) => drop(self.open.remove(place(command))),
            Some(7) => {}
            _ => drop(self.open.insert(place(command).to_owned(), command.to_owned())),
        }
    }

    /// Waits until a request of `child` is held, or it has ended.
    fn is_held(&self, child: &mut Child) -> bool {
        let mut found = None;
        self.wait_until("a request is held or its process has ended", || {
            let is_held = self.scene.server.stat("held") > 0;
            if is_held || child.try_wait().unwrap().is_some() {
                found = Some(is_held);
            }
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// How a process ends. One that does not end is killed, and the test fails.
    fn end_of(&self, child: &mut Child, name: &str) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(ended) = child.try_wait().unwrap() {
                return ended;
            }
            if begun.elapsed() > WAIT_MAX {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("seed {}: the {name} process does not end: {}", self.seed, self.told());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let is_long = begun.elapsed() > WAIT_MAX;
            assert!(!is_long, "seed {}: waited for \"{what}\": {}", self.seed, self.told());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the wait of a held request whose client is gone, and waits until it has been dealt with.
    fn let_go(&self, goes_on: bool) {
        let before = self.scene.server.stat("uploads_stored");
        self.scene.server.release(goes_on);
        self.wait_until("a request whose client is gone has been dealt with", || {
            let stored = self.scene.server.stat("uploads_stored") > before;
            self.scene.server.stat("held") == 0 && (stored || !goes_on)
        });
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
        let is_kept = |content: &String| {
            let paths = contents.get(content).into_iter().flatten();
            paths.into_iter().any(|path| path.starts_with("kept"))
        };
        let gone: Vec<String> = self.kept.iter().filter(|one| !is_kept(one)).cloned().collect();
        for content in gone {
            // An upload that had arrived in a folder which others had put aside was removed again: its source is there.
            let at_hand = (1..3).any(|client| {
                let source = crate::support::tree(&self.scene.home.path(format!("src{client}")));
                source.into_values().any(|bytes| bytes == content.as_bytes())
            });
            let may_go = at_hand && self.is_upload_cut;
            assert!(may_go, "`{content}` was put aside, and is gone after {}", self.told());
            self.kept.remove(&content);
        }
        for (content, paths) in contents {
            if paths.iter().any(|path| path.starts_with("kept")) {
                self.kept.insert(content);
            }
        }
    }

    /// With honest answers everything comes right, and nothing is there twice.
    fn settle(&mut self) {
        self.is_upload_cut = false;
        self.scene.server.lag("0s");
        // Not by the time: an edit of the same size within the second of the stored copy looks like it.
        let commands = [
            "sync --checksum --max-delete 100% src1 box:c1",
            "sync --checksum --max-delete 100% src2 box:c2",
            "move mv box:moved",
        ];
        for client in 1..3 {
            self.write(client);
        }
        std::fs::create_dir_all(self.scene.home.path("mv")).unwrap();
        let open = std::mem::take(&mut self.open);
        let mut wrong = self.bring_about(open.into_values().chain(commands.map(str::to_owned)));
        self.check();
        if wrong.is_empty() && !self.twice().is_empty() {
            wrong = format!("stored twice: {:?}", self.twice());
        }
        assert!(wrong.is_empty(), "{wrong} {}", self.told());
        for client in 1..3 {
            let run = self.scene.run(&format!("check src{client} box:c{client}"));
            assert_eq!(run.code, 0, "{} {} {}", run.stdout, run.stderr, self.told());
        }
        self.done.push(SETTLED.to_owned());
    }

    /// Runs the commands, each up to three times, because a run that meets the rests of one that was killed may have to say so.
    /// What a command says that does not succeed then.
    fn bring_about(&mut self, commands: impl IntoIterator<Item = String>) -> String {
        for command in commands {
            let mut runs: Vec<_> = Vec::new();
            while runs.len() < 3 && runs.last().is_none_or(|(code, _)| *code != Some(0)) {
                let mut child = self.begin(&command, "settling");
                let ended = self.end_of(&mut child, "settling");
                let told = std::fs::read_to_string(self.scene.home.path("settling")).unwrap();
                self.done.push(format!("to settle: {command}: {ended}: {told}"));
                runs.push((ended.code(), told));
            }
            if runs.last().is_some_and(|(code, _)| *code != Some(0)) {
                return format!("{command}: {runs:?}");
            }
        }
        String::new()
    }

    /// What was done since everything was well last.
    fn told(&self) -> String {
        let from = self.done.iter().rposition(|told| told == SETTLED).map_or(0, |index| index + 1);
        self.done[from..].join("\n")
    }
}

const SETTLED: &str = "settled";

/// Where a command goes.
fn place(command: &str) -> &str {
    command.rsplit(' ').next().unwrap_or_default()
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

/// One request at a time, so that the N-th is the same one each time.
const PACE_OFF: &str = "pace = \"off\"\npace_scale = \"1000\"\nconnections = \"1\"";

#[test]
fn whatever_others_do_and_listings_hide_and_whenever_processes_die_nothing_is_lost_and_nothing_is_there_twice()
 {
    let (seed, steps) = (number("KETCH_WIRE_SEED", 20_261_130), number("KETCH_WIRE_STEPS", 200));
    run(seed, steps, Model::new(seed, "off", PACE_OFF));
}

#[test]
fn at_their_pace_two_clients_meet_no_flood_and_no_ban() {
    let (seed, steps) = (number("KETCH_WIRE_SEED", 20_261_130), number("KETCH_WIRE_STEPS", 200));
    let pace = "pace_scale = \"25\"\nconnections = \"1\"";
    let mut model = Model::new(seed, "documented/100", pace);
    for _ in 0..steps / 20 {
        model.step();
    }
    model.settle();
    // An address that is banned is answered with floods, too.
    assert_eq!(model.scene.server.stat("floods"), 0, "seed {seed}: {}", model.told());
}
