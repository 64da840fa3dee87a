//! What 1fichier can do beside holding files: links, attributes, downloads of its own, imports, scans.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use ketch_core::services::{
    Access, Attributes, Detail, Fetch, FetchResult, Link, LinkRequest, Scan, Services,
};
use ketch_core::{Entry, Error, ErrorKind, Hint, RelPath, Result, Retry};
use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::entries::{self, Handle};
use crate::error::Said;
use crate::items::{Change, FileItem};
use crate::links::{digest, without_tail};
use crate::target::{Old, Target};
use crate::tree::TOP;
use crate::types::{self, Info};
use crate::{dates, gather, names};

/// A download must begin within this time of its address being given out, and may be continued for so long.
const TOKEN_BEGINS: Duration = Duration::from_secs(5 * 60);
const TOKEN_LASTS: Duration = Duration::from_secs(30 * 60);
/// The shortest password 1fichier takes.
const PASSWORD_CHARS: usize = 6;
/// The most addresses of one request for downloads.
const FETCH_MAX: usize = 100;
/// The largest file that is scanned.
const SCAN_BYTES: u64 = 5_000_000_000;
/// The most files of one change of attributes.
const FILES_MAX: usize = 500;

/// The services of a folder of an account.
#[derive(Debug)]
pub(crate) struct FichierServices {
    pub(crate) account: Arc<Account>,
    pub(crate) root: RelPath,
    pub(crate) name: String,
}

impl FichierServices {
    fn told(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_remote(&self.name).with_path(path)
    }

    async fn make_link(&self, entry: &Entry, request: &LinkRequest) -> Result<Link> {
        check_password(request.password.as_deref())?;
        let api = &self.account.api;
        let lasting = |url| Link { url, begin_within: None, lasts: None };
        match Handle::of_any(entry)? {
            Handle::File { url, .. } if request.direct => {
                let url = api.token_url(&url, request.password.as_deref()).await?;
                Ok(Link { url, begin_within: Some(TOKEN_BEGINS), lasts: Some(TOKEN_LASTS) })
            }
            Handle::Folder { .. } if request.direct => {
                let message = "only a file has a direct link";
                Err(Error::new(ErrorKind::InvalidInput, message).with_hint(Hint::LinkFolder))
            }
            Handle::Folder { id: TOP, .. } => {
                let message = "the top folder has no link: name a file or a folder in it";
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            Handle::File { url, .. } => {
                if let Some(password) = &request.password {
                    api.chattr(&[url.as_str()], json!({"pass": password})).await?;
                }
                Ok(lasting(url))
            }
            Handle::Folder { id, .. } => {
                let url = api.share(id, request.password.as_deref()).await?;
                Ok(lasting(url))
            }
        }
    }

    async fn tell_details(&self, entry: &Entry) -> Result<Vec<(&'static str, Detail)>> {
        match Handle::of_any(entry)? {
            Handle::File { url, .. } => {
                let told = match self.account.tree.looks.take_info(&url) {
                    Some(info) => Ok(info),
                    None => self.account.api.file_info(&url).await,
                };
                match told {
                    Ok(info) => Ok(file_details(url, info)),
                    // What is known without it is worth more than an error: the link is.
                    Err(refusal) if refusal.said == Said::Forbidden => {
                        let told = refusal.error.message().to_owned();
                        let facts = [("link", url), ("refused", told)];
                        Ok(facts.map(|(name, text)| (name, Detail::Text(text))).into())
                    }
                    Err(refusal) => Err(refusal.into()),
                }
            }
            Handle::Folder { id, .. } => {
                if let Some(known) = self.folder_details(entry, id).await {
                    return Ok(known);
                }
                let answer = self.account.api.folder_ls(id, false).await?;
                let text = |text: String| Detail::Text(text);
                let facts = [
                    ("id", Some(Detail::Number(id))),
                    ("made", time(answer.create_date.as_deref())),
                    ("files", answer.files.map(Detail::Number)),
                    ("bytes", answer.size.map(Detail::Number)),
                    ("link", answer.shared.filter(|url| !url.is_empty()).map(text)),
                    ("has_password", answer.pass.map(|flag| Detail::Flag(flag != 0))),
                    ("shared_with", answer.shares.map(|all| Detail::Number(all.len() as u64))),
                ];
                Ok(known(facts))
            }
        }
    }

    /// What the listings of the last minutes say of a folder, where asking would have to wait and a person looks.
    async fn folder_details(&self, entry: &Entry, id: u64) -> Option<Vec<(&'static str, Detail)>> {
        let account = &self.account;
        let (age, listing) = account.tree.shared(&account.api, id).await?;
        let bytes = listing.files.iter().map(|file| file.size).sum::<Option<u64>>();
        let untold = "link, has_password, shared_with";
        Some(known([
            ("id", Some(Detail::Number(id))),
            ("made", entry.mtime.map(Detail::Time)),
            ("files", Some(Detail::Number(listing.files.len() as u64))),
            ("bytes", bytes.map(Detail::Number)),
            ("as_of_seconds", Some(Detail::Number(age.as_secs()))),
            ("not_asked", Some(Detail::Text(untold.to_owned()))),
        ]))
    }

    async fn change(&self, entries: &[Entry], attributes: &Attributes) -> Result<()> {
        check_password(attributes.password.as_deref().filter(|text| !text.is_empty()))?;
        let mut fields = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let flag = |flag: Option<bool>| flag.map(|flag| u8::from(flag).into());
        set("description", attributes.description.clone().map(Value::from));
        set("pass", attributes.password.clone().map(Value::from));
        set("inline", flag(attributes.inline));
        set("cdn", flag(attributes.cdn));
        set("no_ssl", flag(attributes.no_ssl));
        set("acl", attributes.access.as_ref().map(access));
        if fields.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "nothing is named that is to be changed",
            )
            .with_hint(Hint::NameAttributes));
        }
        let urls = entries.iter().map(|entry| Ok(entries::file_of(entry)?.1));
        let urls: Vec<String> = urls.collect::<Result<_>>()?;
        for urls in urls.chunks(FILES_MAX) {
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            self.account.api.chattr(&urls, Value::Object(fields.clone())).await?;
        }
        Ok(())
    }

    async fn begin_fetch(
        &self,
        urls: &[String],
        into: &RelPath,
        headers: &[(String, String)],
    ) -> Result<u64> {
        let is_address = |url: &String| {
            ["http://", "https://", "ftp://"].iter().any(|scheme| url.starts_with(scheme))
        };
        if let Some(bad) = urls.iter().find(|url| !is_address(url)) {
            let message = format!("`{}` is no address", crate::text::snippet(bad));
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if urls.is_empty() || urls.len() > FETCH_MAX {
            let message = format!("1fichier takes from 1 to {FETCH_MAX} addresses at once");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let folder =
            self.account.tree.ensure(&self.account.api, &self.root.join_path(into)).await?;
        let headers: Map<String, Value> =
            headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        Ok(self.account.api.remote_request(urls, folder, headers).await?)
    }

    async fn take(&self, url: &str, password: Option<&str>, into: &RelPath) -> Result<Entry> {
        let account = &self.account;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            let message = "a link of 1fichier is wanted, such as https://1fichier.com/?…";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let url = without_tail(url.to_owned());
        let info = account.api.file_info_with(&url, password).await?;
        let name = info.filename.as_deref().map(names::to_core).unwrap_or_default();
        let path = into.join(&name).map_err(|_| {
            let message = format!("`{}` is no name for a file", crate::text::snippet(&name));
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        let wanted = info.checksum.as_deref().and_then(digest);
        let target = Target::new(account, &self.root.join_path(&path), Old::Unknown).await?;
        if !target.known.is_empty() {
            let life = account.api.pacer.listing_life();
            let listing = account.tree.listing(&account.api, target.folder, life).await?;
            let same = listing
                .files(&name)
                .into_iter()
                .find(|file| wanted.is_some() && file.hash == wanted && file.size == info.size);
            return match same {
                Some(file) => Ok(entries::file(path, target.folder, file)),
                None => {
                    let message = "something else of that name is there";
                    Err(Error::new(ErrorKind::AlreadyExists, message))
                }
            };
        }
        let copy = account.api.file_cp_with(&url, target.folder, password).await?;
        let copy = without_tail(copy);
        let found = account.api.file_info(&copy).await?;
        let kept = found.checksum.as_deref().and_then(digest);
        if found.size != info.size || (wanted.is_some() && kept != wanted) {
            gather::remove(
                account,
                target.sent(target.folder, &copy, found.size.unwrap_or_default()),
            )
            .await?;
            let message = "the copy is not what was linked to; it was removed";
            return Err(Error::new(ErrorKind::Corrupt, message).with_retry(Retry::Backoff));
        }
        let date = found.date.as_deref().and_then(dates::parse);
        let file = FileItem { name, url: copy, size: found.size, date, hash: kept };
        account.tree.cache.change(target.folder, Change::AddFile(file.clone()));
        Ok(entries::file(path, target.folder, &file))
    }

    async fn look_through(&self, entry: &Entry) -> Result<Scan> {
        if entry.size.is_some_and(|size| size > SCAN_BYTES) {
            let message = "1fichier scans files up to 5 GB";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let (folder, url) = entries::file_of(entry)?;
        let (is_clean, message, date) = match self.account.api.scan(&url).await {
            Ok(found) => (true, found.message.unwrap_or_default(), found.date),
            // A refusal is how a detection is told, and the file is then gone.
            Err(refusal)
                if refusal.said == Said::Other && refusal.error.kind() == ErrorKind::Denied =>
            {
                match self.account.api.file_info(&url).await {
                    Err(look) if look.said == Said::NotFound => {}
                    Ok(_) | Err(_) => return Err(refusal.into()),
                }
                (false, refusal.error.message().to_owned(), None)
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if !is_clean {
            self.account.tree.cache.change(folder, Change::RemoveFile(url));
        }
        let at = date.as_deref().and_then(dates::parse);
        Ok(Scan { is_clean, message, at })
    }
}

fn check_password(password: Option<&str>) -> Result<()> {
    if password.is_some_and(|text| text.chars().count() < PASSWORD_CHARS) {
        let message = format!("1fichier wants at least {PASSWORD_CHARS} characters in a password");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn access(access: &Access) -> Value {
    let mut fields = Map::new();
    let lists =
        [("ip", &access.networks), ("country", &access.countries), ("email", &access.users)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        fields.insert(name.to_owned(), list.as_slice().into());
    }
    if access.premium {
        fields.insert("premium".to_owned(), 1.into());
    }
    Value::Object(fields)
}

fn time(text: Option<&str>) -> Option<Detail> {
    text.and_then(dates::parse).map(Detail::Time)
}

fn known<const N: usize>(
    facts: [(&'static str, Option<Detail>); N],
) -> Vec<(&'static str, Detail)> {
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn file_details(url: String, info: Info) -> Vec<(&'static str, Detail)> {
    let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Detail::Text);
    let flag = |number: Option<u64>| number.map(|number| Detail::Flag(number != 0));
    let has_list = info.acl.as_ref().map(|acl| match acl {
        Value::Object(map) => !map.is_empty(),
        Value::Number(number) => number.as_u64() != Some(0),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => false,
    });
    known([
        ("link", Some(Detail::Text(url))),
        (
            "folder",
            text(
                info.path
                    .as_ref()
                    .map(|path| path.split('/').map(names::to_core).collect::<Vec<_>>().join("/")),
            ),
        ),
        ("folder_id", info.folder_id.map(Detail::Number)),
        ("stored", time(info.date.as_deref())),
        ("whirlpool", text(info.checksum.map(|text| text.to_ascii_lowercase()))),
        ("content_type", text(info.content_type)),
        ("description", text(info.description)),
        ("has_password", flag(info.pass)),
        ("has_access_list", has_list.map(Detail::Flag)),
        ("inline", flag(info.inline)),
        ("cdn", flag(info.cdn)),
        ("no_ssl", flag(info.no_ssl)),
    ])
}

fn fetch(answer: types::RemoteJob) -> Fetch {
    // What has not been carried out is dated to the beginning of time, or not at all.
    let ended = answer.execution_date.as_deref().and_then(dates::parse);
    let ended = ended.filter(|time| *time > SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    let results = answer.result.unwrap_or_default().into_iter().map(|one| {
        let is_ok = one.status.as_deref().is_some_and(|text| text.eq_ignore_ascii_case("OK"));
        let outcome = match one.download_link.filter(|link| !link.is_empty()) {
            Some(link) if is_ok => Ok(link),
            _ => Err(crate::text::snippet(&one.message.unwrap_or_default())),
        };
        FetchResult { url: one.url.unwrap_or_default(), outcome }
    });
    Fetch {
        id: answer.id,
        requested: answer.request_date.as_deref().and_then(dates::parse),
        ended,
        results: results.collect(),
    }
}

#[async_trait]
impl Services for FichierServices {
    async fn link(&self, entry: &Entry, request: &LinkRequest) -> Result<Link> {
        let result = self.make_link(entry, request).await;
        result.map_err(|error| self.told(error, "link", &entry.path))
    }

    async fn unlink(&self, entry: &Entry) -> Result<()> {
        let result = match Handle::of_any(entry) {
            Ok(Handle::Folder { id: TOP, .. }) => Ok(()),
            Ok(Handle::Folder { id, .. }) => {
                self.account.api.unshare(id).await.map_err(Error::from)
            }
            Ok(Handle::File { .. }) => {
                Err(Error::new(ErrorKind::InvalidInput, "the address of a file is always public")
                    .with_hint(Hint::CloseFile))
            }
            Err(error) => Err(error),
        };
        result.map_err(|error| self.told(error, "unlink", &entry.path))
    }

    async fn details(&self, entry: &Entry) -> Result<Vec<(&'static str, Detail)>> {
        let result = self.tell_details(entry).await;
        result.map_err(|error| self.told(error, "stat", &entry.path))
    }

    async fn set_attributes(&self, entries: &[Entry], attributes: &Attributes) -> Result<()> {
        let root = RelPath::root();
        let path = entries.first().map_or(&root, |entry| &entry.path);
        let result = self.change(entries, attributes).await;
        result.map_err(|error| self.told(error, "attr set", path))
    }

    async fn fetch(
        &self,
        urls: &[String],
        into: &RelPath,
        headers: &[(String, String)],
    ) -> Result<u64> {
        let result = self.begin_fetch(urls, into, headers).await;
        result.map_err(|error| self.told(error, "copyurl", into))
    }

    async fn fetches(&self) -> Result<Vec<Fetch>> {
        let jobs = self.account.api.remote_ls().await.map_err(Error::from);
        let jobs = jobs.map_err(|error| self.told(error, "remote jobs", &RelPath::root()))?;
        Ok(jobs.into_iter().map(fetch).collect())
    }

    async fn fetched(&self, id: u64) -> Result<Fetch> {
        let job = self.account.api.remote_info(id).await.map_err(Error::from);
        Ok(fetch(job.map_err(|error| self.told(error, "remote jobs", &RelPath::root()))?))
    }

    async fn import(&self, url: &str, password: Option<&str>, into: &RelPath) -> Result<Entry> {
        let result = self.take(url, password, into).await;
        result.map_err(|error| self.told(error, "import", into))
    }

    async fn scan(&self, entry: &Entry) -> Result<Scan> {
        let result = self.look_through(entry).await;
        result.map_err(|error| self.told(error, "scan", &entry.path))
    }
}
