//! Project chores, reached as `cargo xtask`. Knows cargo and nothing of the product.

#![expect(clippy::print_stderr, reason = "a command for people")]

mod bench;
mod clones;
mod fichier;
mod interop;
mod interrupt;
mod servers;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test     every test of the workspace
  check    what CI runs: format, lints, documentation, every test
           --slow: also the long variants of tests, a sync of ten million files in bounded memory, and short
           runs of the fuzz targets
  interrupt  what a killed transfer costs the next run (`cargo xtask interrupt --help` says more)
  interop  round trips with b3sum, sha256sum, md5sum, rclone, minisign, zstd and gzip, where they are
           installed; the emulator of 1fichier with curl and pyOneFichierClient; and copies on btrfs
           and xfs, which share their blocks, where those can be made and mounted
  bench    ketch beside other tools (`cargo xtask bench --help` says more)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first() {
        match first.as_str() {
            "bench" => return ended(bench::bench(rest)),
            "interrupt" => return ended(interrupt::interrupt(rest)),
            _ => {}
        }
    }
    let steps: &[&[&str]] = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => &[TEST],
        ["check"] => &[FORMAT, LINT, DOCUMENT, TEST],
        ["check", "--slow"] => return slow(),
        ["interop"] => return interop(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    ended(run_all(steps))
}

fn run_all(steps: &[&[&str]]) -> Result<(), String> {
    for step in steps {
        eprintln!("$ cargo {}", step.join(" "));
        run(step, &[])?;
    }
    Ok(())
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Round trips with the tools of others.
fn interop() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let built = run(&["build", "--package", "ketch-cli", "--locked"], &[]);
    ended(built.and_then(|()| interop::run(&target.join("debug/ketch"))))
}

/// Everything, the long variants of tests, and the fuzz targets for a short time each.
fn slow() -> ExitCode {
    let all = run_all(&[FORMAT, LINT, DOCUMENT]).and_then(|()| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seed = (now.unwrap_or_default().as_secs() * 1_000).to_string();
        let more = [
            ("KETCH_TEST_SLOW", "1"),
            ("KETCH_FAULT_RUNS", "10000"),
            ("KETCH_CRASH_ALL", "1"),
            ("KETCH_CRASH_RUNS", "300"),
            ("KETCH_CRASH_CUTS", "60"),
            ("KETCH_CRASH_SEED", &seed),
            ("KETCH_TWINS_RUNS", "2000"),
            ("KETCH_TWINS_SEED", &seed),
            ("KETCH_SHAPES_ROUNDS", "170"),
            ("KETCH_SHAPES_SEED", &seed),
            ("KETCH_WIRE_STEPS", "2000"),
            ("KETCH_WIRE_SEED", &seed),
        ];
        run(TEST, &more)?;
        run(OWN_BACKEND, &[])?;
        run(SCALING, &[("KETCH_SCALING", "10000000")])?;
        fuzz()
    });
    ended(all)
}

/// `cargo fuzz` needs its own command, and flags of the compiler that a stable one takes only when told to.
fn fuzz() -> Result<(), String> {
    let is_installed = Command::new(env!("CARGO"))
        .args(["fuzz", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_installed {
        eprintln!("skipped: cargo-fuzz is not installed (cargo install cargo-fuzz)");
        return Ok(());
    }
    for target in FUZZ_TARGETS {
        // What is found grows in the first folder; the second has what is checked in.
        let (found, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
        std::fs::create_dir_all(&found).map_err(|error| format!("{found}: {error}"))?;
        let step = [
            "fuzz",
            "run",
            // The address sanitizer finds what `unsafe` does wrong, and there is none.
            "--sanitizer=none",
            target,
            &found,
            &seeds,
            "--",
            "-max_total_time=20",
            "-rss_limit_mb=512",
            "-max_len=65536",
        ];
        eprintln!("$ cargo {}", step.join(" "));
        run(&step, &[("RUSTC_BOOTSTRAP", "1")])?;
    }
    Ok(())
}

const FUZZ_TARGETS: &[&str] = &["manifest", "sums", "plan", "catalog"];

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const LINT: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
const DOCUMENT: &[&str] = &["doc", "--workspace", "--no-deps", "--locked"];
const TEST: &[&str] = &["test", "--workspace", "--locked"];

/// The backend that the docs of the library lead to, in a crate outside of the workspace.
const OWN_BACKEND: &[&str] =
    &["test", "--manifest-path", "crates/ketch/examples/own_backend/Cargo.toml"];

/// Ten million files on each side.
const SCALING: &[&str] = &[
    "test",
    "--release",
    "--locked",
    "--package",
    "ketch-engine",
    "--test",
    "scaling",
    "--",
    "--nocapture",
];

/// Runs cargo. `Err` says what failed.
fn run(step: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let status = Command::new(env!("CARGO"))
        .args(step)
        .envs(environment.iter().copied())
        .env("RUSTDOCFLAGS", "--deny rustdoc::broken_intra_doc_links")
        .status()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", step[0])) }
}
