//! Is a plan within the limits that the user set, before anything of it is done?

use super::*;

impl Planner {
    /// Is the plan within every limit that was set?
    pub(in crate::run) fn is_within_limits(&self) -> Result<()> {
        let settings = &self.context.settings;
        let resumed = self.kept.mark();
        let (source_files, destination_entries, deletions, bytes) = {
            let (listed, state) = (self.ledger.listed(), self.state());
            let deletions = state.deletions + resumed.deletions;
            let bytes = state.planned_bytes.saturating_add(resumed.bytes);
            (listed.source_files, listed.destination_entries, deletions, bytes)
        };
        let source_files = match settings.allow_empty_source {
            true => source_files.max(1),
            false => source_files,
        };
        let refuse = |error: Error| error.with_operation(self.context.kind.as_str());
        if self.context.kind == JobKind::Sync {
            settings
                .delete_limit
                .admits(deletions, destination_entries, source_files)
                .map_err(refuse)?;
        }
        match settings.max_transfer {
            Some(most) if bytes > most => {
                let text = format!(
                    "the plan transfers {bytes} bytes and {most} are allowed; nothing was changed"
                );
                let error = Error::new(ErrorKind::InvalidInput, text);
                Err(refuse(error.with_hint(Hint::AllowTransfer(bytes))))
            }
            _ => Ok(()),
        }
    }
}
