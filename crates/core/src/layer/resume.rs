//! Streams that are opened again when they break.
//!
//! A read continues at the byte where it broke, so callers see one stream; the backend checks that the object is still the
//! same, by the version in the entry. A recursive listing continues after the last sort key. Any other
//! listing starts again from the beginning, and only while no entry was passed on: to find the entries of a second listing that
//! are new would take memory that grows with the folder.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::effort::Effort;
use crate::backend::Backend;
use crate::entry::{Entry, EntryKind, Special};
use crate::entry_stream::EntryStream;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{ListOptions, ReadOptions};
use crate::page::{Page, View};
use crate::path::RelPath;
use crate::source::ByteStream;

/// After so many bytes the count of attempts starts again; with fewer, a remote that sends a few bytes before each break
/// would be asked without end.
pub(super) const PROGRESS_BYTES: u64 = 64 * 1024;

/// Opens `entry` and keeps it open.
pub(super) async fn read(
    inner: Arc<dyn Backend>,
    entry: Entry,
    options: ReadOptions,
    effort: Effort,
) -> Result<ByteStream> {
    let start = options.range.as_ref().map_or(0, |range| range.start);
    let end = options.range.as_ref().map_or(entry.size, |range| Some(range.end));
    let mut reading = Reading {
        inner,
        effort,
        entry,
        range: options.range,
        stream: None,
        start,
        end,
        at: start,
        counted: start,
    };
    reading.open().await?;
    let pieces = futures::stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|piece| (piece, reading)))
    });
    Ok(pieces.boxed())
}

struct Reading {
    inner: Arc<dyn Backend>,
    effort: Effort,
    entry: Entry,
    /// As the caller asked.
    range: Option<Range<u64>>,
    stream: Option<ByteStream>,
    start: u64,
    end: Option<u64>,
    /// The offset of the next byte.
    at: u64,
    /// The offset from which progress is counted.
    counted: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let item = match &mut self.stream {
                Some(stream) => stream.next().await,
                None => {
                    self.open().await?;
                    continue;
                }
            };
            match item {
                Some(Ok(piece)) => {
                    self.at = self.at.saturating_add(piece.len() as u64);
                    if self.at - self.counted >= PROGRESS_BYTES {
                        self.counted = self.at;
                        self.effort.reset();
                    }
                    return Ok(Some(piece));
                }
                Some(Err(error)) if self.is_whole() && is_of_the_line(&error) => return Ok(None),
                Some(Err(error)) => self.recover(error).await?,
                None => return Ok(None),
            }
        }
    }

    async fn open(&mut self) -> Result<()> {
        loop {
            let range = match self.end {
                Some(end) if self.at > self.start => Some(self.at..end),
                _ => self.range.clone(),
            };
            match self.inner.read(&self.entry, ReadOptions { range }).await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Waits, if the stream may be opened again.
    async fn recover(&mut self, error: Error) -> Result<()> {
        // ORDER: what the broken stream holds (a connection, a place) is given back before the wait.
        self.stream = None;
        let error = self.effort.named(error);
        let can_go_on = self.inner.capabilities().read_range && self.end.is_some();
        let may_open = self.at == self.start || can_go_on && !self.is_whole();
        if may_open && self.effort.wait(&error, false).await { Ok(()) } else { Err(error) }
    }

    /// Has every byte been handed out, and at least one?
    fn is_whole(&self) -> bool {
        self.at > self.start && self.end.is_some_and(|end| self.at >= end)
    }
}

/// Does the error say nothing about the bytes that came? After the last byte there is then nothing left to ask for.
fn is_of_the_line(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled)
}

/// Lists `dir`. After an error it starts again from the beginning, as long as no entry was passed on; a recursive listing
/// continues after the last entry.
pub(super) fn list(
    inner: Arc<dyn Backend>,
    dir: RelPath,
    options: ListOptions,
    effort: Effort,
) -> EntryStream {
    let listing = Listing { inner, dir, options, effort, stream: None, handed_out: false };
    EntryStream::of_pages(futures::stream::try_unfold(listing, |mut listing| async move {
        Ok(listing.next().await?.map(|page| (page, listing)))
    }))
}

struct Listing {
    inner: Arc<dyn Backend>,
    dir: RelPath,
    options: ListOptions,
    effort: Effort,
    stream: Option<EntryStream>,
    handed_out: bool,
}

impl Listing {
    fn go_on_behind(&mut self, page: &Page) -> Result<()> {
        // The name of an unusable entry is made up, so nothing can be asked for behind it.
        let is_usable = |view: &View<'_>| view.kind != EntryKind::Special(Special::UnusableName);
        if let Some(last) = page.views().filter(is_usable).last() {
            let last = last.to_entry(page.dir())?;
            let is_dir = last.is_dir();
            self.options.after = Some((last.path, is_dir));
        }
        self.effort.reset();
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Page>> {
        loop {
            let open = || self.inner.list(&self.dir, self.options.clone());
            match self.stream.get_or_insert_with(open).next_page().await {
                Some(Ok(page)) => {
                    self.handed_out = true;
                    if self.options.recursive {
                        self.go_on_behind(&page)?;
                    }
                    return Ok(Some(page));
                }
                Some(Err(error)) => {
                    self.stream = None;
                    let error = self.effort.named(error);
                    // A listing of everything goes on behind what was handed out.
                    let can_go_on = !self.handed_out || self.options.recursive;
                    if !can_go_on || !self.effort.wait(&error, false).await {
                        return Err(error);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}
