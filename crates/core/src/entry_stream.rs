//! A listing as a stream. Callers that compare many entries read it page by page, all others entry by entry.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::page::{Page, View};
use crate::path::RelPath;

/// Entries that become one page, where a stream of single entries is packed.
const PAGE_ENTRIES: usize = 1024;

/// The entries of one folder. `None` comes only after the complete listing; after an `Err` the stream has ended.
///
/// It is read either by pages or entry by entry; a page of which an entry was read is not returned as a page.
pub struct EntryStream {
    pages: BoxStream<'static, Result<Page>>,
    dir: RelPath,
    current: Vec<u8>,
    at: usize,
}

impl EntryStream {
    /// A stream of pages.
    pub fn of_pages(pages: impl Stream<Item = Result<Page>> + Send + 'static) -> Self {
        EntryStream { pages: pages.boxed(), dir: RelPath::root(), current: Vec::new(), at: 0 }
    }

    /// A stream of entries of the folder `dir`. Entries that are available together are packed together; an entry that does
    /// not lie in the folder ends the stream with an error.
    pub fn of_entries(
        dir: &RelPath,
        entries: impl Stream<Item = Result<Entry>> + Send + 'static,
    ) -> Self {
        let dir = dir.clone();
        let pages = entries.ready_chunks(PAGE_ENTRIES).flat_map(move |chunk| {
            let mut page = Page::with_capacity(&dir, chunk.len());
            let mut end = None;
            for entry in chunk {
                if let Err(error) = entry.and_then(|entry| page.push(&entry)) {
                    end = Some(error);
                    break;
                }
            }
            let page = (!page.is_empty()).then_some(Ok(page));
            stream::iter(page.into_iter().chain(end.map(Err)))
        });
        Self::of_pages(until_error(pages))
    }

    /// All entries of the folder `dir`, known when they are asked for.
    pub fn once(
        dir: &RelPath,
        entries: impl Future<Output = Result<Vec<Entry>>> + Send + 'static,
    ) -> Self {
        let dir = dir.clone();
        Self::of_pages(stream::once(async move { Page::of(&dir, &entries.await?) }))
    }

    /// The next page; `None` when the listing is complete.
    pub async fn next_page(&mut self) -> Option<Result<Page>> {
        self.pages.next().await
    }

    /// The pages.
    pub fn into_pages(self) -> BoxStream<'static, Result<Page>> {
        self.pages
    }
}

fn until_error(
    pages: impl Stream<Item = Result<Page>> + Send + 'static,
) -> impl Stream<Item = Result<Page>> + Send + 'static {
    let mut has_failed = false;
    pages.take_while(move |page| {
        let goes_on = !has_failed;
        has_failed |= page.is_err();
        std::future::ready(goes_on)
    })
}

impl Stream for EntryStream {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let this = &mut *self;
            if let Some((view, length)) = View::first(&this.current[this.at..]) {
                let entry = view.to_entry(&this.dir);
                this.at += length;
                return Poll::Ready(Some(entry));
            }
            match ready!(this.pages.as_mut().poll_next(context)) {
                Some(Ok(page)) => {
                    this.dir = page.dir().clone();
                    (this.current, this.at) = (page.into_bytes(), 0);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err::<Entry, Error>(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl std::fmt::Debug for EntryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EntryStream")
    }
}
