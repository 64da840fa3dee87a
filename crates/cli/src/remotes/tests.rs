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
