//! The order of the layers.

use std::sync::Arc;

use super::tests_script::Scripted;
use super::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use crate::backend::Backend;

type Part = fn(Stack) -> Stack;

const PARTS: [Part; 3] = [
    |stack| stack.timeout(TimeoutSettings::default()),
    |stack| stack.limit(LimitSettings::default()),
    |stack| stack.retry(RetrySettings::default()),
];

/// The names of the layers, outside to inside.
fn built(parts: &[usize]) -> Vec<&'static str> {
    let raw: Arc<dyn Backend> = Arc::new(Scripted::new());
    let stack = parts.iter().fold(Stack::new(raw), |stack, part| PARTS[*part](stack));
    let shown = format!("{:?}", stack.build());
    let mut found: Vec<_> = ["Retry {", "Limit {", "Timeout {", "Scripted {"]
        .into_iter()
        .filter_map(|name| Some((shown.find(name)?, name.trim_end_matches(" {"))))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn every_order_of_calls_builds_the_same_order_of_layers() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(built(&order), ["Retry", "Limit", "Timeout", "Scripted"], "{order:?}");
    }
}

#[test]
fn a_part_that_was_not_given_is_left_out() {
    assert_eq!(built(&[]), ["Scripted"]);
    assert_eq!(built(&[2, 0]), ["Retry", "Timeout", "Scripted"]);
    assert_eq!(built(&[1]), ["Limit", "Scripted"]);
}
