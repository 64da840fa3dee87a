//! Gives names at the destination the source's spelling, where the destination finds a name in any spelling. This is done
//! at the end of the job.

use super::executor::Executor;
use super::planner::Planner;
use super::*;
use crate::join::Pair;

/// Names that are remembered; more are left to the next run.
const RESPELL_LIMIT: usize = 10_000;

/// A name of the destination and how the source spells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Respelling {
    is: RelPath,
    to_be: RelPath,
}

impl Planner {
    /// Remembers a name that both sides have in different spellings.
    pub(super) fn note_spelling(&self, pair: &Pair) {
        let Some((source, there)) = pair.source.as_ref().zip(pair.destination.as_ref()) else {
            return;
        };
        let mut state = self.state();
        if source.path != there.path && state.respell.len() < RESPELL_LIMIT {
            state.respell.push(Respelling { is: there.path.clone(), to_be: source.path.clone() });
        }
    }

    /// The names that were found, for the end of the job.
    pub(super) fn spellings(&self) -> Vec<Respelling> {
        std::mem::take(&mut self.state().respell)
    }
}

impl Executor {
    /// Gives names their spelling: first those in a folder, then the folder's own. A failure costs only the spelling.
    pub(super) async fn respell(&self, mut names: Vec<Respelling>) {
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
    pub(super) async fn respell_place(&self, name: String) -> Result<()> {
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
