//! Gives names at the destination the source's spelling, where the destination finds a name in any spelling. This is done
//! at the end of the job.

use super::*;
use crate::run::planner::Respelling;

impl Executor {
    /// Gives names their spelling: first those in a folder, then the folder's own. A failure costs only the spelling.
    pub(in crate::run) async fn respell(&self, mut names: Vec<Respelling>) {
        names.sort_by_key(|name| std::cmp::Reverse(name.to_be.parts().count()));
        let (settings, to) = (&self.context.settings, &self.context.destination);
        for Respelling { is, to_be } in names {
            if self.context.is_stopping() {
                return;
            }
            let respelled = match settings.dry_run {
                true => Ok(()),
                false => match to.stat(&is).await {
                    Ok(entry) => to.rename(&entry, &to_be).await.map(drop),
                    Err(error) => Err(error),
                },
            };
            let text = match (&respelled, settings.dry_run) {
                (Ok(()), true) => format!("it is `{is}` at the destination and would be respelled"),
                (Ok(()), false) => {
                    format!("it was `{is}` at the destination and is spelled as at the source now")
                }
                (Err(error), _) => format!("it stays `{is}` at the destination: {error}"),
            };
            self.ledger.tell(Event::Notice { path: Some(to_be), text, hint: None }).await;
        }
    }

    /// Moves a folder to another spelling of its own name, on a disk that finds both spellings: this renames it and does
    /// nothing else.
    pub(in crate::run) async fn respell_place(&self, name: String) -> Result<()> {
        if !self.context.settings.dry_run
            && let Some(identities) = self.context.source.identities()
        {
            let respelled = name.clone();
            crate::blocking::blocking(move |_| identities.respell(&respelled)).await?;
        }
        let text =
            format!("the folder has the name `{name}` in another spelling: it is the same folder");
        self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
        Ok(())
    }
}
