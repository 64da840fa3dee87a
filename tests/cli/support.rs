//! A home for one test, and a `ketch` that lives in it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A scratch home.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

/// What a command left behind.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Home { folder: tempfile::tempdir().expect("a scratch folder") }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes a file below the home, with the folders above it.
    pub(crate) fn write(&self, below: &str, content: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("below the home")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).expect("a file")
    }

    /// A `ketch` whose working folder is the home and whose environment holds nothing else.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ketch"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("KETCH_CONFIG", self.path("config.toml"))
            .env("XDG_STATE_HOME", self.path(".state"))
            .env("XDG_CACHE_HOME", self.path(".cache"))
            .env("XDG_DATA_HOME", self.path(".data"))
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// A `ketch` for which permissions count, also where the tests are run by root.
    pub(crate) fn unprivileged(&self) -> Command {
        const NOBODY: u32 = 65_534;
        let command = self.command();
        if !rustix::process::geteuid().is_root() {
            return command;
        }
        let program = self.path("ketch");
        if !program.exists() {
            fs::copy(command.get_program(), &program).expect("copied");
        }
        let mut waiting = vec![self.folder.path().to_owned()];
        while let Some(next) = waiting.pop() {
            std::os::unix::fs::lchown(&next, Some(NOBODY), Some(NOBODY)).expect("given away");
            if next.symlink_metadata().expect("there").is_dir() {
                let entries = fs::read_dir(&next).expect("a folder");
                waiting.extend(entries.map(|entry| entry.expect("readable").path()));
            }
        }
        let mut other = Command::new(&program);
        other.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        std::os::unix::process::CommandExt::uid(&mut other, NOBODY);
        std::os::unix::process::CommandExt::gid(&mut other, NOBODY);
        other
    }

    /// Runs with a terminal as standard output and error, and gives what reached it.
    pub(crate) fn on_terminal(&self, arguments: &[&str]) -> Vec<u8> {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let theirs = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).expect("opened");
        let also = theirs.try_clone().expect("cloned");
        let mut command = self.command();
        command.env("TERM", "xterm").args(arguments);
        command.stdout(Stdio::from(theirs)).stderr(Stdio::from(also));
        let mut child = command.spawn().expect("it starts");
        // The last other end is closed with the process, and reading fails then.
        drop(command);
        let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
        let mut ours = fs::File::from(ours);
        while let Ok(count @ 1..) = ours.read(&mut piece) {
            shown.extend_from_slice(&piece[..count]);
        }
        child.wait().expect("it ends");
        shown
    }

    /// A `ketch` that takes signals whatever those who started the tests ignore. `None`: they ignore some, and nothing here
    /// can change that.
    pub(crate) fn with_signals(&self) -> Option<Command> {
        let ketch = self.command();
        let signals = "--default-signal=HUP,INT,TERM";
        let probe = Command::new("env").args([signals, "true"]).stderr(Stdio::null()).status();
        if probe.is_ok_and(|status| status.success()) {
            let mut command = Command::new("env");
            command.arg(signals).arg(ketch.get_program()).current_dir(self.folder.path());
            command.env_clear().stdin(Stdio::null());
            command.envs(ketch.get_envs().filter_map(|(name, value)| Some((name, value?))));
            return Some(command);
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // SIGHUP, SIGINT and SIGTERM.
        let ours = 1 | 1 << 1 | 1 << 14;
        (ignored.unwrap_or(0) & ours == 0).then_some(ketch)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(self.command().args(arguments))
    }

    /// Runs and expects this exit code.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> Outcome {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, code, "{arguments:?}\n{}\n{}", outcome.stdout, outcome.stderr);
        outcome
    }

    /// Runs with `--json`, expects this exit code, and gives the lines.
    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Vec<Value> {
        let outcome = self.expect(code, &[&["--json"], arguments].concat());
        json_lines(&outcome.stdout)
    }

    /// Starts a command with JSON lines and waits until it has printed one of this type.
    pub(crate) fn wait_for(&self, command: &mut Command, kind: &str) -> Child {
        self.wait_for_many(command, kind, 1).0
    }

    fn wait_for_many(&self, command: &mut Command, kind: &str, count: usize) -> (Child, String) {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (mut text, mut found) = (String::new(), 0);
        while found < count {
            let before = text.len();
            assert!(stdout.read_line(&mut text).expect("a line") > 0, "it ended: {text}");
            found += usize::from(text[before..].contains(&format!("\"type\":\"{kind}\"")));
        }
        let rest = stdout.into_inner();
        child.stdout = Some(rest);
        (child, text)
    }

    /// Stops a command by SIGINT once it has printed so many lines of a type, and again until it has ended: two that come
    /// while the program has no turn are one. Lines that were buffered then are lost.
    pub(crate) fn stop_after(&self, command: &mut Command, kind: &str, count: usize) -> Outcome {
        let (mut child, mut text) = self.wait_for_many(command, kind, count);
        let id = i32::try_from(child.id()).expect("a process");
        let id = rustix::process::Pid::from_raw(id).expect("a process");
        while child.try_wait().expect("a child").is_none() {
            rustix::process::kill_process(id, rustix::process::Signal::INT)
                .expect("it is there until it is waited for");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let output = child.wait_with_output().expect("it ends");
        text.push_str(&String::from_utf8(output.stdout).expect("UTF-8"));
        let whole: String =
            text.split_inclusive('\n').filter(|line| line.starts_with('{')).collect();
        Outcome {
            code: output.status.code().expect("no signal"),
            stdout: whole,
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Serves a sandbox until the result is dropped.
    pub(crate) fn serve(&self) -> Server {
        let mut command = self.command();
        command.args(["--json", "sandbox", "serve", "--state"]).arg(self.path("served"));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let url = line["api_url"].as_str().expect("an address").to_owned();
        Server { child, url }
    }
}

/// A `ketch sandbox serve`.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// A place in it, reached with this key.
    pub(crate) fn place(&self, key: &str, path: &str) -> String {
        format!(":fichier,api_key={key},api_url=\"{}\",pace=off:{path}", self.url)
    }
}

impl Server {
    /// Where its calls are.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many requests of an endpoint it has had.
    pub(crate) fn requests(&self, endpoint: &str) -> u64 {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/v1");
        let answer = send(
            address,
            &format!("GET /__sim/stats HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let stats: Value = serde_json::from_str(body.trim()).expect("JSON");
        stats["requests"][endpoint].as_u64().unwrap_or(0)
    }
}

/// One call of the API by hand.
pub(crate) fn post(address: &str, path: &str, key: &str, body: &str) -> String {
    let length = body.len();
    send(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ),
    )
}

fn send(address: &str, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }
}

pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("it starts");
    Outcome {
        code: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// JSON lines of schema 1, of which the last one, and only that, is the summary.
#[track_caller]
pub(crate) fn json_lines(stdout: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let lines: Vec<Value> = stdout.lines().map(parse).collect();
    assert!(lines.iter().all(|line| line["v"] == 1 && line["ts"].is_string()), "{stdout}");
    let summaries = lines.iter().filter(|line| line["type"] == "summary").count();
    assert_eq!(summaries, 1, "{stdout}");
    assert_eq!(lines.last().expect("a line")["type"], "summary", "{stdout}");
    lines
}

/// Every file below a folder with its content, in order.
pub(crate) fn tree(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(current) = waiting.pop() {
        for entry in fs::read_dir(&current).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below").display().to_string();
            found.push((name, fs::read_to_string(&path).expect("text")));
        }
    }
    found.sort();
    found
}
