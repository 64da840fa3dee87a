//! The `Range` header.

/// What a `Range` header asks of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: no header, or one that may be ignored.
    Whole,
    /// From an offset, so many bytes; never empty.
    Part { offset: u64, length: u64 },
    /// Nothing of what is asked for exists.
    Unsatisfiable,
}

/// Reads the header for a content of `size` bytes. Several ranges at once are ignored.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|value| value.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let (first, last) = (first.trim(), last.trim());
    let part = |offset: u64, end: u64| {
        if offset >= size {
            Wanted::Unsatisfiable
        } else {
            Wanted::Part { offset, length: end - offset }
        }
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => part(first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.is_empty() => part(first, size),
        (Err(_), Ok(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (Err(_), Ok(count)) if first.is_empty() => part(size.saturating_sub(count), size),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_against_the_size() {
        let part = |offset, length| Wanted::Part { offset, length };
        for (header, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-5", part(2, 4)),
            ("bytes=5-", part(5, 5)),
            ("bytes=5-99", part(5, 5)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }
}
