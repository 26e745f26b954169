//! Pages of a list and events of a watch, read one at a time.
//!
//! Neither keeps more than one page or one event.

use std::time::Duration;

use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

use super::reach::random_u16;
use super::watched::Watched;
use crate::cluster::connection::Connection;
use crate::cluster::request::{Call, Error};
use crate::ledger::event::ServedKind;

/// The longest event that is read. The largest object that etcd takes is 1.5 MB, and JSON may
/// escape it.
const EVENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Room that a stream keeps between events.
const BUFFER_BYTES_KEPT: usize = 16 * 1024;
/// How long a watch lasts before it is begun anew: between these, so that the watches of all
/// kinds do not end together.
const WATCH_SECONDS_MIN: u16 = 240;
const WATCH_SECONDS_SPREAD: u16 = 60;
/// How long after the agreed end a watch is given up as dead.
const WATCH_OVERTIME: Duration = Duration::from_secs(20);

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    #[serde(default)]
    pub(super) items: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(super) next: String,
}

/// One event of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) object: Value,
}

impl Connection {
    /// Reads a page of a list; `next` is empty for the first.
    pub(super) async fn page(
        &self,
        watched: &Watched,
        limit: u32,
        next: &str,
    ) -> Result<Page, Error> {
        let served = &watched.served;
        let subject = format!("list {}", served.kind);
        let mut path = format!("{}limit={limit}", watched.question());
        if !next.is_empty() {
            path.push_str("&continue=");
            path.extend(next.bytes().map(|b| format!("%{b:02X}")));
        }
        let call = about(served, path, &subject, self.timeout);
        let answer = self.call(call).await?;
        serde_json::from_slice(&answer.bytes).map_err(|source| Error::Unreadable {
            subject,
            write: false,
            source: source.into(),
        })
    }

    /// Begins a watch behind `resource_version`.
    pub(super) async fn watch(
        &self,
        watched: &Watched,
        resource_version: &str,
    ) -> Result<Events, Error> {
        let served = &watched.served;
        let subject = format!("watch {}", served.kind);
        let spread = random_u16() % WATCH_SECONDS_SPREAD;
        let seconds = WATCH_SECONDS_MIN + spread;
        let resource_version: String =
            resource_version.bytes().map(|b| format!("%{b:02X}")).collect();
        let path = format!(
            "{}watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}\
             &resourceVersion={resource_version}",
            watched.question()
        );
        let call = about(served, path, &subject, self.timeout);
        let after = self.timeout;
        let (_, body) = tokio::time::timeout(after, self.open(&call))
            .await
            .map_err(|_| Error::TimedOut { subject: subject.clone(), write: false, after })??;
        let end =
            tokio::time::Instant::now() + Duration::from_secs(seconds.into()) + WATCH_OVERTIME;
        Ok(Events { body, buffer: Vec::new(), scanned: 0, end, subject })
    }
}

/// A question about a whole kind.
fn about(served: &ServedKind, path: String, subject: &str, timeout: Duration) -> Call {
    let kind = served.kind.to_string();
    let secret = is_secret(served);
    Call { secret, ..Call::get(path, subject.to_owned(), kind, timeout) }
}

/// Whether texts of the API server about the kind may quote a Secret: it would be in the ledger.
pub(super) fn is_secret(served: &ServedKind) -> bool {
    served.kind.group.is_empty() && served.kind.kind == "Secret"
}

/// The events of one watch.
pub(super) struct Events {
    body: Body,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no end of an event.
    scanned: usize,
    end: tokio::time::Instant,
    subject: String,
}

impl Events {
    /// Returns the next event; `None` when the watch has ended in order.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(line) = self.line() {
                return self.parse(&line).map(Some);
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(self.broken(format!("an event exceeds {EVENT_BYTES_MAX} bytes").into()));
            }
            let Ok(frame) = tokio::time::timeout_at(self.end, self.body.frame()).await else {
                // The API server should have ended it long ago; begin anew.
                return Ok(None);
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.broken(error.into())),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.buffer.extend_from_slice(bytes);
                    }
                }
            }
        }
    }

    /// Takes the first whole line out of the buffer.
    fn line(&mut self) -> Option<Vec<u8>> {
        let Some(at) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + at;
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.truncate(end);
        self.scanned = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        }
        Some(line)
    }

    fn parse(&self, line: &[u8]) -> Result<Event, Error> {
        serde_json::from_slice(line).map_err(|source| Error::Unreadable {
            subject: self.subject.clone(),
            write: false,
            source: source.into(),
        })
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::ConnectionLost { subject: self.subject.clone(), write: false, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &'static str) -> Events {
        Events {
            body: Body::from(text.as_bytes().to_vec()),
            buffer: Vec::new(),
            scanned: 0,
            end: tokio::time::Instant::now() + Duration::from_secs(60),
            subject: "watch Pod".into(),
        }
    }

    #[tokio::test]
    async fn events_are_read_line_by_line_and_a_torn_last_one_is_dropped() {
        let mut events =
            events("{\"type\":\"A\",\"object\":1}\n{\"type\":\"B\",\"object\":2}\n{\"ty");
        let kinds = [events.next().await.unwrap(), events.next().await.unwrap()];
        let kinds: Vec<_> = kinds.into_iter().flatten().map(|event| event.kind).collect();
        assert_eq!(kinds, ["A", "B"]);
        assert!(events.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_line_that_is_not_an_event_is_an_error() {
        assert!(events("nonsense\n").next().await.is_err());
    }

    #[test]
    fn pages_may_lack_everything() {
        let page: Page = serde_json::from_str("{}").unwrap();
        assert!(page.items.is_empty() && page.metadata.next.is_empty());
    }

    #[test]
    fn questions_about_secrets_are_not_quoted() {
        for (group, kind, secret) in
            [("", "Secret", true), ("", "ConfigMap", false), ("x.io", "Secret", false)]
        {
            let served = ServedKind {
                kind: crate::model::GroupKind::new(group, kind),
                version: "v1".into(),
                plural: "things".into(),
                scope: crate::model::Scope::Namespaced,
                watched: true,
                watchable: true,
            };
            let call = about(&served, "/".into(), "watch", Duration::from_secs(1));
            assert_eq!(call.secret, secret, "{group} {kind}");
        }
    }
}
