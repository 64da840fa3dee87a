//! `If-Match` and `If-None-Match` of requests that read, store and delete.

use crate::answer::{Refused, refused};
use crate::call::Call;
use crate::store::Object;

/// Does what the request says of the object hold? `found`: what is at the key now.
pub(crate) fn check(call: &Call<'_>, found: Option<&Object>) -> Result<(), Refused> {
    if call.ignores_conditions {
        return Ok(());
    }
    let wanted = call.request.header("if-match");
    let unwanted = call.request.header("if-none-match");
    match (wanted, found) {
        (Some(_), None) => return Err(refused(404, "NoSuchKey")),
        (Some(etag), Some(object)) if !is_etag(etag, object) => {
            return Err(refused(412, "PreconditionFailed"));
        }
        _ => {}
    }
    match (unwanted, found) {
        (Some("*"), Some(_)) => Err(refused(412, "PreconditionFailed")),
        (Some(etag), Some(object)) if is_etag(etag, object) => {
            Err(refused(412, "PreconditionFailed"))
        }
        _ => Ok(()),
    }
}

/// Is it the ETag of the object, with or without quotes?
pub(crate) fn is_etag(etag: &str, object: &Object) -> bool {
    etag == "*" || etag.trim_matches('"') == object.etag.trim_matches('"')
}
