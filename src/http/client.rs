//! The other end of the socket.
//!
//! One connection per request: requests are rare, and a connection to a Unix socket costs
//! nothing. Every wait is bounded, except that of an event stream for its next event.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::dto;

/// Bound: how large an answer may be, in bytes: 5,000 rows with all their details.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bound: how long one event of a stream may be, in bytes.
const STREAM_EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers.
    #[error("no daemon answers on {path}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("the socket {path} may not be used by this user")]
    Denied {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The daemon took too long.
    #[error("the daemon gave no answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Broken(#[source] hyper::Error),
    /// What came back is no answer of this API.
    #[error("the daemon's answer cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The daemon refused.
    #[error("{}", .0.message)]
    Api(dto::Error),
}

/// A client of the daemon on one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

impl Client {
    /// A client for `socket` that waits at most `timeout` for an answer. Connects to nothing yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self { socket: socket.into(), timeout }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether somebody answers on the socket.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and [`Error::Denied`].
    pub async fn probe(&self) -> Result<(), Error> {
        self.connect().await.map(drop)
    }

    /// Asks for `path` (below `/api/v1/`), with a query string that may be empty.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<T, Error> {
        self.ask(Method::GET, path, query, Bytes::new()).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Unreadable(error.into()))?;
        self.ask(Method::POST, path, "", body.into()).await
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<T, Error> {
        self.ask(Method::DELETE, path, query, Bytes::new()).await
    }

    /// Follows the event stream.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn stream(&self, query: &str) -> Result<EventStream, Error> {
        let response = self.send(Method::GET, "stream", query, Bytes::new()).await?;
        if !response.status().is_success() {
            let bytes = collect(response).await?;
            return Err(refusal(&bytes));
        }
        Ok(EventStream { body: response.into_body(), buffer: Vec::new() })
    }

    /// The path of an application, or of something below it.
    #[must_use]
    pub fn app_path(name: &str, below: &str) -> String {
        let slash = if below.is_empty() { "" } else { "/" };
        format!("apps/{}{slash}{below}", percent(name))
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        UnixStream::connect(&self.socket).await.map_err(|source| {
            let path = self.socket.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => Error::Denied { path, source },
                _ => Error::Unreachable { path, source },
            }
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let exchange = async {
            let io = TokioIo::new(self.connect().await?);
            let (mut sender, connection) = http1::handshake(io).await.map_err(Error::Broken)?;
            // The connection's task ends with the response body; its error shows there too.
            tokio::spawn(connection);
            let mark = if query.is_empty() { "" } else { "?" };
            let request = Request::builder()
                .method(method)
                .uri(format!("/api/v1/{path}{mark}{query}"))
                .header("host", "greffier")
                .header("content-type", "application/json")
                .body(Full::new(body))
                .map_err(|error| Error::Unreadable(error.into()))?;
            sender.send_request(request).await.map_err(Error::Broken)
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| Error::Timeout(self.timeout))?
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<T, Error> {
        let response = self.send(method, path, query, body).await?;
        let good = response.status().is_success();
        let bytes = tokio::time::timeout(self.timeout, collect(response)).await;
        let bytes = bytes.map_err(|_| Error::Timeout(self.timeout))??;
        if !good {
            return Err(refusal(&bytes));
        }
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| Error::Unreadable(error.into()))
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    Ok(body.collect().await.map_err(Error::Unreadable)?.to_bytes())
}

fn refusal(bytes: &[u8]) -> Error {
    match serde_json::from_slice(bytes) {
        Ok(error) => Error::Api(error),
        Err(error) => Error::Unreadable(error.into()),
    }
}

/// Events as they are recorded.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl EventStream {
    /// The next event; `None` when the daemon ended the stream.
    ///
    /// # Errors
    /// When the connection breaks or an event cannot be read.
    pub async fn next(&mut self) -> Result<Option<dto::Event>, Error> {
        loop {
            while let Some(block) = self.take_block() {
                if let Some(event) = parse_block(&block)? {
                    return Ok(Some(event));
                }
            }
            if self.buffer.len() > STREAM_EVENT_BYTES_MAX {
                return Err(Error::Unreadable("an event of the stream is too large".into()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(Error::Broken)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// Takes what stands before the next empty line.
    fn take_block(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let rest = self.buffer.split_off(end + 2);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

/// Reads one server-sent event; `None` for comments.
fn parse_block(block: &[u8]) -> Result<Option<dto::Event>, Error> {
    let text = String::from_utf8_lossy(block);
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let data: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    if data.is_empty() {
        return Ok(None);
    }
    let event = serde_json::from_str(&data.join("\n"));
    event.map(Some).map_err(|error| Error::Unreadable(error.into()))
}

/// Makes a query string of the pairs whose value is not empty.
#[must_use]
pub fn query_string(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let encoded = pairs.map(|(key, value)| format!("{key}={}", percent(value)));
    encoded.collect::<Vec<_>>().join("&")
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
