//! Checks, before a move removes a file at the source, that it is another object than the destination's copy.
//!
//! The system says which object each of the two names leads to. Where it cannot (for example between two mounts of one
//! network share), the file is renamed at the source, and then the destination is checked: if its copy is gone, or also has
//! the new name, both were the same file, and it gets its old name back.

use ketch_core::identity::sameness;
use ketch_core::names::aside;
use ketch_core::{Identity, Sameness};

use super::*;
use crate::blocking::blocking;

/// A file of the source that may be removed.
pub(super) enum Apart {
    /// It is another object, or one that has other names, as it was listed.
    AsListed(Box<Entry>),
    /// It is another object. It has another name at the source now, which nothing else uses.
    SetAside(Box<Entry>),
}

impl Executor {
    /// Makes sure that `source`, as it is now, can be removed without removing `there`, the destination's copy.
    ///
    /// Errors: `InvalidInput` when both are one.
    pub(super) async fn set_apart(&self, source: &Entry, there: &Entry) -> Result<Apart> {
        let (from, to) = (&self.context.source, &self.context.destination);
        // Equal handles are one file, whatever names the remote was opened by.
        if let (Some(one), Some(other)) = (&source.handle, &there.handle)
            && one == other
        {
            return Err(self.are_one(source));
        }
        let as_listed = || Apart::AsListed(Box::new(source.clone()));
        let Some((one, other)) = from.identities().zip(to.identities()) else {
            return Ok(as_listed());
        };
        let (left, right) = (source.path.clone(), there.path.clone());
        let both: (Identity, Identity) =
            blocking(move |_| Ok((one.of(&left)?, other.of(&right)?))).await?;
        match sameness(&both.0, &both.1) {
            Sameness::TwoObjects | Sameness::TwoNames => Ok(as_listed()),
            Sameness::OneName => Err(self.are_one(source)),
            Sameness::Unknown => self.set_aside(source, there).await,
        }
    }

    async fn set_aside(&self, source: &Entry, there: &Entry) -> Result<Apart> {
        let (from, to) = (&self.context.source, &self.context.destination);
        if !from.capabilities().rename {
            let text =
                "it cannot be told whether the destination has the same file under another name";
            return Err(self.stays_there(source, ErrorKind::Unsupported, text));
        }
        let name = aside(source.path.name().unwrap_or_default(), fastrand::u32(..));
        let beside = |path: &RelPath| {
            let folder = path.parent().unwrap_or_else(RelPath::root);
            folder.join(&name).map_err(|_| Error::unsupported("set aside"))
        };
        let (aside, seen_aside) = (beside(&source.path)?, beside(&there.path)?);
        let set_aside = from.rename(source, &aside).await?;
        let (old_name, new_name) = (to.stat(&there.path).await, to.stat(&seen_aside).await);
        let is_apart = match (old_name, new_name) {
            (Ok(now), Err(error)) if error.kind() == ErrorKind::NotFound => {
                Ok(now.size == there.size)
            }
            (Err(error), _) if error.kind() != ErrorKind::NotFound => Err(error),
            (_, Err(error)) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(false),
        };
        if matches!(is_apart, Ok(true)) {
            return Ok(Apart::SetAside(Box::new(set_aside)));
        }
        from.rename(&set_aside, &source.path).await.map_err(|error| {
            let text =
                format!("it could not get its name back and is `{aside}` now: {}", error.message());
            self.stays_there(source, error.kind(), &text)
        })?;
        is_apart?;
        Err(self.are_one(source))
    }

    fn are_one(&self, source: &Entry) -> Error {
        let text = "the destination has no other copy: it is one and the same file under two names, so it stays";
        self.stays_there(source, ErrorKind::InvalidInput, text)
    }

    fn stays_there(&self, source: &Entry, kind: ErrorKind, text: &str) -> Error {
        Error::new(kind, text)
            .with_operation("move")
            .with_path(&source.path)
            .with_remote(self.context.source.name())
    }
}
