//! Signature Version 4: proves to the service who asks. Pure: the time is passed in.

use std::time::SystemTime;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::credentials::Credentials;

/// The digest of a body that is not signed: it is guarded by a checksum in a signed header, or by the digest of what was stored.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A request as it is signed.
pub(crate) struct ToSign<'a> {
    pub(crate) method: &'a str,
    /// The path as it is sent.
    pub(crate) path: &'a str,
    /// The query as it is sent: sorted, encoded, without `?`.
    pub(crate) query: &'a str,
    /// Every header, with its name in lower case, sorted by name; `host`, `x-amz-date` and `x-amz-content-sha256` are among them.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) payload: &'a str,
}

/// The two forms of a time in signatures: `20260102T030405Z` and `20260102`.
pub(crate) fn stamps(time: SystemTime) -> (String, String) {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    (time.strftime("%Y%m%dT%H%M%SZ").to_string(), time.strftime("%Y%m%d").to_string())
}

/// The value of the header `Authorization`.
pub(crate) fn authorization(
    request: &ToSign<'_>,
    credentials: &Credentials,
    region: &str,
    time: SystemTime,
) -> String {
    let (stamp, day) = stamps(time);
    let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let headers = request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim()));
    let headers: String = headers.collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{}",
        request.method, request.path, request.query, request.payload
    );
    let scope = format!("{day}/{region}/s3/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let first = format!("AWS4{}", credentials.secret.expose_secret());
    let mut key = mac(first.as_bytes(), day.as_bytes());
    for part in [region, "s3", "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = HEXLOWER.encode(&mac(&key, to_sign.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    )
}

/// The SHA-256 of a body, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).expect("PROOF: HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The worked example of the documentation of the signature: GET of an object with a range.
    #[test]
    fn the_example_of_the_documentation_has_its_signature() {
        let credentials = Credentials {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let payload = sha256(b"");
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", payload.as_str()),
            ("x-amz-date", "20130524T000000Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = ToSign {
            method: "GET",
            path: "/test.txt",
            query: "",
            headers: &headers,
            payload: &payload,
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let signed = authorization(&request, &credentials, "us-east-1", time);
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(signed.ends_with(signature), "{signed}");
    }
}
