//! The connection to one API server: credentials, TLS, and who is at the other end.
//!
//! A kubeconfig is input like any other: programs that it names for getting credentials are not
//! run (CVE-2022-24817 is what becomes of running them). Connections have no Nagle delay and are
//! probed, so that a dead peer is noticed while a watch is silent.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tower::ServiceExt;

use super::discover::{KindPattern, Resources};
use super::guard::{Connector, Guard, Kept};
use super::request::{Call, Error};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a sign of life may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent peer is declared dead after about `KEEPALIVE_IDLE + 3 × KEEPALIVE_INTERVAL`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// What the API server has not acknowledged for so long is given up by the kernel, also when this
/// process has died: a write must not arrive long after it was settled as not made.
pub const UNDELIVERED_MAX: Duration = Duration::from_secs(5);
/// Idle connections are given up before the API server or a proxy does it.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// How to reach a cluster, and what to watch in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The kubeconfig; `None` = `$KUBECONFIG`, `~/.kube/config` or the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context; `None` = the kubeconfig's current one.
    pub context: Option<String>,
    /// Kinds that are not watched.
    pub exclude: Vec<KindPattern>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How many objects a list is read in at a time: the memory of a first list grows with it.
    pub page_size: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            exclude: KindPattern::defaults(),
            request_timeout: Duration::from_secs(30),
            page_size: 50,
        }
    }
}

/// Which cluster this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The uid of the namespace `kube-system`: the only name a cluster has of itself.
    pub uid: String,
    /// The server's version, e.g. `v1.36.3`.
    pub version: String,
    /// The server's address.
    pub server: String,
    /// The revision that it is at; `None` where it does not tell.
    pub revision: Option<u64>,
}

/// A connection to an API server. Cheap to clone; clones share connections and what is known of
/// the kinds served.
#[derive(Clone)]
pub struct Connection {
    pub(super) client: Client,
    pub(super) server: String,
    pub(super) timeout: Duration,
    pub(super) exclude: Arc<[KindPattern]>,
    pub(super) resources: Arc<RwLock<Resources>>,
    pub(super) guard: Arc<Guard>,
    /// Makes a client with a connection of its own.
    fresh: Arc<Fresh>,
}

type Fresh = dyn Fn() -> Result<Client, kube::Error> + Send + Sync;

impl Connection {
    /// Reads the credentials and prepares the connection. Nothing is sent yet, so that this
    /// succeeds while the API server is away.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used, or asks for a credential plugin.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let config = configuration(options).await?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let guard = Arc::<Guard>::default();
        let unusable =
            |source| Error::Kubeconfig { path: shown_path(options), source: Box::new(source) };
        let guarded = clients(&config, Some(Arc::clone(&guard))).map_err(unusable)?;
        let client = guarded().map_err(unusable)?;
        let fresh = Arc::new(clients(&config, None).map_err(unusable)?);
        Ok(Self {
            client,
            server,
            timeout: options.request_timeout,
            exclude: options.exclude.clone().into(),
            resources: Arc::default(),
            guard,
            fresh,
        })
    }

    /// The same connection, which writes to no other cluster than the one that is kept, and to
    /// nobody before it is known who answers. An [`Observer`](super::Observer) asks.
    #[must_use]
    pub fn keeping(self, kept: Kept) -> Self {
        self.guard.arm(kept);
        self
    }

    /// A person said that the cluster `uid` is the one to be kept.
    pub fn accept(&self, uid: &str) {
        self.guard.accept(uid);
    }

    /// Waits until it is known which cluster answers; whether that is the one to be kept.
    ///
    /// Cancel safety: nothing is lost.
    pub async fn settled(&self) -> bool {
        self.guard.settled().await
    }

    /// Something that changes when another cluster may answer from then on.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.guard.generation()
    }

    /// The same connection, whose requests are given up after `timeout`, or as soon as before.
    /// Writes tell the API server, so that it gives them up then as well.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self { timeout: timeout.min(self.timeout), ..self.clone() }
    }

    /// Returns the server's address, without credentials.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Asks which cluster this is, over a connection of its own: one that was made before might
    /// still lead to another.
    ///
    /// # Errors
    /// When the API server does not answer or forbids it.
    pub async fn identify(&self) -> Result<Identity, Error> {
        let unusable = |source: kube::Error| Error::Unreachable {
            subject: "identify the cluster".to_owned(),
            server: self.server.clone(),
            source: Box::new(source),
        };
        let fresh = Self { client: (self.fresh)().map_err(unusable)?, ..self.clone() };
        let version = fresh.read("/version", "the server's version").await?;
        let system = fresh.read("/api/v1/namespaces/kube-system", "Namespace/kube-system").await?;
        let revision = match fresh.read("/api/v1/namespaces?limit=1", "the revision").await {
            Ok(list) => Some(list),
            Err(error) if error.is_forbidden() => None,
            Err(error) => return Err(error),
        };
        let text = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Ok(Identity {
            uid: text(&system, "/metadata/uid"),
            version: text(&version, "/gitVersion"),
            server: self.server.clone(),
            revision: revision
                .and_then(|list| text(&list, "/metadata/resourceVersion").parse().ok()),
        })
    }

    /// Asks whether the API server is ready to serve, as it sees it. An API server that is still
    /// reading its access rules forbids this too.
    pub(super) async fn is_ready(&self) -> Result<(), Error> {
        self.probe("/readyz", "readiness").await
    }

    /// Asks for a sign of life.
    pub(super) async fn is_there(&self) -> Result<(), Error> {
        self.probe("/version", "the server's version").await
    }

    async fn probe(&self, path: &str, what: &str) -> Result<(), Error> {
        let subject = format!("read {what}");
        let call = Call::get(path.to_owned(), subject, what.to_owned(), PROBE_TIMEOUT);
        self.call(call).await.map(drop)
    }

    /// Reads a JSON document.
    pub(super) async fn read(&self, path: &str, what: &str) -> Result<Value, Error> {
        let subject = format!("read {what}");
        let call = Call::get(path.to_owned(), subject.clone(), what.to_owned(), self.timeout);
        let answer = self.call(call).await?;
        serde_json::from_slice(&answer.bytes).map_err(|source| Error::Unreadable {
            subject,
            write: false,
            source: source.into(),
        })
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Where the configuration is looked for, for errors.
fn shown_path(options: &Options) -> String {
    let found = options.kubeconfig.as_ref().map(|path| path.display().to_string());
    found.unwrap_or_else(|| "of the environment".to_owned())
}

async fn configuration(options: &Options) -> Result<Config, Error> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Kubeconfig {
        path: shown_path(options),
        source,
    };
    let kubeconfig = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let mut config = match kubeconfig {
        Ok(kubeconfig) => {
            refuse_plugins(&kubeconfig, options)?;
            let chosen =
                KubeConfigOptions { context: options.context.clone(), ..Default::default() };
            Config::from_custom_kubeconfig(kubeconfig, &chosen)
                .await
                .map_err(|source| unusable(source.into()))?
        }
        // Without any kubeconfig, this may be a pod.
        Err(source) if options.kubeconfig.is_none() && options.context.is_none() => {
            Config::incluster().map_err(|_| unusable(source.into()))?
        }
        Err(source) => return Err(unusable(source.into())),
    };
    // A retry that greffier does not know of would falsify what it says about the fate of writes.
    config.default_retry = false;
    Ok(config)
}

fn refuse_plugins(kubeconfig: &Kubeconfig, options: &Options) -> Result<(), Error> {
    let context = options.context.as_ref().or(kubeconfig.current_context.as_ref());
    let Some(context) = context else { return Ok(()) };
    let named = kubeconfig.contexts.iter().find(|named| named.name == *context);
    let user = named.and_then(|named| named.context.as_ref()?.user.as_ref());
    let user = kubeconfig.auth_infos.iter().find(|named| Some(&named.name) == user);
    let Some(auth) = user.and_then(|named| named.auth_info.as_ref()) else { return Ok(()) };
    let plugin = match (&auth.exec, &auth.auth_provider) {
        (Some(exec), _) => {
            format!("the program `{}`", exec.command.as_deref().unwrap_or("(not named)"))
        }
        (None, Some(provider)) => format!("the auth provider `{}`", provider.name),
        (None, None) => return Ok(()),
    };
    Err(Error::CredentialPlugin { path: shown_path(options), context: context.clone(), plugin })
}

/// Prepares HTTP clients that share nothing but their TLS sessions. kube's own stack adds retries,
/// which would hide the fate of a write, and logs every failure as an error, although it is for the
/// caller to say what is one.
fn clients(
    config: &Config,
    guard: Option<Arc<Guard>>,
) -> Result<impl Fn() -> Result<Client, kube::Error> + Send + Sync + use<>, kube::Error> {
    // kube's own stack is built and dropped for what it does on the way: it installs the
    // process's TLS provider and refuses proxies that it was not compiled for.
    ClientBuilder::try_from(config.clone())?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(KEEPALIVE_IDLE));
    http.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    http.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    http.set_tcp_user_timeout(Some(UNDELIVERED_MAX));
    let connector = Connector::new(http, guard);
    let https = config.rustls_https_connector_with_connector(connector)?;
    let config = config.clone();
    Ok(move || {
        let service = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build::<_, Body>(https.clone())
            .map_err(tower::BoxError::from);
        let builder = ClientBuilder::new(service, config.default_namespace.clone())
            .with_layer(&config.extra_headers_layer()?);
        Ok(match config.auth_layer()? {
            Some(auth) => builder.with_layer(&auth).with_layer(&config.base_uri_layer()).build(),
            None => builder.with_layer(&config.base_uri_layer()).build(),
        })
    })
}
