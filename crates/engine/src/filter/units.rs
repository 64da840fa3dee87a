//! Sizes and durations as rclone writes them: `1.5M`, `1d12h`.
//!
//! What rclone 1.75 accepts without a sign or an exponent means the same here. `1KB` and `1d12h`, which it refuses, are
//! understood too.
//!
//! Pure text to number and back, in integers: no fraction is lost to binary floating point. Absolute dates are not
//! handled here, as they need a time zone.

use std::time::Duration;

/// Why a size or a duration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The text is no size.
    #[error(
        "a size is a number in KiB, or has one of the units B, K, M, G, T, P, E as in \"1.5M\": {text:?}"
    )]
    Size {
        /// The text as given.
        text: String,
    },
    /// The text is no duration.
    #[error(
        "a duration is a number of seconds, or has the units ms, s, m, h, d, w, M, y as in \"1d12h\": {text:?}"
    )]
    Duration {
        /// The text as given.
        text: String,
    },
    /// The number does not fit.
    #[error("too large to count in 64 bits: {text:?}")]
    TooLarge {
        /// The text as given.
        text: String,
    },
}

/// Parses a size into bytes.
///
/// A bare number counts KiB. Units are powers of 1024 in either case, `K`, `Ki`, `KB` and `KiB` being the same; `B` is
/// bytes. Fractions are cut off at whole bytes. Signs and spaces are refused.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let refuse = || UnitError::Size { text: text.to_owned() };
    let (number, rest) = Decimal::parse(text).ok_or_else(refuse)?;
    let unit = rest.to_ascii_lowercase();
    let power = match unit.as_str() {
        "" => 1,
        "b" => 0,
        _ => {
            let stem = unit.strip_suffix('b').unwrap_or(&unit);
            let stem = stem.strip_suffix('i').unwrap_or(stem);
            1 + ["k", "m", "g", "t", "p", "e"].iter().position(|&u| u == stem).ok_or_else(refuse)?
        }
    };
    number
        .times(1 << (10 * power))
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| UnitError::TooLarge { text: text.to_owned() })
}

/// Parses a size, or `off` in any case, which is `None`.
pub fn parse_size_or_off(text: &str) -> Result<Option<u64>, UnitError> {
    if text.eq_ignore_ascii_case("off") { Ok(None) } else { parse_size(text).map(Some) }
}

/// Parses a duration.
///
/// A bare number counts seconds. Otherwise a sequence of numbers with units, which are added: `ms`, `s`, `m`, `h`, `d`,
/// `w`, `M` (30 days) and `y` (365 days). Case matters. Signs and spaces are refused.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const MILLISECOND: u128 = 1_000_000;
    const SECOND: u128 = 1000 * MILLISECOND;
    const DAY: u128 = 86_400 * SECOND;
    let refuse = || UnitError::Duration { text: text.to_owned() };
    let too_large = || UnitError::TooLarge { text: text.to_owned() };
    let mut nanoseconds: u128 = 0;
    let mut remaining = text;
    loop {
        let (number, rest) = Decimal::parse(remaining).ok_or_else(refuse)?;
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..length] {
            // A number without a unit stands alone.
            "" if rest.is_empty() && remaining.len() == text.len() => SECOND,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            "d" => DAY,
            "w" => 7 * DAY,
            "M" => 30 * DAY,
            "y" => 365 * DAY,
            _ => return Err(refuse()),
        };
        nanoseconds = number
            .times(unit)
            .and_then(|part| nanoseconds.checked_add(part))
            .ok_or_else(too_large)?;
        remaining = &rest[length..];
        if remaining.is_empty() {
            break;
        }
    }
    let seconds = u64::try_from(nanoseconds / SECOND).map_err(|_| too_large())?;
    let fraction = u32::try_from(nanoseconds % SECOND).map_err(|_| too_large())?;
    Ok(Duration::new(seconds, fraction))
}

/// Writes a size with three significant digits, in powers of 1024: `512 B`, `1.25 GiB`, `1000 KiB`.
///
/// Rounds to nearest, so it is for people; nothing should parse it back.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let bytes = u128::from(bytes);
    for (index, unit) in UNITS.iter().enumerate() {
        let one = 1u128 << (10 * (index + 1));
        // More decimals first; each is right only while its rounded number is short enough.
        for (scale, limit) in [(100, 10), (10, 100), (1, 1024)] {
            let scaled = (bytes * scale + one / 2) / one;
            if scaled < limit * scale {
                let (whole, fraction) = (scaled / scale, scaled % scale);
                return match scale {
                    100 => format!("{whole}.{fraction:02} {unit}"),
                    10 => format!("{whole}.{fraction} {unit}"),
                    _ => format!("{whole} {unit}"),
                };
            }
        }
    }
    unreachable!("u64::MAX is 16 EiB, which the last unit holds")
}

/// Writes a duration for people: `0.4s`, `12.3s`, `1h2m3s`, `3d4h`.
///
/// Milliseconds are shown below a second, tenths below a minute. What is not shown is cut off, so that no more time
/// appears than has passed. [`parse_duration`] reads the result.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        let fraction = match seconds {
            0 => format!("{:03}", duration.subsec_millis()),
            _ => (duration.subsec_millis() / 100).to_string(),
        };
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        return format!("{seconds}{point}{fraction}s");
    }
    [
        (seconds / 86_400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, unit)| format!("{count}{unit}"))
    .collect()
}

/// A decimal number without sign: `12`, `1.5`, `.5`, `1.`.
struct Decimal {
    whole: u64,
    /// The first digits after the point, and ten to the power of their number.
    fraction: u64,
    scale: u64,
}

impl Decimal {
    /// Takes the number at the start of the text; returns it with the rest. `None` when there is none, or when it has
    /// more digits than any size or duration.
    fn parse(text: &str) -> Option<(Decimal, &str)> {
        /// Digits after these are below a byte or a nanosecond for every unit.
        const FRACTION_DIGITS: usize = 19;
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (whole, mut rest) = text.split_at(digits(text));
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            (fraction, rest) = after.split_at(digits(after));
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
        let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse().ok() };
        let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some((Decimal { whole: parse(whole)?, fraction: parse(fraction)?, scale }, rest))
    }

    /// The number times an integer, rounded down; `None` when it does not fit.
    fn times(&self, factor: u128) -> Option<u128> {
        let whole = u128::from(self.whole).checked_mul(factor)?;
        let fraction = u128::from(self.fraction).checked_mul(factor)? / u128::from(self.scale);
        whole.checked_add(fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_have_rclone_units() {
        const K: u64 = 1024;
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(K)),
            ("100", Some(100 * K)),
            ("100B", Some(100)),
            ("100b", Some(100)),
            ("1k", Some(K)),
            ("1K", Some(K)),
            ("1Ki", Some(K)),
            ("1KiB", Some(K)),
            ("1KB", Some(K)),
            ("1.5M", Some(3 * K * K / 2)),
            (".5", Some(K / 2)),
            ("1.", Some(K)),
            ("0.1k", Some(102)),
            ("1.9B", Some(1)),
            ("2G", Some(2 * K * K * K)),
            ("3T", Some(3 * K * K * K * K)),
            ("4P", Some(4 * K * K * K * K * K)),
            ("15E", Some(15 << 60)),
            ("16E", None),
            ("18446744073709551615B", Some(u64::MAX)),
            ("18446744073709551616B", None),
            ("99999999999999999999999999999999999999999B", None),
            ("0.33333333333333333333333333333333333G", Some(357_913_941)),
            ("", None),
            (".", None),
            ("K", None),
            ("i", None),
            ("1i", None),
            ("1ib", None),
            ("1BB", None),
            ("1Bi", None),
            ("1KK", None),
            ("1X", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1 K", None),
            ("1e3", None),
            ("off", None),
            ("٣", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text:?}");
        }
        assert_eq!(parse_size_or_off("off"), Ok(None));
        assert_eq!(parse_size_or_off("OFF"), Ok(None));
        assert_eq!(parse_size_or_off("1"), Ok(Some(K)));
        assert!(parse_size_or_off("on").is_err());
    }

    #[test]
    fn durations_have_rclone_units() {
        const DAY: u64 = 86_400;
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("90", Some((90, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("10ms", Some((0, 10_000_000))),
            ("1s", Some((1, 0))),
            ("1m", Some((60, 0))),
            ("1h", Some((3600, 0))),
            ("1d", Some((DAY, 0))),
            ("1w", Some((7 * DAY, 0))),
            ("1M", Some((30 * DAY, 0))),
            ("1y", Some((365 * DAY, 0))),
            ("1.5d", Some((DAY + DAY / 2, 0))),
            ("1d12h", Some((DAY + DAY / 2, 0))),
            ("1y2M3w4d5h6m7s8ms", Some((365 * DAY + 60 * DAY + 25 * DAY + 18_367, 8_000_000))),
            ("18446744073709551615s", Some((u64::MAX, 0))),
            ("18446744073709551615y", None),
            ("", None),
            ("s", None),
            ("1d12", None),
            ("1 d", None),
            ("-1d", None),
            ("1x", None),
            ("1S", None),
            ("1d,2h", None),
            ("off", None),
            ("1é", None),
        ] {
            let expected = expected.map(|(seconds, nanos)| Duration::new(seconds, nanos));
            assert_eq!(parse_duration(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_written_with_three_digits() {
        for (bytes, expected) in [
            (0, "0 B"),
            (512, "512 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10_234, "9.99 KiB"),
            (10_235, "10.0 KiB"),
            (102_348, "99.9 KiB"),
            (102_349, "100 KiB"),
            (1_024_000, "1000 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.00 MiB"),
            (1_342_177_280, "1.25 GiB"),
            (5 << 40, "5.00 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(format_size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn durations_are_written_short() {
        for (milliseconds, expected) in [
            (0, "0s"),
            (1, "0.001s"),
            (400, "0.4s"),
            (999, "0.999s"),
            (1000, "1s"),
            (12_349, "12.3s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (3_723_900, "1h2m3s"),
            (3_603_000, "1h3s"),
            (273_600_000, "3d4h"),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(format_duration(duration), expected, "{milliseconds}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,12}|[0-9.]{0,40}[a-zA-Z]{0,3}") {
            let _ = parse_size(&text);
            let _ = parse_duration(&text);
        }

        #[test]
        fn every_size_is_written_in_at_most_eight_characters(bytes: u64) {
            prop_assert!(format_size(bytes).len() <= 8);
        }

        #[test]
        fn written_durations_are_read_back(seconds: u64, milliseconds in 0u64..1000) {
            for seconds in [seconds, seconds % 200] {
                let duration = Duration::from_secs(seconds) + Duration::from_millis(milliseconds);
                let text = format_duration(duration);
                let parsed = parse_duration(&text).expect(&text);
                prop_assert!(parsed <= duration && duration - parsed < Duration::from_secs(1), "{}", text);
            }
        }
    }
}
