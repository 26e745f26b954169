//! An independent watch on the API server: what the demo verifies and the benchmarks time.
//!
//! A [`Witness`] has its own connection and knows nothing of greffier. It lists, then watches,
//! some paths, and keeps every change with the instant at which it arrived. [`Api`] is the same
//! connection for people's edits and for the bare loops that greffier is compared with.
//!
//! Callers are blocking; the tasks run on a runtime that the caller owns.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::TryStreamExt as _;
use http::Request;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How often a wait looks whether it was interrupted. Changes wake it at once.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);
/// How long to wait before a watch that ended is begun again.
const WATCH_RETRY: Duration = Duration::from_millis(100);

/// Set by the first signal to end; every wait fails from then on.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A connection of one user to the API server.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    runtime: Handle,
}

impl Api {
    /// Connects with the current context of a kubeconfig. Nothing is sent yet.
    pub(crate) fn connect(runtime: &Handle, kubeconfig: &Path) -> Result<Self> {
        // The error names the file and its cause already.
        let config = Kubeconfig::read_from(kubeconfig).map_err(|e| anyhow!("{e}"))?;
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(config, &options).await?;
            config.read_timeout = None; // A watch may be quiet for long.
            config.connect_timeout = Some(Duration::from_secs(5));
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { client, runtime: runtime.clone() })
    }

    /// Returns the connection for use in asynchronous code.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the runtime that the connection lives on.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Reads a path; a missing object is `None`.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Value>> {
        match self.send("GET", path, "", Vec::new()) {
            Err(error) if is_not_found(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Applies a merge patch as the user of this connection.
    pub(crate) fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.send("PATCH", path, "application/merge-patch+json", patch.to_string().into_bytes())
    }

    /// Deletes what a path names.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        match self.send("DELETE", path, "", Vec::new()) {
            Err(error) if !is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn send(&self, method: &str, path: &str, media: &str, body: Vec<u8>) -> Result<Value> {
        let request = request(method, path, media, body)?;
        self.runtime
            .block_on(self.client.request::<Value>(request))
            .with_context(|| format!("{method} {path}"))
    }
}

/// Builds a raw request.
pub(crate) fn request(
    method: &str,
    path: &str,
    media: &str,
    body: Vec<u8>,
) -> Result<Request<Vec<u8>>> {
    let mut builder = Request::builder().method(method).uri(path);
    if !media.is_empty() {
        builder = builder.header(http::header::CONTENT_TYPE, media);
    }
    Ok(builder.body(body)?)
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 404)
}

/// How an object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It appeared, or was there when the watch began.
    Added,
    /// It is different now.
    Modified,
    /// It is gone.
    Deleted,
}

/// What an object is called: `deployments`, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// The resource, in the plural.
    pub(crate) resource: String,
    /// The namespace; empty for what has none.
    pub(crate) namespace: String,
    /// The name.
    pub(crate) name: String,
}

impl Id {
    /// Names an object.
    pub(crate) fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// One change as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    /// When.
    pub(crate) at: Instant,
    /// What happened.
    pub(crate) change: Change,
    /// To what.
    pub(crate) id: Id,
    /// The object after the change (before it, for a deletion). Metadata only, if so asked.
    pub(crate) object: Arc<Value>,
}

/// Everything seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// Every change in order of arrival.
    pub(crate) log: Vec<Sighting>,
    /// What is there now.
    pub(crate) objects: BTreeMap<Id, Arc<Value>>,
    failure: Option<String>,
}

impl Seen {
    fn record(&mut self, resource: &str, change: Change, object: Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let id = Id { resource: resource.into(), namespace: text("namespace"), name: text("name") };
        let object = Arc::new(object);
        match change {
            Change::Deleted => drop(self.objects.remove(&id)),
            _ => drop(self.objects.insert(id.clone(), Arc::clone(&object))),
        }
        self.log.push(Sighting { at: Instant::now(), change, id, object });
    }

    /// Returns when `count` different objects had changed, after `from`, in a way that `wanted`
    /// accepts: the time of the change that made it so, however late somebody asks.
    pub(crate) fn reached(
        &self,
        from: usize,
        count: usize,
        wanted: impl Fn(&Sighting) -> bool,
    ) -> Option<Instant> {
        let mut there = BTreeSet::new();
        self.log[from..].iter().filter(|sighting| wanted(sighting)).find_map(|sighting| {
            there.insert(&sighting.id);
            (there.len() == count).then_some(sighting.at)
        })
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, resource: &str, change: Change, object: Value) {
        self.lock().record(resource, change, object);
        self.changed.notify_all();
    }
}

/// What to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth {
    /// Whole objects.
    Whole,
    /// Names only, for thousands of objects: the watch must not cost what it measures.
    Names,
}

/// A watch on some paths. Dropping it ends it.
pub(crate) struct Witness {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Witness {
    /// Lists each path (e.g. `/apis/apps/v1/deployments`) and watches it from there on. Returns
    /// when all lists are there.
    pub(crate) fn start(api: &Api, paths: &[String], depth: Depth) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut tasks = Vec::new();
        for path in paths {
            let version = api.runtime.block_on(list(&api.client, path, &shared))?;
            let (client, path, shared) = (api.client(), path.clone(), Arc::clone(&shared));
            tasks.push(api.runtime.spawn(async move {
                follow(client, path, version, depth, &shared).await;
            }));
        }
        Ok(Self { shared, tasks })
    }

    /// Returns a place in the log: what is seen from now on comes after it.
    pub(crate) fn now(&self) -> usize {
        self.shared.lock().log.len()
    }

    /// Reads what was seen so far.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.shared.lock())
    }

    /// Waits for the first change after `from` that `wanted` accepts. `what` names it.
    pub(crate) fn find(
        &self,
        from: usize,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Sighting) -> bool,
    ) -> Result<Sighting> {
        let mut next = from;
        self.wait(limit, what, |seen| {
            let found = seen.log[next..].iter().find(|sighting| wanted(sighting)).cloned();
            next = seen.log.len();
            found
        })
    }

    /// Waits until `ready` gives an answer; it is asked after every change.
    pub(crate) fn wait<T>(
        &self,
        limit: Duration,
        what: &str,
        mut ready: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        let mut seen = self.shared.lock();
        loop {
            if let Some(answer) = ready(&seen) {
                return Ok(answer);
            }
            if INTERRUPTED.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = seen.failure.as_deref().map(|failure| format!(" ({failure})"));
                bail!("not seen within {limit:?}: {what}{}", why.unwrap_or_default());
            }
            let wait = self.shared.changed.wait_timeout(seen, left.min(INTERRUPT_CHECK));
            seen = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn resource_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

async fn list(client: &Client, path: &str, shared: &Shared) -> Result<String> {
    let list: Value = client
        .request(request("GET", path, "", Vec::new())?)
        .await
        .with_context(|| format!("cannot list {path}"))?;
    for item in list["items"].as_array().into_iter().flatten() {
        shared.record(resource_of(path), Change::Added, item.clone());
    }
    Ok(list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned())
}

/// Follows one path for ever. A watch that ends begins again where it ended.
async fn follow(client: Client, path: String, mut version: String, depth: Depth, shared: &Shared) {
    loop {
        let result = match depth {
            Depth::Whole => watch::<Value>(&client, &path, &mut version, shared).await,
            Depth::Names => watch::<Named>(&client, &path, &mut version, shared).await,
        };
        if let Err(error) = result {
            shared.lock().failure = Some(format!("the watch on {path} failed: {error:#}"));
        }
        tokio::time::sleep(WATCH_RETRY).await;
    }
}

async fn watch<T>(client: &Client, path: &str, version: &mut String, shared: &Shared) -> Result<()>
where
    T: Clone + serde::de::DeserializeOwned + Into<Value>,
{
    let query = format!("{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}");
    let events = client.request_events::<T>(request("GET", &query, "", Vec::new())?).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        let (change, object) = match event {
            WatchEvent::Added(object) => (Change::Added, object.into()),
            WatchEvent::Modified(object) => (Change::Modified, object.into()),
            WatchEvent::Deleted(object) => (Change::Deleted, object.into()),
            WatchEvent::Bookmark(bookmark) => {
                version.clone_from(&bookmark.metadata.resource_version);
                continue;
            }
            WatchEvent::Error(status) => bail!("{status:?}"),
        };
        if let Some(seen) = object["metadata"]["resourceVersion"].as_str() {
            seen.clone_into(version);
        }
        shared.record(resource_of(path), change, object);
    }
    Ok(())
}

/// An object of which only the names are read.
#[derive(Clone, serde::Deserialize)]
struct Named {
    metadata: Names,
}

#[derive(Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    name: String,
    #[serde(default)]
    namespace: String,
    resource_version: String,
}

impl From<Named> for Value {
    fn from(named: Named) -> Self {
        let Names { name, namespace, resource_version } = named.metadata;
        serde_json::json!({
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version}
        })
    }
}
