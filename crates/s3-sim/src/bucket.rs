//! Buckets: made, asked for, listed.

use crate::answer::{Answer, Refused, refused};
use crate::call::Call;
use crate::store::{Bucket, Store};
use crate::text::escape;

pub(crate) fn create(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refused> {
    let name = &call.bucket;
    let is_known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if !(3..=63).contains(&name.len()) || !name.bytes().all(is_known) {
        return Err(refused(400, "InvalidBucketName"));
    }
    if store.buckets.contains_key(name) {
        return Err(refused(409, "BucketAlreadyOwnedByYou"));
    }
    store.buckets.insert(name.clone(), Bucket::default());
    Ok(Answer::empty(200).with("location", format!("/{name}")))
}

pub(crate) fn head(store: &Store, call: &Call<'_>) -> Result<Answer, Refused> {
    find(store, call).map(|_| Answer::empty(200))
}

pub(crate) fn all(store: &Store) -> Answer {
    let names = store.buckets.keys().map(|name| {
        let name = escape(name);
        format!("<Bucket><Name>{name}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>")
    });
    let buckets: String = names.collect();
    Answer::xml(
        200,
        &format!(
            "<ListAllMyBucketsResult><Owner><ID>sim</ID></Owner><Buckets>{buckets}</Buckets></ListAllMyBucketsResult>"
        ),
    )
}

/// The bucket that is asked.
pub(crate) fn find<'a>(store: &'a Store, call: &Call<'_>) -> Result<&'a Bucket, Refused> {
    store.buckets.get(&call.bucket).ok_or_else(|| refused(404, "NoSuchBucket"))
}

pub(crate) fn find_mut<'a>(
    store: &'a mut Store,
    call: &Call<'_>,
) -> Result<&'a mut Bucket, Refused> {
    store.buckets.get_mut(&call.bucket).ok_or_else(|| refused(404, "NoSuchBucket"))
}
