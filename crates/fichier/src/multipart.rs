//! The body of an upload, byte by byte: the node reads it by position and not by the standard (section 5.2 of the API
//! reference), so it is written here and not by a library.

use bytes::Bytes;
use ketch_core::source::ByteStream;

use crate::http::Upload;

/// The body that stores `content` as `name` in `folder`. The name must be in its remote form, which has neither quotes nor
/// line ends.
pub(crate) fn form(folder: u64, name: &str, size: u64, content: ByteStream) -> Upload {
    let boundary = format!("ketch{:032x}", fastrand::u128(..));
    form_with(&boundary, folder, name, size, content)
}

fn form_with(boundary: &str, folder: u64, name: &str, size: u64, content: ByteStream) -> Upload {
    // ORDER: the disposition is the first header of a part, text parts have no other, and they come before the file.
    let head = format!(
        "--{boundary}\r\n\
         Content-Disposition: form-data; name=\"did\"\r\n\r\n\
         {folder}\r\n\
         --{boundary}\r\n\
         Content-Disposition: form-data; name=\"file[]\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = (head.len() + tail.len()) as u64 + size;
    Upload {
        content_type: format!("multipart/form-data; boundary={boundary}"),
        head: Bytes::from(head),
        content,
        tail: Bytes::from(tail),
        length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    #[test]
    fn the_body_is_the_known_good_one() {
        let upload = form_with("B", 3_357_645, "été.txt", 5, futures::stream::empty().boxed());
        let mut body = upload.head.to_vec();
        body.extend_from_slice(b"bytes");
        body.extend_from_slice(&upload.tail);
        let expected = "--B\r\n\
            Content-Disposition: form-data; name=\"did\"\r\n\r\n\
            3357645\r\n\
            --B\r\n\
            Content-Disposition: form-data; name=\"file[]\"; filename=\"été.txt\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\
            bytes\r\n\
            --B--\r\n";
        assert_eq!(String::from_utf8(body).expect("text"), expected);
        assert_eq!(upload.length, expected.len() as u64);
        assert_eq!(upload.content_type, "multipart/form-data; boundary=B");
    }

    #[test]
    fn each_body_has_a_boundary_of_its_own() {
        let types: std::collections::HashSet<String> = (0..100)
            .map(|_| form(0, "a", 1, futures::stream::empty().boxed()).content_type)
            .collect();
        assert_eq!(types.len(), 100);
    }
}
