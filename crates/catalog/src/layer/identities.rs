//! What names lead to where the remote is a disk: its own word, and for what the catalogue alone holds an object that no disk has.

use ketch_core::identity::{Identities, Identity, Mark, ObjectId, Shared, Standing};

use super::*;

/// No file system has this number.
const NO_DEVICE: u64 = u64::MAX;

/// The identities of the remote, and those of what the catalogue alone holds.
#[derive(Debug)]
pub(super) struct OwnIdentities(pub(super) Arc<dyn Identities>, pub(super) Arc<Inner>);

impl OwnIdentities {
    fn holds(&self, path: &RelPath) -> bool {
        self.1.with_view(|view| view.kept(path)).is_some()
    }

    /// What the catalogue holds is an object of its place and path: two views of one catalogue have the same.
    fn of_kept(&self, path: &RelPath) -> Identity {
        let location = &self.1.about.location;
        let numbered = |path: &str| {
            let digest = blake3::hash(format!("{location}\n{path}").as_bytes());
            let mut number = [0; 8];
            number.copy_from_slice(&digest.as_bytes()[..8]);
            ObjectId { device: NO_DEVICE, number: u64::from_le_bytes(number) }
        };
        let folder = path.parent().unwrap_or_else(RelPath::root);
        Identity {
            object: numbered(path.as_str()),
            folder: numbered(folder.as_str()),
            name: path.name().unwrap_or_default().into(),
            links: 1,
            is_certain: true,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Identities for OwnIdentities {
    fn standing(&self) -> Result<Standing> {
        self.0.standing()
    }

    fn of(&self, path: &RelPath) -> Result<Identity> {
        match self.0.of(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.holds(path) => {
                Ok(self.of_kept(path))
            }
            found => found,
        }
    }

    fn mark(&self) -> Result<Option<Mark>> {
        self.0.mark()
    }

    fn unmark(&self, mark: &Mark) -> Result<()> {
        self.0.unmark(mark)
    }

    fn sees(&self, mark: &Mark) -> Result<Option<Shared>> {
        self.0.sees(mark)
    }

    fn folds(&self, dir: &RelPath, may_write: bool) -> Result<Option<bool>> {
        self.0.folds(dir, may_write)
    }

    fn listed_as(&self, dir: &RelPath, names: &[String]) -> Result<Vec<Option<String>>> {
        let found = self.0.listed_as(dir, names)?;
        let kept = |name: &String| {
            let path = dir.join(name).ok()?;
            self.holds(&path).then(|| name.clone())
        };
        Ok(found.into_iter().zip(names).map(|(found, name)| found.or_else(|| kept(name))).collect())
    }

    fn respell(&self, name: &str) -> Result<()> {
        self.0.respell(name)
    }
}
