//! A scratch home for the built binary: config, state and sandbox of its own, nothing of the person who runs the tests.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unreachable_pub, reason = "shared by several test files")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The key that the emulator accepts.
pub use ketch_fichier_sim::SANDBOX_KEY;

/// What one run of the binary gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Fails the test, showing everything, unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Run {
        assert!(self.stderr.contains(text), "`{text}` is not in:\n{}", self.stderr);
        self
    }
}

/// A home folder and the binary in it.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    /// One that lives in memory where the machine has such a folder: for tests that make hundreds.
    pub fn in_memory() -> Home {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        Home { folder: folder.unwrap() }
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The binary with this home and nothing else in its environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ketch"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_DATA_HOME", self.path("data"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Run {
        finish(self.command().args(arguments))
    }

    /// Starts an emulator of its own, with its state in `name`.
    pub fn serve(&self, name: &str, limits: &str) -> Server {
        let mut child = self
            .command()
            .args(["sandbox", "serve", "--port", "0", "--limits", limits, "--state"])
            .arg(self.path(name))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, rest) = line.split_once("http://127.0.0.1:")?;
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                Some(format!("127.0.0.1:{port}"))
            })
            .expect("the emulator says where it listens");
        Server { child, address: url, _output: Box::new(lines) }
    }
}

/// Runs a command and gathers what it gave.
pub fn finish(command: &mut Command) -> Run {
    command.output().unwrap().into()
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// `command` as the last arguments of another program, with its environment and in its folder.
pub fn behind(mut program: Command, command: &Command) -> Command {
    program.arg(command.get_program()).args(command.get_args()).env_clear();
    program.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    program.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    program
}

/// An emulator in a process of its own.
pub struct Server {
    child: Child,
    pub address: String,
    _output: Box<dyn Iterator<Item = std::io::Result<String>>>,
}

impl Server {
    /// A place on it, with the right key.
    pub fn place(&self, path: &str, options: &str) -> String {
        let address = &self.address;
        format!(":fichier,api_key={SANDBOX_KEY},api_url=\"http://{address}/v1\"{options}:{path}")
    }

    /// Injects a fault, in the emulator's grammar.
    pub fn fault(&self, fault: &str) {
        let answer = self.request("POST", "/__sim/fault", fault);
        assert!(answer.starts_with("HTTP/1.1 20"), "{fault}: {answer}");
    }

    /// Puts many things there at once: `plant` or `folders`, with the words of the emulator.
    pub fn plant(&self, what: &str, words: &str) {
        let answer = self.request("POST", &format!("/__sim/{what}"), words);
        assert!(answer.starts_with("HTTP/1.1 20"), "{words}: {answer}");
    }

    /// Lets listings show what was there so long ago: a time, or `changes N`.
    pub fn lag(&self, behind: &str) {
        let answer = self.request("POST", "/__sim/lag", behind);
        assert!(answer.starts_with("HTTP/1.1 20"), "{behind}: {answer}");
    }

    /// Makes all identifiers that it gives follow from a number.
    pub fn seed(&self, seed: u64) {
        let answer = self.request("POST", "/__sim/seed", &seed.to_string());
        assert!(answer.starts_with("HTTP/1.1 20"), "{seed}: {answer}");
    }

    /// Lets requests that are held go on, or drops them.
    pub fn release(&self, goes_on: bool) {
        self.request("POST", "/__sim/release", if goes_on { "go" } else { "drop" });
    }

    /// A call of another client of the account; the answer's JSON.
    pub fn call(&self, verb: &str, body: &serde_json::Value) -> serde_json::Value {
        let header =
            format!("Content-Type: application/json\r\nAuthorization: Bearer {SANDBOX_KEY}\r\n");
        let path = format!("/v1/{verb}.cgi");
        let answer = self.request_with("POST", &path, &header, &body.to_string());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body.trim()).unwrap()
    }

    /// Waits until a request is held by a fault.
    pub fn held(&self) {
        let answer = self.request("GET", "/__sim/held", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "nothing is held: {answer}");
    }

    /// Forgets faults, and drops the request that is held.
    pub fn clear(&self) {
        self.request("POST", "/__sim/release", "drop");
        self.fault("clear");
    }

    /// One number of the emulator's statistics: `floods`, `files`, ….
    pub fn stat(&self, name: &str) -> u64 {
        let answer = self.request("GET", "/__sim/stats", "");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let stats: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
        let found = stats.get(name).or_else(|| stats["requests"].get(name));
        found.and_then(serde_json::Value::as_u64).unwrap_or(0)
    }

    /// Every file of the account: its path, of which there may be several, and its content.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let answer = self.request("GET", "/__sim/files", "");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let files: Vec<serde_json::Value> = serde_json::from_str(body.trim()).unwrap();
        let text = |file: &serde_json::Value, name: &str| file[name].as_str().unwrap().to_owned();
        let file = |file| (text(&file, "path"), fs::read(text(&file, "content")).unwrap());
        files.into_iter().map(file).collect()
    }

    /// The log of requests.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let answer = self.request("GET", "/__sim/stats?log=1", "");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let stats: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
        stats["log"].as_array().cloned().unwrap_or_default()
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        self.request_with(method, path, "", body)
    }

    fn request_with(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // What is waited for comes at once, or it is a failure.
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let host = &self.address;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All files below `folder` with their content, by path; links and folders left out.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path().strip_prefix(folder).unwrap().to_owned();
                found.insert(path, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// Everything about everything below `folder`: kind, content or target, permissions, modification time of what is no folder.
pub fn facts(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let time = (about.mtime(), about.mtime_nsec());
            let fact = if about.is_dir() {
                waiting.push(path.clone());
                "folder".to_owned()
            } else if about.is_symlink() {
                format!("link to {:?} of {time:?}", fs::read_link(&path).unwrap())
            } else {
                let content = fs::read(&path).unwrap();
                format!("{:o} {time:?} {content:?}", about.permissions().mode() & 0o7777)
            };
            found.insert(path.strip_prefix(folder).unwrap().display().to_string(), fact);
        }
    }
    found
}
