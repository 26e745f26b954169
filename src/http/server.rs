//! The socket, the routes, and what the handlers have.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::dto;
use super::error::Error;
use super::past::{self, Past};
use super::peer::Peer;
use super::{
    api, between, blame, cluster, coverage, hold, metrics, named, people, plan, recovery, report,
    restore, stream, trial, undo, why,
};
use crate::ledger::Ledger;
use crate::model::Seq;
use crate::plan::{Compared, Limits};
use crate::reconcile::{GitBack, GitBackError, Trial, TrialError, Wish};
use crate::render::Sandbox;
use crate::replay::World;
use crate::source;

/// Bound: how long a request body may be, in bytes. An Application is a few KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bound: how many event streams are open at once.
const STREAMS_MAX: usize = 64;
/// Bound: how many applications are rendered at once for people who ask.
const TRIALS_MAX: usize = 2;
/// Bound: how long the body of a comparison may be, in bytes: an application's whole manifests.
const MANIFESTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a request waits for the world to fold what was durable when it came in.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);
/// How long a plan waits for the daemon to have seen the cluster since it started. A big cluster
/// is listed in a second or two; one that cannot be reached is not waited for longer.
const SEEN_MAX: Duration = Duration::from_secs(5);
/// The socket: its user and group may connect.
const SOCKET_MODE: u32 = 0o660;
/// The directory of the socket, where greffier makes it.
const SOCKET_DIR_MODE: u32 = 0o750;

/// Read access to what the daemon has folded.
pub trait Facts: Send + Sync {
    /// Calls `reader` once with the world and the comparisons, under a read lock.
    fn read(&self, reader: &mut dyn FnMut(&World, &Compared));

    /// The position up to which the world is folded, as it moves on.
    fn folded(&self) -> watch::Receiver<Seq>;
}

/// What the API may ask the daemon to do besides recording commands.
pub trait Control: Send + Sync {
    /// Look at a repository now; `None` = at all of them. A hint: returns at once.
    fn refresh(&self, repo: Option<&str>);

    /// Renders an application as it is now, or at a revision; blocking, recorded nowhere.
    ///
    /// # Errors
    /// See [`TrialError`].
    fn trial(&self, app: &str, revision: Option<&str>) -> Result<Trial, TrialError>;

    /// Finds out what a commit would have to be for Git to say what is held; blocking, recorded
    /// nowhere.
    ///
    /// # Errors
    /// See [`GitBackError`].
    fn git_back(&self, wish: &Wish) -> Result<GitBack, GitBackError>;

    /// What programs that people start with their questions are confined to.
    fn sandbox(&self) -> Sandbox;

    /// Where repositories are mirrored.
    fn mirrors(&self) -> source::Options;
}

/// What the handlers have.
#[derive(Clone)]
pub struct State {
    facts: Arc<dyn Facts>,
    control: Arc<dyn Control>,
    pub(super) ledger: Ledger,
    pub(super) limits: Limits,
    /// The sources of audit records that are configured; `None` = that is not known.
    pub(super) audited: Option<Arc<[String]>>,
    pub(super) streams: Arc<Semaphore>,
    trials: Arc<Semaphore>,
    pub(super) past: Arc<Past>,
    /// Why nothing can be recorded, while that is so.
    pub(super) read_only: Option<Arc<str>>,
    pub(super) cancel: CancellationToken,
}

impl State {
    /// Puts together what the handlers have.
    #[must_use]
    pub fn new(
        facts: Arc<dyn Facts>,
        control: Arc<dyn Control>,
        ledger: Ledger,
        limits: Limits,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let (trials, cancel) = (Arc::new(Semaphore::new(TRIALS_MAX)), CancellationToken::new());
        let past = Arc::default();
        let (audited, read_only) = (None, None);
        Self { facts, control, ledger, limits, audited, streams, trials, past, read_only, cancel }
    }

    /// Says which sources of audit records are configured: what was read of others is history.
    #[must_use]
    pub fn audited(mut self, sources: Vec<String>) -> Self {
        self.audited = Some(sources.into());
        self
    }

    /// Whether a source of audit records is one of those that are read.
    pub(super) fn is_audited(&self, source: &str) -> bool {
        self.audited.as_ref().is_none_or(|all| all.iter().any(|known| known == source))
    }

    /// How whole the ledger is.
    pub(super) fn wholeness(&self) -> dto::Wholeness {
        dto::Wholeness::from(&*self.ledger.wholeness().borrow())
    }

    /// Says why nothing can be recorded, where that is so.
    #[must_use]
    pub fn read_only(mut self, why: Option<String>) -> Self {
        self.read_only = why.map(Arc::from);
        self
    }

    /// Whether records of the API server's audit are read.
    pub(super) async fn audits(&self) -> Result<bool, Error> {
        match &self.audited {
            Some(all) => Ok(!all.is_empty()),
            None => self.read(|world, _| !world.audit.sources.is_empty()).await,
        }
    }

    /// Renders an application on a blocking thread, when it is its turn.
    pub(super) async fn trial(
        &self,
        app: String,
        revision: Option<String>,
    ) -> Result<Trial, Error> {
        // The semaphore is never closed; without a permit the render is merely not bounded.
        let _permit = self.trials.acquire().await;
        let control = Arc::clone(&self.control);
        let trial = self.blocking(move || control.trial(&app, revision.as_deref())).await?;
        Ok(trial?)
    }

    /// Finds out on a blocking thread what would be committed.
    pub(super) async fn git_back(&self, wish: Wish) -> Result<GitBack, Error> {
        let control = Arc::clone(&self.control);
        Ok(self.blocking(move || control.git_back(&wish)).await??)
    }

    pub(super) fn sandbox(&self) -> Sandbox {
        self.control.sandbox()
    }

    pub(super) fn mirrors(&self) -> source::Options {
        self.control.mirrors()
    }

    pub(super) fn refresh(&self, repo: Option<&str>) {
        self.control.refresh(repo);
    }

    fn with<R>(&self, reader: impl FnOnce(&World, &Compared) -> R) -> Option<R> {
        let (mut reader, mut result) = (Some(reader), None);
        self.facts.read(&mut |world, compared| {
            if let Some(reader) = reader.take() {
                result = Some(reader(world, compared));
            }
        });
        result
    }

    /// Reads the world on a blocking thread, after it has folded what is durable now.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        reader: impl FnOnce(&World, &Compared) -> R + Send + 'static,
    ) -> Result<R, Error> {
        self.catch_up().await;
        let state = self.clone();
        self.blocking(move || state.with(reader))
            .await?
            .ok_or_else(|| Error::internal("the world cannot be read"))
    }

    /// The position up to which the world is folded, as it moves on.
    pub(super) fn folded(&self) -> watch::Receiver<Seq> {
        self.facts.folded()
    }

    /// Waits until the cluster was seen since the daemon started: before that no plan knows what
    /// would be written. A cluster that is not seen in time is planned for as it is known.
    pub(super) async fn seen(&self) {
        if self.read_only.is_some() {
            return; // It looks at no cluster.
        }
        let mut folded = self.facts.folded();
        let seen = async {
            loop {
                let seen = self.read(|world, _| world.cluster.seen);
                // What cannot be read, or stops, is told by the question itself.
                if seen.await.unwrap_or(true) || folded.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(SEEN_MAX, seen).await;
    }

    /// Runs blocking work beside the async threads.
    pub(super) async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Error::internal(format!("a request failed: {error}")))
    }

    /// Waits until the world has folded what is durable now, so that people read their own
    /// writes. A world that lags for longer is answered from as it is; answers say how far it is.
    async fn catch_up(&self) {
        let head = self.ledger.head();
        let mut folded = self.facts.folded();
        // Neither a daemon that stops folding nor one that is slow is an error of the question.
        let _ = tokio::time::timeout(CATCH_UP_MAX, folded.wait_for(|seq| *seq >= head)).await;
    }
}

/// Why the socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something answers on it.
    #[error("{0} is in use: another daemon answers there")]
    InUse(PathBuf),
    /// Something that is no socket is in its place.
    #[error("{0} exists and is no socket")]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {path}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Makes the socket, mode 0660, in a directory that is made with mode 0750 if absent. A socket
/// that nobody answers on (left by a daemon that was killed) is replaced.
///
/// # Errors
/// When something answers on it, something else is in its place, or the system refuses.
pub async fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(SOCKET_DIR_MODE).create(dir).map_err(failed)?;
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NoSocket(path.to_owned()));
        }
        Ok(_) => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(BindError::InUse(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(failed)?;
    Ok(listener)
}

fn router(state: State) -> Router {
    let api = Router::new()
        .route("/status", get(api::status))
        .route("/apps", get(api::apps).post(api::add_app))
        .route("/apps/{name}", get(api::app).delete(api::remove_app))
        .route("/apps/{name}/resources", get(api::app_resources))
        .route("/apps/{name}/tree", get(api::tree))
        .route(
            "/apps/{name}/diff",
            get(trial::diff)
                .post(trial::diff_against)
                .layer(DefaultBodyLimit::max(MANIFESTS_BYTES_MAX)),
        )
        .route("/apps/{name}/render", get(trial::render))
        .route("/apps/{name}/definition", get(trial::definition))
        .route("/apps/{name}/sync", post(api::sync))
        .route("/apps/{name}/gate", get(plan::gate))
        .route("/apps/{name}/approve", post(api::approve))
        .route("/apps/{name}/pause", post(api::pause))
        .route("/apps/{name}/resume", post(api::resume))
        .route("/apps/{name}/rollback", post(hold::roll_back))
        .route("/keep", post(hold::keep))
        .route("/release", post(hold::release))
        .route("/restore", post(restore::restore))
        .route("/undo", post(undo::undo))
        .route("/freeze", post(api::freeze))
        .route("/unfreeze", post(api::unfreeze))
        .route("/resources", get(api::resources))
        .route("/apps/{name}/against", get(between::against))
        .route("/between", get(between::between))
        .route("/instant", get(past::instant))
        .route("/object", get(past::object))
        .route("/named", get(named::named))
        .route("/marks", get(past::marks).post(past::mark))
        .route("/why", get(why::why))
        .route("/blame", get(blame::blame))
        .route("/plan", get(plan::plan))
        .route(
            "/recovery",
            get(recovery::recovery)
                .post(recovery::record)
                .layer(DefaultBodyLimit::max(MANIFESTS_BYTES_MAX)),
        )
        .route("/coverage", get(coverage::coverage))
        .route("/cluster", get(cluster::show))
        .route("/cluster/accept", post(cluster::accept))
        .route("/people", get(people::people))
        .route("/report/audit", get(report::head))
        .route("/report/audit/changes", get(report::changes))
        .route("/events", get(api::events))
        .route("/events/{seq}", get(api::event))
        .route("/stream", get(stream::stream))
        .route("/ledger", get(api::ledger))
        .route("/repos/refresh", post(api::refresh));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(metrics::metrics))
        .fallback(api::no_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

/// Serves the API until `cancel`: requests under way are finished, streams are ended.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: UnixListener,
    mut state: State,
    cancel: CancellationToken,
) -> io::Result<()> {
    state.cancel = cancel.clone();
    let service = router(state).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(cancel.cancelled_owned()).await
}
