//! Reading.

use std::io::Write;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

const MIB: usize = 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|number| (number % 251) as u8).collect()
}

#[tokio::test]
async fn files_of_every_size_are_read_whole() {
    let place = place();
    for length in [0, 1, 100, MIB - 1, MIB, MIB + 1, 3 * MIB + 7] {
        place.write("f", pattern(length));
        let entry = place.stat("f").await;
        assert!(place.read(&entry).await.expect("read") == pattern(length), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_range_gives_its_bytes(start in 0_usize..=2_500_000, length in 0_usize..=2_500_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let place = place();
            place.write("f", pattern(2_500_000));
            let entry = place.stat("f").await;
            let end = (start + length).min(2_500_000);
            let range = Some(start as u64..end as u64);
            let found = place.read_range(&entry, range).await.expect("read");
            assert!(found == pattern(2_500_000)[start..end]);
        });
    }
}

#[tokio::test]
async fn a_range_outside_the_file_is_refused() {
    let place = place();
    place.write("f", "abc");
    let entry = place.stat("f").await;
    let reversed = Range { start: 2, end: 1 };
    for range in [0..4, 4..4, reversed] {
        let result = place.read_range(&entry, Some(range)).await;
        assert_eq!(kind(result), ErrorKind::InvalidInput);
    }
    assert_eq!(place.read_range(&entry, Some(3..3)).await.expect("empty"), b"");
}

/// Reads the first piece, does something to the file, and reads on.
async fn check_change(change: fn(&Place)) {
    for ranged in [false, true] {
        let place = place();
        place.write("f", pattern(5 * MIB));
        let entry = place.stat("f").await;
        let wanted = if ranged { 4 * MIB } else { 5 * MIB };
        let range = ranged.then_some(0..wanted as u64);
        let stream = place.backend.read(&entry, ReadOptions { range }).await;
        let mut stream = stream.expect("opens");
        let mut got = stream.next().await.expect("a piece").expect("no error").len();
        change(&place);
        let failure = loop {
            match stream.next().await.expect("no end without an error") {
                Ok(piece) => got += piece.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(failure.kind(), ErrorKind::Changed, "{failure}");
        assert_eq!(failure.path(), Some(&path("f")));
        assert!(got < wanted, "the last piece must not come");
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_reported() {
    check_change(|place| {
        let mut file = std::fs::File::options().append(true).open(place.file("f")).expect("open");
        file.write_all(b"more").expect("written");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_reported() {
    check_change(|place| {
        let file = std::fs::File::options().write(true).open(place.file("f")).expect("open");
        file.set_len(10).expect("cut");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_rewritten_while_it_is_read_is_reported() {
    check_change(|place| place.write("f", vec![0; 5 * MIB])).await;
}

#[tokio::test]
async fn a_file_that_is_not_the_listed_one_is_reported_before_its_first_byte() {
    let place = place();
    place.write("f", "old");
    let entry = place.stat("f").await;
    place.write("f", "new");
    assert_eq!(kind(place.read(&entry).await), ErrorKind::Changed);
    std::fs::remove_file(place.file("f")).expect("removed");
    assert_eq!(kind(place.read(&entry).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_takes_the_place_of_a_file_is_reported_and_never_waited_for() {
    let place = place();
    let replace: [fn(&Place); 4] = [
        |place| mknodat(CWD, place.file("d/f"), FileType::Fifo, Mode::RUSR, 0).expect("made"),
        |place| std::fs::create_dir(place.file("d/f")).expect("made"),
        |place| place.link("../secret", "d/f"),
        |place| drop(std::os::unix::net::UnixListener::bind(place.file("d/f")).expect("bound")),
    ];
    place.write("secret", "abc");
    for change in replace {
        place.write("d/f", "abc");
        let entry = place.stat("d/f").await;
        std::fs::remove_file(place.file("d/f")).expect("removed");
        change(&place);
        // One that waited for it would wait for ever.
        assert_eq!(kind(place.read(&entry).await), ErrorKind::Changed);
        std::fs::remove_dir_all(place.file("d")).expect("removed");
    }
}
