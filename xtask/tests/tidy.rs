//! The rules of the house, as tests: crate graph, headers, who may name what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent").to_owned()
}

/// All Rust files below `folder`, as (path relative to the root, text).
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path.strip_prefix(root()).expect("below the root");
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((shown.display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no Rust files");
    found
}

/// Code without comments, tests and strings would need a parser; without comment lines is enough here.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn metadata(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

#[test]
fn every_module_says_what_it_is_for() {
    let all = ["crates", "xtask", "tests"].into_iter().flat_map(sources);
    let silent: Vec<_> =
        all.filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no `//!` header: {silent:?}");
}

/// The picture in docs/ARCHITECTURE.md, as data: who may depend on whom at run time.
#[test]
fn the_crate_graph_is_the_one_that_was_drawn() {
    let expected: BTreeMap<&str, BTreeSet<&str>> = [
        ("ketch-whirlpool", vec![]),
        ("ketch-core", vec!["ketch-whirlpool"]),
        ("ketch-manifest", vec!["ketch-core"]),
        ("ketch-engine", vec!["ketch-core", "ketch-manifest"]),
        ("ketch-local", vec!["ketch-core"]),
        ("ketch-fichier", vec!["ketch-core", "ketch-wire"]),
        ("ketch-fichier-sim", vec![]),
        ("ketch-wire", vec!["ketch-core"]),
        ("ketch-s3", vec!["ketch-core", "ketch-wire"]),
        ("ketch-s3-sim", vec![]),
        ("ketch-catalog", vec!["ketch-core"]),
        ("ketch-testkit", vec!["ketch-core"]),
        (
            "ketch-cli",
            vec![
                "ketch-core",
                "ketch-engine",
                "ketch-manifest",
                "ketch-catalog",
                "ketch-local",
                "ketch-fichier",
                "ketch-fichier-sim",
                "ketch-s3",
            ],
        ),
        (
            "ketch",
            vec![
                "ketch-core",
                "ketch-engine",
                "ketch-local",
                "ketch-fichier",
                "ketch-s3",
                "ketch-catalog",
            ],
        ),
        ("xtask", vec![]),
    ]
    .into_iter()
    .map(|(name, needs)| (name, needs.into_iter().collect()))
    .collect();
    let metadata = metadata(&["--no-deps"]);
    let mut found = BTreeMap::new();
    let packages = metadata["packages"].as_array().expect("packages");
    for package in packages {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let ours = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        let ours = ours.filter_map(|dependency| dependency["name"].as_str());
        let ours: BTreeSet<_> = ours.filter(|name| name.starts_with("ketch-")).collect();
        found.insert(package["name"].as_str().expect("a name"), ours);
    }
    assert_eq!(found, expected);
}

#[test]
fn names_of_foreign_parts_stay_where_they_belong() {
    let check = |word: &str, allowed: &[&str]| {
        for (path, text) in sources("crates") {
            let is_allowed = allowed.iter().any(|prefix| path.starts_with(prefix));
            let named = code_lines(&text).any(|line| line.contains(word));
            assert!(is_allowed || !named, "`{word}` is named in {path}, allowed: {allowed:?}");
        }
    };
    // One module knows the HTTP client. Tests may install its TLS provider.
    check("reqwest::", &["crates/fichier/src/http", "crates/wire/src"]);
    // The emulator and the client meet only on the wire.
    check(
        "ketch_fichier::",
        &[
            "crates/cli/",
            "crates/ketch/src/place.rs",
            "crates/fichier/tests/",
            "crates/s3/tests/",
            "crates/fichier/src/",
        ],
    );
    check("ketch_fichier_sim::", &["crates/cli/", "crates/fichier/", "crates/fichier-sim/"]);
    check("ketch_s3_sim::", &["crates/s3/tests/", "crates/s3-sim/"]);
    // Only the command line reads the environment and ends the process.
    check(
        "env::var",
        &[
            "crates/cli/",
            "crates/testkit/",
            "crates/engine/tests/",
            "crates/local/src/tests/",
            "crates/fichier/tests/",
            "crates/s3/tests/",
            "crates/ketch/examples/",
        ],
    );
    check("process::exit", &["crates/cli/"]);
}

/// Below the command line what helps is a hint, as data (`core/hint.rs`); `cli/hints.rs` has its words.
#[test]
fn no_words_of_the_command_line_are_below_it() {
    let is_flag = |word: &str| {
        let name = word.trim_start_matches(['(', '`', '\'', '"']).strip_prefix("--");
        name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    for (path, text) in sources("crates") {
        let krate = path.split('/').nth(1).unwrap_or_default();
        // Suites and emulators are programs of their own or part of tests.
        if matches!(krate, "cli" | "testkit" | "fichier-sim") || !path.contains("/src/") {
            continue;
        }
        if path.contains("/tests/") || path.ends_with("/tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code_lines(code) {
            let has_flag = line.split_whitespace().any(is_flag);
            assert!(!has_flag && !line.contains("`ketch "), "{path}: {line}");
        }
    }
}

#[test]
fn forbidden_crates_are_absent() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    for forbidden in ["openssl-sys", "native-tls", "cookie_store", "async-compression"] {
        assert!(!lock.contains(&format!("name = \"{forbidden}\"")), "{forbidden} came in");
    }
}

#[test]
fn every_dependency_has_a_sentence() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let (_, rest) = manifest.split_once("[workspace.dependencies]").expect("a table");
    let (table, _) = rest.split_once("\n[").expect("another table follows");
    let mut above = "";
    for line in table.lines() {
        if line.contains(" = ") && !line.starts_with('#') && !line.starts_with("ketch-") {
            assert!(above.starts_with("# "), "no sentence above `{line}`");
        }
        above = line;
    }
}

#[test]
fn every_capability_is_read_somewhere() {
    let definition =
        fs::read_to_string(root().join("crates/core/src/capabilities.rs")).expect("a file");
    let (_, body) = definition.split_once("pub struct Capabilities {").expect("the struct");
    let (body, _) = body.split_once("\n}").expect("its end");
    let fields = body.lines().filter_map(|line| {
        line.trim().strip_prefix("pub ").and_then(|line| line.split_once(':')).map(|pair| pair.0)
    });
    let readers: String = ["crates/engine", "crates/testkit", "crates/cli", "crates/core"]
        .into_iter()
        .flat_map(sources)
        .map(|(_, text)| text)
        .collect();
    for field in fields {
        assert!(readers.contains(&format!(".{field}")), "nobody reads Capabilities::{field}");
    }
}

#[test]
fn every_dependency_builds_with_the_rust_version_we_promise() {
    let metadata = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let parts = |text: &str| -> Vec<u32> {
        text.split('.').take(2).map(|part| part.parse().expect("a number")).collect()
    };
    let ours = parts("1.91");
    for package in metadata["packages"].as_array().expect("packages") {
        if let Some(needs) = package["rust_version"].as_str() {
            assert!(parts(needs) <= ours, "{} needs Rust {needs}", package["name"]);
        }
    }
}

#[test]
fn the_two_commands_of_the_readme_are_there() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    for command in ["cargo run --release -- sync docs sandbox:docs", "cargo test --workspace"] {
        assert!(readme.contains(command), "README.md lacks `{command}`");
    }
    let ci = fs::read_to_string(root().join(".ci/run")).expect("a CI script");
    assert!(ci.contains("cargo test --workspace"), ".ci/run must call the README's test command");
}

#[test]
fn every_test_that_a_page_of_tests_names_exists() {
    let code: String =
        ["crates", "tests"].into_iter().flat_map(sources).map(|(_, text)| text).collect();
    for page in ["docs/FAULTS.md", "docs/FICHIER-AUDIT.md"] {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let names = text.split('`').skip(1).step_by(2).filter(|name| *name != "xtask");
        let missing: Vec<_> = names.filter(|name| !code.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:?}");
    }
}

/// The modules at the top of a crate, each with those that its code names.
fn module_graph(krate: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = format!("crates/{krate}/src/");
    let module = |path: &str| {
        let below = path.strip_prefix(&folder).expect("a file of the crate");
        below.split('/').next().expect("a name").trim_end_matches(".rs").to_owned()
    };
    let files = sources(&folder);
    let modules: BTreeSet<String> = files.iter().map(|(path, _)| module(path)).collect();
    let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
    for (path, text) in &files {
        let (here, file) = (module(path), path.rsplit('/').next().expect("a name"));
        if matches!(&*here, "lib" | "main") || path.contains("/tests/") || file.starts_with("tests")
        {
            continue;
        }
        // Tests may look anywhere.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: String = code_lines(code).flat_map(|line| [line, "\n"]).collect();
        let named = code.match_indices("crate::").flat_map(|(at, found)| {
            let rest = &code[at + found.len()..];
            match rest.strip_prefix('{') {
                // `use crate::{a, b::c}`: what is inside the braces of braces names no module, or one more than it should.
                Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
                None => vec![rest],
            }
        });
        let word = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let named = named.map(word).filter(|name| modules.contains(name) && *name != here);
        graph.entry(here.clone()).or_default().extend(named.collect::<Vec<_>>());
    }
    graph
}

/// All that can be reached from a module.
fn reached(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = waiting.pop() {
        for next in graph.get(&module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                waiting.push(next.clone());
            }
        }
    }
    seen
}

#[test]
fn no_modules_of_a_crate_depend_on_one_another_in_a_circle() {
    for entry in fs::read_dir(root().join("crates")).expect("a folder of the project") {
        let krate = entry.expect("readable").file_name().into_string().expect("UTF-8");
        let graph = module_graph(&krate);
        let reached: BTreeMap<_, _> =
            graph.keys().map(|module| (module.clone(), reached(&graph, module))).collect();
        let mut cycles = BTreeSet::new();
        for (module, from_here) in &reached {
            let back =
                |other: &&String| reached.get(*other).is_some_and(|all| all.contains(module));
            let cycle: Vec<&str> = from_here.iter().filter(back).map(String::as_str).collect();
            if cycle.len() > 1 {
                cycles.insert(cycle);
            }
        }
        assert!(
            cycles.is_empty(),
            "{krate}: these modules depend on one another in a circle: {cycles:?}"
        );
    }
}
