//! Opening places.

use super::*;
use std::ffi::OsStr;
use std::time::Duration;

struct Silent;
impl Observer for Silent {
    fn retrying(&self, _: &str, _: &'static str, _: &ketch_core::Error, _: Duration) {}
}

async fn open(environment: &[(&str, &str)], place: &str) -> Result<String> {
    let environment = Environment::of(environment);
    let mut remotes = Remotes::new(environment, None, &LocalArgs::default(), Arc::new(Silent));
    let place = Location::parse(OsStr::new(place)).expect("legal");
    remotes.open(&place).await.map(|backend| format!("{backend:?}"))
}

#[tokio::test]
async fn promise_9_a_key_is_in_no_text_about_a_remote() {
    let environment = [
        ("KETCH_REMOTE_WORK_TYPE", "fichier"),
        ("KETCH_REMOTE_WORK_API_KEY", "CANARY"),
        ("KETCH_REMOTE_BAD_TYPE", "fichier"),
        ("KETCH_REMOTE_BAD_API_KEY", "CANARY CANARY"),
        ("KETCH_REMOTE_ODD_TYPE", "fishier"),
        ("KETCH_REMOTE_ODD_API_KEY", "CANARY"),
    ];
    for place in [
        "work:a",
        "bad:a",
        "odd:a",
        "none:a",
        ":fichier,api_key=CANARY:a",
        ":fichier,api_key=CANARY,api_url=CANARY:a",
        ":fichier,key=CANARY:a",
        ":fichier,pace=CANARY:a",
        ":fishier,api_key=CANARY:a",
    ] {
        let text = match open(&environment, place).await {
            Ok(text) => text,
            Err(problem) => format!("{problem:?}"),
        };
        assert!(!text.contains("CANARY"), "{place}: {text}");
    }
}

#[tokio::test]
async fn an_unknown_remote_is_told_with_what_to_do() {
    let text = open(&[], "work:a").await.unwrap_err().text.unwrap();
    for part in ["`work:`", "sandbox:", "ketch remote add work", "./work:"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_key_that_is_typed_in_what_a_wrapper_stands_on_is_noticed_and_one_of_a_configuration_is_not() {
    let environment = [
        ("KETCH_REMOTE_WORK_TYPE", "alias"),
        ("KETCH_REMOTE_WORK_REMOTE", "local:"),
        ("KETCH_REMOTE_KEPT_TYPE", "alias"),
        ("KETCH_REMOTE_KEPT_REMOTE", ":fichier,api_key=CANARY:"),
        ("KETCH_REMOTE_BOX_TYPE", "fichier"),
    ];
    for (place, count) in [
        ("work,remote=\":fichier,api_key=CANARY:\":x", 1),
        (":alias,remote=\":fichier,api_key=CANARY:\":x", 1),
        (":alias,remote=\"box,api_key=CANARY:\":x", 1),
        (":alias,remote=kept:x", 0),
        ("kept:x", 0),
    ] {
        let mut remotes = Remotes::new(
            Environment::of(&environment),
            None,
            &LocalArgs::default(),
            Arc::new(Silent),
        );
        remotes.look_for_keys(&Location::parse(OsStr::new(place)).expect("legal"));
        let exposed = remotes.take_exposed();
        assert_eq!(exposed.len(), count, "{place}: {exposed:?}");
        assert!(!format!("{exposed:?}").contains("CANARY"));
    }
}
