//! The JSON body of a call, read as leniently as the service reads it.

use serde_json::{Map, Value};

/// The fields of a request body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads a body; an empty one has no fields. `None` when it is no JSON object.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        if body.trim_ascii().is_empty() {
            return Some(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Some(Self(map)),
            Ok(_) | Err(_) => None,
        }
    }

    /// One of the objects in a list, as arguments of their own.
    pub(crate) fn objects(&self, name: &str) -> Vec<Self> {
        let list = self.0.get(name).and_then(Value::as_array);
        let objects = list.into_iter().flatten().filter_map(Value::as_object);
        objects.cloned().map(Self).collect()
    }

    /// The field as it is.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// An integer, or a string of one.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether a 0/1 field is not 0.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.integer(name).is_some_and(|value| value != 0)
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A list of texts; one text counts as a list of one.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(Value::String(text)) => vec![text.clone()],
            Some(_) | None => Vec::new(),
        }
    }
}
