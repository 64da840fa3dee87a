//! Writes JSON as the service does: with its keys in another order every time.

use serde_json::Value;

/// Stands for half of a surrogate pair, which no text of this language can hold and JSON can.
pub(crate) const HALF_A_PAIR: char = '\u{f8ff}';

/// The text of a value; every object's keys are shuffled. `is_pretty` indents.
pub(crate) fn render(value: &Value, is_pretty: bool) -> String {
    let mut text = String::new();
    write(&mut text, value, is_pretty.then_some(0));
    if text.contains(HALF_A_PAIR) { text.replace(HALF_A_PAIR, "\\ud800") } else { text }
}

fn write(text: &mut String, value: &Value, depth: Option<usize>) {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            fastrand::shuffle(&mut entries);
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                separate(text, index, inner);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push_str(if depth.is_some() { " : " } else { ":" });
                write(text, value, inner);
            }
            new_line(text, depth);
            text.push('}');
        }
        Value::Array(values) if !values.is_empty() => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                separate(text, index, inner);
                write(text, value, inner);
            }
            new_line(text, depth);
            text.push(']');
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => text.push_str(&value.to_string()),
    }
}

fn separate(text: &mut String, index: usize, depth: Option<usize>) {
    if index > 0 {
        text.push(',');
    }
    new_line(text, depth);
}

fn new_line(text: &mut String, depth: Option<usize>) {
    if let Some(depth) = depth {
        text.push('\n');
        text.extend(std::iter::repeat_n("   ", depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn the_order_of_keys_changes_and_the_value_does_not() {
        let value = json!({"a": 1, "b": [{"x": null, "y": "é\"", "z": {}}], "c": [], "d": true});
        let texts: HashSet<String> = (0..50).map(|_| render(&value, false)).collect();
        assert!(texts.len() > 5);
        for text in texts.into_iter().chain([render(&value, true)]) {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
    }
}
