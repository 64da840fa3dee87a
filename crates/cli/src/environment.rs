//! The environment of the process, taken once and passed as a value, so that tests need not change their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// The variables ketch looks at.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

// Keys of remotes may be among them.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        Environment(std::env::vars_os().collect())
    }

    /// One made by hand.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Environment(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The same as text; what is not UTF-8 counts as not set.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// All variables whose names start with `prefix`: the rest of the name, and the value.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.0.iter().filter_map(move |(name, value)| {
            Some((name.to_str()?.strip_prefix(prefix)?, value.to_str()?))
        })
    }

    /// The names of variables that begin like this, as far as they are text.
    pub(crate) fn names_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.keys().filter_map(|name| name.to_str()).filter(move |name| name.starts_with(prefix))
    }

    /// A variable that begins like this and has a value that is no text.
    pub(crate) fn odd_value(&self, prefix: &str) -> Option<String> {
        let mut odd = self.0.iter().filter(|(_, value)| value.to_str().is_none());
        odd.find_map(|(name, _)| {
            Some(name.to_str()?.to_owned()).filter(|name| name.starts_with(prefix))
        })
    }

    /// A folder of the XDG base directory specification; `None` when there is no home either.
    pub(crate) fn xdg(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        // Relative values are to be ignored, says the specification.
        let given = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        given.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(below_home)))
    }

    /// Where the configuration is, or would be.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        let given = self.get("KETCH_CONFIG").map(PathBuf::from);
        given.or_else(|| Some(self.xdg("XDG_CONFIG_HOME", ".config")?.join("ketch/config.toml")))
    }

    /// Where state that outlives the process is kept.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        Some(self.xdg("XDG_STATE_HOME", ".local/state")?.join("ketch"))
    }

    /// Which run of the machine this is; `None` where the system does not tell.
    pub(crate) fn boot(&self) -> Option<String> {
        let given = self.text("KETCH_BOOT").map(str::to_owned);
        let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Some(given.or_else(read)?.trim().to_owned())
    }

    /// Where digests of local files are kept.
    pub(crate) fn digest_cache(&self) -> Option<PathBuf> {
        Some(self.xdg("XDG_CACHE_HOME", ".cache")?.join("ketch/digests.redb"))
    }

    /// Where the sandbox keeps its files.
    pub(crate) fn sandbox_folder(&self) -> Option<PathBuf> {
        let given = self.get("KETCH_SANDBOX_STATE").map(PathBuf::from);
        given.or_else(|| Some(self.xdg("XDG_DATA_HOME", ".local/share")?.join("ketch/sandbox")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_xdg_specification() {
        let check = |pairs: &[(&str, &str)], expected: Option<&str>| {
            assert_eq!(Environment::of(pairs).config_file(), expected.map(PathBuf::from));
        };
        check(&[("HOME", "/h")], Some("/h/.config/ketch/config.toml"));
        check(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")], Some("/c/ketch/config.toml"));
        check(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c")], Some("/h/.config/ketch/config.toml"));
        check(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "")], Some("/h/.config/ketch/config.toml"));
        check(&[("HOME", "/h"), ("KETCH_CONFIG", "x.toml")], Some("x.toml"));
        check(&[], None);
    }

    #[test]
    fn values_are_not_shown() {
        let environment = Environment::of(&[("KETCH_REMOTE_WORK_API_KEY", "CANARY")]);
        assert!(!format!("{environment:?}").contains("CANARY"));
    }
}
