//! How many files, and how large ones, 1fichier takes or ketch asks about at once. Each belongs to several modules.

/// 1fichier lists no more files of a folder than this, without saying so.
pub(crate) const LISTED_MAX: usize = 5_000;

/// The most files of one call; documented for uploads only.
pub(crate) const CHANGED_MAX: usize = 500;

/// So many files are asked about one by one. More are looked up in listings of their folders, for asking about many gets an
/// address locked out.
pub(crate) const ASKED_MAX: usize = 8;

/// The most folders that are listed before what was seen in the first of them is too old to remove files for it.
pub(crate) const LOOKED_INTO_MAX: usize = 12;

/// The largest file of a paying account.
pub(crate) const SIZE_MAX: u64 = 300_000_000_000;

/// What a person can do about a file that is too large.
pub(crate) const SIZES: &str = "1fichier takes 300 GB from paying accounts, 50 GB from free ones, 5 GB from guests; splitting comes with a later release";
