//! ListObjectsV2: what begins with a prefix, in the order of the bytes of the keys, a page at a time.

use data_encoding::HEXLOWER;

use crate::answer::{Answer, Refused, refused};
use crate::bucket;
use crate::call::Call;
use crate::clock;
use crate::store::{Object, Store};
use crate::text::{escape, percent};

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum After {
    Key(String),
    /// Behind everything that begins with it.
    Prefix(String),
}

impl After {
    fn has_passed(&self, key: &str) -> bool {
        match self {
            After::Key(last) => key <= last.as_str(),
            After::Prefix(last) => key <= last.as_str() || key.starts_with(last.as_str()),
        }
    }

    fn token(&self) -> String {
        let (kind, text) = match self {
            After::Key(text) => ("k", text),
            After::Prefix(text) => ("p", text),
        };
        format!("{kind}{}", HEXLOWER.encode(text.as_bytes()))
    }

    fn of_token(token: &str) -> Option<After> {
        let decode = |hex: &str| String::from_utf8(HEXLOWER.decode(hex.as_bytes()).ok()?).ok();
        match token.strip_prefix('k') {
            Some(hex) => decode(hex).map(After::Key),
            None => decode(token.strip_prefix('p')?).map(After::Prefix),
        }
    }
}

enum Item<'a> {
    Object(&'a str, &'a Object),
    Folder(&'a str),
}

pub(crate) fn list(
    store: &Store,
    call: &Call<'_>,
    page: usize,
    turned: bool,
) -> Result<Answer, Refused> {
    let bucket = bucket::find(store, call)?;
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").filter(|text| !text.is_empty());
    let wrong = || refused(400, "InvalidArgument");
    let wanted = match call.query("max-keys") {
        Some(text) => text.parse().map_err(|_| wrong())?,
        None => page,
    };
    let most = page.min(wanted);
    let mut after = match (call.query("continuation-token"), call.query("start-after")) {
        (Some(token), _) => Some(After::of_token(token).ok_or_else(wrong)?),
        (None, Some(key)) => Some(After::Key(key.to_owned())),
        (None, None) => None,
    };
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut is_cut = false;
    for (key, object) in &bucket.objects {
        if !key.starts_with(prefix) || after.as_ref().is_some_and(|after| after.has_passed(key)) {
            continue;
        }
        if items.len() == most {
            is_cut = most > 0;
            break;
        }
        let below = &key[prefix.len()..];
        let folder = delimiter
            .and_then(|delimiter| Some(below.find(delimiter)? + delimiter.len()))
            .map(|end| &key[..prefix.len() + end]);
        match folder {
            Some(folder) => {
                items.push(Item::Folder(folder));
                after = Some(After::Prefix(folder.to_owned()));
            }
            None => {
                items.push(Item::Object(key, object));
                after = Some(After::Key(key.clone()));
            }
        }
    }
    let count = items.len();
    if turned {
        items.reverse();
    }
    let is_encoded = call.query("encoding-type") == Some("url");
    let shown = |text: &str| match is_encoded {
        true => percent(text, b"/*").replace("%20", "+"),
        false => escape(text),
    };
    let (mut objects, mut folders) = (String::new(), String::new());
    for item in items {
        match item {
            Item::Object(key, object) => objects.push_str(&format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                shown(key),
                clock::listed(object.modified),
                escape(&object.etag),
                object.body.len()
            )),
            Item::Folder(folder) => folders.push_str(&format!(
                "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
                shown(folder)
            )),
        }
    }
    let mut text = format!(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{is_cut}</IsTruncated>",
        escape(&call.bucket),
        shown(prefix)
    );
    if is_encoded {
        text.push_str("<EncodingType>url</EncodingType>");
    }
    if let Some(after) = after.filter(|_| is_cut) {
        let token = after.token();
        text.push_str(&format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    }
    text.push_str(&objects);
    text.push_str(&folders);
    text.push_str("</ListBucketResult>");
    Ok(Answer::xml(200, &text))
}
