//! Deletions: of one object and of many.

use crate::answer::{Answer, Refused, refused};
use crate::bucket;
use crate::call::Call;
use crate::conditions::{check, is_etag};
use crate::object::verify;
use crate::store::Store;
use crate::text::{elements, escape, text_of};

/// So many objects are deleted by one request.
const AT_ONCE: usize = 1000;

pub(crate) fn one(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refused> {
    let bucket = bucket::find_mut(store, call)?;
    check(call, bucket.objects.get(&call.key))?;
    bucket.objects.remove(&call.key);
    Ok(Answer::empty(204))
}

pub(crate) fn many(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refused> {
    let bucket = bucket::find_mut(store, call)?;
    if call.request.header("content-md5").is_none() {
        return Err(refused(400, "InvalidRequest"));
    }
    verify(call.request, true)?;
    let malformed = || refused(400, "MalformedXML");
    let body = std::str::from_utf8(&call.request.body).map_err(|_| malformed())?;
    let objects = elements(body, "Object");
    if objects.is_empty() || objects.len() > AT_ONCE {
        return Err(malformed());
    }
    let is_quiet = text_of(body, "Quiet").as_deref() == Some("true");
    let mut results = String::new();
    for object in objects {
        let key = text_of(object, "Key").ok_or_else(malformed)?;
        let wanted = text_of(object, "ETag").filter(|_| !call.ignores_conditions);
        let shown = escape(&key);
        match (bucket.objects.get(&key), wanted) {
            (Some(found), Some(etag)) if !is_etag(&etag, found) => {
                let code = "PreconditionFailed";
                results.push_str(&format!(
                    "<Error><Key>{shown}</Key><Code>{code}</Code><Message>It is another version.</Message></Error>"
                ));
            }
            _ => {
                bucket.objects.remove(&key);
                if !is_quiet {
                    results.push_str(&format!("<Deleted><Key>{shown}</Key></Deleted>"));
                }
            }
        }
    }
    Ok(Answer::xml(200, &format!("<DeleteResult>{results}</DeleteResult>")))
}
