//! The rate limits as numbers, and their text form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The most requests in any one span.
    pub requests: u32,
    /// The length of the span.
    pub span: Duration,
}

/// Which rate limits are in force; `None` is not limited.
///
/// The text form is `off`, `documented`, `documented/100` (time runs 100 times faster: every
/// duration is divided by 100), or a list such as
/// `global=3/1s,folder=30s,listing=3s,account=1h,user=5m,user-ip=1m,lock=30s,ban=20/1m`, which
/// starts from `off`; only `documented` can be scaled.
/// Durations are a number with `ms`, `s`, `m` or `h`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// All requests of the API host together.
    pub global: Option<Rate>,
    /// Gap between two listings of one folder by one listing endpoint.
    pub folder: Option<Duration>,
    /// Gap between any two listings by either listing endpoint.
    pub listing: Option<Duration>,
    /// Gap between two listings of the whole account (`folder_id: -1`).
    pub account: Option<Duration>,
    /// Gap between two `user/info` of one account.
    pub user: Option<Duration>,
    /// Gap between two `user/info` from one address.
    pub user_ip: Option<Duration>,
    /// How long an endpoint answers nothing but floods once it was flooded.
    pub lock: Duration,
    /// After so many 401, 403, 404 or 410 answers in a span, everything is locked.
    pub ban: Option<Rate>,
}

impl Limits {
    /// Nothing is limited.
    pub fn off() -> Self {
        Self {
            global: None,
            folder: None,
            listing: None,
            account: None,
            user: None,
            user_ip: None,
            lock: Duration::from_secs(30),
            ban: None,
        }
    }

    /// The documented limits and the listing gap that support told: 3 requests a second, a folder
    /// once in 30 s, a listing every 3 s, the account once an hour, `user/info` once in 5 minutes
    /// a user and once a minute an address. The lock of 30 s and the ban after 20 refusals in a
    /// minute are assumptions.
    pub fn documented() -> Self {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let rate = |requests, seconds| Some(Rate { requests, span: Duration::from_secs(seconds) });
        Self {
            global: rate(3, 1),
            folder: seconds(30),
            listing: seconds(3),
            account: seconds(3600),
            user: seconds(300),
            user_ip: seconds(60),
            lock: Duration::from_secs(30),
            ban: rate(20, 60),
        }
    }

    /// The same limits in a world whose time runs `time_scale` times faster.
    ///
    /// A scale that is not a positive number leaves the limits as they are.
    #[must_use]
    pub fn scaled(self, time_scale: f64) -> Self {
        if !(time_scale.is_finite() && time_scale > 0.0) {
            return self;
        }
        let shorter = |duration: Duration| {
            Duration::try_from_secs_f64(duration.as_secs_f64() / time_scale).unwrap_or(duration)
        };
        let faster = |rate: Rate| Rate { span: shorter(rate.span), ..rate };
        Self {
            global: self.global.map(faster),
            folder: self.folder.map(shorter),
            listing: self.listing.map(shorter),
            account: self.account.map(shorter),
            user: self.user.map(shorter),
            user_ip: self.user_ip.map(shorter),
            lock: shorter(self.lock),
            ban: self.ban.map(faster),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::off()
    }
}

/// The text is not in the grammar of [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits: {0}")]
pub struct LimitsError(String);

impl FromStr for Limits {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let text = text.trim();
        match text {
            "off" => return Ok(Self::off()),
            "documented" => return Ok(Self::documented()),
            _ => {}
        }
        if let Some(scale) = text.strip_prefix("documented/") {
            let number: f64 =
                scale.parse().map_err(|_| LimitsError(format!("no number: {scale}")))?;
            if !(number.is_finite() && number > 0.0) {
                return Err(LimitsError(format!("not a positive number: {scale}")));
            }
            return Ok(Self::documented().scaled(number));
        }
        let mut limits = Self::off();
        for rule in text.split(',') {
            let (name, value) = rule
                .split_once('=')
                .ok_or_else(|| LimitsError(format!("no `name=value`: {rule}")))?;
            match name.trim() {
                "global" => limits.global = Some(parse_rate(value)?),
                "ban" => limits.ban = Some(parse_rate(value)?),
                "folder" => limits.folder = Some(parse_duration(value)?),
                "listing" => limits.listing = Some(parse_duration(value)?),
                "account" => limits.account = Some(parse_duration(value)?),
                "user" => limits.user = Some(parse_duration(value)?),
                "user-ip" => limits.user_ip = Some(parse_duration(value)?),
                "lock" => limits.lock = parse_duration(value)?,
                other => return Err(LimitsError(format!("no such rule: {other}"))),
            }
        }
        Ok(limits)
    }
}

fn parse_rate(text: &str) -> Result<Rate, LimitsError> {
    let wrong = || LimitsError(format!("no rate such as 3/1s: {text}"));
    let (requests, span) = text.trim().split_once('/').ok_or_else(wrong)?;
    Ok(Rate { requests: requests.parse().map_err(|_| wrong())?, span: parse_duration(span)? })
}

/// A number with `ms`, `s`, `m` or `h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, LimitsError> {
    let text = text.trim();
    let wrong = || LimitsError(format!("no duration such as 500ms, 3s, 5m, 1h: {text}"));
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::off() {
            return f.write_str("off");
        }
        if *self == Self::documented() {
            return f.write_str("documented");
        }
        for (name, rate) in [("global", self.global), ("ban", self.ban)] {
            if let Some(Rate { requests, span }) = rate {
                write!(f, "{name}={requests}/{}s,", span.as_secs_f64())?;
            }
        }
        for (name, gap) in [
            ("folder", self.folder),
            ("listing", self.listing),
            ("account", self.account),
            ("user", self.user),
            ("user-ip", self.user_ip),
        ] {
            if let Some(gap) = gap {
                write!(f, "{name}={}s,", gap.as_secs_f64())?;
            }
        }
        write!(f, "lock={}s", self.lock.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_read_back() {
        for text in [
            "off",
            "documented",
            "documented/100",
            "global=3/1s,folder=30s,listing=3s,user=60s,lock=30s",
        ] {
            let limits: Limits = text.parse().unwrap();
            assert_eq!(limits.to_string().parse::<Limits>().unwrap(), limits, "{text}");
        }
        let fast: Limits = "documented/100".parse().unwrap();
        assert_eq!(fast.folder, Some(Duration::from_millis(300)));
        let own: Limits = "global=5/2s,ban=20/1m,lock=250ms".parse().unwrap();
        assert_eq!(own.global, Some(Rate { requests: 5, span: Duration::from_secs(2) }));
        assert_eq!(own.lock, Duration::from_millis(250));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "fast",
            "documented/0",
            "documented/x",
            "folder",
            "folder=3",
            "global=3",
            "color=3s",
            "folder=-3s",
        ] {
            assert!(text.parse::<Limits>().is_err(), "{text}");
        }
    }
}
