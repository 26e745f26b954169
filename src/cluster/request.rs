//! One request to the API server: sending it, and saying what its answer means.
//!
//! Every request has a deadline and a subject for its errors. Whether a write took place is never
//! guessed: a request that was sent and not answered is [`Class::Unknown`].
//!
//! Security: the API server quotes values in some error texts. Where the subject is a Secret, its
//! text is replaced by the fields and reasons it names.

use std::time::Duration;

use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use kube::client::Body;
use serde_json::Value;

use super::connection::Connection;
use crate::model::with_causes;

/// The longest answer that is read. A page of the largest objects etcd takes (1.5 MB) fits.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The longest text of the API server that is kept in an error.
const MESSAGE_BYTES_MAX: usize = 2_048;
/// How long to wait when the API server is busy and does not say for how long.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// What stands for a text that may quote a Secret.
pub(super) const WITHHELD: &str = "the API server's text is withheld";

/// The media type of server-side apply.
pub(super) const APPLY: &str = "application/apply-patch+yaml";

/// What went wrong with the cluster. Every message names its subject; none quotes a Secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be read or does not make sense.
    #[error("kubeconfig {path}: cannot be used")]
    Kubeconfig {
        /// The file, or where the configuration was looked for.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kubeconfig asks for a program or plugin to be run to get credentials.
    #[error(
        "kubeconfig {path}: the user of context `{context}` gets credentials from {plugin}, which \
         greffier does not run; use a client certificate, a token or a token file"
    )]
    CredentialPlugin {
        /// The file.
        path: String,
        /// The context.
        context: String,
        /// What would be run.
        plugin: String,
    },
    /// The API server refused for good: trying the same again is useless.
    #[error("{subject}: refused ({status} {reason}): {message}")]
    Refused {
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The API server's reason, e.g. `Invalid`.
        reason: String,
        /// The API server's message.
        message: String,
    },
    /// The API has no server-side apply.
    #[error("{subject}: the API has no server-side apply ({status}): {message}")]
    NoApply {
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The API server's message.
        message: String,
    },
    /// The API server does not accept the credentials.
    #[error("{subject}: the API server does not accept the credentials: {message}")]
    Unauthorized {
        /// What was asked for.
        subject: String,
        /// The API server's message.
        message: String,
    },
    /// The API server does not serve the kind.
    #[error("{subject}: the API server does not serve {kind}")]
    NotServed {
        /// What was asked for.
        subject: String,
        /// The kind with its version.
        kind: String,
    },
    /// The namespace does not exist.
    #[error("{subject}: namespace `{namespace}` does not exist")]
    NamespaceMissing {
        /// What was asked for.
        subject: String,
        /// The namespace.
        namespace: String,
    },
    /// The namespace is being deleted and takes no new objects.
    #[error("{subject}: namespace `{namespace}` is being deleted")]
    NamespaceTerminating {
        /// What was asked for.
        subject: String,
        /// The namespace.
        namespace: String,
    },
    /// The object is not there.
    #[error("{subject}: not found")]
    NotFound {
        /// What was asked for.
        subject: String,
    },
    /// The object is not as the request assumes.
    #[error("{subject}: the object has changed meanwhile: {message}")]
    Conflict {
        /// What was asked for.
        subject: String,
        /// The API server's message.
        message: String,
    },
    /// The API server asks to come back later.
    #[error("{subject}: the API server is busy")]
    Throttled {
        /// What was asked for.
        subject: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// What a list or watch goes on from is no longer known.
    #[error("{subject}: the API server no longer knows that resource version")]
    Expired {
        /// What was asked for.
        subject: String,
    },
    /// The API server answered that it cannot do it now.
    #[error("{subject}: the API server failed ({status}): {message}")]
    Unavailable {
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The API server's message.
        message: String,
    },
    /// The API server could not be reached; nothing was sent.
    #[error("{subject}: cannot reach the API server at {server}")]
    Unreachable {
        /// What was asked for.
        subject: String,
        /// Its address.
        server: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// It is not known that the cluster which answers is the one that is kept; nothing was sent.
    #[error(
        "{subject}: not sent: it is not known that the cluster which answers at {server} is the \
         one that is kept"
    )]
    NotTheKept {
        /// What was asked for.
        subject: String,
        /// Its address.
        server: String,
    },
    /// The connection broke after the request was sent.
    #[error("{subject}: the connection to the API server broke before its answer was complete")]
    ConnectionLost {
        /// What was asked for.
        subject: String,
        /// Whether the request may have changed something.
        write: bool,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There was no answer in time.
    #[error("{subject}: no answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// What was asked for.
        subject: String,
        /// Whether the request may have changed something.
        write: bool,
        /// The deadline.
        after: Duration,
    },
    /// The API server may have carried it out, but says that it does not know.
    #[error("{subject}: the API server does not know whether it was done ({status}): {message}")]
    FateUnknown {
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The API server's message.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("{subject}: the answer cannot be read")]
    Unreadable {
        /// What was asked for.
        subject: String,
        /// Whether the request may have changed something.
        write: bool,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request cannot be put into words of HTTP, e.g. a name with a line break.
    #[error("{subject}: cannot be asked for")]
    Unaskable {
        /// What was asked for.
        subject: String,
        /// Why.
        #[source]
        source: http::Error,
    },
}

/// What an [`Error`] means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Refused for good: a person has to change something.
    Refused,
    /// The kind is served without server-side apply.
    NoApply,
    /// The kind is not served (yet).
    NotServed,
    /// The object is not there.
    NotFound,
    /// The object is not as the request assumes: look again, decide again.
    Conflict,
    /// The namespace does not exist (yet).
    NamespaceMissing,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// Come back after so long.
    Throttled {
        /// How long.
        retry_after: Duration,
    },
    /// It failed, nothing was changed, and it may pass.
    Transient,
    /// The request was sent and its fate is not known: only observing settles it.
    Unknown,
    /// The credentials are not accepted.
    Unauthorized,
    /// A list or watch has to start over.
    Expired,
}

impl Error {
    /// What the error means for whoever asked.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Kubeconfig { .. }
            | Self::CredentialPlugin { .. }
            | Self::Refused { .. }
            | Self::Unaskable { .. } => Class::Refused,
            Self::NoApply { .. } => Class::NoApply,
            Self::Unauthorized { .. } => Class::Unauthorized,
            Self::NotServed { .. } => Class::NotServed,
            Self::NamespaceMissing { .. } => Class::NamespaceMissing,
            Self::NamespaceTerminating { .. } => Class::NamespaceTerminating,
            Self::NotFound { .. } => Class::NotFound,
            Self::Conflict { .. } => Class::Conflict,
            Self::Throttled { retry_after, .. } => Class::Throttled { retry_after: *retry_after },
            Self::Expired { .. } => Class::Expired,
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::NotTheKept { .. } => {
                Class::Transient
            }
            Self::ConnectionLost { write, .. }
            | Self::TimedOut { write, .. }
            | Self::Unreadable { write, .. } => {
                if *write {
                    Class::Unknown
                } else {
                    Class::Transient
                }
            }
            Self::FateUnknown { .. } => Class::Unknown,
        }
    }

    /// Whether the API server forbids it to this user.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// Whether the API server as a whole is out of reach, rather than one request failing.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::ConnectionLost { .. }
                | Self::TimedOut { .. }
                | Self::Unauthorized { .. }
        )
    }

    /// The message with those of its causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        with_causes(self)
    }
}

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// What it is about, for errors: `apply ConfigMap/prod/web`.
    pub(super) subject: String,
    /// Body and its type.
    pub(super) body: Option<(Vec<u8>, &'static str)>,
    pub(super) accept: &'static str,
    pub(super) audit_id: Option<String>,
    /// Whether error texts must not be quoted.
    pub(super) secret: bool,
    /// The kind with its version, for the error that says it is not served.
    pub(super) kind: String,
    pub(super) timeout: Duration,
}

impl Call {
    /// A read of `path`.
    pub(super) fn get(path: String, subject: String, kind: String, timeout: Duration) -> Self {
        Self {
            method: Method::GET,
            path,
            subject,
            body: None,
            accept: "application/json",
            audit_id: None,
            secret: false,
            kind,
            timeout,
        }
    }

    fn is_apply(&self) -> bool {
        self.body.as_ref().is_some_and(|(_, kind)| *kind == APPLY)
    }

    fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) bytes: Bytes,
}

impl Connection {
    /// Sends a request and reads its whole answer.
    ///
    /// Cancel safety: when the future is dropped, the request may or may not have been carried
    /// out.
    pub(super) async fn call(&self, mut call: Call) -> Result<Answer, Error> {
        if call.is_write() {
            call.timeout = self.permitted(&call).await?;
        }
        let (after, write) = (call.timeout, call.is_write());
        let subject = call.subject.clone();
        match tokio::time::timeout(after, self.exchange(call)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut { subject, write, after }),
        }
    }

    /// Waits until it is known who answers; the time that is left for the call then.
    async fn permitted(&self, call: &Call) -> Result<Duration, Error> {
        let began = tokio::time::Instant::now();
        match tokio::time::timeout(call.timeout, self.guard.settled()).await {
            Ok(true) => Ok(call.timeout.saturating_sub(began.elapsed())),
            Ok(false) | Err(_) => Err(Error::NotTheKept {
                subject: call.subject.clone(),
                server: self.server.clone(),
            }),
        }
    }

    async fn exchange(&self, call: Call) -> Result<Answer, Error> {
        let (status, body) = self.open(&call).await?;
        let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        match collected {
            Ok(collected) => Ok(Answer { status, bytes: collected.to_bytes() }),
            Err(source) => Err(Error::ConnectionLost {
                subject: call.subject,
                write: call.method != Method::GET,
                source,
            }),
        }
    }

    /// Sends a request and returns its successful answer with the body still to be read. Without
    /// a deadline of its own.
    pub(super) async fn open(&self, call: &Call) -> Result<(StatusCode, Body), Error> {
        let request = request_of(call)
            .map_err(|source| Error::Unaskable { subject: call.subject.clone(), source })?;
        let response =
            self.client.send(request).await.map_err(|error| self.not_answered(call, error))?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = response.into_body();
        if status.is_success() {
            return Ok((status, body));
        }
        let text = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        // An error whose text was cut off is still that error.
        let bytes = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(refusal(call, status, &bytes, retry_after))
    }

    fn not_answered(&self, call: &Call, error: kube::Error) -> Error {
        let subject = call.subject.clone();
        if was_not_sent(&error) {
            let server = self.server.clone();
            Error::Unreachable { subject, server, source: Box::new(error) }
        } else {
            Error::ConnectionLost { subject, write: call.is_write(), source: Box::new(error) }
        }
    }
}

fn request_of(call: &Call) -> Result<http::Request<Body>, http::Error> {
    let mut path = call.path.clone();
    if call.is_write() {
        // A write that was given up must not be made later: its fate is judged by then.
        let mark = if path.contains('?') { '&' } else { '?' };
        path.push_str(&format!("{mark}timeout={}ms", call.timeout.as_millis().max(1)));
    }
    let mut builder = http::Request::builder()
        .method(call.method.clone())
        .uri(path)
        .header(header::ACCEPT, call.accept)
        .header(header::USER_AGENT, concat!("greffier/", env!("CARGO_PKG_VERSION")));
    if let Some(audit_id) = &call.audit_id {
        builder = builder.header("Audit-ID", audit_id);
    }
    match &call.body {
        Some((bytes, kind)) => {
            builder.header(header::CONTENT_TYPE, *kind).body(Body::from(bytes.clone()))
        }
        None => builder.body(Body::empty()),
    }
}

/// Whether the connection itself could not be made, so that nothing was sent.
fn was_not_sent(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(client) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return client.is_connect();
        }
        cause = error.source();
    }
    false
}

fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What an answer that is not a success means.
fn refusal(call: &Call, status: StatusCode, bytes: &[u8], wait: Option<Duration>) -> Error {
    let answer: Option<Value> = serde_json::from_slice(bytes).ok();
    let answer = answer.filter(|answer| text(answer, "/kind") == "Status");
    let message = match &answer {
        Some(answer) if call.secret => without_values(answer),
        Some(answer) => cut(text(answer, "/message")),
        None if call.secret => WITHHELD.to_owned(),
        None => cut(String::from_utf8_lossy(bytes).trim()),
    };
    let reason = answer.as_ref().map_or("", |answer| text(answer, "/reason")).to_owned();
    let caused_by = |reason: &str| {
        let causes = answer.as_ref().and_then(|answer| answer.pointer("/details/causes"));
        let mut causes = causes.and_then(Value::as_array).into_iter().flatten();
        causes.any(|cause| text(cause, "/reason") == reason)
    };
    let about = |pointer| answer.as_ref().map_or("", |answer| text(answer, pointer)).to_owned();
    let quotes = |words: &str| String::from_utf8_lossy(bytes).contains(words);
    let subject = call.subject.clone();
    let code = status.as_u16();
    let retry_after = wait.unwrap_or(RETRY_AFTER_DEFAULT);
    match code {
        401 => Error::Unauthorized { subject, message },
        403 if caused_by("NamespaceTerminating") => {
            Error::NamespaceTerminating { subject, namespace: namespace_in(&call.path) }
        }
        // A bare 404 is the router's: there is no such path. A Status is about an object.
        404 if answer.is_none() || about("/details/name").is_empty() => {
            Error::NotServed { subject, kind: call.kind.clone() }
        }
        404 if about("/details/kind") == "namespaces" && call.kind != "v1 Namespace" => {
            Error::NamespaceMissing { subject, namespace: about("/details/name") }
        }
        404 => Error::NotFound { subject },
        // Aggregated APIs that know no server-side apply, or no patch at all.
        405 | 415 if call.is_apply() => Error::NoApply { subject, status: code, message },
        409 => Error::Conflict { subject, message },
        410 => Error::Expired { subject },
        // A watch from a version that this server has not reached: it is another cluster, or one
        // restored from a copy.
        _ if caused_by("ResourceVersionTooLarge") => Error::Expired { subject },
        429 => Error::Throttled { subject, retry_after },
        // A manifest that does not fit its schema: the API server calls its own refusal of an
        // apply an internal error.
        500 if quotes("typed patch object") || quotes("field not declared in schema") => {
            Error::Refused { subject, status: code, reason: "Invalid".to_owned(), message }
        }
        // Of a write only the API server itself can say that it was not made: a proxy that lost it
        // does not know, and neither does an API server that lost its store.
        500..
            if call.is_write()
                && (!matches!(reason.as_str(), "InternalError" | "ServiceUnavailable")
                    || quotes("etcdserver")
                    || quotes("rpc error")) =>
        {
            Error::FateUnknown { subject, status: code, message }
        }
        500.. => Error::Unavailable { subject, status: code, message },
        _ => Error::Refused { subject, status: code, reason, message },
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The namespace that a path leads into.
fn namespace_in(path: &str) -> String {
    let mut parts = path.split(['/', '?']).skip_while(|part| *part != "namespaces");
    parts.nth(1).unwrap_or_default().to_owned()
}

/// What an API server says in words of its own, and what counts for what is done next.
const OWN_WORDS: [&str; 3] = ["already exists", "exceeded quota: ", NO_DRY_RUN];
/// What is said of a webhook that may not be asked without consequences (`sideEffects: Some`).
pub const NO_DRY_RUN: &str = "does not support dry run";

/// What a refusal says without quoting anything: which fields, for which reasons.
fn without_values(answer: &Value) -> String {
    let causes = answer.pointer("/details/causes").and_then(Value::as_array);
    let fields: Vec<_> = causes
        .into_iter()
        .flatten()
        .map(|cause| format!("{} ({})", named(text(cause, "/field")), text(cause, "/reason")))
        .collect();
    let fields = if fields.is_empty() { String::new() } else { format!("{}; ", fields.join(", ")) };
    let said = OWN_WORDS.iter().filter(|words| text(answer, "/message").contains(**words));
    let said: String = said.map(|words| format!("… {words}…; ")).collect();
    format!("{fields}{said}the API server's text is withheld, because it may quote the Secret")
}

/// A field with the key in its brackets left out unless it is one that a Secret may have: a line of
/// a value that was taken for a key is refused for what it has beside letters.
fn named(field: &str) -> String {
    let Some((before, rest)) = field.split_once('[') else { return field.to_owned() };
    let key = rest.strip_suffix(']').unwrap_or(rest);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let key = if key.chars().all(plain) { key } else { "…" };
    format!("{before}[{key}]")
}

fn cut(message: &str) -> String {
    let end = message.len().min(MESSAGE_BYTES_MAX);
    let end = (0..=end).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    message[..end].to_owned()
}

#[cfg(test)]
mod tests;
