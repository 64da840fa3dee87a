//! Which hosts are spoken to, and how a name that a server gave becomes a URL.
//!
//! A server names other hosts: the node of an upload, the place of a download. Such a name is taken apart by hand against a
//! grammar that is far narrower than a URL's, so that nothing a URL parser might read otherwise (an address in any
//! spelling, a user, a port, a backslash) can get through. What passes is checked once more after the real parser.

use ketch_core::{Error, ErrorKind, Result};

/// The domain of upload nodes.
const NODE_DOMAIN: &str = "1fichier.com";
/// The domains of files and downloads: table 8.1 of the API reference.
const FILE_DOMAINS: [&str; 11] = [
    NODE_DOMAIN,
    "alterupload.com",
    "cjoint.net",
    "desfichiers.com",
    "dfichiers.com",
    "megadl.fr",
    "mesfichiers.org",
    "piecejointe.net",
    "pjointe.com",
    "tenvoi.com",
    "dl4free.com",
];

/// A URL whose host has been allowed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    url: String,
    authority: String,
}

// A download URL is a secret for half an hour: only its host is ever shown.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.authority).finish()
    }
}

impl Place {
    /// The whole URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Host and, if given, port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Another path on the same host.
    pub(crate) fn with_path(&self, path: &str) -> Place {
        let scheme = self.url.split("://").next().unwrap_or("https");
        let url = format!("{scheme}://{}{path}", self.authority);
        Place { url, authority: self.authority.clone() }
    }
}

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: &'static str,
    authority: String,
    path: String,
    loopback: bool,
}

impl Origin {
    /// Reads the option `api_url`. Plain http is taken for this machine only, because the key would be readable on the way.
    pub(crate) fn parse(api_url: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(Error::new(ErrorKind::InvalidInput, format!("the option `api_url` {why}")))
        };
        let Some((scheme, authority, path)) = split(api_url) else {
            return refuse(
                "is not of the form https://host/path (in a place on the command line in quotes: api_url=\"https://…\")",
            );
        };
        if !is_authority(&authority) {
            return refuse("has no plain host name");
        }
        if path.contains(['?', '#']) {
            return refuse("must not have a query");
        }
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        let loopback = host == "localhost" || is_loopback_address(host);
        if scheme == "http" && !loopback {
            return refuse("must begin with https:// (http is for this machine only)");
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(Origin { scheme, authority, path, loopback })
    }

    /// Host and port, for messages and for telling accounts apart.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Is the API on this machine?
    pub(crate) fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Is everything, also what the API names, spoken to without TLS?
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == "http"
    }

    /// The URL of one call, such as `file/ls.cgi`.
    pub(crate) fn call(&self, verb: &str) -> Place {
        let url = format!("{}://{}{}/{verb}", self.scheme, self.authority, self.path);
        Place { url, authority: self.authority.clone() }
    }

    /// The node that an upload goes to, with the key: a bare name under 1fichier.com, or the API's own host.
    pub(crate) fn node(&self, name: &str) -> Result<Place> {
        let name = name.to_ascii_lowercase();
        let own = name == self.authority;
        let known = is_host(&name) && is_under(&name, NODE_DOMAIN);
        if !own && !known {
            return Err(foreign("upload node", &name));
        }
        let scheme = if own { self.scheme } else { "https" };
        Ok(Place { url: format!("{scheme}://{name}/"), authority: name })
    }

    /// What everybody can see at a public address, without the key. Where the API is an emulator, so is the rest: the same
    /// path of its own host.
    pub(crate) fn public(&self, url: &str) -> Result<Place> {
        let refuse = || foreign("address", url.split(['?', '#']).next().unwrap_or(""));
        let (scheme, authority, path) = split(url).ok_or_else(refuse)?;
        if authority == self.authority && scheme == self.scheme {
            return self.download(url);
        }
        let is_known =
            is_host(&authority) && FILE_DOMAINS.contains(&&*authority.replacen("www.", "", 1));
        if !is_known {
            return Err(refuse());
        }
        if self.loopback {
            return self.download(&format!("{}://{}{path}", self.scheme, self.authority));
        }
        self.download(&format!("https://{authority}{path}"))
    }

    /// A place that content is downloaded from, without the key.
    pub(crate) fn download(&self, url: &str) -> Result<Place> {
        let Some((scheme, authority, _)) = split(url) else {
            return Err(foreign("download address", url.split(['?', '#']).next().unwrap_or("")));
        };
        let own = authority == self.authority && scheme == self.scheme;
        let known = scheme == "https"
            && is_host(&authority)
            && FILE_DOMAINS.iter().any(|domain| is_under(&authority, domain));
        if !own && !known {
            return Err(foreign("download address", &authority));
        }
        let at = url.find("://").map_or(0, |at| at + 3) + authority.len();
        Ok(Place { url: format!("{scheme}://{authority}{}", &url[at..]), authority })
    }
}

fn foreign(what: &str, name: &str) -> Error {
    let message = format!("the {what} `{}` is not a host of 1fichier", crate::text::snippet(name));
    Error::new(ErrorKind::Protocol, message)
}

/// Scheme, lower-case authority and the rest. `None` for anything but printable ASCII, or with a backslash.
fn split(url: &str) -> Option<(&'static str, String, &str)> {
    if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => "https",
        "http" => "http",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, rest[..end].to_ascii_lowercase(), &rest[end..]))
}

/// A host name and perhaps a port; no user, no brackets.
fn is_authority(text: &str) -> bool {
    match text.split_once(':') {
        Some((host, port)) => {
            is_host(host)
                && port.parse::<u16>().is_ok_and(|number| number > 0)
                && port.bytes().all(|digit| digit.is_ascii_digit())
        }
        None => is_host(text),
    }
}

/// Letters, digits and hyphens in labels that are not empty: no address with colons, no trailing dot, no user.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_loopback_address(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> Origin {
        Origin::parse("https://api.1fichier.com/v1").expect("legal")
    }

    fn sandbox() -> Origin {
        Origin::parse("http://127.0.0.1:8080/v1/").expect("legal")
    }

    #[test]
    fn only_hosts_of_1fichier_and_the_api_itself_are_upload_nodes() {
        for good in ["up2.1fichier.com", "ru-3.1fichier.com", "1fichier.com", "UP2.1Fichier.COM"] {
            assert!(real().node(good).is_ok(), "{good} must be allowed");
        }
        let hostile = ". 2130706433 0x7f.1 0x7f000001 127.1 127.0.0.1 127.0.0.1:8080 [::1] ::1 \
            [::ffff:127.0.0.1] 169.254.169.254 localhost user@1fichier.com \
            1fichier.com@evil.example evil1fichier.com 1fichier.com.evil.example 1fichier.com. \
            up2.1fichier.com. .1fichier.com a..1fichier.com up2.1fichier.com:443 \
            up2.1fichier.com:22 up2.1fichier.com/evil evil.example/.1fichier.com \
            evil.example?.1fichier.com evil.example#.1fichier.com https://up2.1fichier.com \
            up2。1fichier.com up%32.1fichier.com desfichiers.com";
        let odd = [
            "",
            "evil.example\\.1fichier.com",
            "up2.1fichier.com\r\nX: y",
            "up 2.1fichier.com",
            "up2.1fichier.com\0",
        ];
        for name in hostile.split(' ').chain(odd) {
            let error = real().node(name).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Protocol, "{name}");
        }
    }

    #[test]
    fn the_node_may_be_the_api_itself_with_its_port() {
        let place = sandbox().node("127.0.0.1:8080").expect("own host");
        assert_eq!(place.url(), "http://127.0.0.1:8080/");
        for other in ["127.0.0.1", "127.0.0.1:8081", "127.0.0.2:8080", "localhost:8080"] {
            assert!(sandbox().node(other).is_err(), "{other}");
        }
        assert_eq!(
            sandbox().node("up1.1fichier.com").expect("real").url(),
            "https://up1.1fichier.com/"
        );
    }

    #[test]
    fn downloads_come_from_the_documented_domains_over_tls() {
        let good = "https://a-4.1fichier.com/c123456789?inline=1";
        assert_eq!(real().download(good).expect("allowed").url(), good);
        assert!(real().download("https://a-4.desfichiers.com/p1").is_ok());
        assert!(sandbox().download("http://127.0.0.1:8080/dl/1").is_ok());
        for hostile in [
            "http://a-4.1fichier.com/c1",
            "https://a-4.1fichier.com:8443/c1",
            "https://user@a-4.1fichier.com/c1",
            "https://a-4.1fichier.com@evil.example/c1",
            "https://evil.example/a-4.1fichier.com",
            "https://evil.example\\@a-4.1fichier.com/",
            "https://a-4.1fichier.com\t.evil.example/",
            "https:evil.example",
            "file:///etc/passwd",
            "ftp://a-4.1fichier.com/c1",
            "https://2130706433/",
            "//a-4.1fichier.com/c1",
            "",
        ] {
            assert!(real().download(hostile).is_err(), "{hostile:?} must be refused");
        }
        assert!(real().download("http://127.0.0.1:8080/dl/1").is_err());
    }

    #[test]
    fn the_api_itself_may_be_plain_on_this_machine_only() {
        assert!(Origin::parse("http://localhost:1/v1").is_ok());
        for bad in [
            "http://api.1fichier.com/v1",
            "api.1fichier.com",
            "ftp://api.1fichier.com",
            "https://key@api.1fichier.com/v1",
            "https://api.1fichier.com:0/v1",
            "https://api.1fichier.com/v1?x=1",
            "https:///v1",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad} must be refused");
        }
        assert_eq!(real().call("file/ls.cgi").url(), "https://api.1fichier.com/v1/file/ls.cgi");
        assert_eq!(sandbox().call("file/ls.cgi").url(), "http://127.0.0.1:8080/v1/file/ls.cgi");
    }

    #[test]
    fn a_place_never_shows_its_path() {
        let place = real().download("https://a-4.1fichier.com/csecret").expect("allowed");
        assert!(!format!("{place:?}").contains("secret"));
    }
}
