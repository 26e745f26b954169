//! A proxy before the API server that does what networks and API servers do on bad days.
//!
//! It speaks plain HTTP to greffier and is the user `greffier` towards the API server, so that
//! the audit log shows what really arrived. What goes wrong is told in rules, each for so many
//! requests; watches can lose deletions, expire, or be cut; everything can fall silent.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::sync::watch;

/// Why a connection breaks.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure(error.to_string())
}

type Answer = UnsyncBoxBody<Bytes, Failure>;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// It is answered with this status, and `Retry-After` if so given, and goes no further.
    Refuse(u16, Option<u32>),
    /// It is carried out; the connection breaks before the answer.
    CutAfter,
    /// It goes nowhere and the connection breaks.
    CutBefore,
    /// It is carried out and nobody ever answers.
    SilentAfter,
    /// Nobody ever answers, and it goes nowhere.
    SilentBefore,
    /// It is carried out when [`Proxy::release`] is called.
    Held,
    /// It is carried out after so long, whether or not anybody still waits.
    Late(Duration),
}

/// So many of the requests whose method and path contain these meet a fault.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

/// What happens to open watches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Epoch {
    /// Grows when open watches are told that they expired.
    expired: u64,
    /// Grows when open watches break.
    cut: u64,
}

struct Shared {
    client: Client,
    rules: Mutex<Vec<Rule>>,
    met: Mutex<Vec<(String, Fault)>>,
    epoch: watch::Sender<Epoch>,
    hides_deletions: AtomicBool,
    silent: AtomicBool,
    /// Lets a held request go on.
    released: tokio::sync::Notify,
}

/// The proxy. It ends when it is dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Proxy {
    /// A proxy that is the user of `kubeconfig` and does nothing wrong yet.
    pub(crate) fn start(kubeconfig: &std::path::Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let config = Kubeconfig::read_from(kubeconfig).unwrap();
        let (client, listener) = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(config, &options).await.unwrap();
            config.read_timeout = None; // A watch may be quiet for long.
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            (Client::try_from(config).unwrap(), listener)
        });
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            client,
            rules: Mutex::default(),
            met: Mutex::default(),
            epoch: watch::channel(Epoch::default()).0,
            hides_deletions: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            released: tokio::sync::Notify::new(),
        });
        runtime.spawn(listen(listener, Arc::clone(&shared)));
        let dir = tempfile::tempdir().unwrap();
        Self { shared, address, dir, _runtime: runtime }
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let path = self.dir.path().join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// From now on, `times` requests whose path contains `path` meet `fault`.
    pub(crate) fn rule(&self, method: &'static str, path: &str, times: usize, fault: Fault) {
        let rule = Rule { method, path: path.to_owned(), times, fault };
        self.shared.rules().push(rule);
    }

    /// One request that is held goes on, now or when it comes.
    pub(crate) fn release(&self) {
        self.shared.released.notify_one();
    }

    /// No rule holds any more.
    pub(crate) fn forget_rules(&self) {
        self.shared.rules().clear();
    }

    /// The requests that met a fault so far.
    pub(crate) fn met(&self) -> Vec<(String, Fault)> {
        self.shared.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches show no deletion from now on, or show them again.
    pub(crate) fn hide_deletions(&self, hide: bool) {
        self.shared.hides_deletions.store(hide, Ordering::SeqCst);
    }

    /// Open watches are told that their resource version is too old.
    pub(crate) fn expire_watches(&self) {
        self.shared.epoch.send_modify(|epoch| epoch.expired += 1);
    }

    /// Open watches break.
    pub(crate) fn cut_watches(&self) {
        self.shared.epoch.send_modify(|epoch| epoch.cut += 1);
    }

    /// From now on connections are taken and nothing is answered, or everything is again.
    pub(crate) fn fall_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that a request meets, if any; it is used up.
    fn fault(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && rule.method == method && path.contains(&rule.path))?;
        rule.times -= 1;
        let fault = rule.fault.clone();
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.push((format!("{method} {path}"), fault.clone()));
        Some(fault)
    }
}

async fn listen(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { answer(&shared, request).await }
            });
            // A connection that a fault broke ends with an error, as it should.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Answers a request, or breaks the connection by an error.
async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Failure> {
    let silent = shared.silent.load(Ordering::SeqCst);
    if silent {
        match std::future::pending::<Infallible>().await {}
    }
    let method = request.method().to_string();
    let path = request.uri().to_string();
    let fault = shared.fault(&method, &path);
    match fault {
        None => forward(shared, request).await,
        Some(Fault::Refuse(status, retry_after)) => refuse(status, retry_after),
        Some(Fault::CutBefore) => Err(broken("cut")),
        Some(Fault::SilentBefore) => match std::future::pending::<Infallible>().await {},
        Some(Fault::Held) => {
            shared.released.notified().await;
            forward(shared, request).await
        }
        Some(fault) => {
            let wait = if let Fault::Late(wait) = fault { wait } else { Duration::ZERO };
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(broken)?.to_bytes();
            let request = Request::from_parts(parts, body);
            let client = shared.client.clone();
            // On its own, so that it is carried out though whoever asked gives up.
            let sent = tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let request = request.map(Body::from);
                let answer = client.send(request).await.map_err(broken)?;
                let (parts, body) = answer.into_parts();
                let body = body.collect().await.map_err(broken)?.to_bytes();
                Ok::<_, Failure>(Response::from_parts(parts, body))
            });
            let answer = sent.await.map_err(broken)??;
            match fault {
                Fault::CutAfter => Err(broken("cut")),
                Fault::SilentAfter => match std::future::pending::<Infallible>().await {},
                _ => Ok(answer.map(whole)),
            }
        }
    }
}

fn whole(bytes: Bytes) -> Answer {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn refuse(status: u16, retry_after: Option<u32>) -> Result<Response<Answer>, Failure> {
    let reason = match status {
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
        "reason": reason, "message": "injected by the proxy",
    });
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(status).map_err(broken)?)
        .header(http::header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        builder = builder.header(http::header::RETRY_AFTER, seconds);
    }
    builder.body(whole(body.to_string().into())).map_err(broken)
}

async fn forward(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Failure> {
    let watches = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=1") || query.contains("watch=true"));
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(broken)?.to_bytes();
    let answer =
        shared.client.send(Request::from_parts(parts, Body::from(body))).await.map_err(broken)?;
    let (parts, body) = answer.into_parts();
    if !watches || !parts.status.is_success() {
        return Ok(Response::from_parts(parts, body.map_err(broken).boxed_unsync()));
    }
    let lines = lines(body, Arc::clone(shared));
    let frames = lines.map(|line| line.map(Frame::data));
    Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
}

/// The lines of a watch, without what is hidden, until it breaks or expires.
fn lines(body: Body, shared: Arc<Shared>) -> impl Stream<Item = Result<Bytes, Failure>> + Send {
    let mut epoch = shared.epoch.subscribe();
    let begun = *epoch.borrow_and_update();
    let body = Box::pin(body);
    let watch = Watch { body, buffer: Vec::new(), shared, epoch, begun, over: false };
    futures::stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((item, watch))
    })
}

/// What a watch still has to say.
struct Watch {
    body: Pin<Box<Body>>,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
    epoch: watch::Receiver<Epoch>,
    begun: Epoch,
    over: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let deletion = line.windows(16).any(|part| part == b"\"type\":\"DELETED\"");
                if deletion && self.shared.hides_deletions.load(Ordering::SeqCst) {
                    continue;
                }
                return Some(Ok(line.into()));
            }
            tokio::select! {
                changed = self.epoch.changed() => {
                    changed.ok()?;
                    let now = *self.epoch.borrow_and_update();
                    self.over = true;
                    if now.cut > self.begun.cut {
                        return Some(Err(broken("cut")));
                    }
                    let status = json!({"type": "ERROR", "object": {
                        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                        "reason": "Expired", "message": "injected by the proxy"}});
                    return Some(Ok(format!("{status}\n").into()));
                }
                frame = self.body.frame() => match frame {
                    None => return None,
                    Some(Err(error)) => return Some(Err(broken(error))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            self.buffer.extend_from_slice(&data);
                        }
                    }
                },
            }
        }
    }
}
