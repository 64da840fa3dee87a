//! What a place is: the facts that do not change once it is connected.

use crate::capabilities::Capabilities;

/// What a place is called, where it is and what it can do. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// The name of this place in messages: `work:photos`, `/home/me/docs`.
    pub name: String,
    /// Where it is, as a text by which two places are compared. The texts are equal if the places are the same folder; one is a
    /// `/`-prefix of the other if one place is inside the other.
    pub location: String,
    /// Places with equal scopes accept each other's entries in [`crate::Backend::copy`] and [`crate::Backend::rename`] (two folders
    /// of one account). `None`: only this very backend's own entries.
    pub scope: Option<String>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The options that decide what its listings show, as a text that is only compared for equality.
    pub view_options: String,
}

impl About {
    /// A place that can do nothing optional.
    pub fn new(name: impl Into<String>, location: impl Into<String>) -> About {
        About { name: name.into(), location: location.into(), ..About::default() }
    }
}
