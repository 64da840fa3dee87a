//! The calls of the API, typed: one method each.

mod call;
mod extra;

use std::time::Duration;

use ketch_core::{ErrorKind, Result, Retry, Usage};
use serde_json::{Value, json};

use crate::bounds::LISTED_MAX;
use crate::ended::Ended;
use crate::error::{Refusal, Said};
use crate::hosts::Place;
use crate::http::Http;
use crate::items;
use crate::items::FileItem;
use crate::pace::{Listing, Pacer, Want, Watch};
use crate::settings::Settings;
use crate::types::{
    Changed, Copied, CopiedUrl, FileLs, FolderLs, Info, Made, Moved, Token, UploadServer, UserInfo,
};
use crate::window::Window;
pub(crate) use call::is_counted;
use call::{Effect, shape, unknown};

/// The calls.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) http: Http,
    pub(crate) pacer: Pacer,
    pub(crate) settings: Settings,
    pub(crate) ended: Ended,
}

impl Api {
    /// Opens nothing; the first call does.
    pub(crate) fn new(
        settings: Settings,
        state: Option<&std::path::Path>,
        watch: Option<Watch>,
    ) -> Result<Self> {
        let http = Http::new(&settings)?;
        let pacer = Pacer::new(&settings, state, watch);
        Ok(Api { http, pacer, settings, ended: Ended::default() })
    }

    /// Sub-folders and the number of files, and with `files` perhaps the files too.
    pub(crate) async fn folder_ls(&self, id: u64, files: bool) -> Result<FolderLs, Refusal> {
        let body =
            if files { json!({"folder_id": id, "files": 1}) } else { json!({"folder_id": id}) };
        let want = Want::Listing(Listing::Folders, id);
        let (answer, is_ok): (FolderLs, bool) =
            self.call_as("folder/ls.cgi", body, want, Effect::Repeatable).await?;
        if answer.sub_folders.is_none() && !is_ok {
            return Err(shape("folder/ls.cgi", "`sub_folders` and `status` are missing").into());
        }
        if answer.folder_id.is_some_and(|told| told != id) {
            return Err(shape("folder/ls.cgi", "it is about another folder").into());
        }
        Ok(answer)
    }

    /// The files of a folder that were sent in `window`, at most 5 000 of them.
    pub(crate) async fn file_ls(&self, id: u64, window: &Window) -> Result<FileLs, Refusal> {
        let want = Want::Listing(Listing::Files, id);
        let mut body = json!({"folder_id": id});
        let (after, before) = window.bounds();
        for (name, bound) in [("sent_after", after), ("sent_before", before)] {
            if let Some(bound) = bound {
                body[name] = bound.into();
            }
        }
        let (answer, _): (FileLs, bool) =
            self.call_as("file/ls.cgi", body, want, Effect::Repeatable).await?;
        match (&answer.items, answer.count) {
            (None, Some(0)) => Ok(answer),
            (None, _) => Err(shape("file/ls.cgi", "`items` is missing").into()),
            // Whether a listing that is cut off counts what it shows or what there is, is not known.
            (Some(items), Some(count))
                if count != items.len() as u64 && items.len() < LISTED_MAX =>
            {
                let message = format!("it holds {} of {count} files", items.len());
                Err(shape("file/ls.cgi", &message).with_retry(Retry::Backoff).into())
            }
            (Some(_), _) => Ok(answer),
        }
    }

    /// All files of the account; `None` when it may not be asked for, or when there are so many that the answer may be cut.
    /// Asked for once an hour, and nobody waits for that.
    pub(crate) async fn account_ls(&self) -> Result<Option<Vec<FileItem>>, Refusal> {
        let body = json!({"folder_id": -1});
        let called = self.call_as("file/ls.cgi", body, Want::Account, Effect::Repeatable).await;
        let answer: FileLs = match called {
            Ok((answer, _)) => answer,
            Err(refusal) if refusal.error.kind() == ErrorKind::Throttled => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let Some(items) = answer.items.filter(|items| items.len() < LISTED_MAX) else {
            return Ok(None);
        };
        // Without the number nobody knows whether it was cut.
        if answer.count != Some(items.len() as u64) {
            return Ok(None);
        }
        Ok(Some(items.into_iter().map(items::file).collect::<Result<_>>()?))
    }

    /// Makes a folder.
    pub(crate) async fn mkdir(&self, parent: u64, name: &str) -> Result<u64, Refusal> {
        let body = json!({"name": name, "folder_id": parent});
        let made: Made = self.call("folder/mkdir.cgi", body, Effect::Once).await?;
        if made.folder_id == 0 {
            return Err(unknown(shape("folder/mkdir.cgi", "the new folder has no id")).into());
        }
        Ok(made.folder_id)
    }

    /// Removes an empty folder.
    pub(crate) async fn folder_rm(&self, id: u64) -> Result<(), Refusal> {
        self.change("folder/rm.cgi", json!({"folder_id": id})).await
    }

    /// Moves a folder. The server ignores the destination of a call that renames, so there is one call for each.
    pub(crate) async fn folder_mv(&self, id: u64, destination: u64) -> Result<(), Refusal> {
        let body = json!({"folder_id": id, "destination_folder_id": destination});
        self.change("folder/mv.cgi", body).await
    }

    /// Renames a folder where it is.
    pub(crate) async fn folder_rename(&self, id: u64, name: &str) -> Result<(), Refusal> {
        self.change("folder/mv.cgi", json!({"folder_id": id, "rename": name})).await
    }

    /// A change of several files; the addresses that the answer says it was made for, if it says that.
    pub(crate) async fn change_files(
        &self,
        change: FilesChange,
    ) -> Result<Option<Vec<String>>, Refusal> {
        self.change_late(change.verb, || Some(change)).await
    }

    /// The same, with the files that there are when its turn has come.
    pub(crate) async fn change_late(
        &self,
        verb: &'static str,
        change: impl FnOnce() -> Option<FilesChange> + Send,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let mut count = 0;
        let body = || {
            change().map(|change| {
                count = change.count;
                change.body
            })
        };
        let (done, is_ok): (Changed, bool) =
            self.call_late(verb, body, Want::Call, Effect::Repeatable).await?;
        if !is_ok {
            return Err(shape(verb, "`status` is missing").into());
        }
        Ok(done.urls(count))
    }

    /// Moves files to another folder and returns their addresses there, as far as they are told.
    pub(crate) async fn files_mv(
        &self,
        urls: &[&str],
        destination: u64,
    ) -> Result<Vec<String>, Refusal> {
        self.files_mv_late(destination, || urls.iter().map(|url| (*url).to_owned()).collect()).await
    }

    /// The same, with the files that there are when its turn has come.
    pub(crate) async fn files_mv_late(
        &self,
        destination: u64,
        urls: impl FnOnce() -> Vec<String> + Send,
    ) -> Result<Vec<String>, Refusal> {
        let body = || {
            let urls = urls();
            (!urls.is_empty()).then(|| json!({"urls": urls, "destination_folder_id": destination}))
        };
        let moved = self.call_late("file/mv.cgi", body, Want::Call, Effect::Repeatable).await;
        match moved {
            Ok((Moved { urls }, _)) => Ok(urls.unwrap_or_default()),
            Err(refusal) if refusal.said == Said::NoChange => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Copies the files that there are when its turn has come.
    pub(crate) async fn files_cp_late(
        &self,
        destination: u64,
        urls: impl FnOnce() -> Vec<String> + Send,
    ) -> Result<Vec<CopiedUrl>, Refusal> {
        let body = || {
            let urls = urls();
            (!urls.is_empty()).then(|| json!({"urls": urls, "folder_id": destination}))
        };
        let (copied, _): (Copied, bool) =
            self.call_late("file/cp.cgi", body, Want::Call, Effect::Once).await?;
        Ok(copied.urls)
    }

    /// What is known of one file. Not for many: that gets an address locked out (section 4.2 of the API reference).
    pub(crate) async fn file_info(&self, url: &str) -> Result<Info, Refusal> {
        let verb = "file/info.cgi";
        let body = self.settings.about_file(url);
        let info: Info = self.call(verb, body, Effect::Repeatable).await?;
        if info.filename.is_none() {
            return Err(shape(verb, "`filename` is missing").into());
        }
        Ok(info)
    }

    /// Moves a file to another folder under a new name. Returns its address there.
    pub(crate) async fn file_mv(
        &self,
        url: &str,
        destination: u64,
        name: &str,
    ) -> Result<String, Refusal> {
        let body = json!({"urls": [url], "destination_folder_id": destination, "rename": name});
        match self.call::<Moved>("file/mv.cgi", body, Effect::Repeatable).await {
            Ok(moved) => Ok(moved
                .urls
                .unwrap_or_default()
                .into_iter()
                .next()
                .unwrap_or_else(|| url.to_owned())),
            Err(refusal) if refusal.said == Said::NoChange => Ok(url.to_owned()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Copies a file and returns the address of the copy.
    pub(crate) async fn file_cp(
        &self,
        url: &str,
        destination: u64,
        rename: Option<&str>,
    ) -> Result<String, Refusal> {
        let mut body = json!({"urls": [url], "folder_id": destination});
        if let Some(name) = rename {
            body["rename"] = name.into();
        }
        let copied: Copied = self.call("file/cp.cgi", body, Effect::Once).await?;
        match copied.urls.into_iter().next() {
            Some(copy) => Ok(copy.to_url),
            None => Err(unknown(shape("file/cp.cgi", "the address of the copy is missing")).into()),
        }
    }

    /// An address to download from for half an hour, to be begun within five minutes, by several connections.
    pub(crate) async fn get_token(&self, url: &str) -> Result<Place, Refusal> {
        let mut body = self.settings.about_file(url);
        body["single"] = 0.into();
        match self.call::<Token>("download/get_token.cgi", body, Effect::Repeatable).await {
            Ok(token) => Ok(self.settings.origin.download(self.http.without_key(&token.url)?)?),
            Err(refusal) => Err(refusal),
        }
    }

    /// A node to send one file to, and the id of that upload.
    pub(crate) async fn upload_server(&self) -> Result<(Place, String), Refusal> {
        let verb = "upload/get_upload_server.cgi";
        let server: UploadServer = self.call(verb, json!({}), Effect::Repeatable).await?;
        let is_id = |byte: u8| byte.is_ascii_alphanumeric();
        if server.id.is_empty() || server.id.len() > 64 || !server.id.bytes().all(is_id) {
            return Err(shape(verb, "the id is not one").into());
        }
        let node = self.settings.origin.node(self.http.without_key(&server.url)?)?;
        Ok((node, server.id))
    }

    /// How much room there is; asked for every five minutes at most.
    pub(crate) async fn usage(&self) -> Result<Usage, Refusal> {
        if let Some(usage) = self.pacer.kept_usage().await {
            return Ok(usage);
        }
        let (info, _): (UserInfo, bool) =
            self.call_as("user/info.cgi", json!({}), Want::UserInfo, Effect::Repeatable).await?;
        // Negative means exceeded: there is no room left.
        let bytes = |number: Option<i64>| number.map(|number| number.max(0) as u64);
        let usage = Usage {
            total: bytes(info.allowed_cold_storage),
            used: bytes(info.cold_storage),
            free: bytes(info.available_cold_storage),
        };
        self.pacer.keep_usage(usage).await;
        Ok(usage)
    }
}

/// A change of several files in one call.
#[derive(Debug)]
pub(crate) struct FilesChange {
    verb: &'static str,
    body: Value,
    count: usize,
}

impl FilesChange {
    /// Their removal.
    pub(crate) fn remove<'a>(urls: impl Iterator<Item = &'a str>) -> Self {
        let files: Vec<Value> = urls.map(|url| json!({"url": url})).collect();
        FilesChange { verb: "file/rm.cgi", count: files.len(), body: json!({"files": files}) }
    }

    /// New names, each file staying where it is.
    pub(crate) fn rename<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let urls: Vec<Value> =
            names.map(|(url, name)| json!({"url": url, "filename": name})).collect();
        FilesChange { verb: "file/rename.cgi", count: urls.len(), body: json!({"urls": urls}) }
    }
}

/// The waits between looks at something that takes its time: 1 s, growing to 15 s.
pub(crate) fn polls(settings: &Settings) -> impl Iterator<Item = Duration> {
    let (first, longest) = (Duration::from_secs(1), Duration::from_secs(15));
    let waits = std::iter::successors(Some(first), move |wait| Some((*wait * 3 / 2).min(longest)));
    let scaled: Vec<Duration> = waits.take(16).map(|wait| settings.scaled(wait)).collect();
    let last = scaled.last().copied().unwrap_or(longest);
    scaled.into_iter().chain(std::iter::repeat(last))
}
