//! Which system calls change a disk, and where in their arguments the files are. A table; knows nothing of processes.
//!
//! Not in the table because ketch uses neither: writing through shared memory maps and `io_uring`. A change of that kind
//! would go unseen here.

use nix::libc;

/// What a call does to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Makes a file, or empties it.
    Open,
    /// Bytes of a file: written, copied by the kernel, or shared with another file.
    Write,
    /// The length of a file, or the room it takes.
    Resize,
    /// Forces a file or a folder to the disk.
    Sync,
    /// Permissions, owner, times, attributes.
    Attributes,
    MakeFolder,
    Rename,
    Link,
    Remove,
    RemoveFolder,
}

impl Act {
    /// Does a full disk refuse this?
    pub fn takes_room(self) -> bool {
        match self {
            Act::Open | Act::Write | Act::Resize | Act::MakeFolder | Act::Link => true,
            Act::Sync | Act::Attributes | Act::Rename | Act::Remove | Act::RemoveFolder => false,
        }
    }
}

/// Where the file of a call is told. The numbers are positions of arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An open file.
    Descriptor(usize),
    /// A path, relative to the folder open at `folder`, or to the working folder.
    Path { folder: Option<usize>, path: usize },
}

/// One call of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub act: Act,
    pub place: Place,
    /// The second path of a rename or link: what comes to be.
    pub target: Option<Place>,
}

/// The last makes a file without a name.
const OPENING: u64 =
    (libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u64;
const FICLONE: u64 = 0x4004_9409;
const FICLONERANGE: u64 = 0x4020_940d;

fn descriptor(act: Act, index: usize) -> Option<Shape> {
    Some(Shape { act, place: Place::Descriptor(index), target: None })
}

fn at(act: Act, folder: usize, path: usize) -> Option<Shape> {
    Some(Shape { act, place: Place::Path { folder: Some(folder), path }, target: None })
}

fn two(act: Act, from: (Option<usize>, usize), to: (Option<usize>, usize)) -> Option<Shape> {
    let place = |(folder, path)| Place::Path { folder, path };
    Some(Shape { act, place: place(from), target: Some(place(to)) })
}

/// What the call does, by its number and arguments. `how` reads the first word at an address (`openat2` has its flags
/// there). `None`: changes nothing on a disk.
pub fn shape(
    number: i64,
    arguments: &[u64; 6],
    how: impl FnOnce(u64) -> Option<u64>,
) -> Option<Shape> {
    match number {
        libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_pwrite64
        | libc::SYS_pwritev
        | libc::SYS_pwritev2
        | libc::SYS_sendfile => descriptor(Act::Write, 0),
        libc::SYS_copy_file_range | libc::SYS_splice => descriptor(Act::Write, 2),
        libc::SYS_ioctl if matches!(arguments[1], FICLONE | FICLONERANGE) => {
            descriptor(Act::Write, 0)
        }
        libc::SYS_ftruncate | libc::SYS_fallocate => descriptor(Act::Resize, 0),
        libc::SYS_fsync | libc::SYS_fdatasync => descriptor(Act::Sync, 0),
        libc::SYS_fchmod | libc::SYS_fchown | libc::SYS_fsetxattr | libc::SYS_fremovexattr => {
            descriptor(Act::Attributes, 0)
        }
        libc::SYS_openat if arguments[2] & OPENING != 0 => at(Act::Open, 0, 1),
        libc::SYS_openat2 if how(arguments[2]).is_some_and(|flags| flags & OPENING != 0) => {
            at(Act::Open, 0, 1)
        }
        libc::SYS_mkdirat => at(Act::MakeFolder, 0, 1),
        libc::SYS_unlinkat if arguments[2] & libc::AT_REMOVEDIR as u64 != 0 => {
            at(Act::RemoveFolder, 0, 1)
        }
        libc::SYS_unlinkat => at(Act::Remove, 0, 1),
        libc::SYS_fchmodat | libc::SYS_fchownat => at(Act::Attributes, 0, 1),
        // Without a path it is the descriptor itself whose times are set.
        libc::SYS_utimensat if arguments[1] == 0 => descriptor(Act::Attributes, 0),
        libc::SYS_utimensat => at(Act::Attributes, 0, 1),
        libc::SYS_symlinkat => at(Act::Link, 1, 2),
        libc::SYS_renameat2 => two(Act::Rename, (Some(0), 1), (Some(2), 3)),
        libc::SYS_linkat => two(Act::Link, (Some(0), 1), (Some(2), 3)),
        _ => old_shape(number, arguments),
    }
}

/// The argument with the descriptor of the file that a call reads.
pub fn reads(number: i64) -> Option<usize> {
    match number {
        libc::SYS_read
        | libc::SYS_pread64
        | libc::SYS_readv
        | libc::SYS_preadv
        | libc::SYS_preadv2
        | libc::SYS_copy_file_range
        | libc::SYS_splice => Some(0),
        libc::SYS_sendfile => Some(1),
        _ => None,
    }
}

/// The argument that says how much a call may write at most, and what it says: bytes, or buffers.
pub fn amount(number: i64, arguments: &[u64; 6]) -> Option<(usize, u64)> {
    let index = match number {
        libc::SYS_write
        | libc::SYS_pwrite64
        | libc::SYS_writev
        | libc::SYS_pwritev
        | libc::SYS_pwritev2 => 2,
        libc::SYS_sendfile => 3,
        libc::SYS_copy_file_range | libc::SYS_splice => 4,
        _ => return None,
    };
    Some((index, arguments[index]))
}

/// Calls that only old processors have beside their newer forms.
#[cfg(target_arch = "x86_64")]
fn old_shape(number: i64, arguments: &[u64; 6]) -> Option<Shape> {
    let path =
        |act, path| Some(Shape { act, place: Place::Path { folder: None, path }, target: None });
    match number {
        libc::SYS_open if arguments[1] & OPENING != 0 => path(Act::Open, 0),
        libc::SYS_creat => path(Act::Open, 0),
        libc::SYS_mkdir => path(Act::MakeFolder, 0),
        libc::SYS_rmdir => path(Act::RemoveFolder, 0),
        libc::SYS_unlink => path(Act::Remove, 0),
        libc::SYS_truncate => path(Act::Resize, 0),
        libc::SYS_chmod | libc::SYS_chown | libc::SYS_lchown | libc::SYS_setxattr => {
            path(Act::Attributes, 0)
        }
        libc::SYS_symlink => path(Act::Link, 1),
        libc::SYS_rename => two(Act::Rename, (None, 0), (None, 1)),
        libc::SYS_renameat => two(Act::Rename, (Some(0), 1), (Some(2), 3)),
        libc::SYS_link => two(Act::Link, (None, 0), (None, 1)),
        _ => None,
    }
}

#[cfg(target_arch = "aarch64")]
fn old_shape(number: i64, _: &[u64; 6]) -> Option<Shape> {
    match number {
        libc::SYS_truncate | libc::SYS_setxattr => {
            let act = if number == libc::SYS_truncate { Act::Resize } else { Act::Attributes };
            Some(Shape { act, place: Place::Path { folder: None, path: 0 }, target: None })
        }
        libc::SYS_renameat => two(Act::Rename, (Some(0), 1), (Some(2), 3)),
        _ => None,
    }
}
