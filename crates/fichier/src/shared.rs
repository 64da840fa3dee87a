//! A folder that somebody made public, as a [`Backend`] that only shows and reads.
//!
//! It must not know the account: the listing is a page that everybody can see, and the key never goes there. With a key,
//! the content is asked for as that of any other address; without one, only what its owner pays for comes. The page shows
//! no folders, no dates and no digests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ketch_core::factory::ConnectRequest;
use ketch_core::source::{Body, ByteStream};
use ketch_core::{
    About, Backend, Capabilities, Entry, EntryStream, Error, ErrorKind, ListOptions, PutOptions,
    ReadOptions, RelPath, Result, Retry,
};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::Instant;

use crate::account::{Account, one_name};
use crate::bounds::LISTED_MAX;
use crate::error::{Said, read, refusal};
use crate::hosts::Place;
use crate::items::{FileItem, FolderListing};
use crate::links::without_tail;
use crate::pace::Want;
use crate::text::{readable, snippet};
use crate::{download, entries, names, types};

/// A public folder.
#[derive(Debug)]
pub(crate) struct SharedFolder(Arc<Inner>);

struct Inner {
    about: About,
    /// Empty, or the name of the one file that this place was opened at.
    root: RelPath,
    place: Place,
    password: Option<SecretString>,
    account: Arc<Account>,
    /// The last listing: every look at a name would be another one.
    last: Mutex<Option<(Instant, Arc<FolderListing>)>>,
    listing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("name", &self.about.name).finish_non_exhaustive()
    }
}

/// One file of the page.
#[derive(Debug, Deserialize)]
struct SharedFile {
    #[serde(deserialize_with = "types::name")]
    filename: String,
    link: String,
    #[serde(default, deserialize_with = "types::integer")]
    size: Option<u64>,
}

impl SharedFolder {
    /// Errors: `InvalidInput` for an address that is not one of a public folder.
    pub(crate) fn new(account: Arc<Account>, request: &ConnectRequest) -> Result<Self> {
        let wrong = |why: String| Error::new(ErrorKind::InvalidInput, why);
        let root = RelPath::from_user(&request.root).map_err(|error| wrong(error.to_string()))?;
        let address = request.options.get("shared_folder").map_or("", |text| text.trim());
        let form = "the option `shared_folder` must be of the form https://1fichier.com/dir/AbCdEfGh (in a place on the command line in quotes: shared_folder=\"https://…\")";
        let is_code = |code: &str| {
            (1..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let code = address.rsplit_once("/dir/").map_or("", |(_, code)| code.trim_end_matches('/'));
        if !is_code(code) {
            return Err(wrong(form.to_owned()));
        }
        let address = address.trim_end_matches('/');
        let place =
            account.api.settings.origin.public(address).map_err(|_| wrong(form.to_owned()))?;
        let password = request.options.get("shared_password").map(|text| text.trim().to_owned());
        let password = password.filter(|text| !text.is_empty()).map(SecretString::from);
        let capabilities =
            Capabilities { read_range: true, duplicates: true, ..Capabilities::default() };
        let code = place.url().rsplit_once("/dir/").map_or("", |(_, code)| code);
        let top =
            format!("fichier:{}:shared:{code}", one_name(account.api.settings.origin.authority()));
        let location = if root.is_root() { top } else { format!("{top}/{root}") };
        let about = About { capabilities, ..About::new(&request.name, location) };
        Ok(SharedFolder(Arc::new(Inner {
            about,
            root,
            place,
            password,
            account,
            last: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
        })))
    }
}

impl Inner {
    fn told(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_remote(&self.about.name).with_path(path)
    }

    fn kept(&self) -> Option<Arc<FolderListing>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let life = self.account.api.pacer.listing_life();
        last.as_ref().filter(|(taken, _)| taken.elapsed() < life).map(|(_, all)| Arc::clone(all))
    }

    async fn listed(&self) -> Result<Arc<FolderListing>> {
        let _one = self.listing.lock().await;
        if let Some(listing) = self.kept() {
            return Ok(listing);
        }
        let listing = Arc::new(self.fetch().await?);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), Arc::clone(&listing)));
        Ok(listing)
    }

    async fn fetch(&self) -> Result<FolderListing> {
        let api = &self.account.api;
        api.pacer.admit(Want::Call).await?;
        let answer = api.http.shared(&self.place, self.password.as_ref()).await;
        let answer = answer.map_err(|fault| fault.error)?;
        let files: Vec<SharedFile> = match serde_json::from_slice(&answer.body) {
            Ok(files) if answer.status == 200 => files,
            other => {
                let why = other.err().map(|error| error.to_string()).unwrap_or_default();
                return Err(self.refused(answer.status, &answer.body, &why));
            }
        };
        if files.len() >= LISTED_MAX {
            let message =
                format!("the folder has {LISTED_MAX} files or more: the rest may be missing");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let item = |file: SharedFile| {
            api.settings.origin.public(&file.link)?;
            let (name, url) = (names::to_core(&file.filename), without_tail(file.link));
            Ok(FileItem { name, url, size: file.size, date: None, hash: None })
        };
        let files = files.into_iter().map(item).collect::<Result<_>>()?;
        Ok(FolderListing { folders: Vec::new(), files })
    }

    /// What an answer that is no listing says.
    fn refused(&self, status: u16, body: &[u8], why: &str) -> Error {
        let text = String::from_utf8_lossy(body);
        let said = read(&text);
        if matches!(said, Said::Flood | Said::Locked) || status == 429 {
            return self.account.api.scaled(refusal(status, &readable(&text)).error);
        }
        let is_page = text.trim_start().starts_with('<');
        match status {
            404 | 410 => {
                Error::new(ErrorKind::NotFound, "there is no such shared folder (any more)")
            }
            200 if is_page => {
                let what = if self.password.is_some() { "another password" } else { "a password" };
                let message = format!(
                    "1fichier shows a page and no listing: the folder wants {what} (set shared_password): `{}`",
                    readable(&text)
                );
                Error::new(ErrorKind::Denied, message)
            }
            500..=599 => Error::new(
                ErrorKind::Unavailable,
                format!("1fichier is out of order (HTTP {status})"),
            )
            .with_retry(Retry::Backoff),
            200 => {
                let message = format!("the listing makes no sense: {}", snippet(why));
                Error::new(ErrorKind::Protocol, message).with_retry(Retry::Backoff)
            }
            _ => {
                let message = format!("1fichier refuses: {} (HTTP {status})", readable(&text));
                Error::new(ErrorKind::Denied, message)
            }
        }
    }

    async fn find(&self, path: &RelPath) -> Result<Entry> {
        let full = self.root.join_path(path);
        let listing = self.listed().await?;
        let Some(name) = full.name() else { return Ok(Entry::dir(RelPath::root())) };
        let missing = || Error::new(ErrorKind::NotFound, "there is nothing of that name");
        let files = listing.files(name);
        let file = files.first().filter(|_| full.parts().count() == 1).ok_or_else(missing)?;
        Ok(entries::file(path.clone(), 0, file))
    }

    async fn entries(&self, dir: &RelPath) -> Result<Vec<Entry>> {
        let listing = self.listed().await?;
        if !self.root.join_path(dir).is_root() {
            let message = "there is no such folder (a shared folder is shown without those in it)";
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(entries::all(dir, &[(0, listing)], &[]))
    }
}

fn read_only() -> Error {
    Error::new(ErrorKind::Unsupported, "a shared folder can only be read")
}

#[async_trait]
impl Backend for SharedFolder {
    fn about(&self) -> &About {
        &self.0.about
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.0.find(path).await.map_err(|error| self.0.told(error, "stat", path))
    }

    fn list(&self, dir: &RelPath, _options: ListOptions) -> EntryStream {
        let again = Arc::clone(&self.0);
        let folder = dir.clone();
        EntryStream::once(dir, async move {
            let entries = again.entries(&folder).await;
            entries.map_err(|error| again.told(error, "list", &folder))
        })
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let opened = async {
            let (_, url) = entries::file_of(entry)?;
            let size = entry.size.ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "1fichier did not tell the size of the file")
            })?;
            let range = options.range.unwrap_or(0..size);
            download::open(&self.0.account, &url, size, range).await
        };
        opened.await.map_err(|error| self.0.told(error, "read", &entry.path))
    }

    async fn put(&self, path: &RelPath, _body: Body, _options: PutOptions) -> Result<Entry> {
        Err(self.0.told(read_only(), "put", path))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let refuse = |entry: &Entry| Err(self.0.told(read_only(), "delete", &entry.path));
        entries.iter().map(refuse).collect()
    }
}
