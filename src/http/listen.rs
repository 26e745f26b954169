//! Listening for HTTP over the network: TCP, with TLS or without, with bounds on everything.
//!
//! What is served is a router; who may ask is for it to say. With an authority for clients, a
//! client without a certificate of it does not get as far as a request.
//!
//! Bounds: connections at once, the time for a handshake, for the head of a request, and for the
//! answer to begin. A connection too many is closed at once.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Bound: how many connections are open at once.
const CONNECTIONS_MAX: usize = 64;
/// Bound: how long a handshake may take, and the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Bound: how long it may take until an answer begins, the body of the request included.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long what is under way may take when everything stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The files of a server's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Its certificate, with those between it and the authority (PEM).
    pub cert: PathBuf,
    /// The certificate's key (PEM).
    pub key: PathBuf,
    /// The authority of the clients (PEM): every client must show a certificate of it.
    pub client_ca: Option<PathBuf>,
}

/// Why it cannot be listened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: not a usable {what}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// The cause.
        why: String,
    },
    /// Certificate and key do not make an identity.
    #[error("{cert} and {key} are no identity of a server: {why}")]
    Identity {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// The cause.
        why: String,
    },
}

/// What is told of a client that was turned away before it could ask.
pub type Refused = Arc<dyn Fn(String) + Send + Sync>;

/// A socket that listens.
pub struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    refused: Refused,
}

impl Listener {
    /// Listens on `address`, with TLS if there is an identity. The files are read once.
    ///
    /// # Errors
    /// Which file is not usable and why, or that the address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<&Tls>,
        refused: Refused,
    ) -> Result<Self, ListenError> {
        let tls = tls.map(acceptor).transpose()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ListenError::Bind { address, source })?;
        Ok(Self { listener, tls, refused })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `cancel`; then what is under way is finished, within a bound.
    pub async fn serve(self, router: Router, cancel: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = open.join_next() => continue,
                () = cancel.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Too many open files, or a client that went away: the next may come.
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                (self.refused)(format!("more than {CONNECTIONS_MAX} connections at once"));
                continue;
            };
            let (router, cancel) = (router.clone(), cancel.clone());
            let (tls, refused) = (self.tls.clone(), Arc::clone(&self.refused));
            open.spawn(async move {
                connection(stream, peer, tls, &refused, router, cancel).await;
                drop(place);
            });
        }
        let drained = async { while open.join_next().await.is_some() {} };
        // What takes longer is given up.
        let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    refused: &Refused,
    router: Router,
    cancel: CancellationToken,
) {
    let Some(tls) = tls else { return exchange(stream, peer, router, cancel).await };
    match tokio::time::timeout(HEAD_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => exchange(stream, peer, router, cancel).await,
        Ok(Err(error)) => refused(format!("no TLS connection: {error}")),
        Err(_) => refused("no TLS connection in time".to_owned()),
    }
}

/// Serves one connection.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    cancel: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = tokio::time::timeout(ANSWER_MAX, router.oneshot(request)).await;
            let late = |_| Ok(StatusCode::REQUEST_TIMEOUT.into_response());
            answer.unwrap_or_else(late) as Result<Response, std::convert::Infallible>
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended");
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ListenError> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let chain = certificates(&tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|why| ListenError::File {
        path: tls.key.clone(),
        what: "private key",
        why: why.to_string(),
    })?;
    let identity =
        |why: String| ListenError::Identity { cert: tls.cert.clone(), key: tls.key.clone(), why };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| identity(error.to_string()))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |why: String| ListenError::File {
                path: path.clone(),
                what: "authority of clients",
                why,
            };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|error| wrong(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| identity(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let wrong = |why: String| ListenError::File { path: path.to_owned(), what: "certificate", why };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let found: Result<Vec<_>, _> = found.collect();
    match found.map_err(|error| wrong(error.to_string()))? {
        found if found.is_empty() => Err(wrong("there is none in it".to_owned())),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests;
