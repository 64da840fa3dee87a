//! Whether what is to be removed at the source is another object than what the destination has of it.
//!
//! The system is asked what both names lead to. Where it cannot tell, as between two mounts of one network share, the file
//! gets another name at the source, and the other side is looked at: what is gone there, or is there under the new name too,
//! was the same thing and gets its name back.

use ketch_core::identity::sameness;
use ketch_core::{Identity, Sameness};

use super::*;
use crate::digest::blocking;

/// What the name of a file that is set aside ends in, before digits. It is no name of a part: if this process dies, the file is
/// there under it, and the next run takes it like any other.
const ASIDE: &str = ".ketch-moving-";
/// Bytes of a name that are kept in it, so that it fits everywhere.
const STEM_BYTES: usize = 180;

/// A file of the source that may be removed.
pub(super) enum Apart {
    /// It is another object, or one that has other names, as it was listed.
    AsListed(Box<Entry>),
    /// It is, and has another name now, which nobody else uses.
    SetAside(Box<Entry>),
}

impl Runner {
    /// Makes sure that `source`, as it is now, can be removed and `there`, what the destination has of it, stays.
    ///
    /// Errors: `InvalidInput` when both are one.
    pub(super) async fn set_apart(&self, source: &Entry, there: &Entry) -> Result<Apart> {
        let (from, to) = (&self.context.source, &self.context.destination);
        // Handles are of one remote, whatever names it was opened by.
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
        let name = aside_name(source.path.name().unwrap_or_default());
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

/// A name for a file that was called `name`, which nobody else uses.
fn aside_name(name: &str) -> String {
    let mut end = name.len().min(STEM_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ASIDE}{:08x}", &name[..end], fastrand::u32(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_set_aside_fits_and_is_no_part() {
        for name in ["f".to_owned(), "é".repeat(127), "x".repeat(255)] {
            let aside = aside_name(&name);
            assert!(aside.len() < 255 && RelPath::new(&aside).is_ok(), "{aside}");
            assert!(!aside.ends_with(".part") && aside != aside_name(&name));
        }
    }
}
