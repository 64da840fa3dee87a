//! What a failed system call means to a caller.

use std::path::PathBuf;

use ketch_core::{Error, ErrorKind, RelPath, Retry};
use rustix::io::Errno;

/// The error for `errno`. `folder` is asked for when the text must say which disk is meant.
pub(crate) fn from_errno(errno: Errno, folder: impl FnOnce() -> PathBuf) -> Error {
    let (kind, message) = match errno {
        Errno::NOSPC => (ErrorKind::Quota, format!("no space left on the disk of {:?}", folder())),
        Errno::DQUOT => (
            ErrorKind::Quota,
            format!("no space left: the disk quota for {:?} is used up", folder()),
        ),
        Errno::ACCESS => (ErrorKind::Denied, "permission denied".into()),
        Errno::PERM => (ErrorKind::Denied, "the system does not permit this".into()),
        Errno::ROFS => {
            (ErrorKind::Quota, format!("the file system of {:?} is read-only", folder()))
        }
        Errno::LOOP => (ErrorKind::Denied, "the path leads through a symbolic link".into()),
        Errno::BUSY => (ErrorKind::Denied, "in use by the system (a mount point?)".into()),
        Errno::TXTBSY => (ErrorKind::Denied, "a program that is running".into()),
        Errno::NAMETOOLONG => {
            (ErrorKind::InvalidInput, "the name is longer than the file system takes".into())
        }
        Errno::INVAL | Errno::ILSEQ => {
            (ErrorKind::InvalidInput, format!("the file system refuses this ({})", text(errno)))
        }
        Errno::FBIG => (
            ErrorKind::InvalidInput,
            "larger than the file system or the limit of this process allows".into(),
        ),
        Errno::NOTEMPTY => (ErrorKind::InvalidInput, "the folder is not empty".into()),
        Errno::EXIST => (ErrorKind::AlreadyExists, "something has that name already".into()),
        Errno::ISDIR => (ErrorKind::AlreadyExists, "a folder has that name".into()),
        Errno::NOENT => (ErrorKind::NotFound, "nothing is there".into()),
        Errno::NOTDIR => (ErrorKind::NotFound, "there is no folder of that name".into()),
        Errno::XDEV => (ErrorKind::Unsupported, "it is on another file system".into()),
        Errno::OPNOTSUPP | Errno::NOSYS => {
            (ErrorKind::Unsupported, "the file system cannot do this".into())
        }
        Errno::MFILE | Errno::NFILE => {
            (ErrorKind::Unavailable, "too many files are open (see `ulimit -n`)".into())
        }
        Errno::AGAIN
        | Errno::NOMEM
        | Errno::STALE
        | Errno::TIMEDOUT
        | Errno::NOTCONN
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH => (ErrorKind::Unavailable, text(errno)),
        Errno::CANCELED => (ErrorKind::Cancelled, "stopped".into()),
        Errno::IO => (ErrorKind::Io, "the disk reports an input/output error".into()),
        other => (ErrorKind::Io, text(other)),
    };
    let retry = if kind == ErrorKind::Unavailable { Retry::Backoff } else { Retry::Never };
    Error::new(kind, message).with_retry(retry).with_source(std::io::Error::from(errno))
}

fn text(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

/// The file has its name, but it is not known whether the name survives a power cut.
pub(crate) fn not_forced(what: &str, path: &RelPath, errno: Errno) -> Error {
    let message = format!("{what}, but the folder could not be forced to the disk");
    let cause = std::io::Error::from(errno);
    Error::new(ErrorKind::CommitUnknown, message).with_path(path).with_source(cause)
}

/// The error for an entry that is not what was listed.
pub(crate) fn changed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Changed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_kind_and_says_what_is_wrong() {
        let check = |errno, kind, retry, text: &str| {
            let error = from_errno(errno, || "/mnt/a\nb".into());
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
            assert!(error.message().contains(text), "{error}");
            assert!(!error.message().contains('\n'), "{error}");
        };
        check(
            Errno::NOSPC,
            ErrorKind::Quota,
            Retry::Never,
            "no space left on the disk of \"/mnt/a",
        );
        check(Errno::DQUOT, ErrorKind::Quota, Retry::Never, "no space left");
        check(Errno::ACCESS, ErrorKind::Denied, Retry::Never, "permission denied");
        check(Errno::ROFS, ErrorKind::Quota, Retry::Never, "is read-only");
        check(Errno::LOOP, ErrorKind::Denied, Retry::Never, "through a symbolic link");
        check(Errno::NAMETOOLONG, ErrorKind::InvalidInput, Retry::Never, "longer");
        check(Errno::NOENT, ErrorKind::NotFound, Retry::Never, "nothing");
        check(Errno::MFILE, ErrorKind::Unavailable, Retry::Backoff, "ulimit");
        check(Errno::IO, ErrorKind::Io, Retry::Never, "input/output");
        check(Errno::NXIO, ErrorKind::Io, Retry::Never, "No such device");
    }
}
