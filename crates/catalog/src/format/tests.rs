//! What is written is read, and nothing else is.

use proptest::prelude::*;

use super::*;

fn time() -> impl Strategy<Value = Option<SystemTime>> {
    let parts = (-5_000_000_000_i64..5_000_000_000, 0_u32..1_000_000_000);
    proptest::option::of(parts.prop_map(|parts| real_time(parts).expect("a time")))
}

fn fact() -> impl Strategy<Value = Fact> {
    let mode = || proptest::option::of(0..=MODE_MASK);
    let file = (any::<u64>(), any::<[u8; 16]>(), time(), mode(), any::<Option<[u8; 32]>>());
    let file = file.prop_map(|(size, identity, mtime, mode, blake3)| {
        Fact::File(FileFact { size, identity, mtime, mode, blake3 })
    });
    let target = proptest::collection::vec(1_u8.., 1..40);
    prop_oneof![
        file,
        (time(), mode()).prop_map(|(mtime, mode)| Fact::Empty { mtime, mode }),
        (target, time()).prop_map(|(target, mtime)| Fact::Link { target: target.into(), mtime }),
        Just(Fact::Gone),
    ]
}

fn records() -> impl Strategy<Value = Records> {
    let record = ("[a-c\\\\\"é\n]{1,3}(/[a-c]{1,2}){0,2}", any::<u64>(), fact());
    proptest::collection::vec(record, 0..30).prop_map(|all| {
        let mut records = Records::default();
        for (path, at, fact) in all {
            records.set(&RelPath::new(&path).expect("legal"), Record { at, fact });
        }
        records
    })
}

/// A compressed text with a right end.
fn sealed(lines: &str) -> Vec<u8> {
    let end = blake3::hash(lines.as_bytes()).to_hex();
    compressed(&format!("{lines}{{\"end\":\"{end}\"}}\n"))
}

fn compressed(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), LEVEL).expect("memory takes all")
}

#[test]
fn what_is_no_catalogue_is_an_error_that_says_why() {
    let check = |bytes: &[u8], expected: &str| {
        let error = decode(bytes).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    };
    check(b"", "damaged");
    check(b"no zstd", "damaged");
    check(&compressed(""), "a line has no end");
    check(&compressed("{\"ketch_catalog\":1,\"records\":0}\n"), "a line has no end");
    check(&sealed("{\"ketch_catalog\":2,\"records\":0,\"news\":1}\n"), "newer ketch (version 2");
    check(&sealed("{\"ketch_catalog\":1,\"records\":1000001}\n"), "larger than what is read");
    check(
        &compressed("{\"ketch_catalog\":1,\"records\":0}\n{\"end\":\"0\"}\n"),
        "digest is another",
    );
    let one = |line: &str| sealed(&format!("{{\"ketch_catalog\":1,\"records\":1}}\n{line}\n"));
    assert_eq!(
        decode(&one(r#"{"path":"a","kind":"gone","at":1,"more":2}"#)).expect("read").len(),
        1
    );
    check(&one(r#"{"path":"../a","kind":"gone","at":1}"#), "`..`");
    check(&one(r#"{"path":"","kind":"gone","at":1}"#), "a path is missing");
    check(&one(r#"{"path":"a","kind":"new","at":1}"#), "no kind of record");
    check(&one(r#"{"path":"a","kind":"file","at":1,"size":1}"#), "an identity is missing");
    check(&one(r#"{"path":"a","kind":"link","at":1,"target":""}"#), "impossible target");
    check(&one(r#"{"path":"a","kind":"empty","at":1,"mtime":[1,1000000000]}"#), "impossible time");
    check(&one(&format!(r#"{{"path":"{}","kind":"gone","at":1}}"#, "a".repeat(70_000))), "no end");
    let mut longer = one(r#"{"path":"a","kind":"gone","at":1}"#);
    longer.extend_from_slice(&compressed("more"));
    check(&longer, "more than it says");
}

#[test]
fn a_small_object_that_grows_without_end_is_given_up() {
    let zeros = vec![b'0'; 8 << 20];
    let bomb = zstd::encode_all(&zeros[..], LEVEL).expect("memory takes all");
    assert!(bomb.len() < 64 * 1024);
    assert!(matches!(decode(&bomb), Err(FormatError::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(records in records()) {
        let bytes = encode(&records).expect("memory takes all");
        prop_assert_eq!(decode(&bytes), Ok(records));
    }

    #[test]
    fn a_catalogue_that_was_cut_or_changed_is_damaged(
        records in records(), at in any::<prop::sample::Index>(), change in 1_u8.., cuts: bool,
    ) {
        let mut bytes = encode(&records).expect("memory takes all");
        let at = at.index(bytes.len());
        if cuts {
            bytes.truncate(at);
        } else {
            bytes[at] ^= change;
        }
        // The one thing that may be changed unseen is how the compression is described.
        match decode(&bytes) {
            Ok(found) => prop_assert_eq!(found, records),
            Err(FormatError::Damaged(_)) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let mut framed = zstd::encode_all(&bytes[..], LEVEL).expect("memory takes all");
        let _ = decode(&framed);
        framed.extend_from_slice(&bytes);
        let _ = decode(&framed);
    }
}
