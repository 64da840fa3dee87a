//! What a request asks for: its bucket, its key, its kind.

use crate::http::Request;
use crate::text::{pairs, unpercent};

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) bucket: String,
    pub(crate) key: String,
    query: Vec<(String, String)>,
    /// A fault: what the request says of conditions is not seen.
    pub(crate) ignores_conditions: bool,
}

impl<'a> Call<'a> {
    /// `None` for an address that is none.
    pub(crate) fn new(request: &'a Request) -> Option<Call<'a>> {
        let path = request.path.strip_prefix('/')?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Some(Call {
            request,
            bucket: unpercent(bucket)?,
            key: unpercent(key)?,
            query: pairs(&request.query)?,
            ignores_conditions: false,
        })
    }

    /// A value of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What is asked, as it is counted; `None`: nothing that is known.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        let has = |name| self.query(name).is_some();
        let method = self.request.method.as_str();
        Some(match (method, self.bucket.is_empty(), self.key.is_empty()) {
            ("GET", true, _) => "buckets",
            ("PUT", false, true) => "bucket-create",
            ("HEAD", false, true) => "bucket-head",
            ("GET", false, true) if has("uploads") => "uploads",
            ("GET", false, true) if self.query("list-type") == Some("2") => "list",
            ("POST", false, true) if has("delete") => "delete-many",
            ("HEAD", false, false) => "head",
            ("GET", false, false) if has("uploadId") => "parts",
            ("GET", false, false) => "get",
            ("PUT", false, false) if has("partNumber") && has("uploadId") => "part",
            ("PUT", false, false) if self.request.header("x-amz-copy-source").is_some() => "copy",
            ("PUT", false, false) => "put",
            ("POST", false, false) if has("uploads") => "create",
            ("POST", false, false) if has("uploadId") => "complete",
            ("DELETE", false, false) if has("uploadId") => "abort",
            ("DELETE", false, false) => "delete",
            _ => return None,
        })
    }
}
