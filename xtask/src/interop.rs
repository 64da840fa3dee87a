//! Round trips with the tools of others, both ways: what ketch writes they accept, and what they write ketch accepts.
//!
//! A tool that is not installed is told as skipped, and so is what it would have shown. Knows the built binary and nothing of
//! the product.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::servers::Server;

/// Files that are written, with names that have been trouble somewhere.
const FILES: &[(&str, &str)] = &[
    ("plain", "plain"),
    ("empty", ""),
    ("with space", "1"),
    (" leading", "2"),
    ("trailing ", "3"),
    ("*star", "5"),
    ("-dash", "6"),
    ("quote'\"", "7"),
    ("é ü 日本", "8"),
    ("(paren) = x", "9"),
    ("folder/below/file", "10"),
    ("#hash", "11"),
];

/// Names that SUM files escape, which rclone does not, and control characters, which it shows as symbols.
const ESCAPED: &[(&str, &str)] = &[
    ("tab\there", "4"),
    ("back\\slash", "12"),
    ("new\nline", "13"),
    ("\\both\n\\", "14"),
    ("folder/n\n", "15"),
];

/// Runs all round trips; `Err` says how many went wrong.
pub(crate) fn run(ketch: &Path) -> Result<(), String> {
    let mut tally = Tally::default();
    let scratch = scratch()?;
    let bench = Bench { ketch: ketch.to_owned(), scratch };
    for (digest, tool, flags) in [
        ("blake3", "b3sum", &[][..]),
        ("sha256", "sha256sum", &[]),
        ("sha1", "sha1sum", &[]),
        ("md5", "md5sum", &[]),
        ("sha256", "sha256sum", &["--tag"]),
    ] {
        tally.add(&format!("{tool} {}", flags.join(" ")), bench.sums(digest, tool, flags));
    }
    for digest in ["md5", "sha1", "sha256", "blake3", "whirlpool"] {
        tally.add(&format!("rclone hashsum {digest}"), bench.rclone(digest, false));
        tally.add(&format!("rclone hashsum {digest} --base64"), bench.rclone(digest, true));
    }
    tally.add("minisign", bench.minisign());
    for (tool, extension) in [("zstd", "zst"), ("gzip", "gz")] {
        tally.add(tool, bench.compressed(tool, extension));
    }
    tally.add("curl with the emulator", crate::fichier::curl(&bench.ketch, &bench.scratch));
    let target = bench.ketch.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let python = crate::fichier::python(&bench.ketch, &bench.scratch, target);
    tally.add("pyOneFichierClient with the emulator", python);
    for kind in ["btrfs", "xfs"] {
        let shared = crate::clones::clones(&bench.ketch, &bench.scratch, kind);
        tally.add(&format!("copies on {kind} share their blocks"), shared);
    }
    bench.servers(target, &mut tally);
    // What is left behind is in the folder for temporary files.
    let _ = fs::remove_dir_all(&bench.scratch);
    eprintln!("{} passed, {} skipped, {} failed", tally.passed, tally.skipped, tally.failed);
    if tally.failed == 0 { Ok(()) } else { Err(format!("{} round trips failed", tally.failed)) }
}

#[derive(Default)]
struct Tally {
    passed: u32,
    skipped: u32,
    failed: u32,
}

impl Tally {
    fn add(&mut self, what: &str, result: Result<bool, String>) {
        let what = what.trim();
        match result {
            Ok(true) => {
                self.passed += 1;
                eprintln!("passed   {what}");
            }
            Ok(false) => {
                self.skipped += 1;
                eprintln!("skipped  {what}: not installed, and not to be had");
            }
            Err(why) => {
                self.failed += 1;
                eprintln!("FAILED   {what}: {why}");
            }
        }
    }
}

/// How much of what a tool printed is told.
const TOLD_CHARACTERS: usize = 400;

struct Bench {
    ketch: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    /// S3, over real servers.
    fn servers(&self, target: &Path, tally: &mut Tally) {
        let Some(bin) = crate::servers::programs(target) else {
            tally.add("S3 over SeaweedFS and moto", Ok(false));
            return;
        };
        for (name, is_moto) in [("SeaweedFS", false), ("moto", true)] {
            let started = match is_moto {
                true => Server::moto(&bin, &self.scratch),
                false => Server::seaweedfs(&bin, &self.scratch),
            };
            let server = match started {
                Ok(server) => server,
                Err(why) => {
                    tally.add(name, Err(why));
                    continue;
                }
            };
            tally.add(&format!("the suite of backends over {name}"), server.suite());
            let tree = self.tree(&format!("s3-{name}"), FILES);
            let tripped = tree.and_then(|tree| server.rclone(&self.ketch, &bin, &tree));
            tally.add(&format!("rclone over {name}, both ways"), tripped);
        }
    }

    /// `Ok(false)`: the tool is not there.
    fn sums(&self, digest: &str, tool: &str, flags: &[&str]) -> Result<bool, String> {
        if !is_installed(tool) {
            return Ok(false);
        }
        let tree = self.tree("sums", &[FILES, ESCAPED].concat())?;
        // Ours, checked by the tool.
        let ours = self.ketch(&["hashsum", digest, "."], &tree)?;
        let sums = self.scratch.join("sums.txt");
        fs::write(&sums, &ours.stdout).map_err(|error| error.to_string())?;
        let path = sums.to_string_lossy().into_owned();
        success(Command::new(tool).args(["-c", &path]).current_dir(&tree))?;
        // Theirs, checked by ketch.
        let names: Vec<String> =
            FILES.iter().chain(ESCAPED).map(|(name, _)| format!("./{name}")).collect();
        let theirs = success(Command::new(tool).args(flags).args(&names).current_dir(&tree))?;
        fs::write(&sums, &theirs.stdout).map_err(|error| error.to_string())?;
        let checked = self.ketch(&["--json", "hashsum", digest, ".", "--check", &path], &tree)?;
        expect_count(&checked, "files", names.len())?;
        // A wrong digest is found by both.
        fs::write(tree.join("plain"), "PLAIN").map_err(|error| error.to_string())?;
        failure(Command::new(tool).args(["-c", &path]).current_dir(&tree))?;
        let mut command = self.command(&["hashsum", digest, ".", "--check", &path], &tree);
        failure(&mut command)?;
        Ok(true)
    }

    fn rclone(&self, digest: &str, base64: bool) -> Result<bool, String> {
        if !is_installed("rclone") {
            return Ok(false);
        }
        let tree = self.tree("rclone", FILES)?;
        let form: &[&str] = if base64 { &["--base64"] } else { &[] };
        let sums = self.scratch.join("rclone.txt");
        let path = sums.to_string_lossy().into_owned();
        let rclone = || {
            let mut command = Command::new("rclone");
            command.env("RCLONE_CONFIG", "/dev/null").current_dir(&tree);
            command
        };
        // Theirs, checked by ketch, and the same lines as ours.
        let theirs = success(rclone().args(["hashsum", digest, "."]).args(form))?;
        fs::write(&sums, &theirs.stdout).map_err(|error| error.to_string())?;
        let checked = self.ketch(&["--json", "hashsum", digest, ".", "--check", &path], &tree)?;
        expect_count(&checked, "files", FILES.len())?;
        let ours = self.ketch(&[&["hashsum", digest, "."], form].concat(), &tree)?;
        let sorted = |output: &Output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        if sorted(&ours) != sorted(&theirs) {
            return Err("the lines are not the same".to_owned());
        }
        if !base64 {
            fs::write(&sums, &ours.stdout).map_err(|error| error.to_string())?;
            success(rclone().args(["checksum", digest, &path, "."]))?;
            fs::write(tree.join("plain"), "PLAIN").map_err(|error| error.to_string())?;
            failure(rclone().args(["checksum", digest, &path, "."]))?;
        }
        Ok(true)
    }

    fn minisign(&self) -> Result<bool, String> {
        if !is_installed("minisign") {
            return Ok(false);
        }
        let tree = self.tree("signed", FILES)?;
        let at = |name: &str| self.scratch.join(name).to_string_lossy().into_owned();
        let (public, secret) = (at("key.pub"), at("key.sec"));
        success(Command::new("minisign").args(["-G", "-f", "-W", "-p", &public, "-s", &secret]))?;
        let manifest = at("m.zst");
        self.ketch(&["manifest", "create", ".", "-o", &manifest, "--sign", &secret], &tree)?;
        success(Command::new("minisign").args(["-V", "-p", &public, "-m", &manifest]))?;
        success(Command::new("minisign").args(["-S", "-s", &secret, "-m", &manifest]))?;
        self.ketch(&["manifest", "verify", &manifest, ".", "--key", &public], &tree)?;
        let mut bytes = fs::read(&manifest).map_err(|error| error.to_string())?;
        bytes.push(0);
        fs::write(&manifest, bytes).map_err(|error| error.to_string())?;
        failure(Command::new("minisign").args(["-V", "-p", &public, "-m", &manifest]))?;
        let verify = ["manifest", "verify", &manifest, ".", "--key", &public];
        failure(&mut self.command(&verify, &tree))?;
        // A key with a password, which ketch reads from standard input.
        let locked = at("locked.sec");
        let make = ["-G", "-f", "-p", &public, "-s", &locked];
        with_input(Command::new("minisign").args(make), "word\nword\n")?;
        let create = ["manifest", "create", ".", "-o", &manifest, "--sign", &locked];
        with_input(&mut self.command(&create, &tree), "word\n")?;
        success(Command::new("minisign").args(["-V", "-p", &public, "-m", &manifest]))?;
        match with_input(&mut self.command(&create, &tree), "wrong\n") {
            Ok(_) => Err("a wrong password signs".to_owned()),
            Err(_) => Ok(true),
        }
    }

    fn compressed(&self, tool: &str, extension: &str) -> Result<bool, String> {
        if !is_installed(tool) {
            return Ok(false);
        }
        let tree = self.tree("compressed", FILES)?;
        let manifest = self.scratch.join(format!("m.{extension}")).to_string_lossy().into_owned();
        self.ketch(&["manifest", "create", ".", "-o", &manifest], &tree)?;
        let plain = success(Command::new(tool).args(["-dc", &manifest]))?;
        let again = self.scratch.join("plain-manifest");
        fs::write(&again, &plain.stdout).map_err(|error| error.to_string())?;
        success(Command::new(tool).args(["-kf"]).arg(&again))?;
        let theirs = format!("{}.{extension}", again.display());
        self.ketch(&["manifest", "verify", &theirs, "."], &tree)?;
        Ok(true)
    }

    fn tree(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf, String> {
        let tree = self.scratch.join(name);
        if tree.exists() {
            fs::remove_dir_all(&tree).map_err(|error| error.to_string())?;
        }
        for (name, content) in files {
            let path = tree.join(name);
            let folder = path.parent().ok_or("a file has a folder")?;
            fs::create_dir_all(folder).map_err(|error| error.to_string())?;
            fs::write(&path, content).map_err(|error| error.to_string())?;
        }
        Ok(tree)
    }

    fn command(&self, arguments: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(&self.ketch);
        let home = self.scratch.join("home");
        command.args(arguments).current_dir(folder).env("HOME", &home);
        for name in ["STATE", "CACHE", "CONFIG", "DATA"] {
            command.env(format!("XDG_{name}_HOME"), home.join(name));
        }
        command
    }

    fn ketch(&self, arguments: &[&str], folder: &Path) -> Result<Output, String> {
        success(&mut self.command(arguments, folder))
    }
}

fn scratch() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("ketch-interop-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn is_installed(tool: &str) -> bool {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let version = if tool == "minisign" { "-v" } else { "--version" };
    quiet(Command::new(tool).arg(version))
}

fn run_it(command: &mut Command) -> Result<Output, String> {
    command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))
}

fn success(command: &mut Command) -> Result<Output, String> {
    let output = run_it(command)?;
    match output.status.success() {
        true => Ok(output),
        false => Err(told(command, &output)),
    }
}

fn failure(command: &mut Command) -> Result<(), String> {
    let output = run_it(command)?;
    match output.status.success() {
        true => Err(format!("{command:?} finds nothing wrong")),
        false => Ok(()),
    }
}

fn with_input(command: &mut Command, input: &str) -> Result<Output, String> {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that does not read its input says so by how it ends.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(told(command, &output)),
    }
}

fn told(command: &Command, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', " | ");
    let all = format!("{}: {} {}", output.status, text(&output.stdout), text(&output.stderr));
    // The end says most, and one line is enough.
    let from = all.chars().count().saturating_sub(TOLD_CHARACTERS);
    let name = command.get_program().to_string_lossy().into_owned();
    format!("{name}: {}", all.chars().skip(from).collect::<String>())
}

/// A count in the last JSON line.
fn expect_count(output: &Output, name: &str, expected: usize) -> Result<(), String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let wanted = format!("\"{name}\":{expected}");
    if last.contains(&format!("{wanted},")) || last.contains(&format!("{wanted}}}")) {
        return Ok(());
    }
    Err(format!("`{wanted}` is not in {last}"))
}
