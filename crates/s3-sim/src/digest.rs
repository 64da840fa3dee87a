//! The digests that S3 computes, in the forms it shows them.

use data_encoding::{BASE64, HEXLOWER};
use md5::Digest as _;

pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    md5::Md5::digest(bytes).into()
}

/// The ETag of what was stored in one piece, with its quotes.
pub(crate) fn etag(bytes: &[u8]) -> String {
    etag_of(&md5(bytes))
}

/// The ETag that an MD5 is.
pub(crate) fn etag_of(md5: &[u8; 16]) -> String {
    format!("\"{}\"", HEXLOWER.encode(md5))
}

/// The ETag of what was stored in parts: the MD5 of their MD5s, and their number.
pub(crate) fn etag_of_parts(parts: &[[u8; 16]]) -> String {
    format!("\"{}-{}\"", HEXLOWER.encode(&md5(&parts.concat())), parts.len())
}

/// CRC-64/NVME in Base64.
pub(crate) fn crc64(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    BASE64.encode(&sum.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_known_values() {
        assert_eq!(etag(b""), "\"d41d8cd98f00b204e9800998ecf8427e\"");
        // The check value of CRC-64/NVME: AE8B14860A799888.
        assert_eq!(crc64(b"123456789"), BASE64.encode(&0xAE8B_1486_0A79_9888_u64.to_be_bytes()));
        assert!(etag_of_parts(&[md5(b"a"), md5(b"b")]).ends_with("-2\""));
    }
}
