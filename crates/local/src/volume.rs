//! Finds out on which kind of file system a folder is, and what is mounted where.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ketch_core::identity::Region;
use ketch_core::names::core_from_bytes;
use rustix::fs::{self, FsWord};
use rustix::io::retry_on_intr;

/// File systems of this machine's own disks and memory whose change times and inode numbers mean what they say: a change of
/// content shows in the change time, and two objects have two numbers. All others are not trusted so far: FAT, NTFS,
/// network shares, file systems in user space, overlays, and unknown ones.
const PLAIN: &[FsWord] = &[
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x2FC1_2FC1, // zfs
    0x3153_464A, // jfs
    0x3434,      // nilfs2
];

/// Other file systems that only this machine works on. Behind any further one there may be other machines, or a program.
const OWN: &[FsWord] = &[
    0x4D44,      // FAT
    0x2011_BAB0, // exFAT
    0x794C_7630, // overlay
];

/// Are the file system of `folder`, or of the nearest existing folder above it, and all file systems mounted in it trusted?
/// No, if it is not known what is mounted.
pub(crate) fn are_all_plain(folder: &Path, mounts: &Mounts) -> bool {
    let is_plain = |path: &Path| {
        let system = path.ancestors().find_map(|folder| retry_on_intr(|| fs::statfs(folder)).ok());
        system.is_some_and(|system| is_plain_kind(system.f_type))
    };
    mounts.0.is_some() && is_plain(folder) && mounts.below(folder).all(is_plain)
}

/// Does only this machine use the disk, so that all locks are those of its processes?
pub(crate) fn is_own_kind(kind: FsWord) -> bool {
    is_plain_kind(kind) || OWN.contains(&kind)
}

pub(crate) fn is_plain_kind(kind: FsWord) -> bool {
    PLAIN.contains(&kind)
}

/// One line of the system's table of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// The folder of the file system that is seen there.
    root: PathBuf,
    device: String,
    kind: String,
    from: String,
    /// Options of the file system.
    options: String,
}

/// Everything that is mounted, in the order of mounting. `None`: the system does not say.
#[derive(Debug)]
pub(crate) struct Mounts(Option<Vec<Mount>>);

impl Mounts {
    /// What the system says now.
    pub(crate) fn now() -> Self {
        // Without it nothing is certain.
        std::fs::read("/proc/self/mountinfo").map_or(Mounts(None), |table| Mounts::parse(&table))
    }

    fn parse(table: &[u8]) -> Self {
        Mounts(Some(table.split(|byte| *byte == b'\n').filter_map(mount).collect()))
    }

    /// Where something is mounted in `folder`.
    fn below<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
        let points = self.0.iter().flatten().map(|mount| mount.point.as_path());
        points.filter(move |point| *point != folder && point.starts_with(folder))
    }

    /// On which file systems the content of `folder`, which has no link in its path, lies.
    pub(crate) fn regions(&self, folder: &Path) -> Vec<Region> {
        let mut found = Vec::new();
        self.add_regions(folder, "", &mut found, true);
        for point in self.below(folder) {
            let Ok(below) = point.strip_prefix(folder) else { continue };
            self.add_regions(point, &text(below), &mut found, true);
        }
        found
    }

    /// The region that is seen at `place`, by all the names that it has.
    fn add_regions(&self, place: &Path, below: &str, found: &mut Vec<Region>, may_overlay: bool) {
        // The one that was mounted last at the longest path hides the others.
        let over = self.0.iter().flatten().filter(|mount| place.starts_with(&mount.point));
        let Some(mount) = over.max_by_key(|mount| mount.point.components().count()) else { return };
        let Ok(rest) = place.strip_prefix(&mount.point) else { return };
        let path = below_of(&mount.root, rest);
        let region = |volume: String, path: &Path| Region {
            below: below.to_owned(),
            volume,
            path: text(path),
        };
        found.push(region(format!("device {}", mount.device), &path));
        // One network share that is mounted twice may be two devices.
        if let Some((volume, share)) = share(mount) {
            let inner = path.strip_prefix("/").unwrap_or(&path);
            found.push(region(volume, &below_of(&share, inner)));
        }
        // What is seen through an overlay lies in the folders under it.
        if may_overlay && mount.kind == "overlay" {
            for layer in layers(&mount.options) {
                let layer = below_of(&layer, path.strip_prefix("/").unwrap_or(&path));
                self.add_regions(&layer, below, found, false);
            }
        }
    }
}

/// `rest` in `folder`, without a slash at the end.
fn below_of(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_owned() } else { folder.join(rest) }
}

/// The server and the path on it, where a file system names them.
fn share(mount: &Mount) -> Option<(String, PathBuf)> {
    let is_remote = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p"].contains(&mount.kind.as_str())
        || mount.kind.starts_with("fuse.");
    if !is_remote {
        return None;
    }
    if let Some(path) = mount.from.strip_prefix("//") {
        let (server, share) = path.split_once('/')?;
        return Some((format!("share {server}"), Path::new("/").join(share)));
    }
    let (server, path) = mount.from.rsplit_once(':').filter(|(_, path)| path.starts_with('/'))?;
    Some((format!("share {server}"), PathBuf::from(path)))
}

/// The folders that an overlay is made of, as far as their paths tell where they are.
fn layers(options: &str) -> Vec<PathBuf> {
    let named = |option: &str| {
        let (name, value) = option.split_once('=')?;
        matches!(name, "upperdir" | "lowerdir" | "lowerdir+" | "datadir+").then(|| value.to_owned())
    };
    let values = options.split(',').filter_map(named).collect::<Vec<_>>();
    let paths = values.iter().flat_map(|value| value.split(':'));
    paths.filter(|path| path.starts_with('/')).map(PathBuf::from).collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let (before, after) = line.split_once_at(b" - ")?;
    let mut before = before.split(|byte| *byte == b' ').skip(2);
    let device = text_of(before.next()?);
    let root = path_of(before.next()?);
    let point = path_of(before.next()?);
    let mut after = after.split(|byte| *byte == b' ');
    let kind = text_of(after.next()?);
    let from = text_of(&plain(after.next()?));
    let options = text_of(&plain(after.next().unwrap_or_default()));
    Some(Mount { point, root, device, kind, from, options })
}

/// Splitting bytes as texts are split.
trait SplitOnce {
    fn split_once_at(&self, mark: &[u8]) -> Option<(&[u8], &[u8])>;
}

impl SplitOnce for [u8] {
    fn split_once_at(&self, mark: &[u8]) -> Option<(&[u8], &[u8])> {
        let at = self.windows(mark.len()).position(|window| window == mark)?;
        Some((&self[..at], &self[at + mark.len()..]))
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(plain(bytes)))
}

/// The text that the system wrote with `\040` for a space and the like.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut found = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => {
                found.push(byte);
                rest = &after[3..];
            }
            None => {
                found.push(*first);
                rest = after;
            }
        }
    }
    found
}

fn text(path: &Path) -> String {
    core_from_bytes(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
28 27 8:1 /w/a\\040b/in /w/b rw - ext4 /dev/sda1 rw
29 27 0:40 / /m rw - tmpfs none rw
30 27 0:41 / /n1 rw - nfs4 server:/data rw,vers=4
31 27 0:42 / /n2 rw - nfs4 server:/data/deep rw,vers=4
32 27 0:43 / /o rw - overlay overlay rw,lowerdir=/low:/lower,upperdir=/up,workdir=/work
33 29 8:1 /x /m/sub rw - ext4 /dev/sda1 rw
34 27 0:44 / /f rw - fuse.minifuse minifuse rw
";

    fn shown(folder: &str) -> Vec<String> {
        let regions = Mounts::parse(TABLE.as_bytes()).regions(Path::new(folder));
        let show = |region: Region| format!("{}|{}|{}", region.below, region.volume, region.path);
        regions.into_iter().map(show).collect()
    }

    #[test]
    fn what_lies_in_a_folder_is_found_through_its_mounts() {
        assert_eq!(shown("/w/a b"), ["|device 8:1|/w/a b"]);
        assert_eq!(shown("/w/b/c"), ["|device 8:1|/w/a b/in/c"]);
        assert_eq!(shown("/w"), ["|device 8:1|/w", "b|device 8:1|/w/a b/in"]);
        assert_eq!(shown("/m"), ["|device 0:40|/", "sub|device 8:1|/x"]);
        assert_eq!(shown("/m/subway"), ["|device 0:40|/subway"]);
        assert_eq!(shown("/n1/deep/x"), ["|device 0:41|/deep/x", "|share server|/data/deep/x"]);
        assert_eq!(shown("/n2/x"), ["|device 0:42|/x", "|share server|/data/deep/x"]);
        assert_eq!(
            shown("/o/x"),
            ["|device 0:43|/x", "|device 8:1|/low/x", "|device 8:1|/lower/x", "|device 8:1|/up/x"]
        );
        assert_eq!(shown("/f/x"), ["|device 0:44|/x"]);
    }

    #[test]
    fn where_it_is_not_known_what_is_mounted_nothing_is_trusted() {
        let folder = tempfile::tempdir().expect("scratch");
        let system = fs::statfs(folder.path()).expect("readable");
        let is_plain = is_plain_kind(system.f_type);
        assert_eq!(are_all_plain(folder.path(), &Mounts::parse(b"")), is_plain);
        assert!(!are_all_plain(folder.path(), &Mounts(None)));
    }

    #[test]
    fn only_known_disks_are_this_machines_own() {
        assert!([0xEF53, 0x4D44, 0x794C_7630].into_iter().all(is_own_kind));
        // NFS, FUSE, SMB, CIFS, Lustre.
        assert!(
            ![0x6969, 0x6573_5546, 0xfe53_4d42, 0xff53_4d42, 0x0BD0_0BD0]
                .into_iter()
                .any(is_own_kind)
        );
    }

    #[test]
    fn nothing_is_said_about_lines_that_make_no_sense() {
        for table in ["", "x", "1 2 3", "27 1 8:1 / /", "27 1 8:1 / / rw - "] {
            assert!(Mounts::parse(table.as_bytes()).regions(Path::new("/a")).len() <= 1, "{table}");
        }
    }
}
