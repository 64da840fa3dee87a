//! What the service says when it refuses, as errors.

use ketch_core::{Error, ErrorKind, Retry};
use ketch_wire::Answer;
use ketch_wire::xml::{Piece, each};

/// A refusal: what the service calls it, and the error it means.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Its code, such as `NoSuchKey`; empty when it gave none.
    pub(crate) code: String,
    pub(crate) error: Error,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl Refusal {
    /// Is what was asked for not there?
    pub(crate) fn is_missing(&self) -> bool {
        self.error.kind() == ErrorKind::NotFound
    }
}

/// Code and message in a body that is an error; `None` when it is none.
pub(crate) fn said(body: &[u8]) -> Option<(String, String)> {
    let (mut code, mut message, mut is_error) = (String::new(), String::new(), false);
    let read = each(body, |piece| match piece {
        Piece::Start("Error") => is_error = true,
        Piece::Text("Code", text) if is_error => code = text.to_owned(),
        Piece::Text("Message", text) if is_error => message = text.to_owned(),
        _ => {}
    });
    (read.is_ok() && is_error).then_some((code, message))
}

/// What an answer that is a refusal means.
pub(crate) fn refusal(answer: &Answer) -> Refusal {
    let (code, message) = said(&answer.body).unwrap_or_default();
    of(answer.status, code, &message, answer.pause())
}

/// What a status, a code and a message mean. A message of the service is shown without line ends and not at any length.
pub(crate) fn of(
    status: u16,
    code: String,
    message: &str,
    pause: Option<std::time::Duration>,
) -> Refusal {
    let (kind, retry, text) = meaning(status, &code);
    let retry = match (retry, pause) {
        (Retry::Never, _) => Retry::Never,
        (_, Some(pause)) => Retry::After(pause),
        (retry, None) => retry,
    };
    let shown: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    let said = match (code.is_empty(), shown.is_empty()) {
        (true, true) => format!("status {status}"),
        (false, true) => code.clone(),
        (true, false) => shown,
        (false, false) => format!("{code}: {shown}"),
    };
    let error = Error::new(kind, format!("{text} ({said})")).with_retry(retry);
    Refusal { code, error }
}

fn meaning(status: u16, code: &str) -> (ErrorKind, Retry, &'static str) {
    use ErrorKind as Kind;
    let never = |kind, text| (kind, Retry::Never, text);
    let later = |kind, text| (kind, Retry::Backoff, text);
    match code {
        "NoSuchBucket" => return never(Kind::NotFound, "there is no such bucket"),
        "NoSuchKey" | "NotFound" | "NoSuchVersion" => {
            return never(Kind::NotFound, "there is no such object");
        }
        "NoSuchUpload" => return never(Kind::NotFound, "there is no such upload"),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AuthorizationHeaderMalformed" => {
            return never(Kind::Unauthenticated, "the service does not accept the key");
        }
        "RequestTimeTooSkewed" => return later(Kind::Unavailable, "the clocks differ too much"),
        "PreconditionFailed" => return never(Kind::Changed, "it is not what was listed"),
        "ConditionalRequestConflict" | "OperationAborted" => {
            return later(Kind::Unavailable, "another request changes the same object");
        }
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "ServiceUnavailable" => {
            return later(Kind::Throttled, "the service wants fewer requests");
        }
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "IncompleteBody"
        | "RequestTimeout" => {
            return later(Kind::Corrupt, "the bytes did not arrive as they were sent");
        }
        "InvalidPart" | "InvalidPartOrder" => {
            return later(Kind::Corrupt, "the parts are not those that were sent");
        }
        "EntityTooLarge" => {
            return never(Kind::Unsupported, "the object is larger than the service takes");
        }
        "QuotaExceeded" | "StorageQuotaExceeded" | "InsufficientCapacity" => {
            return never(Kind::Quota, "there is no room left");
        }
        "InvalidObjectState" => {
            return never(
                Kind::Denied,
                "the object is in cold storage and must be restored before it can be read",
            );
        }
        "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" | "BucketNotEmpty" => {
            return never(Kind::AlreadyExists, "the bucket is there already");
        }
        "InvalidBucketName" | "KeyTooLongError" => {
            return never(Kind::InvalidInput, "the name is not one the service takes");
        }
        "NotImplemented" => return never(Kind::Unsupported, "the service cannot do this"),
        _ => {}
    }
    match status {
        401 => never(Kind::Unauthenticated, "the service does not accept the key"),
        403 => never(Kind::Denied, "the service refuses this"),
        404 | 410 => never(Kind::NotFound, "there is no such object"),
        405 | 501 => never(Kind::Unsupported, "the service cannot do this"),
        409 => later(Kind::Unavailable, "another request changes the same object"),
        412 => never(Kind::Changed, "it is not what was listed"),
        413 => never(Kind::Unsupported, "the object is larger than the service takes"),
        416 => never(Kind::Changed, "the object does not have these bytes"),
        429 | 503 => later(Kind::Throttled, "the service wants fewer requests"),
        507 => never(Kind::Quota, "there is no room left"),
        301 | 302 | 307 | 308 => never(
            Kind::InvalidInput,
            "the bucket is in another region (the option `region` says which)",
        ),
        408 | 500..=599 => later(Kind::Unavailable, "the service failed"),
        _ => never(Kind::Protocol, "the service refuses the request"),
    }
}
