//! What interrupted transfers left, in words.

use ketch_engine::filter::units::format_size;

/// One line; with what a person can do, where the parts stayed.
pub(crate) fn leftovers_line(place: &str, parts: u64, bytes: u64, is_removed: bool) -> String {
    let noun = if parts == 1 { "part" } else { "parts" };
    let size = format_size(bytes);
    match is_removed {
        true => format!("removed {parts} {noun} of interrupted transfers ({size}) from {place}"),
        false => format!(
            "{parts} {noun} of interrupted transfers ({size}) in {place}, which listings do not show \
             (`ketch cleanup` removes those that no job continues)"
        ),
    }
}
