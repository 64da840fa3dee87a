//! Listings: of one folder, of everything below it in the order of the keys, and of buckets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use ketch_core::entry::Special;
use ketch_core::{
    Digest, Entry, EntryKind, EntryStream, Error, ErrorKind, Hashes, ListOptions, Page, RelPath,
    Result,
};
use ketch_wire::Method;
use ketch_wire::text::unpercent;
use ketch_wire::xml::{Piece, each};

use crate::client::{Ask, Client};
use crate::facts;
use crate::keys::{Place, Root, handle, path_of};

/// Keys of one answer.
const PAGE_KEYS: &str = "1000";

/// One object in a listing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    size: Option<u64>,
    etag: String,
    stored: Option<SystemTime>,
}

impl Listed {
    /// Does it hold nothing?
    pub(crate) fn is_empty(&self) -> bool {
        self.size == Some(0)
    }
}

/// One answer of a listing.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) objects: Vec<Listed>,
    /// Keys of the folders directly in the folder, each with `/` at its end.
    pub(crate) folders: Vec<String>,
    next: Option<String>,
}

/// Asks for a part of a listing.
pub(crate) struct Wanted<'a> {
    /// The bucket, and what keys begin with.
    pub(crate) place: &'a Place,
    /// Everything below the folder, and not only what is directly in it.
    pub(crate) is_flat: bool,
    /// Only keys behind this one.
    pub(crate) after: Option<&'a str>,
    /// At most so many.
    pub(crate) keys: &'a str,
}

impl Client {
    /// One answer of a listing; `token` is what the one before said.
    pub(crate) async fn list_once(
        &self,
        wanted: &Wanted<'_>,
        token: Option<&str>,
    ) -> Result<Answered> {
        let bucket = Place { bucket: wanted.place.bucket.clone(), key: String::new() };
        let mut ask = Ask::new(Method::GET, &bucket)
            .query("list-type", "2")
            .query("max-keys", wanted.keys)
            .query("encoding-type", "url");
        if !wanted.place.key.is_empty() {
            ask = ask.query("prefix", wanted.place.key.clone());
        }
        if !wanted.is_flat {
            ask = ask.query("delimiter", "/");
        }
        if let Some(token) = token {
            ask = ask.query("continuation-token", token);
        } else if let Some(after) = wanted.after {
            ask = ask.query("start-after", after);
        }
        let answer = self.call(ask, Bytes::new()).await?;
        read_listing(&answer.body)
    }

    async fn buckets(&self) -> Result<Vec<String>> {
        let account = Place { bucket: String::new(), key: String::new() };
        let answer = self.call(Ask::new(Method::GET, &account), Bytes::new()).await?;
        let (mut names, mut is_bucket, mut is_answer) = (Vec::new(), false, false);
        each(&answer.body, |piece| match piece {
            Piece::Start("ListAllMyBucketsResult") => is_answer = true,
            Piece::Start("Bucket") => is_bucket = true,
            Piece::Text("Name", name) if is_bucket => names.push(name.to_owned()),
            Piece::End("Bucket") => is_bucket = false,
            _ => {}
        })?;
        if !is_answer {
            let text = "the service answered a listing of buckets with something else";
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        names.sort();
        Ok(names)
    }
}

fn read_listing(body: &[u8]) -> Result<Answered> {
    let mut answered = Answered::default();
    let mut now: Option<Listed> = None;
    let (mut is_prefix, mut is_listing, mut is_cut) = (false, false, false);
    // It may stand before the keys or behind them.
    let mark = b"<EncodingType>url</EncodingType>";
    let is_encoded = body.windows(mark.len()).any(|window| window == mark);
    let decode = |text: &str, is_encoded: bool| match is_encoded {
        // Services that write a space as `+` write a `+` as `%2B`.
        true => String::from_utf8(unpercent(text, true)).ok(),
        false => Some(text.to_owned()),
    };
    let mut is_readable = true;
    each(body, |piece| match piece {
        Piece::Start("ListBucketResult") => is_listing = true,
        Piece::Text("IsTruncated", text) => match text.trim() {
            "true" => is_cut = true,
            "false" => {}
            _ => is_readable = false,
        },
        Piece::Text("NextContinuationToken", text) if !text.is_empty() => {
            answered.next = Some(text.to_owned());
        }
        Piece::Start("Contents") => now = Some(Listed::default()),
        Piece::End("Contents") => answered.objects.extend(now.take()),
        Piece::Start("CommonPrefixes") => is_prefix = true,
        Piece::End("CommonPrefixes") => is_prefix = false,
        Piece::Text("Prefix", text) if is_prefix => match decode(text, is_encoded) {
            Some(key) => answered.folders.push(key),
            None => is_readable = false,
        },
        Piece::Text(name, text) => {
            let Some(object) = &mut now else { return };
            match name {
                "Key" => match decode(text, is_encoded) {
                    Some(key) => object.key = key,
                    None => is_readable = false,
                },
                "Size" => object.size = text.parse().ok(),
                "ETag" => object.etag = facts::etag(text),
                "LastModified" => {
                    let time = text.parse::<jiff::Timestamp>().ok();
                    object.stored = time.map(SystemTime::from);
                }
                _ => {}
            }
        }
        _ => {}
    })?;
    let has_token = answered.next.is_some();
    if !is_listing || !is_readable || is_cut != has_token {
        let text = "the service answered a listing with something else";
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    Ok(answered)
}

/// What a listing of one place needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Lister {
    pub(crate) client: Arc<Client>,
    pub(crate) root: Root,
}

impl Lister {
    /// The entries of the folder `dir`.
    pub(crate) fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        if self.root.is_account() && dir.is_root() {
            let this = self.clone();
            return EntryStream::once(dir, async move {
                let names = this.client.buckets().await?;
                let paths = names.iter().filter_map(|name| RelPath::new(name).ok());
                Ok(paths.map(Entry::dir).collect())
            });
        }
        if options.recursive && !self.client.settings.quirks.lists_flat {
            let refused = Err(Error::unsupported("list everything"));
            return EntryStream::once(dir, std::future::ready(refused));
        }
        let state = Listing {
            lister: self.clone(),
            dir: dir.clone(),
            options,
            token: None,
            is_begun: false,
            is_over: false,
            found_any: false,
            waiting: VecDeque::new(),
        };
        EntryStream::of_pages(futures::stream::try_unfold(state, Listing::next))
    }

    /// The entry of a listed object.
    fn entry(&self, object: &Listed, path: RelPath, bucket: &str) -> Entry {
        let are_md5 = self.client.etags_are_md5(bucket) == Some(true);
        let md5 = facts::md5_of_etag(&object.etag).filter(|_| are_md5);
        let handle = Some(handle(bucket, &object.key));
        Entry {
            size: object.size,
            version: (object.etag.len() > 2).then(|| object.etag.as_str().into()),
            handle,
            hashes: md5.map(|digest: Digest| Box::new(Hashes::of(digest))),
            ..Entry::bare(path, EntryKind::File)
        }
    }
}

/// A listing on its way.
struct Listing {
    lister: Lister,
    dir: RelPath,
    options: ListOptions,
    token: Option<String>,
    is_begun: bool,
    is_over: bool,
    found_any: bool,
    waiting: VecDeque<Page>,
}

impl Listing {
    async fn next(mut self) -> Result<Option<(Page, Self)>> {
        loop {
            if let Some(page) = self.waiting.pop_front() {
                return Ok(Some((page, self)));
            }
            if self.is_over {
                return Ok(None);
            }
            self.ask().await?;
        }
    }

    async fn ask(&mut self) -> Result<()> {
        let place = self.lister.root.folder(&self.dir)?;
        let after = match &self.options.after {
            Some((path, is_dir)) => Some(match is_dir {
                // What is in the folder of that key lies behind it, and is wanted.
                true => self.lister.root.folder(path)?.key,
                false => self.lister.root.file(path)?.key,
            }),
            None => None,
        };
        let is_flat = self.options.recursive;
        let wanted = Wanted { place: &place, is_flat, after: after.as_deref(), keys: PAGE_KEYS };
        let answered = self.lister.client.list_once(&wanted, self.token.as_deref()).await?;
        if answered.next.is_some() && answered.next == self.token {
            let text = "the service says twice that the listing goes on at the same place";
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        self.look_at_etags(&answered, &place.bucket).await;
        self.found_any |= !answered.objects.is_empty() || !answered.folders.is_empty();
        self.is_begun = true;
        self.is_over = answered.next.is_none();
        self.token = answered.next.clone();
        if self.is_over && !self.found_any && !place.key.is_empty() && after.is_none() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such folder"));
        }
        self.take(answered, &place)
    }

    /// Finds out, by one object, whether the ETags of the bucket are MD5s, if nothing is known of that yet. Where it cannot be
    /// found out, they are not taken for any.
    async fn look_at_etags(&self, answered: &Answered, bucket: &str) {
        let client = &self.lister.client;
        if client.etags_are_md5(bucket).is_some() {
            return;
        }
        if !client.settings.quirks.may_encrypt {
            return client.saw_etags(bucket, true);
        }
        let is_like = |object: &&Listed| facts::md5_of_etag(&object.etag).is_some();
        let Some(object) = answered.objects.iter().find(is_like) else { return };
        let place = Place { bucket: bucket.to_owned(), key: object.key.clone() };
        // The answer itself says when they are none.
        if client.call(Ask::new(Method::HEAD, &place), Bytes::new()).await.is_ok() {
            client.saw_etags(bucket, true);
        }
    }

    fn take(&mut self, answered: Answered, folder: &Place) -> Result<()> {
        let (bucket, prefix) = (folder.bucket.as_str(), folder.key.as_str());
        let keeps_markers = self.lister.client.settings.directory_markers;
        let mut entries: Vec<Entry> = Vec::new();
        for object in &answered.objects {
            // An empty object whose key is that of a folder stands for the folder.
            let is_marker = object.key.ends_with('/') && object.size == Some(0);
            if object.key == prefix && object.is_empty() {
                continue;
            }
            if is_marker {
                let name = object.key.strip_suffix('/').unwrap_or_default();
                if self.options.recursive
                    && keeps_markers
                    && let Some(path) = path_of(name, prefix)
                {
                    entries.push(Entry::dir(self.dir.join_path(&path)));
                }
                continue;
            }
            entries.push(match path_of(&object.key, prefix) {
                Some(path) => self.lister.entry(object, self.dir.join_path(&path), bucket),
                None => self.unusable(&object.key, bucket, prefix)?,
            });
        }
        for folder_key in &answered.folders {
            let name = folder_key.strip_suffix('/').unwrap_or(folder_key);
            entries.push(match path_of(name, prefix) {
                Some(path) => Entry::dir(self.dir.join_path(&path)),
                None => self.unusable(folder_key, bucket, prefix)?,
            });
        }
        if !self.options.recursive {
            // Objects and folders come apart; together they are in the order of their keys.
            entries.sort_by(|one, other| {
                let key = |entry: &Entry| (entry.path.as_str().to_owned(), entry.is_dir());
                let (one, other) = (key(one), key(other));
                ketch_core::compare_keys((&one.0, one.1), (&other.0, other.1))
            });
        }
        let parent = |entry: &Entry| entry.path.parent().unwrap_or_else(RelPath::root);
        for run in entries.chunk_by(|one, next| parent(one) == parent(next)) {
            let page = Page::of(&parent(&run[0]), run)?;
            self.waiting.push_back(page);
        }
        Ok(())
    }

    /// A key that no path can hold, under a name that says what it is. It is told, and nothing is done with it.
    fn unusable(&self, key: &str, bucket: &str, prefix: &str) -> Result<Entry> {
        let below = key.strip_prefix(prefix).unwrap_or(key);
        // The part of the key that can be shown: `z//q` is shown as `z/␀q`, with the empty name made visible.
        let shown: Vec<String> = below
            .split('/')
            .map(|part| match part {
                "" => "␣".to_owned(),
                "." | ".." => format!("‛{}", part.replace('.', "．")),
                part => crate::names::to_core(part).unwrap_or_else(|| format!("‛{part}")),
            })
            .collect();
        let name = shown.join("⁄");
        let path = self.dir.join(&name).map_err(|_| {
            Error::new(ErrorKind::Protocol, "a key of the listing cannot even be shown")
        })?;
        let kind = EntryKind::Special(Special::UnusableName);
        Ok(Entry { handle: Some(handle(bucket, key)), ..Entry::bare(path, kind) })
    }
}
