//! A catalogue around a 1fichier remote, through the built binary and the emulator: what comes back, what it costs, and what a
//! stale, damaged, missing or newer catalogue does.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use support::{Home, Run, Server, facts};

const CATALOG: &str = ".ketch-catalog.zst";

/// A home, an emulator, and `box:` and `plain:` on it: the same folder with and without a catalogue.
struct Scene {
    home: Home,
    server: Server,
}

impl Scene {
    fn new() -> Scene {
        let home = Home::new();
        let server = home.serve("emulator", "off");
        Scene { home, server }
    }

    /// Runs words; `box:` and `plain:` become places on the emulator.
    fn run(&self, words: &str) -> Run {
        self.home.run(words.split(' ').map(|word| self.place(word)))
    }

    fn place(&self, word: &str) -> String {
        match (word.strip_prefix("box:"), word.strip_prefix("plain:")) {
            (Some(path), _) => self.server.place(path, ",pace=off,catalog=true"),
            (None, Some(path)) => self.server.place(path, ",pace=off"),
            (None, None) => word.to_owned(),
        }
    }

    /// A tree with everything that 1fichier does not keep.
    fn write_source(&self) {
        let home = &self.home;
        home.write("src/plain.txt", "plain");
        home.write("src/d/tool", "#!/bin/sh\n");
        home.write("src/d/secret", "nobody else's");
        home.write("src/empty", "");
        home.write("src/d/e/also empty", "");
        fs::create_dir(home.path("src/nothing in it")).unwrap();
        symlink("plain.txt", home.path("src/link")).unwrap();
        symlink("../nowhere/at all", home.path("src/d/broken")).unwrap();
        symlink(OsStr::from_bytes(b"caf\xe9"), home.path("src/d/e/odd")).unwrap();
        for (name, mode) in [("d/tool", 0o755), ("d/secret", 0o600), ("empty", 0o640)] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(home.path("src").join(name), permissions).unwrap();
        }
        for (number, name) in ["plain.txt", "d/tool", "empty", "d/e/also empty"].iter().enumerate()
        {
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, number as u32 + 1);
            File::options()
                .write(true)
                .open(home.path("src").join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
    }

    fn up(&self) -> Run {
        self.run("sync --links keep --create-empty-src-dirs src box:there")
    }

    /// Names, sizes and kinds of what a plain client sees.
    fn plain_names(&self) -> Vec<String> {
        let run = self.run("--json ls --recursive plain:there").expect(0);
        let lines = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut names: Vec<String> = lines
            .filter_map(|line: serde_json::Value| Some(line["path"].as_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }

    fn uploads(&self) -> u64 {
        self.server.stat("upload")
    }

    /// Puts `content` in place of the catalogue, as another program could.
    fn replace_catalog(&self, content: &[u8]) {
        self.home.write("other/x", content);
        fs::rename(self.home.path("other/x"), self.home.path("other").join(CATALOG)).unwrap();
        self.run("copy --ignore-times other plain:there").expect(0);
    }

    /// The bytes of the catalogue.
    fn catalog(&self) -> Vec<u8> {
        let folder = self.home.path("seen");
        let _ = fs::remove_dir_all(&folder);
        self.run(&format!("copy --ignore-times plain:there/{CATALOG} seen")).expect(0);
        fs::read(folder.join(CATALOG)).unwrap()
    }
}

#[test]
fn times_permissions_empty_files_and_folders_and_links_come_back() {
    let scene = Scene::new();
    scene.write_source();
    scene.up().expect(0);
    scene.run("copy --links keep --create-empty-src-dirs box:there back").expect(0);
    assert_eq!(facts(&scene.home.path("back")), facts(&scene.home.path("src")));
    assert_eq!(
        scene.plain_names(),
        [CATALOG, "d", "d/e", "d/secret", "d/tool", "nothing in it", "plain.txt"],
        "other clients see what they saw before, and one object"
    );
}

#[test]
fn a_second_sync_does_nothing_and_check_finds_all_equal() {
    let scene = Scene::new();
    scene.write_source();
    scene.up().expect(0);
    let before = (scene.uploads(), scene.server.stat("file/rm.cgi"), scene.catalog());
    let run = scene.run("--json sync --links keep --create-empty-src-dirs src box:there").expect(0);
    let summary = run.stdout.lines().last().unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    let counts = &summary["counts"];
    assert_eq!((&counts["done"], &counts["unchanged"]), (&0.into(), &8.into()), "{summary}");
    assert_eq!((scene.uploads(), scene.server.stat("file/rm.cgi"), scene.catalog()), before);
    let run = scene.run("check --links keep src box:there").expect(0);
    assert!(run.stderr.contains("8"), "{}", run.stderr);
    // Only times and permissions differ: they are set, and no file is sent.
    let permissions = fs::Permissions::from_mode(0o750);
    fs::set_permissions(scene.home.path("src/d/secret"), permissions).unwrap();
    let file = File::options().write(true).open(scene.home.path("src/plain.txt")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 7)).unwrap();
    scene.up().expect(0);
    assert_eq!(scene.uploads(), before.0 + 1, "the catalogue");
    scene.run("copy --links keep --create-empty-src-dirs box:there back").expect(0);
    assert_eq!(facts(&scene.home.path("back")), facts(&scene.home.path("src")));
}

#[test]
fn without_the_option_no_request_is_another_and_no_object_is_written() {
    let log = |option: &str| {
        let scene = Scene::new();
        scene.write_source();
        let place = scene.server.place("there", &format!(",pace=off{option}"));
        let run = scene.home.run(["sync", "src", &place]).expect(0);
        assert!(!scene.plain_names().iter().any(|name| name.contains("ketch")));
        let requests = scene.server.log();
        let shown =
            |request: &serde_json::Value| format!("{} {}", request["endpoint"], request["status"]);
        (requests.iter().map(shown).collect::<Vec<_>>(), run.stderr.contains("empty"))
    };
    let (without, tells) = log("");
    assert!(tells, "empty files are told of");
    assert!(without.len() > 4, "{without:?}");
    assert_eq!(log(",catalog=false").0, without);
    let home = Home::new();
    home.run(["ls", ":fichier,api_key=x,catalog=perhaps:"]).expect(1).says("`true` or `false`");
}

#[test]
fn what_other_clients_do_counts_and_not_what_was_known() {
    let scene = Scene::new();
    scene.write_source();
    scene.up().expect(0);
    // One file is removed, one replaced by as many bytes, and an empty file gets content.
    scene.run("delete plain:there/d/secret").expect(0);
    scene.home.write("theirs/plain.txt", "PLAIN");
    scene.home.write("theirs/empty", "not any more");
    scene.run("copy --ignore-times theirs plain:there").expect(0);
    let run = scene.run("check --links keep src box:there").expect(1);
    assert!(run.stdout.contains("plain.txt") || run.stderr.contains("plain.txt"));
    scene.run("copy --links keep --create-empty-src-dirs box:there back").expect(0);
    let back = facts(&scene.home.path("back"));
    assert_eq!(fs::read(scene.home.path("back/plain.txt")).unwrap(), b"PLAIN");
    assert_eq!(fs::read(scene.home.path("back/empty")).unwrap(), b"not any more");
    assert!(!back.contains_key("d/secret"));
    let known = facts(&scene.home.path("src"));
    assert_ne!(fs::metadata(scene.home.path("back/plain.txt")).unwrap().mtime(), 1_500_000_000);
    assert_eq!(back["d/tool"], known["d/tool"]);
    // What the source has comes back over it.
    scene.up().expect(0);
    scene.run("check --links keep src box:there").expect(0);
    let _ = fs::remove_dir_all(scene.home.path("back"));
    scene.run("copy --links keep --create-empty-src-dirs box:there back").expect(0);
    assert_eq!(facts(&scene.home.path("back")), known);
}

#[test]
fn a_damaged_or_missing_catalogue_costs_no_upload_of_a_file_and_no_file_at_the_other_end() {
    for how in ["changed", "cut", "nonsense", "missing"] {
        let scene = Scene::new();
        scene.write_source();
        scene.up().expect(0);
        scene.run("copy --links keep --create-empty-src-dirs box:there back").expect(0);
        let mut bytes = scene.catalog();
        let middle = bytes.len() / 2;
        match how {
            "changed" => bytes[middle] ^= 1,
            "cut" => bytes.truncate(middle),
            "nonsense" => bytes = b"not a catalogue".to_vec(),
            _ => {}
        }
        match how {
            "missing" => drop(scene.run(&format!("delete plain:there/{CATALOG}")).expect(0)),
            _ => scene.replace_catalog(&bytes),
        }
        // As a source: nothing is deleted for not being listed now.
        let run =
            scene.run("sync --links keep --create-empty-src-dirs --max-delete 100% box:there back");
        assert!(run.stderr.contains("are not deleted"), "{how}: {}", run.stderr);
        let both = (facts(&scene.home.path("back")), facts(&scene.home.path("src")));
        assert_eq!(both.0.keys().collect::<Vec<_>>(), both.1.keys().collect::<Vec<_>>(), "{how}");
        // As a destination: everything is as before, and no file was sent for it.
        let before = scene.uploads();
        let run = scene.up().expect(0);
        assert_eq!(run.stderr.contains("damaged"), how != "missing", "{how}: {}", run.stderr);
        let catalogs = scene.uploads() - before;
        assert!((1..=4).contains(&catalogs), "{how}: {catalogs} catalogues were stored");
        let aside = scene.plain_names().iter().filter(|name| name.contains("damaged-")).count();
        assert_eq!(aside, usize::from(how != "missing"), "{how}");
        let _ = fs::remove_dir_all(scene.home.path("back"));
        scene.run("sync --links keep --create-empty-src-dirs box:there back").expect(0);
        assert_eq!(facts(&scene.home.path("back")), both.1, "{how}");
    }
}

#[test]
fn a_catalogue_of_a_newer_ketch_is_left_as_it_is() {
    let scene = Scene::new();
    scene.write_source();
    let newer = b"{\"ketch_catalog\":2,\"records\":0}\n{\"end\":\"new\"}\n";
    let newer = zstd::encode_all(&newer[..], 3).unwrap();
    scene.replace_catalog(&newer);
    let run = scene.up();
    assert_ne!(run.code, 0, "empty files and links cannot be stored");
    assert!(run.stderr.contains("newer ketch"), "{}", run.stderr);
    assert_eq!(scene.catalog(), newer);
    assert!(scene.plain_names().contains(&"d/tool".to_owned()), "files are stored all the same");
    // What cannot be stored stays at the source of a move.
    let run = scene.run("move --links keep src box:there");
    assert_ne!(run.code, 0);
    let left: Vec<String> = facts(&scene.home.path("src")).into_keys().collect();
    for name in ["empty", "d/e/also empty", "link", "d/broken", "d/e/odd"] {
        assert!(
            left.iter().any(|left| left.as_str() == name || name == "d/e/odd"),
            "{name}: {left:?}"
        );
    }
}

#[test]
fn an_empty_file_is_removed_at_the_source_only_when_it_is_in_a_stored_catalogue() {
    let scene = Scene::new();
    scene.home.write("src/d/empty", "");
    symlink("x", scene.home.path("src/d/link")).unwrap();
    scene.server.fault("upload/get_upload_server every ko 403 Something new #777");
    let run = scene.run("move --links keep src box:there");
    assert_ne!(run.code, 0);
    assert_eq!(facts(&scene.home.path("src")).len(), 3, "everything is still there");
    scene.server.fault("clear");
    // Killed while the catalogue is on its way.
    scene.server.fault("upload next=1 hold");
    let words = ["move", "--links", "keep", "src"].map(str::to_owned);
    let mut command = scene.home.command();
    command.args(words).arg(scene.place("box:there"));
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    scene.server.held();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(facts(&scene.home.path("src")).len(), 3, "everything is still there");
    scene.server.clear();
    scene.run("move --links keep src box:there").expect(0);
    assert_eq!(facts(&scene.home.path("src")).len(), 1, "the folder is left");
    scene.run("copy --links keep --create-empty-src-dirs box:there back").expect(0);
    let back = facts(&scene.home.path("back"));
    assert_eq!(back.keys().collect::<Vec<_>>(), ["d", "d/empty", "d/link"]);
}

#[test]
fn many_empty_files_share_a_few_catalogues() {
    let scene = Scene::new();
    for number in 0..200 {
        scene.home.write(format!("src/d{}/e{number}", number % 4), "");
    }
    scene.up().expect(0);
    let stored = scene.uploads();
    assert!(stored <= 12, "{stored} catalogues for 200 files");
    // What is extra at the destination goes, and what goes does not come back.
    fs::remove_dir_all(scene.home.path("src/d1")).unwrap();
    fs::remove_file(scene.home.path("src/d2/e2")).unwrap();
    scene.up().expect(0);
    scene.run("sync box:there back").expect(0);
    assert_eq!(
        facts(&scene.home.path("back")).into_keys().collect::<Vec<_>>(),
        facts(&scene.home.path("src")).into_keys().collect::<Vec<_>>()
    );
}

#[test]
fn two_processes_at_once_lose_nothing_of_each_other() {
    let scene = Scene::new();
    for number in 0..40 {
        scene.home.write(format!("src/{number}"), "");
        scene.home.write(format!("other/{number}x"), "");
    }
    // Both know the same catalogue when they begin.
    scene.home.write("first/first", "");
    scene.run("copy first box:there").expect(0);
    let start = |source: &str| {
        let mut command = scene.home.command();
        command.args(["copy", source]).arg(scene.place("box:there"));
        // One job at a time works on a tree; these are two machines.
        command.env("XDG_STATE_HOME", scene.home.path(format!("state of {source}")));
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let children = [start("src"), start("other")];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    scene.run("copy box:there back").expect(0);
    assert_eq!(facts(&scene.home.path("back")).len(), 81);
}

#[test]
fn single_commands_know_what_the_catalogue_holds() {
    let scene = Scene::new();
    scene.write_source();
    scene.up().expect(0);
    let stat = scene.run("stat box:there/empty").expect(0).stdout;
    assert!(stat.contains("size            0"), "{stat}");
    assert_eq!(scene.run("cat box:there/link").expect(0).stdout, "plain.txt");
    let ls = scene.run("ls box:there").expect(0).stdout;
    assert!(ls.contains("link@") && ls.contains("2017-07-14"), "{ls}");
    // A folder that holds something only the catalogue knows is not empty.
    assert_ne!(scene.run("rmdir box:there").code, 0);
    scene.run("delete box:there/link").expect(0);
    scene.run("delete box:there/empty").expect(0);
    assert!(!scene.run("ls box:there").expect(0).stdout.contains("empty"));
    scene.run("purge box:there").expect(0);
    assert_eq!((scene.server.stat("files"), scene.server.stat("folders")), (0, 0));
}

#[test]
fn the_catalogue_of_a_shared_folder_is_read_with_a_key_and_told_of_without_and_never_written() {
    let scene = Scene::new();
    scene.write_source();
    scene.up().expect(0);
    let link = scene.run("link plain:there").expect(0).stdout;
    let (link, address) = (link.trim(), &scene.server.address);
    let shared = |options: &str| {
        format!(
            ":fichier,shared_folder=\"{link}\",api_url=\"http://{address}/v1\",pace=off,catalog=true{options}:"
        )
    };
    let before = scene.server.log().len();
    let with_key = shared(&format!(",api_key={}", support::SANDBOX_KEY));
    let listed = scene.home.run(["ls", &with_key]).expect(0).stdout;
    assert!(listed.contains(" empty\n") && listed.contains(" link@\n"), "{listed}");
    scene.home.run(["copy", "--links", "keep", &with_key, "back"]).expect(0);
    assert_eq!(fs::read(scene.home.path("back/empty")).unwrap(), b"");
    assert_eq!(fs::read_link(scene.home.path("back/link")).unwrap(), Path::new("plain.txt"));
    // Without one the files are shown, and nothing at the other end is taken for gone.
    let without = shared("");
    let run = scene.home.run(["ls", &without]).expect(0);
    assert!(run.stdout.contains(" plain.txt\n") && !run.stdout.contains("empty"), "{}", run.stdout);
    run.says("the catalogue of").says("it may not be read").says("set api_key");
    let run = scene.home.run(["sync", "--links", "keep", "--max-delete", "100%", &without, "back"]);
    assert!(run.stderr.contains("are not deleted"), "{}", run.stderr);
    assert!(scene.home.path("back/empty").exists() && scene.home.path("back/link").is_symlink());
    // Neither writes anything: pages, tokens and downloads are all that was asked for.
    for place in [&with_key, &without] {
        scene.home.write("more/new", "content");
        assert_ne!(scene.home.run(["copy", "more/new", place]).code, 0);
        assert_ne!(scene.home.run(["delete", &format!("{place}plain.txt")]).code, 0);
    }
    let asked: std::collections::BTreeSet<String> = scene.server.log()[before..]
        .iter()
        .map(|request| request["path"].as_str().unwrap().to_owned())
        .filter(|path| path.starts_with("/v1/") || path.starts_with("/upload"))
        .collect();
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["/v1/download/get_token.cgi"]);
}

#[test]
fn a_manifest_tells_of_the_links_that_it_leaves_out() {
    let scene = Scene::new();
    scene.write_source();
    scene.up().expect(0);
    let run = scene.run("manifest create --links keep --output sums box:there").expect(0);
    for link in ["link", "d/broken", "d/e/odd"] {
        assert!(run.stderr.contains(&format!("{link}: not in the manifest")), "{}", run.stderr);
    }
    let lines = fs::read_to_string(scene.home.path("sums")).unwrap();
    assert!(
        lines.contains("\"path\":\"empty\"") && !lines.contains("\"path\":\"link\""),
        "{lines}"
    );
    scene.run("manifest verify --links keep sums box:there").expect(0);
    scene.run("manifest verify --links keep sums src").expect(0);
}

/// `box:` on the emulator, and the remotes that stand on it, in the configuration.
fn configured(scene: &Scene, wrappers: &[(&str, &str, &str)]) {
    let url = format!("api_url=http://{}/v1", scene.server.address);
    let key = format!("api_key={}", support::SANDBOX_KEY);
    scene.home.run(["remote", "add", "box", "fichier", &key, &url, "pace=off"]).expect(0);
    for (name, kind, below) in wrappers {
        let below = format!("remote={below}");
        scene.home.run(["remote", "add", name, kind, &below]).expect(0);
    }
}

#[test]
fn a_catalogue_is_a_remote_of_its_own_and_the_old_spelling_works_and_says_what_to_write() {
    let scene = Scene::new();
    scene.write_source();
    configured(&scene, &[("docs", "catalog", "box:there")]);
    let home = &scene.home;
    let words = ["sync", "--links", "keep", "--create-empty-src-dirs", "src", "docs:in"];
    let run = home.run(words).expect(0);
    assert!(!run.stderr.contains("old spelling"), "{}", run.stderr);
    home.run(["copy", "--links", "keep", "--create-empty-src-dirs", "docs:in", "back"]).expect(0);
    assert_eq!(facts(&home.path("back")), facts(&home.path("src")));
    let names = home.run(["ls", "box:there/in"]).expect(0).stdout;
    assert!(names.contains(CATALOG) && !names.contains("empty"), "{names}");
    let old = home.run(["ls", "box,catalog=true:there/in"]).expect(0);
    assert!(old.stdout.contains(" empty\n"), "{}", old.stdout);
    old.says("old spelling").says("ketch remote add NAME catalog remote=box:");
    // On the spot, and as one file.
    let place = ":catalog,remote=\"box:there\":in/plain.txt";
    home.run(["copy", place, "one"]).expect(0);
    assert_eq!(facts(&home.path("one"))["plain.txt"], facts(&home.path("src"))["plain.txt"]);
    // What is wrong is told of the place that was typed.
    let gone = home.run(["cat", "docs:in/none"]);
    assert!(gone.code != 0 && gone.stderr.contains("docs:in"), "{}", gone.stderr);
    assert!(!gone.stderr.contains("box"), "{}", gone.stderr);
    scene.server.fault("folder/ls next=9 status 403");
    let refused = home.run(["ls", "docs:in"]);
    assert!(refused.code != 0 && !refused.stderr.contains("box:"), "{}", refused.stderr);
}

#[test]
fn what_stands_on_another_remote_nests_and_never_stands_on_itself() {
    let scene = Scene::new();
    let home = &scene.home;
    home.write("src/d/f", "content");
    let deep: Vec<(String, String)> =
        (1..20).map(|number| (format!("n{number}"), format!("n{}:d", number + 1))).collect();
    let mut wrappers = vec![
        ("outer", "alias", "middle:b"),
        ("middle", "catalog", "inner:a"),
        ("inner", "alias", "box:top"),
        ("one", "alias", "two:"),
        ("two", "catalog", "one:x"),
        ("self", "catalog", "self:"),
        ("lost", "alias", "nowhere:x"),
        ("twice", "catalog", "middle:"),
        ("folder", "catalog", "disk"),
    ];
    wrappers.extend(deep.iter().map(|(name, below)| (name.as_str(), "alias", below.as_str())));
    configured(&scene, &wrappers);
    home.run(["sync", "src", "outer:c"]).expect(0);
    let listed = home.run(["ls", "--recursive", "box:top/a/b/c"]).expect(0).stdout;
    assert!(listed.contains("d/f"), "{listed}");
    assert_eq!(home.run(["cat", "outer:c/d/f"]).expect(0).stdout, "content");
    for (place, said) in [
        ("one:", "a remote stands on itself: `one:` on `two:` on `one:`"),
        ("two:a", "a remote stands on itself: `two:` on `one:` on `two:`"),
        ("self:", "a remote stands on itself: `self:` on `self:`"),
        ("lost:", "there is no remote `nowhere:`"),
        ("n1:", "more than 16 remotes stand on one another"),
        ("twice:", "has a catalogue already"),
        (":alias,remote=\"one:\":", "`one:` on `two:` on `one:`"),
        (":alias:", "the option `remote` is missing"),
        (":alias,remote=:", "the option `remote` of :alias,remote=***:"),
        ("outer:../x", "outer:../x"),
        (":fichier,remote=x:", "has the option `remote`"),
    ] {
        let run = home.run(["ls", place]);
        assert_eq!(run.code, 1, "{place}: {}", run.stderr);
        run.says(said);
    }
    // A catalogue on a folder of this machine: what the disk keeps is kept there, and a place is not copied onto itself.
    scene.write_source();
    home.run(["sync", "--links", "skip", "src", "folder:"]).expect(0);
    assert!(home.path("disk").join(CATALOG).is_file());
    assert!(!home.run(["ls", "folder:"]).expect(0).stdout.contains("catalog"));
    for words in
        [["sync", "disk", "folder:"], ["move", "disk", "folder:"], ["move", "folder:", "disk"]]
    {
        home.run(words);
        assert_eq!(fs::read(home.path("disk/plain.txt")).unwrap(), b"plain", "{words:?}");
    }
    assert_eq!(fs::read_to_string(home.path("disk/d/tool")).unwrap(), "#!/bin/sh\n");
}
