//! Sending files: one multipart body, which is watched while it is sent.

use bytes::Bytes;
use futures::StreamExt;
use ketch_core::source::ByteStream;
use reqwest::header;

use super::{Answer, Fault, Http, NODE, checked, read};
use crate::hosts::Place;

/// One multipart body of known length: what stands before the content, the content, what stands after it.
pub(crate) struct Upload {
    pub(crate) content_type: String,
    pub(crate) head: Bytes,
    pub(crate) content: ByteStream,
    pub(crate) tail: Bytes,
    /// Of all three together.
    pub(crate) length: u64,
}

/// What became of an upload.
pub(crate) type Sent = ketch_wire::Sent<Answer>;

impl Http {
    /// Sends a file to a node, with the key.
    pub(crate) async fn upload(&self, place: &Place, upload: Upload) -> Sent {
        let Upload { content_type, head, content, tail, length } = upload;
        let address = checked(place).and_then(|url| Ok((url, self.bearer()?)));
        let (url, bearer) = match address {
            Ok(address) => address,
            Err(Fault { error, .. }) => return Sent::Broken { whole: false, error },
        };
        let request = self
            .bulk
            .post(url)
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT_ENCODING, "identity");
        // The tail is handed on only after the content has ended without an error, so a body whose source failed can never look
        // complete.
        let edge = |bytes: Bytes| futures::stream::iter([Ok(bytes)]);
        let content = edge(head).chain(content).chain(edge(tail)).boxed();
        ketch_wire::send(request, ketch_wire::Upload { content, length, peer: NODE }, read).await
    }
}
