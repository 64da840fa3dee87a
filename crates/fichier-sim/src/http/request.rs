//! The head of a request.

/// Method, target and headers; the body stays on the connection.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Everything before the first `?`.
    pub(crate) path: String,
    /// Everything after it, undecoded.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Whether the request came as HTTP/1.1.
    pub(crate) is_http_1_1: bool,
}

impl Request {
    /// Reads a parsed head; header values that are not UTF-8 are kept lossily.
    pub(super) fn from_parsed(parsed: &httparse::Request<'_, '_>) -> Self {
        let target = parsed.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: parsed
                .headers
                .iter()
                .map(|header| (header.name.to_owned(), text(header.value)))
                .collect(),
            is_http_1_1: parsed.version == Some(1),
        }
    }

    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// One value of the query, undecoded: ids are all that is ever there.
    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then_some(value)
        })
    }

    /// The announced length of the body.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Whether the body comes in chunks.
    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some()
    }

    /// The key of `Authorization: Bearer KEY`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim)
    }

    /// Whether the client wants the connection closed after the answer.
    pub(super) fn wants_close(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default();
        connection.eq_ignore_ascii_case("close")
            || (!self.is_http_1_1 && !connection.eq_ignore_ascii_case("keep-alive"))
    }
}
