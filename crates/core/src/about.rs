//! What a place is: the facts that do not change once it is connected.

use crate::capabilities::Capabilities;

/// What a place is called, where it is and what it can do. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// What a person calls this place, for messages: `work:photos`, `/home/me/docs`.
    pub name: String,
    /// Where it is, in a form that two places can be compared by: equal when they are the same folder, and one a `/`-prefix of
    /// the other when one is inside the other.
    pub location: String,
    /// Places with equal scopes accept each other's entries in [`crate::Backend::copy`] and [`crate::Backend::rename`] (two folders
    /// of one account). `None`: only this very backend's own entries.
    pub scope: Option<String>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The options that decide what its listings show, as a text to be compared.
    pub view_options: String,
}

impl About {
    /// A place that can do nothing optional.
    pub fn new(name: impl Into<String>, location: impl Into<String>) -> About {
        About { name: name.into(), location: location.into(), ..About::default() }
    }
}
