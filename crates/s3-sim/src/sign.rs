//! Verifies signatures of version 4, from what came over the wire and not from what a client meant.

use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::answer::{Refused, refused};
use crate::clock;
use crate::http::Request;
use crate::rules::{KEY, SECRET};
use crate::text::{pairs, percent, unpercent};

/// A request whose time is further away is refused.
const SKEW: Duration = Duration::from_secs(15 * 60);

/// Is the request signed with the key, now, and is its body what was signed?
pub(crate) fn verify(request: &Request, now: SystemTime) -> Result<(), Refused> {
    let Some(authorization) = request.header("authorization") else {
        return Err(refused(403, "AccessDenied"));
    };
    let malformed = || refused(400, "AuthorizationHeaderMalformed");
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(malformed)?;
    let field = |name: &str| {
        let mut fields = fields.split(',').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let credential = field("Credential").ok_or_else(malformed)?;
    let names = field("SignedHeaders").ok_or_else(malformed)?;
    let signature = field("Signature").ok_or_else(malformed)?;
    let [id, day, region, "s3", "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..]
    else {
        return Err(malformed());
    };
    if id != KEY {
        return Err(refused(403, "InvalidAccessKeyId"));
    }
    let stamp = request.header("x-amz-date").ok_or_else(malformed)?;
    let time = clock::of_signature(stamp).ok_or_else(malformed)?;
    if !stamp.starts_with(day) {
        return Err(malformed());
    }
    let apart = now.duration_since(time).unwrap_or_else(|behind| behind.duration());
    if apart > SKEW {
        return Err(refused(403, "RequestTimeTooSkewed"));
    }
    let payload = request.header("x-amz-content-sha256").ok_or_else(malformed)?;
    let wrong = || refused(403, "SignatureDoesNotMatch");
    let signed: Vec<&str> = names.split(';').collect();
    let must =
        request.headers.iter().filter(|(name, _)| name.starts_with("x-amz-") || name == "host");
    if must.into_iter().any(|(name, _)| !signed.contains(&name.as_str())) || !signed.is_sorted() {
        return Err(wrong());
    }
    let mut headers = String::new();
    for name in &signed {
        let value = request.header(name).ok_or_else(wrong)?;
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let path = percent(&unpercent(&request.path).ok_or_else(wrong)?, b"/");
    let mut query: Vec<String> = pairs(&request.query)
        .ok_or_else(wrong)?
        .iter()
        .map(|(name, value)| format!("{}={}", percent(name, b""), percent(value, b"")))
        .collect();
    query.sort();
    let canonical =
        format!("{}\n{path}\n{}\n{headers}\n{names}\n{payload}", request.method, query.join("&"));
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = mac(format!("AWS4{SECRET}").as_bytes(), day)?;
    for part in [region, "s3", "aws4_request"] {
        key = mac(&key, part)?;
    }
    if HEXLOWER.encode(&mac(&key, &text)?) != signature {
        return Err(wrong());
    }
    match payload == "UNSIGNED-PAYLOAD" || payload == sha256(&request.body) {
        true => Ok(()),
        false => Err(refused(400, "XAmzContentSHA256Mismatch")),
    }
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>, Refused> {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = mac.map_err(|_| refused(500, "InternalError"))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(signature: &str) -> Request {
        let headers = [
            ("host", "127.0.0.1:9000".to_owned()),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD".to_owned()),
            ("x-amz-date", "20260102T030405Z".to_owned()),
            (
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={KEY}/20260102/us-east-1/s3/aws4_request, \
                     SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
                ),
            ),
        ];
        Request {
            method: "GET".to_owned(),
            path: "/bucket/a%20b".to_owned(),
            query: "uploads=".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: Bytes::new(),
        }
    }

    #[test]
    fn another_signature_and_another_time_are_refused() {
        let time = clock::of_signature("20260102T030405Z").expect("a time");
        let code = |request: &Request, now| verify(request, now).map_err(|refused| refused.code);
        assert_eq!(code(&request("00"), time), Err("SignatureDoesNotMatch"));
        let later = time + SKEW + Duration::from_secs(1);
        assert_eq!(code(&request("00"), later), Err("RequestTimeTooSkewed"));
        let unsigned = Request { headers: Vec::new(), ..request("00") };
        assert_eq!(code(&unsigned, time), Err("AccessDenied"));
    }
}
