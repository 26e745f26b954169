//! Who is at the other end of the socket.

use std::io::Read;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use crate::model::Actor;

/// The list of users of this machine.
const PASSWD: &str = "/etc/passwd";
/// Where the kernel says how the machine is called.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
/// Bound: how much of that list is read, in bytes.
const PASSWD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The peer of a connection, as the kernel states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// The user; `None` when the kernel did not say.
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { uid: stream.io().peer_cred().ok().map(|credentials| credentials.uid()) }
    }
}

impl Peer {
    /// The actor of what the peer commands. Blocking: reads the list of users.
    pub(super) fn actor(self) -> Actor {
        match self.uid {
            Some(uid) => Actor::os_user(user_name(uid)),
            None => Actor::default(),
        }
    }
}

/// What this machine calls itself; `localhost` where that cannot be read.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The actor of what is done by this process itself. Blocking: reads the list of users.
#[must_use]
pub fn local_user() -> Actor {
    Actor::os_user(user_name(rustix::process::getuid().as_raw()))
}

/// The name of a user, or `uid:<number>` when the list has none.
fn user_name(uid: u32) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(PASSWD);
    // An unreadable list is no reason to refuse: the number identifies the user as well.
    let read = file.and_then(|file| file.take(PASSWD_BYTES_MAX).read_to_string(&mut text));
    read.ok().and_then(|_| name_in(&text, uid)).unwrap_or_else(|| format!("uid:{uid}"))
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_where_the_list_has_them() {
        let list =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_in(list, 1000).as_deref(), Some("alice"));
        assert_eq!(name_in(list, 7), None);
        assert_eq!(user_name(u32::MAX - 7), format!("uid:{}", u32::MAX - 7));
    }
}
