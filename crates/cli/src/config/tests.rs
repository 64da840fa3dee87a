//! Reading and writing the configuration.

use super::*;
use crate::remotes::KINDS;

struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn with(text: &str, mode: u32) -> Self {
        let scratch = Scratch { folder: tempfile::tempdir().unwrap() };
        fs::write(scratch.path(), text).unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(mode)).unwrap();
        scratch
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Config> {
        Config::load(Some(&self.path()), &Environment::of(environment), KINDS)
    }
}

fn show(config: &Config) -> Vec<String> {
    let show = |(name, remote): (&String, &Remote)| {
        let options = remote.options.iter();
        let options: Vec<_> =
            options.map(|(name, value)| format!("{name}={}", value.expose_secret())).collect();
        format!("{name}: {} {}", remote.kind, options.join(" "))
    };
    config.remotes.iter().map(show).collect()
}

#[test]
fn the_environment_makes_and_overrides_remotes() {
    let text = "[work]\ntype = \"fichier\"\napi_key = \"A\"\npace_scale = 2\n[my-disk]\ntype = \"local\"\n";
    let check = |environment: &[(&str, &str)], expected: &[&str]| {
        let config = Scratch::with(text, 0o600).load(environment).unwrap();
        assert_eq!(show(&config), expected, "{environment:?}");
    };
    check(&[], &["my-disk: local ", "work: fichier api_key=A pace_scale=2"]);
    check(
        &[("KETCH_REMOTE_WORK_API_KEY", "B"), ("KETCH_REMOTE_MY_DISK_LINKS", "follow")],
        &["my-disk: local links=follow", "work: fichier api_key=B pace_scale=2"],
    );
    check(
        &[("KETCH_REMOTE_NEW_ONE_TYPE", "fichier"), ("KETCH_REMOTE_NEW_ONE_PACE_SCALE", "3")],
        &[
            "my-disk: local ",
            "new_one: fichier pace_scale=3",
            "work: fichier api_key=A pace_scale=2",
        ],
    );
}

#[test]
fn mistakes_are_told_without_quoting_the_file() {
    let check = |text: &str, expected: &str| {
        let problem = Scratch::with(text, 0o600).load(&[]).unwrap_err();
        let text = problem.text.unwrap();
        assert!(text.contains(expected) && !text.contains("CANARY"), "{text}");
        assert!(!text.contains('\n'));
    };
    check("[work]\ntype = \"fichier\"\napi_key = CANARY\n", "line 3 is not TOML");
    check("[work]\0", "NUL");
}

#[test]
fn a_mistake_in_one_remote_is_told_when_it_is_used_and_leaves_the_others_alone() {
    let good = "[good]\ntype = \"local\"\n";
    let check = |text: &str, name: &str, expected: &str| {
        for text in [format!("{text}{good}"), format!("\u{feff}{text}{good}")] {
            let config = Scratch::with(&text, 0o600).load(&[]).unwrap();
            assert!(config.problem("good").is_none() && config.remotes["good"].kind == "local");
            let problem = config.problem(name).expect("told");
            assert!(problem.contains(expected) && !problem.contains("CANARY"), "{problem}");
        }
    };
    let name = "work";
    check(
        "[work]\ntype = \"fichier\"\napikey = \"CANARY\"\n",
        name,
        "`apikey`, and `fichier` knows only api_key,",
    );
    check("api_key = \"CANARY\"\n", "api_key", "outside of a table");
    check("[sandbox]\ntype = \"local\"\n", "sandbox", "built in");
    check("[work]\ntype = \"fichier\"\napi_key = [\"CANARY\"]\n", name, "not text");
    check("[\"a:b\"]\ntype = \"local\"\n", "a:b", "`a:b` is not one that can be typed");
    // A key is a key, also where it means nothing.
    let open = Scratch::with(&format!("api_key = \"CANARY\"\n{good}"), 0o644).load(&[]);
    assert!(open.unwrap_err().text.unwrap().contains("chmod 600"));
}

#[test]
fn a_variable_that_names_no_option_is_an_error_that_hides_its_value() {
    let environment = Environment::of(&[("KETCH_REMOTE_WORK_APIKEY", "CANARY")]);
    let text = Config::load(None, &environment, KINDS).unwrap_err().text.unwrap();
    assert!(text.contains("KETCH_REMOTE_WORK_APIKEY") && text.contains("API_KEY"), "{text}");
    assert!(!text.contains("CANARY"));
}

#[test]
fn a_key_in_clear_must_not_be_readable_by_others() {
    let check = |value: &str, mode: u32, accepted: bool| {
        let text = format!("[work]\ntype = \"fichier\"\napi_key = \"{value}\"\n");
        let result = Scratch::with(&text, mode).load(&[]);
        assert_eq!(result.is_ok(), accepted, "{value} {mode:o}");
        if let Err(problem) = result {
            let text = problem.text.unwrap();
            assert!(text.contains("chmod 600 ") && !text.contains("CANARY"), "{text}");
        }
    };
    check("CANARY", 0o600, true);
    check("CANARY", 0o640, false);
    check("CANARY", 0o604, false);
    check("env:KEY", 0o644, true);
    check("file:/k", 0o644, true);
    check("cmd:pass show k", 0o644, true);
}

#[test]
fn a_missing_file_is_an_empty_configuration() {
    let config = Config::load(Some(Path::new("/nonexistent/c")), &Environment::default(), KINDS);
    assert!(config.unwrap().remotes.is_empty());
}

#[test]
fn adding_a_remote_keeps_the_rest_and_closes_the_file() {
    let scratch = Scratch::with("# mine\n[a]\ntype = \"local\"", 0o644);
    let options = Options::from([("api_key".to_owned(), SecretString::from("A\"B"))]);
    add_remote(&scratch.path(), "b c", "fichier", &options).unwrap();
    let text = fs::read_to_string(scratch.path()).unwrap();
    assert!(text.starts_with("# mine\n[a]\n"));
    let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(show(&scratch.load(&[]).unwrap()), ["a: local ", "b c: fichier api_key=A\"B"]);
    assert!(fs::read_dir(scratch.folder.path()).unwrap().count() == 1);
}

#[test]
fn debug_shows_no_values() {
    let config = Scratch::with("[w]\ntype = \"fichier\"\napi_key = \"CANARY\"\n", 0o600).load(&[]);
    assert!(!format!("{config:?}").contains("CANARY"));
}
