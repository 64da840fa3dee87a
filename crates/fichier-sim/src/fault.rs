//! One injected misbehaviour: where, when and what.

use std::time::Duration;

/// Which requests a [`Fault`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// Every request but those of tests.
    Anything,
    /// Every call of the API host.
    AnyCall,
    /// One call, named like its path without `/v1/` and `.cgi`: `file/ls`.
    Call(String),
    /// `upload.cgi` on the node.
    Upload,
    /// `end.pl` on the node.
    Report,
    /// A download token's URL.
    Download,
    /// The listing of a public folder.
    Shared,
}

/// Which of the matching requests are hit, counted from the injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The next so many.
    Next(u64),
    /// All.
    Every,
    /// Only this one; 1 is the first.
    Nth(u64),
}

/// What happens. An effect at a site where it means nothing does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Anywhere: this answer instead of doing anything.
    Answer(Canned),
    /// Anywhere: the connection is reset instead of doing anything.
    Reset,
    /// Anywhere: no answer, the request is not carried out.
    Stall,
    /// Anywhere: carried out, but the connection is reset instead of the answer.
    LoseAnswer,
    /// Anywhere: carried out after this pause.
    Delay(Duration),
    /// Anywhere: waits for [`crate::Holds::release`], and is carried out then, or never.
    Hold,
    /// Anywhere: carried out, but the answer waits for [`crate::Holds::release`], and may never come;
    /// [`crate::Sim::unanswered`] tells when.
    HoldAnswer,
    /// `upload`: waits after so many bytes of the request body. `download`: after so many of the answer.
    HoldAfter(u64),
    /// `upload`: all of the request body has come, and is stored after [`crate::Holds::release`], or never. Whether the
    /// client is still there by then makes no difference.
    HoldWhole,

    /// `upload/get_upload_server`: this node instead of the own address.
    Node(String),

    /// `upload`: reset after so many bytes of the request body. `download`: reset after so many
    /// bytes of the answer.
    ResetAfter(u64),
    /// `upload`: stops reading after so many bytes. `download`: stops sending.
    StallAfter(u64),
    /// `upload`: the 302 lacks its `Location`; the file is stored.
    NoLocation,
    /// `upload`: lands in the root, whatever `did` says.
    WrongFolder,
    /// `upload`: one bit of the stored bytes is wrong, and so is every checksum shown for them.
    Damage,
    /// `upload`: the file is missing from the next so many listings of its folder.
    Hide(u32),
    /// `file/rm`: the file still shows in the next so many listings of its folder.
    Linger(u32),
    /// `file/rm`: the file still shows in listings of its folder for this long, and `folder/rm` counts it.
    LingerFor(Duration),

    /// `end.pl`: the French "please wait" page.
    PleaseWait,
    /// `end.pl`: `links` is empty.
    NoLinks,
    /// `end.pl`: each file has two entries.
    TwoLinks,
    /// `end.pl`: 404.
    DeadReport,
    /// `end.pl`: each size is one too large.
    WrongSize,
    /// `end.pl`: each checksum is wrong, though the stored bytes are right.
    WrongWhirlpool,
    /// `end.pl`: checksums in upper case.
    UpperCaseWhirlpool,
    /// `end.pl`: no `whirlpool` field.
    NoWhirlpool,
    /// `end.pl`: the address, size and digest are those of another file, of this path; the name is the one that was sent.
    Stranger(String),
    /// `end.pl`: only the address is that of another file, of this path.
    StrangerAddress(String),

    /// `download`: ends in order after so many bytes although `Content-Length` said more.
    Short(u64),
    /// `download`: no `Content-Length`, closed in order after so many bytes.
    CloseDelimited(u64),
    /// `download`: answers 200 with the whole file to a range request.
    IgnoreRange,
    /// `download`: the `Content-Range` is one byte off; the bytes are as asked.
    WrongContentRange,
    /// `download`: one byte at a time with this pause.
    Drip(Duration),
    /// `download`: the byte of the file at this offset is sent with a wrong bit.
    Flip(u64),
    /// `download`: says `Content-Encoding: gzip` though nothing is compressed.
    Gzip,
    /// `download`: the token is dead from now on: 410.
    Expire,

    /// Calls: every integer of the answer is a string.
    IntegersAsStrings,
    /// Calls: fields whose value is 0 or an empty string are null.
    Nulls,
    /// Calls: every object has fields nobody knows.
    ExtraFields,
    /// Calls: `content_type` instead of `content-type`.
    UnderscoreContentType,
    /// Calls: this field is missing from every object of the answer.
    MissingField(String),
    /// Calls: this field is null in every object of the answer that has it.
    NullField(String),
    /// Calls: the JSON ends in the middle.
    TruncatedJson,
    /// Listings: no entries although there are some.
    EmptyListing,
    /// Listings: an additional file, or in `folder/ls` folder, of this name.
    HostileName(String),
    /// `folder/ls`: the folder also lists itself, under this name.
    Loop(String),
    /// `folder/ls`: the folder also lists the folder of this path, under its name.
    Alias(String),
    /// Listings: an additional file whose name holds half of a surrogate pair.
    LoneSurrogate,
    /// Calls, before the request is carried out: another client moves a file or a folder to another path, renaming it if need be.
    Move {
        /// The path it has.
        from: String,
        /// The path it gets; the folders above are there.
        to: String,
    },
    /// Calls, before the request is carried out: another client removes the file of this path.
    Take(String),
    /// `folder/ls`: `files:1` is not honoured.
    FilesIgnored,
    /// `file/ls`: `sent_before` and `sent_after` are not honoured.
    WindowsIgnored,
    /// `folder/ls`: the number of files is cut like the listing.
    CountCut,
}

/// An answer that is given as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Canned {
    /// A `{"status":"KO","message":…}` with this HTTP status.
    pub fn ko(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"status": "KO", "message": message}).to_string();
        Self::json(status, body)
    }

    /// A JSON body as it is.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::of(status, "application/json; charset=utf-8", body)
    }

    /// Any body.
    pub fn of(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Flood detected: IP Locked #<number>`, 403.
    pub fn flood(number: u32) -> Self {
        Self::ko(403, &format!("Flood detected: IP Locked #{number}"))
    }

    /// A redirect of the request to another place.
    pub fn redirect(location: &str) -> Self {
        Self::of(302, "text/html; charset=utf-8", "Moved !").with_header("Location", location)
    }

    /// An HTML error page with this status.
    pub fn page(status: u16, text: &str) -> Self {
        Self::of(status, "text/html; charset=utf-8", crate::page::notice(text))
    }
}

/// One misbehaviour: where, when, what.
///
/// Its text form is three parts with spaces between them, `WHERE WHEN WHAT`, as read by its
/// `FromStr` and described in the [`crate::grammar`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which requests.
    pub site: Site,
    /// Which of them.
    pub when: When,
    /// What happens.
    pub effect: Effect,
}

impl Fault {
    /// Every matching request.
    pub fn every(site: Site, effect: Effect) -> Self {
        Self { site, when: When::Every, effect }
    }

    /// The next `count` matching requests.
    pub fn next(count: u64, site: Site, effect: Effect) -> Self {
        Self { site, when: When::Next(count), effect }
    }

    /// Only the `number`-th matching request, the first being 1.
    pub fn nth(number: u64, site: Site, effect: Effect) -> Self {
        Self { site, when: When::Nth(number), effect }
    }
}

impl Site {
    /// One call of the API, such as `file/ls`.
    pub fn call(name: &str) -> Self {
        Self::Call(name.to_owned())
    }

    /// Whether a request that was given this site is meant.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anything, _) | (Self::AnyCall, Self::Call(_)) => true,
            (own, other) => own == other,
        }
    }
}
