//! A folder with more files than one listing shows, walked by the dates on which its files were sent.
//!
//! Whether 1fichier honours `sent_after` and `sent_before` for that, and whether it counts the bounds in, is not documented.
//! So each window is asked for one second wider than it is, an answer with a file from outside of it is proof that the
//! bounds mean nothing, and a window that is full is cut in two. What cannot be walked to its end is an error.

use std::collections::HashMap;

use ketch_core::{Error, ErrorKind};

use crate::api::Api;
use crate::bounds::LISTED_MAX;
use crate::dates;
use crate::error::Refusal;
use crate::types::Item;
use crate::window::Window;

/// How full a window is meant to be, so that an estimate that is a little off costs no further cut.
const FILES_WANTED: usize = 3_500;
/// The most windows of one folder: at one in 30 s as many as fit into the half hour that a call may take.
const WINDOWS_MAX: usize = 60;

/// All files of a folder of which `cut` were listed. `told` is how many it says it has.
///
/// Errors: `Unsupported` when the server does not honour dates, when more files than one listing shows were sent in one
/// second, or when there are too many for the time that a listing may take.
pub(crate) async fn walk(
    api: &Api,
    folder: u64,
    cut: &[Item],
    told: Option<u64>,
) -> Result<Vec<Item>, Refusal> {
    let count = told.map_or_else(|| format!("at least {}", cut.len()), |told| told.to_string());
    let parts = told.map_or(2, |told| (told as usize).div_ceil(FILES_WANTED)).max(2);
    if parts > WINDOWS_MAX {
        return Err(incomplete(&count, "has too many for the time that a listing may take").into());
    }
    let split = |window: &Window, items: &[Item], parts| {
        let dates = items.iter().filter_map(|item| dates::civil(item.date.as_deref()?)).collect();
        let why = "lists them only by seconds, in one of which there are more than that";
        window.split(dates, parts).ok_or_else(|| incomplete(&count, why))
    };
    let mut open = split(&Window::ALL, cut, parts)?;
    let mut found: HashMap<String, Item> = HashMap::new();
    for _ in 0..WINDOWS_MAX {
        let Some(window) = open.pop() else { return Ok(found.into_values().collect()) };
        let items = api.file_ls(folder, &window).await?.items.unwrap_or_default();
        tracing::debug!(folder, ?window, files = items.len(), "one window of a large folder");
        let is_outside = |item: &Item| {
            let date = item.date.as_deref().and_then(dates::civil);
            date.is_some_and(|date| window.excludes(date))
        };
        if items.iter().any(is_outside) {
            return Err(incomplete(&count, "does not list them by date").into());
        }
        if items.len() >= LISTED_MAX {
            open.extend(split(&window, &items, 2)?);
        } else {
            found.extend(items.into_iter().map(|item| (item.url.clone(), item)));
        }
    }
    Err(incomplete(&count, "has too many for the time that a listing may take").into())
}

fn incomplete(count: &str, why: &str) -> Error {
    let message = format!(
        "the folder has {count} files, 1fichier lists {LISTED_MAX} at once and {why}: spread them over several folders"
    );
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use jiff::civil::DateTime;

    fn date(second: i64) -> DateTime {
        DateTime::constant(2024, 5, 1, 0, 0, 0, 0).saturating_add(second.seconds())
    }

    fn window(after: Option<i64>, before: Option<i64>) -> Window {
        Window { after: after.map(date), before: before.map(date) }
    }

    #[test]
    fn windows_are_cut_where_the_files_are_and_leave_no_second_out() {
        let check = |whole: Window, dates: &[i64], parts, expected: Option<&[Window]>| {
            let cut = whole.split(dates.iter().copied().map(date).collect(), parts);
            assert_eq!(cut.as_deref(), expected, "{whole:?} {dates:?}");
        };
        let halves = [window(None, Some(5)), window(Some(6), None)];
        check(Window::ALL, &[9, 1, 5], 2, Some(&halves));
        let thirds = [window(None, Some(3)), window(Some(4), Some(5)), window(Some(6), None)];
        check(Window::ALL, &[1, 2, 3, 4, 5, 6], 3, Some(&thirds));
        // All in the last second of the window: the cut is before it.
        let last = [window(Some(1), Some(8)), window(Some(9), Some(9))];
        check(window(Some(1), Some(9)), &[9, 9, 9], 2, Some(&last));
        let first = [window(Some(1), Some(1)), window(Some(2), Some(9))];
        check(window(Some(1), Some(9)), &[1, 1, 1], 2, Some(&first));
        check(window(Some(9), Some(9)), &[9, 9, 9], 2, None);
        check(Window::ALL, &[9, 9, 9], 2, None);
        check(Window::ALL, &[], 2, None);
    }

    #[test]
    fn cutting_always_ends() {
        for seed in 0..64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut open = vec![window(Some(0), Some(40))];
            let mut rounds = 0;
            while let Some(window) = open.pop() {
                rounds += 1;
                assert!(rounds <= 81, "seed {seed}");
                let dates = (0..8).map(|_| date(random.i64(-1..42))).collect();
                open.extend(window.split(dates, 2).unwrap_or_default());
            }
        }
    }

    #[test]
    fn only_a_date_outside_of_what_was_asked_for_proves_that_bounds_mean_nothing() {
        let window = window(Some(10), Some(20));
        let check =
            |second, expected| assert_eq!(window.excludes(date(second)), expected, "{second}");
        check(8, true);
        check(9, false);
        check(15, false);
        check(21, false);
        check(22, true);
        assert_eq!(
            window.bounds(),
            (Some("2024-05-01 00:00:09".into()), Some("2024-05-01 00:00:21".into()))
        );
        let october = DateTime::constant(2021, 10, 31, 2, 30, 0, 0);
        assert!(!window.excludes(october));
    }
}
