//! The body of an upload, byte by byte: the node reads it by position and not by the standard (section 5.2 of the API
//! reference), so it is written here and not by a library.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use ketch_core::source::ByteStream;
use ketch_core::{Error, Result};

use crate::http::Upload;

/// One file of the body.
pub(crate) struct Part<F> {
    /// In its remote form, which has neither quotes nor line ends.
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Opens the content, when its turn has come.
    pub(crate) open: F,
}

/// The body that stores `parts`, at least one, in `folder`.
pub(crate) fn form<F, O>(folder: u64, parts: Vec<Part<F>>) -> Upload
where
    F: FnOnce() -> O + Send + 'static,
    O: Future<Output = Result<ByteStream>> + Send + 'static,
{
    form_with(&format!("ketch{:032x}", fastrand::u128(..)), folder, parts)
}

fn form_with<F, O>(boundary: &str, folder: u64, parts: Vec<Part<F>>) -> Upload
where
    F: FnOnce() -> O + Send + 'static,
    O: Future<Output = Result<ByteStream>> + Send + 'static,
{
    // ORDER: the disposition is the first header of a part, text parts have no other, and they come before the files.
    let head =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"did\"\r\n\r\n{folder}");
    let tail = format!("\r\n--{boundary}--\r\n");
    let mut length = (head.len() + tail.len()) as u64;
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let head = format!(
                "\r\n--{boundary}\r\n\
                 Content-Disposition: form-data; name=\"file[]\"; filename=\"{}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n",
                part.name
            );
            length += head.len() as u64 + part.size;
            (Bytes::from(head), part.open)
        })
        .collect();
    let content = futures::stream::iter(parts).then(|(head, open)| async move {
        let content = open().await?;
        Ok::<_, Error>(futures::stream::iter([Ok(head)]).chain(content))
    });
    Upload {
        content_type: format!("multipart/form-data; boundary={boundary}"),
        head: Bytes::from(head),
        content: content.try_flatten().boxed(),
        tail: Bytes::from(tail),
        length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    async fn body(upload: Upload) -> String {
        let mut body = upload.head.to_vec();
        let mut content = upload.content;
        while let Some(piece) = content.next().await {
            body.extend_from_slice(&piece.expect("no error"));
        }
        body.extend_from_slice(&upload.tail);
        assert_eq!(upload.length, body.len() as u64);
        String::from_utf8(body).expect("text")
    }

    fn part(
        name: &str,
        content: &'static str,
    ) -> Part<impl FnOnce() -> futures::future::Ready<Result<ByteStream>>> {
        let pieces = move || -> ByteStream {
            futures::stream::iter([Ok(Bytes::from_static(content.as_bytes()))]).boxed()
        };
        let open = move || futures::future::ready(Ok(pieces()));
        Part { name: name.to_owned(), size: content.len() as u64, open }
    }

    #[tokio::test]
    async fn the_body_is_the_known_good_one() {
        let upload = form_with("B", 3_357_645, vec![part("\u{e9}t\u{e9}.txt", "bytes")]);
        assert_eq!(upload.content_type, "multipart/form-data; boundary=B");
        let expected = "--B\r\n\
            Content-Disposition: form-data; name=\"did\"\r\n\r\n\
            3357645\r\n\
            --B\r\n\
            Content-Disposition: form-data; name=\"file[]\"; filename=\"\u{e9}t\u{e9}.txt\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\
            bytes\r\n\
            --B--\r\n";
        assert_eq!(body(upload).await, expected);
    }

    #[tokio::test]
    async fn several_files_follow_one_another() {
        let upload = form_with("B", 7, vec![part("a", "one"), part("b", "two")]);
        let file = |name: &str, content: &str| {
            format!(
                "--B\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"{name}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n{content}\r\n"
            )
        };
        let did = "--B\r\nContent-Disposition: form-data; name=\"did\"\r\n\r\n7\r\n";
        let expected = format!("{did}{}{}--B--\r\n", file("a", "one"), file("b", "two"));
        assert_eq!(body(upload).await, expected);
    }

    #[test]
    fn each_body_has_a_boundary_of_its_own() {
        let types: std::collections::HashSet<String> =
            (0..100).map(|_| form(0, vec![part("a", "b")]).content_type).collect();
        assert_eq!(types.len(), 100);
    }
}
