//! The calls that move no files: links, attributes, downloads that 1fichier makes, scans.

use serde_json::{Map, Value, json};

use super::Api;
use super::call::{Effect, shape, unknown};
use crate::error::{Refusal, Said};
use crate::pace::Want;
use crate::types::{Copied, Done, Info, RemoteJob, RemoteJobs, Scanned, Shared, Token};

impl Api {
    /// The address itself, for a person and not for a download of ours.
    pub(crate) async fn token_url(
        &self,
        url: &str,
        password: Option<&str>,
    ) -> Result<String, Refusal> {
        let mut body = self.settings.about_file(url);
        body["single"] = 0.into();
        if let Some(password) = password {
            body["pass"] = password.into();
        }
        let token: Token = self.call("download/get_token.cgi", body, Effect::Repeatable).await?;
        let address = self.http.without_key(&token.url)?;
        Ok(self.settings.origin.download(address)?.url().to_owned())
    }

    /// What is known of a file that may need a password.
    pub(crate) async fn file_info_with(
        &self,
        url: &str,
        password: Option<&str>,
    ) -> Result<Info, Refusal> {
        let Some(password) = password else { return self.file_info(url).await };
        let body = json!({"url": url, "pass": password});
        self.call("file/info.cgi", body, Effect::Repeatable).await
    }

    /// Copies a file that may need a password, and returns the address of the copy.
    pub(crate) async fn file_cp_with(
        &self,
        url: &str,
        destination: u64,
        password: Option<&str>,
    ) -> Result<String, Refusal> {
        let verb = "file/cp.cgi";
        let mut body = json!({"urls": [url], "folder_id": destination});
        if let Some(password) = password {
            body["pass"] = password.into();
        }
        let copied: Copied = self.call(verb, body, Effect::Once).await?;
        match copied.urls.into_iter().next() {
            Some(copy) => Ok(copy.to_url),
            None => Err(unknown(shape(verb, "the address of the copy is missing")).into()),
        }
    }

    /// Changes attributes of files; `fields` is an object.
    pub(crate) async fn chattr(&self, urls: &[&str], fields: Value) -> Result<(), Refusal> {
        let mut body = json!({"urls": urls});
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        self.change("file/chattr.cgi", body).await
    }

    /// Makes a folder public and returns its address.
    pub(crate) async fn share(&self, id: u64, password: Option<&str>) -> Result<String, Refusal> {
        let verb = "folder/share.cgi";
        let mut body = json!({"folder_id": id, "share": 1});
        if let Some(password) = password {
            body["pass"] = password.into();
        }
        let shared: Shared = self.call(verb, body, Effect::Repeatable).await?;
        match shared.url.filter(|url| url.starts_with("http")) {
            Some(url) => Ok(self.http.without_key(&url)?.to_owned()),
            None => Err(shape(verb, "the address is missing").into()),
        }
    }

    /// Makes a public folder private again.
    pub(crate) async fn unshare(&self, id: u64) -> Result<(), Refusal> {
        self.change("folder/share.cgi", json!({"folder_id": id, "share": 0})).await
    }

    /// Asks for downloads into a folder, and returns their number.
    pub(crate) async fn remote_request(
        &self,
        urls: &[String],
        folder: u64,
        headers: Map<String, Value>,
    ) -> Result<u64, Refusal> {
        let mut body = json!({"urls": urls, "folder_id": folder});
        if !headers.is_empty() {
            body["headers"] = Value::Object(headers);
        }
        let job: RemoteJob = self.call("remote/request.cgi", body, Effect::Once).await?;
        Ok(job.id)
    }

    /// The downloads that were asked for.
    pub(crate) async fn remote_ls(&self) -> Result<Vec<RemoteJob>, Refusal> {
        let jobs: RemoteJobs = self.call("remote/ls.cgi", json!({}), Effect::Repeatable).await?;
        Ok(jobs.data.unwrap_or_default())
    }

    /// One of them.
    pub(crate) async fn remote_info(&self, id: u64) -> Result<RemoteJob, Refusal> {
        self.call("remote/info.cgi", json!({"id": id}), Effect::Repeatable).await
    }

    /// Has a file looked through; a refusal of no known meaning is a detection.
    pub(crate) async fn scan(&self, url: &str) -> Result<Scanned, Refusal> {
        self.call("file/scan.cgi", json!({"url": url}), Effect::Repeatable).await
    }

    /// A change that does no harm when it is asked for again.
    pub(super) async fn change(&self, verb: &'static str, body: Value) -> Result<(), Refusal> {
        match self.call_as::<Done>(verb, body, Want::Call, Effect::Repeatable).await {
            Ok((Done {}, true)) => Ok(()),
            Ok((Done {}, false)) => Err(shape(verb, "`status` is missing").into()),
            Err(refusal) if refusal.said == Said::NoChange => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}
