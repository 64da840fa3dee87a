//! Folders that are seen at two places.

use super::*;

fn home() -> Home {
    let home = Home::new();
    home.write("a/in/f", "1");
    home.write("a/in/in/f", "deep");
    home.write("a/g", "2");
    home
}

/// Runs a command and expects that it is refused, and that nothing in `a` has changed.
#[track_caller]
fn is_refused(home: &Home, command: &str) {
    let before = contents(&home.path("a"));
    let run = home.run(command.split(' '));
    assert_eq!(contents(&home.path("a")), before, "{command}: {}", run.stderr);
    assert_ne!(run.code, 0, "{command}: {}{}", run.stdout, run.stderr);
}

#[test]
fn a_job_from_a_folder_to_the_same_one_mounted_elsewhere_changes_nothing() {
    let home = home();
    let Some(_mounted) = Mounted::bind(&home, "a", "b") else { return };
    for job in ["copy", "sync --max-delete 100%", "move"] {
        for places in ["a b", "b a", "a/in b", "b/in a", "a b/in", "a b/new"] {
            // What lies inside the destination can be copied from there.
            if job != "sync --max-delete 100%" && matches!(places, "a/in b" | "b/in a") {
                continue;
            }
            is_refused(&home, &format!("{job} {places}"));
        }
    }
}

#[test]
fn what_lies_inside_the_destination_is_not_overwritten_by_itself() {
    let home = home();
    let Some(_mounted) = Mounted::bind(&home, "a", "b") else { return };
    // `in/in/f` is to go to `in/f`, which is the file `f` of the source.
    for places in ["a/in b", "b/in a", "a/in a"] {
        for job in ["copy", "move"] {
            let before = contents(&home.path("a"));
            let run = home.run([job].into_iter().chain(places.split(' ')));
            assert_ne!(run.code, 0, "{job} {places}: {}", run.stderr);
            let after = contents(&home.path("a"));
            for (_, content) in before {
                assert!(
                    after.iter().any(|(_, found)| *found == content),
                    "{job} {places} lost {content}"
                );
            }
        }
    }
}

#[test]
fn a_mount_below_the_destination_that_leads_into_the_source_is_left_alone() {
    for (from, point) in [("a", "b/x"), ("a/in", "b/x"), ("a/in", "b/x/y"), ("a", "b/in")] {
        let home = home();
        home.write("b/other", "3");
        let Some(_mounted) = Mounted::bind(&home, from, point) else { return };
        is_refused(&home, "sync a b --max-delete 100%");
        // A copy does not go there, or says so.
        home.run("copy a b".split(' '));
        assert_eq!(contents(&home.path("a")), contents(&self::home().path("a")));
    }
}

#[test]
fn a_mount_below_the_source_that_leads_to_the_destination_is_refused() {
    let home = home();
    home.write("b/h", "3");
    let Some(_mounted) = Mounted::bind(&home, "b", "a/m") else { return };
    for job in ["copy", "sync --max-delete 100%", "move"] {
        is_refused(&home, &format!("{job} a b"));
    }
    home.run("sync a b --exclude /m/** --max-delete 100%".split(' ')).expect(0);
}

#[test]
fn what_both_sides_have_under_one_path_stays_in_a_move() {
    let home = home();
    std::fs::create_dir_all(home.path("b")).unwrap();
    let Some(_mounted) = Mounted::bind(&home, "a/in", "b/in") else { return };
    let run = home.run("move a b".split(' '));
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(home.path("a/in/f")).unwrap(), "1");
    assert_eq!(std::fs::read_to_string(home.path("b/g")).unwrap(), "2");
    // Nothing is different, so there is nothing to copy and nothing extra.
    home.write("a/g", "2");
    home.run("sync a b".split(' ')).expect(0);
}

#[test]
fn a_file_that_is_mounted_by_itself_is_one_file() {
    let home = home();
    home.write("b/g", "");
    let from = home.path("a/g");
    let target = home.path("b/g");
    let mount = Command::new("mount").arg("--bind").args([&from, &target]).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped: no bind mounts");
        return;
    }
    let _mounted = Mounted(target);
    let run = home.run("move a b --include /g".split(' '));
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(home.path("a/g")).unwrap(), "2");
}

#[test]
fn a_view_that_the_system_does_not_recognise_loses_nothing() {
    let home = home();
    for folder in ["up", "work"] {
        std::fs::create_dir_all(home.path(folder)).unwrap();
    }
    // With paths that do not tell where its layers are.
    let layers = "lowerdir=a,upperdir=up,workdir=work";
    let Some(_mounted) = Mounted::new(&home, &["-t", "overlay", "overlay", "-o", layers], "m")
    else {
        return;
    };
    let before = contents(&home.path("a"));
    let run = home.run("move a m".split(' '));
    for (name, content) in before {
        let places = ["a", "m"].map(|place| home.path(place).join(&name));
        let has =
            |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|found| found == content);
        assert!(places.iter().any(has), "{name} is nowhere: {}", run.stderr);
    }
}

#[test]
fn where_no_file_can_be_made_to_find_out_a_sync_deletes_nothing() {
    let home = Home::new();
    let few = ["-t", "tmpfs", "-o", "nr_inodes=8", "none"];
    let Some(_small) = Mounted::new(&home, &few, "r") else { return };
    home.write("r/in/f", "only");
    home.write("r/f", "only");
    let time = std::fs::metadata(home.path("r/in/f")).unwrap().modified().unwrap();
    std::fs::File::open(home.path("r/f")).unwrap().set_modified(time).unwrap();
    let Some(_view) = Mounted::faulty(&home, "gran=1") else { return };
    let mut made = (0..20).map(|number| std::fs::write(home.path(format!("r/fill{number}")), ""));
    assert!(made.any(|made| made.is_err()), "the disk has no end");
    let run = home.run("sync --max-delete 100% --exclude fill* r/in m".split(' '));
    assert_eq!(std::fs::read_to_string(home.path("r/in/f")).unwrap(), "only", "{}", run.stderr);
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("whether both places show the same files"), "{}", run.stderr);
}

#[test]
fn a_view_that_names_its_folders_is_recognised() {
    let home = home();
    for folder in ["up", "work"] {
        std::fs::create_dir_all(home.path(folder)).unwrap();
    }
    let at = |folder: &str| home.path(folder).display().to_string();
    let layers = format!("lowerdir={},upperdir={},workdir={}", at("a"), at("up"), at("work"));
    let Some(_mounted) = Mounted::new(&home, &["-t", "overlay", "overlay", "-o", &layers], "m")
    else {
        return;
    };
    for command in ["move a m", "sync a/in m --max-delete 100%", "sync m/in a --max-delete 100%"] {
        is_refused(&home, command);
    }
}

#[test]
fn a_link_at_the_destination_proves_nothing_and_is_not_written_through() {
    for job in ["move", "copy", "sync"] {
        let home = Home::new();
        home.write("a/f", "the only copy");
        home.write("a/g", "new");
        home.write("elsewhere", "old");
        std::fs::create_dir_all(home.path("b")).unwrap();
        std::os::unix::fs::symlink("../a/f", home.path("b/f")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", home.path("b/g")).unwrap();
        let run = home.run([job, "-L", "a", "b"]);
        assert_ne!(run.code, 0, "{job}: {}", run.stderr);
        assert_eq!(std::fs::read_to_string(home.path("a/f")).unwrap(), "the only copy", "{job}");
        assert_eq!(std::fs::read_to_string(home.path("elsewhere")).unwrap(), "old", "{job}");
    }
}

#[test]
fn a_view_through_a_file_system_in_user_space_is_found_out() {
    for (from, to) in [
        ("r", "m"),
        ("m", "r"),
        ("r/in", "m"),
        ("m/in", "r"),
        ("r", "m/in"),
        ("m", "r/in"),
        ("r", "m/new/deep"),
        ("m", "r/new"),
    ] {
        for job in ["sync", "copy", "move"] {
            let home = Home::new();
            for (name, content) in
                [("r/f", "1"), ("r/in/f", "2"), ("r/in/in/f", "3"), ("r/in/g", "4")]
            {
                home.write(name, content);
            }
            let Some(_mounted) = Mounted::faulty(&home, "gran=1") else { return };
            let before = contents(&home.path("r"));
            let run = home.run([job, from, to, "--max-delete", "100%"]);
            let after = contents(&home.path("r"));
            // What lies inside the destination can be copied from there, and stays as it is.
            if job == "sync" || !from.ends_with("in") {
                assert_ne!(run.code, 0, "{job} {from} {to}: {}", run.stderr);
                assert_eq!(after, before, "{job} {from} {to}: {}", run.stderr);
            }
            // Beside it, a copy replaces what it finds.
            let is_source =
                |name: &String| job == "sync" || !from.ends_with("in") || name.starts_with("in/");
            for (_, content) in before.iter().filter(|(name, _)| is_source(name)) {
                let is_there = after.iter().any(|(_, found)| found == content);
                assert!(is_there, "{job} {from} {to} lost {content}: {}", run.stderr);
            }
        }
    }
}

#[test]
fn one_account_under_two_host_names_is_one() {
    let home = Home::new();
    home.write("src/f", "1");
    home.write("src/in/g", "2");
    home.write("src/in/h", "3");
    let server = home.serve("sim", "off");
    let one = |path: &str| server.place(path, ",pace=off");
    let other = |path: &str| one(path).replace("127.0.0.1", "localhost");
    assert_ne!(one("d"), other("d"));
    home.run(["copy", "src", &one("d")]).expect(0);
    for (job, from, to) in [
        ("move", one("d"), other("d")),
        ("sync", one("d/in"), other("d")),
        ("sync", other("d/in"), one("d")),
        ("move", one("d"), other("d/in")),
    ] {
        home.run([job, &from, &to, "--max-delete", "100%"]);
        home.run(["check", "src", &one("d")]).expect(0);
    }
}
