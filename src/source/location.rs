//! Where a repository is: reading the URL forms that Git accepts, and refusing the rest by name.
//!
//! Security: nothing that could be read as an option by `git` or `ssh` gets through, and a
//! password in a URL is neither used nor repeated in a message.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::Error;

/// A repository's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A directory of this machine: a bare repository, or one with a `.git` in it.
    Local(PathBuf),
    /// Another machine, reached by running `ssh`.
    Ssh {
        /// `host` or `user@host`.
        destination: String,
        /// The port, where it is not the usual one.
        port: Option<u16>,
        /// The path there.
        path: String,
    },
}

impl Location {
    /// Reads `repo` as an absolute path, `file://`, `ssh://` or `user@host:path`.
    ///
    /// # Errors
    /// [`Error::UnsupportedTransport`] for other transports, [`Error::InvalidUrl`] for the rest.
    pub(super) fn parse(repo: &str) -> Result<Self, Error> {
        let invalid = |problem| Error::InvalidUrl { repo: redact(repo), problem };
        if repo.is_empty() {
            return Err(invalid("the URL is empty"));
        }
        if repo.chars().any(char::is_control) {
            return Err(invalid("the URL contains control characters"));
        }
        if repo.starts_with('/') {
            return Ok(Self::Local(PathBuf::from(repo)));
        }
        if let Some((scheme, rest)) = repo.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "file" => file_url(rest).ok_or_else(|| {
                    invalid("a file URL must be file:// and an absolute path of this machine")
                }),
                "ssh" | "git+ssh" | "ssh+git" => ssh_url(rest).map_err(invalid),
                _ => Err(Error::UnsupportedTransport {
                    repo: redact(repo),
                    scheme: scheme.to_owned(),
                }),
            };
        }
        match repo.split_once(':') {
            Some((destination, path)) if !destination.contains('/') => {
                ssh(destination, None, path.to_owned()).map_err(invalid)
            }
            _ => Err(invalid("neither an absolute path nor a URL")),
        }
    }
}

/// `repo` without the password that it may contain, for messages.
#[must_use]
pub fn redact(repo: &str) -> String {
    let repo = repo.replace(char::is_control, "?");
    let Some((scheme, rest)) = repo.split_once("://") else { return repo };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            // A token may stand where the user name is expected; only ssh needs the name.
            let user = if scheme.contains("ssh") { user } else { "***" };
            format!("{scheme}://{user}@{host}{path}")
        }
        None => repo,
    }
}

fn file_url(rest: &str) -> Option<Location> {
    let path = if rest.starts_with('/') { rest } else { rest.strip_prefix("localhost")? };
    if !path.starts_with('/') {
        return None;
    }
    let decoded = percent_decode(path.as_bytes())?;
    if decoded.contains(&0) {
        return None;
    }
    Some(Location::Local(PathBuf::from(OsString::from_vec(decoded))))
}

/// Undoes `%XX`, as git does for `file://`. `None` when an escape is not one.
fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = tail.get(..2)?;
            decoded.extend(hex::decode(digits).ok()?);
            rest = &tail[2..];
        } else {
            decoded.push(byte);
            rest = tail;
        }
    }
    Some(decoded)
}

fn ssh_url(rest: &str) -> Result<Location, &'static str> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => return Err("the URL has no path"),
    };
    let (user, host_port) = match authority.rsplit_once('@') {
        Some((user, host_port)) => (Some(user), host_port),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err("a password in a URL is not accepted; use an ssh key");
    }
    let (host, port) = split_port(host_port).ok_or("the port is not a number")?;
    let destination = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
    // `ssh://host/~user/x` names a home directory; everything else is absolute.
    let path = path.strip_prefix('/').filter(|path| path.starts_with('~')).unwrap_or(path);
    ssh(&destination, port, path.to_owned())
}

/// Splits `host`, `host:22` and `[::1]:22`.
fn split_port(host_port: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = host_port.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => tail.is_empty().then_some((host, None)),
        };
    }
    match host_port.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((host_port, None)),
    }
}

fn ssh(destination: &str, port: Option<u16>, path: String) -> Result<Location, &'static str> {
    let host = destination.rsplit_once('@').map_or(destination, |(_, host)| host);
    if host.is_empty() {
        return Err("the URL has no host");
    }
    if path.is_empty() {
        return Err("the URL has no path");
    }
    // Security: `ssh -oProxyCommand=…` and `git-upload-pack --…` would run what the URL says.
    if destination.starts_with('-') || host.starts_with('-') || path.starts_with('-') {
        return Err("neither host, user nor path may begin with a dash");
    }
    if destination.contains(char::is_whitespace) {
        return Err("the host contains white space");
    }
    Ok(Location::Ssh { destination: destination.to_owned(), port, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh_at(destination: &str, port: Option<u16>, path: &str) -> Location {
        Location::Ssh { destination: destination.into(), port, path: path.into() }
    }

    #[test]
    fn every_form_of_url_leads_to_its_place() {
        let check = |url: &str, expected: Location| {
            assert_eq!(Location::parse(url).unwrap(), expected, "{url}");
        };
        check("/srv/infra.git", Location::Local("/srv/infra.git".into()));
        check("file:///srv/my%20infra", Location::Local("/srv/my infra".into()));
        check("file://localhost/srv/infra", Location::Local("/srv/infra".into()));
        check("git@example.org:team/infra.git", ssh_at("git@example.org", None, "team/infra.git"));
        check("ssh://git@example.org:2222/i", ssh_at("git@example.org", Some(2222), "/i"));
        check("ssh://example.org/~me/i", ssh_at("example.org", None, "~me/i"));
        check("ssh://[::1]:22/i", ssh_at("::1", Some(22), "/i"));
    }

    #[test]
    fn http_is_refused_by_name_and_without_its_password() {
        let error = Location::parse("https://me:hunter2@example.org/x.git").unwrap_err();
        assert!(matches!(&error, Error::UnsupportedTransport { scheme, .. } if scheme == "https"));
        let text = error.to_string();
        assert!(text.contains("https://***@example.org/x.git"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("me:"), "{text}");
        assert!(!error.is_transient());
    }

    #[test]
    fn what_could_be_an_option_or_is_no_url_is_refused() {
        for url in [
            "",
            "infra",
            "./infra",
            "../infra",
            "file://infra",
            "file:///a%2",
            "file:///a%00b",
            "ssh://-oProxyCommand=x/i",
            "me@-oProxyCommand=x:i",
            "-oProxyCommand=x:i",
            "host:--upload-pack=x",
            "ssh://host:port/i",
            "ssh://me:secret@host/i",
            "ssh://host",
            "host:",
            "/a\nb",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(matches!(error, Error::InvalidUrl { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
