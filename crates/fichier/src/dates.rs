//! The dates of 1fichier: French local time without a zone (section 9.6 of the API reference).

use std::sync::OnceLock;
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const FORM: &str = "%Y-%m-%d %H:%M:%S";

/// The instant of `YYYY-MM-DD HH:MM:SS` in France; `None` when it is not a date.
///
/// The hour that October repeats is read as the first of the two, the hour that March skips as the one after it: a date
/// is shown and never decides whether two files are equal, so the same answer every time is all that is needed.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let zoned = paris()?.to_ambiguous_zoned(civil(text)?).compatible().ok()?;
    Some(zoned.timestamp().into())
}

fn paris() -> Option<TimeZone> {
    static PARIS: OnceLock<Option<TimeZone>> = OnceLock::new();
    PARIS.get_or_init(|| TimeZone::get("Europe/Paris").ok()).clone()
}

/// The date as it is written, without a zone; `None` when it is not a date.
pub(crate) fn civil(text: &str) -> Option<DateTime> {
    DateTime::strptime(FORM, text.trim()).ok()
}

/// The form in which 1fichier writes a date and reads one.
pub(crate) fn text(date: DateTime) -> String {
    date.strftime(FORM).to_string()
}

/// Does October have this date twice?
pub(crate) fn is_repeated(date: DateTime) -> bool {
    paris().is_some_and(|paris| paris.to_ambiguous_timestamp(date).is_ambiguous())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(text: &str, expected: Option<u64>) {
        let expected =
            expected.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn dates_are_french_local_time() {
        // Issue 5421: the file is dated 14:57:25 one minute before the server's own clock says 12:58:17 GMT.
        check("2021-06-22 14:57:25", Some(1_624_366_645));
        check("2021-01-22 14:57:25", Some(1_611_323_845));
        check(" 1970-01-01 01:00:00 ", Some(0));
    }

    #[test]
    fn the_repeated_hour_is_the_first_and_the_skipped_one_moves_on() {
        check("2021-10-31 01:59:59", Some(1_635_638_399));
        check("2021-10-31 02:30:00", Some(1_635_640_200));
        check("2021-10-31 03:00:00", Some(1_635_645_600));
        check("2021-03-28 02:30:00", Some(1_616_895_000));
    }

    #[test]
    fn what_is_not_a_date_is_unknown() {
        for text in ["", "0000-00-00 00:00:00", "yesterday", "2021-02-30 00:00:00", "2021-06-22"] {
            check(text, None);
        }
    }
}
