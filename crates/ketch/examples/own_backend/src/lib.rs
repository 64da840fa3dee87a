//! A shelf: files in memory, as an object store keeps them. A folder exists only while there is a file below it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch::contract::hash::hash_bytes;
use ketch::contract::source::{collect, open_exact};
use ketch::contract::{
    About, Backend, Body, ByteStream, Capabilities, Entry, EntryKind, EntryStream, Error,
    ErrorKind, Expect, HashAlgo, ListOptions, PutOptions, ReadOptions, RelPath, Result,
};

/// One file. Its number is its version.
#[derive(Debug, Clone)]
struct Book {
    number: u64,
    content: Bytes,
    stored: SystemTime,
}

type Books = BTreeMap<String, Book>;

/// A folder of a shelf.
#[derive(Debug)]
pub struct Shelf {
    about: About,
    books: Arc<Mutex<Books>>,
    /// The folder that is the root: empty, or a path and `/`.
    root: String,
}

impl Shelf {
    /// An empty shelf.
    pub fn new(name: &str) -> Shelf {
        Shelf::at(name, Arc::default(), "")
    }

    /// The same shelf with `folder` as the root.
    pub fn reopen(&self, folder: &str) -> Shelf {
        Shelf::at(&self.about.name, Arc::clone(&self.books), folder)
    }

    fn at(name: &str, books: Arc<Mutex<Books>>, folder: &str) -> Shelf {
        let root = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let about = About {
            name: name.to_owned(),
            location: format!("shelf:{:p}/{folder}", Arc::as_ptr(&books)),
            scope: None,
            capabilities: Capabilities {
                read_range: true,
                put_unsized: true,
                put_empty: true,
                hashes: &[HashAlgo::Sha256],
                ..Capabilities::default()
            },
            view_options: String::new(),
        };
        Shelf { about, books, root }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, path: &RelPath) -> String {
        format!("{}{path}", self.root)
    }

    fn entry(&self, path: RelPath, book: &Book) -> Entry {
        Entry {
            size: Some(book.content.len() as u64),
            mtime: Some(book.stored),
            version: Some(book.number.to_string().into()),
            hashes: Some(Box::new(hash_bytes(&[HashAlgo::Sha256], &book.content))),
            ..Entry::bare(path, EntryKind::File)
        }
    }

    /// The book of an entry, if it is still the one that was seen.
    fn find<'a>(&self, books: &'a Books, entry: &Entry) -> Result<&'a Book> {
        let book = books.get(&self.key(&entry.path)).ok_or_else(not_found)?;
        match entry.version.as_deref() {
            Some(version) if *version != *book.number.to_string() => {
                Err(Error::new(ErrorKind::Changed, "it is another one by now"))
            }
            _ => Ok(book),
        }
    }

    /// Is what the caller expects still there?
    fn check(&self, books: &Books, key: &str, expect: &Expect) -> Result<()> {
        let is_folder = books.range(format!("{key}/")..).next();
        if is_folder.is_some_and(|(known, _)| known.starts_with(&format!("{key}/"))) {
            return Err(Error::new(ErrorKind::AlreadyExists, "a folder has that name"));
        }
        let mut above = key;
        while let Some((folder, _)) = above.rsplit_once('/') {
            if books.contains_key(folder) {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "a file has the name of a folder",
                ));
            }
            above = folder;
        }
        let holds = match expect {
            Expect::Anything => true,
            Expect::Absent => !books.contains_key(key),
            Expect::Entry(entry) => self.find(books, entry).is_ok(),
        };
        match holds {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Changed, "it is not what was listed")),
        }
    }

    fn children(&self, dir: &RelPath) -> Result<Vec<Entry>> {
        let prefix = if dir.is_root() { self.root.clone() } else { format!("{}/", self.key(dir)) };
        let books = self.books();
        let mut entries = Vec::new();
        let below = books.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        for (key, book) in below {
            let rest = &key[prefix.len()..];
            let (name, is_folder) = match rest.split_once('/') {
                Some((folder, _)) => (folder, true),
                None => (rest, false),
            };
            let path = dir.join(name).map_err(|_| Error::new(ErrorKind::Protocol, "no name"))?;
            match is_folder {
                false => entries.push(self.entry(path, book)),
                true if entries.last().is_none_or(|last: &Entry| last.path != path) => {
                    entries.push(Entry::dir(path));
                }
                true => {}
            }
        }
        // The root is there even if it is empty.
        if entries.is_empty() && !prefix.is_empty() {
            return Err(not_found());
        }
        Ok(entries)
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "nothing is there")
}

#[async_trait]
impl Backend for Shelf {
    fn about(&self) -> &About {
        &self.about
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        // A place that is opened at a file says so: the caller then opens the folder above it.
        let key = self.key(path);
        if let Some(book) = self.books().get(key.trim_end_matches('/')) {
            return Ok(self.entry(path.clone(), book));
        }
        self.children(path).map(|_| Entry::dir(path.clone()))
    }

    fn list(&self, dir: &RelPath, _options: ListOptions) -> EntryStream {
        let entries = self.children(dir);
        EntryStream::once(dir, std::future::ready(entries))
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let content = self.find(&self.books(), entry)?.content.clone();
        let content = match options.range {
            Some(range) if range.end > content.len() as u64 => {
                return Err(Error::new(ErrorKind::InvalidInput, "the range ends behind the end"));
            }
            Some(range) => content.slice(range.start as usize..range.end as usize),
            None => content,
        };
        let pieces = (!content.is_empty()).then_some(Ok(content));
        Ok(futures::stream::iter(pieces).boxed())
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let key = self.key(path);
        if options.is_link {
            return Err(Error::unsupported("put a link"));
        }
        if path.is_root() {
            return Err(Error::new(ErrorKind::InvalidInput, "the root is a folder"));
        }
        self.check(&self.books(), &key, &options.expect)?;
        // Nothing is stored before every byte came: a body that ends early or late fails here.
        let content = collect(open_exact(&*body).await?, usize::MAX).await?;
        let books = &mut *self.books();
        self.check(books, &key, &options.expect)?;
        let number = books.values().map(|book| book.number).max().unwrap_or(0) + 1;
        let book = Book { number, content, stored: SystemTime::now() };
        let entry = self.entry(path.clone(), &book);
        books.insert(key, book);
        Ok(entry)
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let remove = |entry: &Entry| {
            let books = &mut *self.books();
            if entry.is_dir() {
                let inside = format!("{}/", self.key(&entry.path));
                let is_empty = !books.keys().any(|key| key.starts_with(&inside));
                let full = || Error::new(ErrorKind::InvalidInput, "the folder is not empty");
                return if is_empty { Ok(()) } else { Err(full()) };
            }
            match self.find(books, entry) {
                Ok(_) => _ = books.remove(&self.key(&entry.path)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            Ok(())
        };
        entries.iter().map(remove).collect()
    }
}
