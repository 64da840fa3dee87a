//! Reads where a symbolic link points to: the content of a link that is kept. A link cannot be changed, only replaced, so its
//! target is always read whole.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use ketch_core::{ByteStream, Entry, Error, ErrorKind, Result};
use rustix::fs::{self, AtFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::error::changed;
use crate::find::{Found, find_file};
use crate::root::{Root, blocking};
use crate::stat::version;

/// What the link that `known` shows points to.
///
/// Errors: `Changed` when it is another one now.
pub(crate) fn read_target(root: &Root, known: &Entry) -> Result<Vec<u8>> {
    let Found { folder, name, .. } = find_file(root, known)?;
    let fail = |errno| root.error(errno, &known.path);
    let target = retry_on_intr(|| fs::readlinkat(&folder, name.as_c_str(), Vec::new()));
    let target = target.map_err(|errno| match errno {
        Errno::INVAL => changed("it is no longer a link").with_path(&known.path),
        errno => fail(errno),
    })?;
    // The name may lead to another link since it was checked.
    let now = fs::statat(&folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    if known.version.as_ref().is_some_and(|known| *known != version(&root.masked(now))) {
        return Err(changed("it was replaced while it was read").with_path(&known.path));
    }
    Ok(target.into_bytes())
}

/// [`read_target`], or a range of it, as content.
pub(crate) async fn read(
    root: Arc<Root>,
    known: Entry,
    range: Option<Range<u64>>,
) -> Result<ByteStream> {
    let path = known.path.clone();
    let target = Bytes::from(blocking(move || read_target(&root, &known)).await?);
    let all = target.len() as u64;
    let range = range.unwrap_or(0..all);
    if range.start > range.end || range.end > all {
        let message = format!("the range {range:?} is not within the {all} bytes");
        return Err(Error::new(ErrorKind::InvalidInput, message).with_path(&path));
    }
    // Both are within the target, which is short.
    let piece = target.slice(range.start as usize..range.end as usize);
    let pieces = (!piece.is_empty()).then_some(Ok(piece));
    Ok(stream::iter(pieces).boxed())
}
