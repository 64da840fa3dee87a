//! `cargo xtask interrupt`: what a killed transfer costs the next run, for ketch and the tools people use.
//!
//! A large transfer is killed (SIGKILL) when half of it is at the destination, and the same command is run again. What the
//! second run wrote or fetched is counted from outside: by the system (`/proc/PID/io`), or by the emulator. Knows the
//! command line of ketch and no crate of it.

#![expect(clippy::print_stdout, reason = "the table is the answer")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str = "\
usage: cargo xtask interrupt [--size MIB] [--files N] [--at FOLDER]

  --size MIB     size of the copied file (default 4096); the download has half of it
  --files N      files of the job that is killed in the middle (default 100000)
  --at FOLDER    where the data is made (default /dev/shm)
";

/// How often the destination and the process are looked at.
const LOOK: Duration = Duration::from_millis(1);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(600);
const MIB: u64 = 1024 * 1024;

/// Measures and prints.
pub(crate) fn interrupt(arguments: &[String]) -> Result<(), String> {
    let (mut size, mut files, mut at) = (4096, 100_000, PathBuf::from("/dev/shm"));
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let number = || value.parse::<u64>().map_err(|_| USAGE.to_owned());
        match argument.as_str() {
            "--size" => size = number()?,
            "--files" => files = number()?,
            "--at" => at = value.into(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let scratch = at.join(format!("ketch-interrupt-{}", std::process::id()));
    let bench = Bench { ketch: build()?, scratch: scratch.clone() };
    let result = bench.all(size * MIB, files);
    fs::remove_dir_all(&scratch).map_err(|error| error.to_string())?;
    result
}

fn build() -> Result<PathBuf, String> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", "ketch-cli"])
        .status()
        .map_err(|error| error.to_string())?;
    if !built.success() {
        return Err("ketch cannot be built".to_owned());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent")?;
    Ok(root.join("target/release/ketch"))
}

struct Bench {
    ketch: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    fn all(&self, size: u64, files: u64) -> Result<(), String> {
        println!(
            "| what is killed at half | tool | missing then | moved by the second run | beyond what was missing |"
        );
        println!("|---|---|---|---|---|");
        self.local_copies(size)?;
        self.download(size / 2)?;
        self.many_files(files)
    }

    /// A `ketch` with its state in the scratch folder.
    fn ketch(&self) -> Command {
        let mut command = Command::new(&self.ketch);
        for (name, folder) in
            [("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")]
        {
            command.env(name, self.scratch.join(folder));
        }
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn local_copies(&self, size: u64) -> Result<(), String> {
        let (from, to) = (self.scratch.join("a"), self.scratch.join("b"));
        make(&from.join("large"), size)?;
        let tools: [(&str, &[&str]); 4] = [
            ("ketch", &["copy"]),
            ("rsync", &["-a", "--partial"]),
            ("rsync", &["-a", "--inplace", "--append-verify"]),
            ("rclone", &["copy"]),
        ];
        for (tool, flags) in tools {
            let command = || {
                let mut command = match tool {
                    "ketch" => self.ketch(),
                    tool => Command::new(tool),
                };
                let source = if tool == "rsync" { from.join("large") } else { from.clone() };
                command.args(flags).arg(source).arg(&to);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                command
            };
            if tool != "ketch" && Command::new(tool).arg("--version").output().is_err() {
                println!(
                    "| copy of {} MiB on one machine | {tool} | not installed | | |",
                    size / MIB
                );
                continue;
            }
            fs::create_dir_all(&to).map_err(text)?;
            let mut child = command().spawn().map_err(text)?;
            let there = kill_at(&mut child, &to, size / 2)?;
            let written = bytes_written(&mut command().spawn().map_err(text)?)?;
            same(&from.join("large"), &to.join("large"))?;
            let name = format!("`{tool} {}`", flags.join(" "));
            row(
                &format!("copy of {} MiB on one machine", size / MIB),
                &name,
                size - there,
                written,
            );
            fs::remove_dir_all(&to).map_err(text)?;
        }
        fs::remove_dir_all(&from).map_err(text)
    }

    fn download(&self, size: u64) -> Result<(), String> {
        let (from, to) = (self.scratch.join("up"), self.scratch.join("down"));
        make(&from.join("large"), size)?;
        let server = Server::start(self)?;
        let place = server.place("x");
        let mut upload = self.ketch();
        let uploaded = upload.args(["copy", "--no-journal"]).arg(&from).arg(&place).status();
        if !uploaded.map_err(text)?.success() {
            return Err("the upload to the emulator failed".to_owned());
        }
        let command = || {
            let mut command = self.ketch();
            command.arg("copy").arg(&place).arg(&to);
            command
        };
        fs::create_dir_all(&to).map_err(text)?;
        let mut child = command().spawn().map_err(text)?;
        let there = kill_at(&mut child, &to, size / 2)?;
        let before = server.downloaded()?;
        let again = command().status().map_err(text)?;
        if !again.success() {
            return Err(format!("the second run ended with {again}"));
        }
        same(&from.join("large"), &to.join("large"))?;
        let fetched = server.downloaded()? - before;
        row(
            &format!("download of {} MiB from the emulator", size / MIB),
            "`ketch copy`",
            size - there,
            fetched,
        );
        Ok(())
    }

    /// A job of many files, killed when half of them are there: how many folders the second run lists.
    fn many_files(&self, files: u64) -> Result<(), String> {
        let (from, to) = (self.scratch.join("many"), self.scratch.join("copied"));
        let folders = files.div_ceil(100);
        for folder in 0..folders {
            let folder = from.join(format!("d{folder:05}"));
            fs::create_dir_all(&folder).map_err(text)?;
            for file in 0..100 {
                fs::write(folder.join(format!("f{file:02}")), format!("{file}")).map_err(text)?;
            }
        }
        let command = || {
            let mut command = self.ketch();
            command.args(["copy", "--checkers", "1"]).arg(&from).arg(&to);
            command
        };
        let mut child = command().spawn().map_err(text)?;
        let half = to.join(format!("d{:05}", folders / 2));
        let deadline = Instant::now() + PATIENCE;
        while !half.exists() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        child.kill().and_then(|()| child.wait()).map_err(text)?;
        let left = folders - fs::read_dir(&to).map_err(text)?.count() as u64;
        let log = self.scratch.join("listings");
        let mut traced = Command::new("strace");
        let plain = command();
        traced
            .args(["-f", "-qq", "-e", "trace=getdents64", "-o"])
            .arg(&log)
            .arg(plain.get_program());
        traced.args(plain.get_args()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, value) in plain.get_envs() {
            traced.env(name, value.unwrap_or_default());
        }
        println!();
        match traced.status() {
            Ok(status) if status.success() => {
                let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
                // The last call on a folder gives 0.
                let listings = text.lines().filter(|line| line.ends_with("= 0")).count();
                println!(
                    "A copy of {} files in {folders} folders, killed when {left} folders were not begun: the second run \
                     made {listings} listings on both sides together.",
                    folders * 100
                );
                Ok(())
            }
            Ok(status) => Err(format!("the second run ended with {status}")),
            Err(_) => {
                println!(
                    "strace is not installed: the listings of the second run were not counted."
                );
                Ok(())
            }
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn row(what: &str, tool: &str, missing: u64, moved: u64) {
    let beyond = moved.saturating_sub(missing);
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB as f64);
    println!("| {what} | {tool} | {} | {} | {} |", mib(missing), mib(moved), mib(beyond));
}

/// A file of bytes that do not repeat.
fn make(path: &Path, size: u64) -> Result<(), String> {
    fs::create_dir_all(path.parent().ok_or("no folder")?).map_err(text)?;
    let mut file = File::create(path).map_err(text)?;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut block = vec![0_u8; MIB as usize];
    for _ in 0..size / MIB {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).map_err(text)?;
    }
    Ok(())
}

fn same(left: &Path, right: &Path) -> Result<(), String> {
    let status = Command::new("cmp").arg(left).arg(right).status().map_err(text)?;
    if status.success() { Ok(()) } else { Err(format!("{} is not a copy", right.display())) }
}

/// Kills the process when so many bytes are below `folder`, and gives how many there were then.
fn kill_at(child: &mut Child, folder: &Path, bytes: u64) -> Result<u64, String> {
    let deadline = Instant::now() + PATIENCE;
    while size_below(folder) < bytes {
        if child.try_wait().map_err(text)?.is_some() {
            return Err("it ended before half of it was there".to_owned());
        }
        if Instant::now() > deadline {
            return Err("half of it was never there".to_owned());
        }
        std::thread::sleep(LOOK);
    }
    child.kill().and_then(|()| child.wait()).map_err(text)?;
    Ok(size_below(folder))
}

fn size_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// What a process and its threads wrote, as the system counts it, up to shortly before its end.
fn bytes_written(child: &mut Child) -> Result<u64, String> {
    let path = format!("/proc/{}/io", child.id());
    let mut written = 0;
    loop {
        let io = fs::read_to_string(&path).unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        written = line.and_then(|line| line.parse().ok()).unwrap_or(0).max(written);
        match child.try_wait().map_err(text)? {
            Some(status) if status.success() => return Ok(written),
            Some(status) => return Err(format!("the second run ended with {status}")),
            None => std::thread::sleep(LOOK),
        }
    }
}

/// An emulator in a process of its own.
struct Server {
    child: Child,
    address: String,
    options: String,
}

impl Server {
    fn start(bench: &Bench) -> Result<Self, String> {
        let mut command = bench.ketch();
        command.args(["--json", "sandbox", "serve", "--limits", "off", "--state"]);
        command.arg(bench.scratch.join("served")).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(text)?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line).map_err(text)?;
        let between = |start: &str, end: &str| -> Option<String> {
            let (_, rest) = line.split_once(start)?;
            Some(rest.split_once(end)?.0.to_owned())
        };
        let address = between("http://", "/v1").ok_or("the emulator does not say where it is")?;
        let key = between("api_key=", ",")
            .or_else(|| between("\"api_key\":\"", "\""))
            .ok_or("it tells no key")?;
        let options = format!("api_key={key},api_url=\"http://{address}/v1\",pace=off");
        Ok(Server { child, address, options })
    }

    fn place(&self, path: &str) -> String {
        format!(":fichier,{}:{path}", self.options)
    }

    /// Bytes of content that the emulator has sent.
    fn downloaded(&self) -> Result<u64, String> {
        let mut stream = TcpStream::connect(&self.address).map_err(text)?;
        let host = &self.address;
        write!(stream, "GET /__sim/stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        let (_, rest) = answer.split_once("\"bytes_out\":").ok_or("no count of bytes")?;
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().map_err(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
