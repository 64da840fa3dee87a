//! What makes two runs the same job: a text of every setting that decides what is planned or how it is proven.
//!
//! The settings are destructured without `..`, so code with a new setting does not compile until it is listed as part of
//! the identity or not. This module knows no flags: relative ages are points in time here, and lists are their contents.

use ketch_core::Backend;

use crate::check::CheckSettings;
use crate::settings::Settings;

impl Settings {
    /// The text for a job between these two places. Equal texts: one run can finish what the other planned.
    pub fn identity(&self, source: &dyn Backend, destination: &dyn Backend) -> String {
        let Settings {
            // These decide what is planned, and how it is verified.
            filter,
            compare,
            update,
            ignore_existing,
            modify_window,
            create_empty_dirs,
            dir_times,
            on_changed,
            delete_empty_source_dirs,
            verify,
            // Limits: they do not change what is planned, and each run checks its own.
            delete_limit: _,
            max_transfer: _,
            allow_empty_source: _,
            dry_run: _,
            // How fast it goes.
            transfers: _,
            checkers: _,
            parallel_from: _,
            streams: _,
            part_bytes: _,
            buffer_bytes: _,
            bandwidth: _,
            stop_grace: _,
            // What is reported, and where things wait or are remembered.
            plan_folder: _,
            report_unchanged: _,
            report_started: _,
            digests: _,
            clocks: _,
            jobs: _,
        } = self;
        format!(
            "filter {} compare {compare:?} update {update} existing {ignore_existing} window {modify_window:?} \
             empty {create_empty_dirs} times {dir_times} changed {on_changed:?} emptied {delete_empty_source_dirs} \
             verify {verify:?} from ({}) to ({})",
            filter.identity(),
            source.view_options(),
            destination.view_options(),
        )
    }
}

impl CheckSettings {
    /// The text of the settings that decide the verdict of a check on a pair of files of these two places. Marks of an
    /// interrupted check count only for a run with the same text.
    pub fn identity(&self, source: &dyn Backend, destination: &dyn Backend) -> String {
        let CheckSettings {
            settings,
            download,
            digest,
            pair,
            one_way: _,
            marks: _,
            equal_is_silent: _,
        } = self;
        let pair = pair.as_deref().map(|(left, right)| (&left.path, &right.path));
        let Settings {
            compare,
            // These decide which pairs there are, and not the verdict on a pair.
            filter: _,
            // No part of a check.
            update: _,
            ignore_existing: _,
            modify_window: _,
            create_empty_dirs: _,
            dir_times: _,
            on_changed: _,
            delete_empty_source_dirs: _,
            verify: _,
            delete_limit: _,
            max_transfer: _,
            allow_empty_source: _,
            dry_run: _,
            // How fast it goes, what is reported, and where things wait or are remembered.
            transfers: _,
            checkers: _,
            parallel_from: _,
            streams: _,
            part_bytes: _,
            buffer_bytes: _,
            bandwidth: _,
            stop_grace: _,
            plan_folder: _,
            report_unchanged: _,
            report_started: _,
            digests: _,
            clocks: _,
            jobs: _,
        } = settings;
        format!(
            "compare {compare:?} download {download} digest {digest:?} pair {pair:?} left ({}) right ({})",
            source.view_options(),
            destination.view_options(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use ketch_testkit::MemoryBackend;

    use super::*;
    use crate::filter::{Filter, FilterSpec};
    use crate::settings::{Compare, DeleteLimit, OnChanged, Verify};

    #[test]
    fn what_decides_what_is_planned_makes_another_job_and_speed_does_not() {
        let place = MemoryBackend::new("place");
        let text = |settings: &Settings| settings.identity(&place, &place);
        let plain = || Settings::default();
        let filter = |spec: FilterSpec| Arc::new(Filter::new(&spec).expect("legal"));
        let later = |seconds| {
            let after = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            filter(FilterSpec { modified_after: Some(after), ..FilterSpec::default() })
        };
        let exclude = filter(FilterSpec { exclude: vec!["a".into()], ..FilterSpec::default() });
        let others = [
            Settings { filter: exclude, ..plain() },
            Settings { filter: later(1), ..plain() },
            Settings { filter: later(2), ..plain() },
            Settings { compare: Compare::SizeOnly, ..plain() },
            Settings { update: true, ..plain() },
            Settings { ignore_existing: true, ..plain() },
            Settings { modify_window: Duration::from_secs(1), ..plain() },
            Settings { create_empty_dirs: true, ..plain() },
            Settings { dir_times: false, ..plain() },
            Settings { on_changed: OnChanged::Skip, ..plain() },
            Settings { delete_empty_source_dirs: true, ..plain() },
            Settings { verify: Verify::Size, ..plain() },
        ];
        let mut texts: Vec<_> = others.iter().map(text).chain([text(&plain())]).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), others.len() + 1, "{texts:#?}");
        let same = Settings {
            transfers: Some(7),
            bandwidth: Some(1),
            delete_limit: DeleteLimit::Percent(100),
            report_unchanged: true,
            ..plain()
        };
        assert_eq!(text(&same), text(&plain()));
    }
}
