//! The only place that knows all the parts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, RwLock};

use anyhow::{Context, Result, anyhow};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{auditing, lifecycle, narrate, network, options, read_only, wholeness};
use crate::attribution::Sources;
use crate::cluster::{self, Connection, Observer};
use crate::config::Config;
use crate::ledger::event::{ConfigLoadedV1, DaemonStartedV1, DaemonStoppedV1, Event, Origin};
use crate::ledger::{self, Draft, Ledger};
use crate::model::{AppName, Digest, Seq, Timestamp, canonical_json};
use crate::plan::Compared;
use crate::query::past;
use crate::reconcile;
use crate::reconcile::machine::declare;
use crate::reconcile::{
    Driver, GitBack, GitBackError, Parts, Trial, TrialError, View, Wish, record_cluster,
    record_sources, trial,
};
use crate::replay::World;
use crate::{http, render, source};

/// How many reports may wait to be recorded. Bound: the recorder takes 256 at a time; when it is
/// slower than the cluster, watches wait, and the API server buffers or ends them.
const REPORTS_QUEUE_MAX: usize = 1_024;

/// What `greffier serve` was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServeOptions {
    /// Record and plan, write nothing.
    pub observe: bool,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, and whatever made it stop on its own.
pub async fn run(config: Config, serve_options: ServeOptions) -> Result<()> {
    let Some(mut opened) = read_only::open(&config).await? else { return Ok(()) };
    let served = loop {
        let error = match opened.full.take() {
            Some(full) => full.into(),
            None => match serve(&config, serve_options, &opened.ledger).await {
                Err(error) if read_only::is_full(&error) => error,
                served => break served,
            },
        };
        let since = Timestamp::now();
        match read_only::serve(&config, &opened.ledger, &error).await {
            Ok(None) => {}
            Ok(Some(signal)) => break Ok(signal),
            Err(error) => break Err(error),
        }
        if opened.in_memory {
            // Its index is to be on disk again.
            opened.ledger.close().await;
            let again = read_only::open(&config).await?;
            opened = match again {
                Some(again) => again,
                None => return Ok(()),
            };
        }
        if opened.full.is_none() {
            read_only::record(&opened.ledger, since, &error).await;
        }
    };
    let ledger = opened.ledger;
    let reason = match &served {
        Ok(signal) => (*signal).to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let stopped = Draft::new(DaemonStoppedV1 { reason });
    if let Err(error) = ledger.append(stopped).await {
        tracing::warn!(%error, "the stop could not be recorded");
    }
    ledger.close().await;
    served.map(|_| ())
}

async fn serve(config: &Config, asked: ServeOptions, ledger: &Ledger) -> Result<&'static str> {
    let world = replay(ledger).await?;
    tracing::info!(events = world.seq.0, apps = world.apps.len(), "ledger is replayed");
    let connection = Connection::connect(&options::cluster(config)?).await?;
    record_start(config, asked, ledger, &world).await?;
    let world = {
        let (ledger, mut world) = (ledger.clone(), world);
        let caught_up = move || {
            past::catch_up(&ledger, &mut world, ledger.head())?;
            Ok::<_, ledger::Error>(world)
        };
        tokio::task::spawn_blocking(caught_up).await??
    };
    let known = known_objects(&world);
    let connection = connection.keeping(kept_cluster(&world));
    let (parts, tracked) = parts(config, ledger, connection.clone(), world);
    prepare_scratch(&parts.scratch)?;
    tell_of_sandbox(parts.tools.sandbox.clone());
    let cancel = CancellationToken::new();
    let mut tasks = Tasks::new(cancel.clone());
    let sources = start_sources(config, &mut tasks, &parts, tracked, &cancel);
    let (reports, reported) = mpsc::channel(REPORTS_QUEUE_MAX);
    let observer =
        Observer::new(connection, &options::cluster(config)?, known, Arc::new(ledger.clone()))
            .naming(parts.named.subscribe());
    let observing = cancel.clone();
    tasks.spawn("observer", async move {
        observer.run(reports, observing).await;
        Ok(())
    });
    let recording = parts.clone();
    tasks.spawn("cluster recorder", async move { Ok(record_cluster(recording, reported).await?) });
    auditing::start(config, &mut tasks, &parts, &cancel).await?;
    start_attribution(config, &mut tasks, &parts, &cancel);
    let driver = Driver::new(parts.clone(), cancel.clone());
    tasks.spawn("driver", async move { Ok(driver.run().await?) });
    // Whoever finds it up may end it, and then the stop is recorded and a snapshot kept.
    let signalled = lifecycle::on_signal(cancel.clone())?;
    start_http(config, &mut tasks, &parts, (Some(sources), None), &cancel).await?;
    start_narrator(&mut tasks, ledger, &cancel);
    let saving = save_snapshots(parts.clone(), cancel.clone());
    tasks.spawn("snapshots", async move {
        saving.await;
        Ok(())
    });
    tasks.spawn("damage teller", wholeness::tell(parts.clone(), cancel.clone()));
    tasks.spawn("ledger check", wholeness::check(ledger.clone(), cancel.clone()));
    lifecycle::ready();
    let signal = tokio::select! {
        signal = signalled => signal,
        failed = tasks.first_failure() => return Err(tasks.stop_after(failed).await),
    };
    tasks.stop().await?;
    past::save(ledger, &parts.read().world);
    Ok(signal)
}

/// Folds what the ledger has.
pub(super) async fn replay(ledger: &Ledger) -> Result<World> {
    let ledger = ledger.clone();
    Ok(tokio::task::spawn_blocking(move || past::world_at(&ledger, ledger.head(), false)).await??)
}

/// What the parts of the daemon share; the receiver gets the repositories to mirror.
pub(super) fn parts(
    config: &Config,
    ledger: &Ledger,
    cluster: Connection,
    world: World,
) -> (Parts, mpsc::Receiver<BTreeSet<String>>) {
    let (track, tracked) = mpsc::channel(4);
    let parts = Parts {
        ledger: ledger.clone(),
        cluster,
        folded: watch::Sender::new(world.seq),
        view: Arc::new(RwLock::new(View { world, ..View::default() })),
        limits: Arc::new(options::limits(config)),
        tools: Arc::new(options::tools(config)),
        mirrors: Arc::new(options::source(config)),
        scratch: config.data_dir.join("scratch").into(),
        write_timeout: options::write_timeout(config),
        track,
        named: watch::Sender::default(),
    };
    (parts, tracked)
}

fn start_sources(
    config: &Config,
    tasks: &mut Tasks,
    parts: &Parts,
    tracked: mpsc::Receiver<BTreeSet<String>>,
    cancel: &CancellationToken,
) -> source::Handle {
    let (inputs, reported) = mpsc::channel(16);
    let service = source::Service::new(options::source(config), inputs);
    let handle = service.handle();
    let running = cancel.clone();
    tasks.spawn("sources", async move {
        service.run(running).await;
        Ok(())
    });
    let recording = parts.clone();
    tasks.spawn("source recorder", async move { Ok(record_sources(recording, reported).await?) });
    let tracking = track(handle.clone(), parts.clone(), tracked, cancel.clone());
    tasks.spawn("source tracker", async move {
        tracking.await;
        Ok(())
    });
    handle
}

/// Keeps the service following exactly the repositories that the driver names.
async fn track(
    handle: source::Handle,
    parts: Parts,
    mut tracked: mpsc::Receiver<BTreeSet<String>>,
    cancel: CancellationToken,
) {
    let mut followed = BTreeSet::new();
    loop {
        let wanted = tokio::select! {
            wanted = tracked.recv() => wanted,
            () = cancel.cancelled() => return,
        };
        let Some(wanted) = wanted else { return };
        for url in followed.difference(&wanted) {
            handle.untrack(url).await;
        }
        for url in wanted.difference(&followed) {
            let known = {
                let view = parts.read();
                view.world.repos.get(url).cloned().unwrap_or_default()
            };
            handle.track(url, known.refs, known.gone).await;
        }
        followed = wanted;
    }
}

/// Says who made what is observed.
fn start_attribution(
    config: &Config,
    tasks: &mut Tasks,
    parts: &Parts,
    cancel: &CancellationToken,
) {
    let (file, webhook) = (config.audit.file.is_some(), config.audit.webhook.listen.is_some());
    let sources = Sources { file, webhook };
    if !(file || webhook) {
        // Observations say all there is.
        return;
    }
    let (parts, cancel) = (parts.clone(), cancel.clone());
    tasks.spawn(
        "attribution",
        async move { Ok(reconcile::attribute(parts, sources, cancel).await?) },
    );
}

/// Serves the API. Without sources there is nothing to refresh: nothing is recorded, for the
/// reason that is given.
pub(super) async fn start_http(
    config: &Config,
    tasks: &mut Tasks,
    parts: &Parts,
    (sources, read_only): (Option<source::Handle>, Option<String>),
    cancel: &CancellationToken,
) -> Result<()> {
    let listener = http::bind(&config.socket).await?;
    let (facts, control) =
        (Arc::new(Reading(parts.clone())), Arc::new(Controlling { sources, parts: parts.clone() }));
    let state = http::State::new(facts, control, parts.ledger.clone(), (*parts.limits).clone());
    let state = state.read_only(read_only).audited(config.audit.sources());
    network::offer_past(&config.past, tasks, &state, cancel).await?;
    let cancel = cancel.clone();
    tasks.spawn("API", async move { Ok(http::serve(listener, state, cancel).await?) });
    Ok(())
}

/// What the API reads.
struct Reading(Parts);

impl http::Facts for Reading {
    fn read(&self, reader: &mut dyn FnMut(&World, &Compared)) {
        let view = self.0.read();
        reader(&view.world, &view.compared);
    }

    fn folded(&self) -> watch::Receiver<Seq> {
        self.0.folded.subscribe()
    }
}

/// What the API may ask for.
struct Controlling {
    sources: Option<source::Handle>,
    parts: Parts,
}

impl http::Control for Controlling {
    fn refresh(&self, repo: Option<&str>) {
        if let Some(sources) = &self.sources {
            sources.hint(repo);
        }
    }

    fn trial(&self, app: &str, revision: Option<&str>) -> Result<Trial, TrialError> {
        trial(&self.parts, app, revision)
    }

    fn git_back(&self, wish: &Wish) -> Result<GitBack, GitBackError> {
        reconcile::prepare(&self.parts, wish)
    }

    fn sandbox(&self) -> render::Sandbox {
        self.parts.tools.sandbox.clone()
    }

    fn mirrors(&self) -> source::Options {
        (*self.parts.mirrors).clone()
    }
}

/// Tells on the terminal what happens, as it happens.
fn start_narrator(tasks: &mut Tasks, ledger: &Ledger, cancel: &CancellationToken) {
    let (ledger, cancel) = (ledger.clone(), cancel.clone());
    let tail = ledger.subscribe(ledger.head());
    tasks.spawn("narrator", async move {
        narrate::run(ledger, tail, cancel).await;
        Ok(())
    });
}

/// Records that the daemon runs, with which configuration, and the applications it names.
async fn record_start(
    config: &Config,
    asked: ServeOptions,
    ledger: &Ledger,
    world: &World,
) -> Result<()> {
    let mut drafts = vec![Draft::new(DaemonStartedV1 {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        observe: asked.observe,
        pid: std::process::id(),
    })];
    let toml = config.to_toml();
    if world.config != Digest::of(toml.as_bytes()) {
        drafts.push(Draft::new(ConfigLoadedV1 { toml }));
    }
    let mut named = BTreeSet::new();
    for file in &config.apps {
        let (name, manifest) = read_application(&file.file)?;
        let known = world.apps.get(&name);
        let same = known.is_some_and(|app| {
            app.manifest == Digest::of(&manifest) && app.origin == Origin::Config
        });
        if !same {
            drafts.push(declare(&name, &manifest, Origin::Config));
        }
        named.insert(name);
    }
    drafts.extend(unconfigured(ledger, world, &named)?);
    ledger.append(drafts).await?;
    Ok(())
}

/// What the configuration file named, and does not name any more: it stays as it was, and a person
/// may remove it.
fn unconfigured(ledger: &Ledger, world: &World, named: &BTreeSet<AppName>) -> Result<Vec<Draft>> {
    let left = world.apps.iter().filter(|(name, app)| {
        app.origin == Origin::Config && !app.removing && !named.contains(*name)
    });
    let mut drafts = Vec::new();
    for (name, app) in left {
        let recorded = match ledger.get(app.declared) {
            Err(error) if error.is_of_reading() => {
                tracing::warn!(app = %name, %error, "its definition cannot be read: it stays as it is");
                continue;
            }
            recorded => recorded?,
        };
        let event = recorded.as_ref().and_then(|recorded| recorded.event.as_ref());
        let Some(Event::AppDeclared(body)) = event else { continue };
        tracing::warn!(
            app = %name,
            "the configuration does not name it any more: it stays as it is; \
             `greffier app remove` lets go of it"
        );
        drafts.push(declare(name, &body.manifest, Origin::Unconfigured));
    }
    Ok(drafts)
}

/// Reads an Application manifest from a file: its name and its canonical form.
fn read_application(file: &Path) -> Result<(AppName, Vec<u8>)> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest = render::parse_one(&text, &file.display().to_string())?;
    let spec = crate::model::AppSpec::parse(&manifest)
        .with_context(|| format!("{} is no usable Application", file.display()))?;
    Ok((spec.name, canonical_json(&manifest)))
}

/// Which cluster the ledger keeps, and how far it was observed.
fn kept_cluster(world: &World) -> cluster::Kept {
    let (cluster, identity) = (&world.cluster, &world.cluster.identity);
    cluster::Kept {
        kept: identity.kept.clone(),
        answers: cluster.uid.clone(),
        reverted: identity.reverted.is_some(),
        revisions: identity.revisions.clone(),
        kept_revisions: identity.kept_revisions.clone(),
        sights: sights(world),
    }
}

/// The objects that changed last.
fn sights(world: &World) -> Vec<cluster::Sight> {
    let seen = world.live.iter().filter_map(|(key, live)| {
        let revision = live.resource_version.parse().ok()?;
        let (version, uid) = (live.version.clone(), live.uid.clone());
        Some(cluster::Sight { key: key.clone(), version, uid, revision })
    });
    let mut seen: Vec<_> = seen.collect();
    seen.sort_by_key(|sight| std::cmp::Reverse(sight.revision));
    seen.truncate(cluster::SIGHTS_MAX);
    seen
}

/// What the ledger has of each object, so that a restart does not record the same again.
fn known_objects(world: &World) -> cluster::Known {
    let mut known = cluster::Known::written_until(world.written_until());
    for (key, live) in world.observed() {
        let fingerprint = cluster::Fingerprint::of(
            &live.uid,
            (live.digest, live.owned),
            live.managers,
            (live.health, &live.health_message),
            live.images.as_deref().copied(),
            live.deleting,
        );
        known.insert(key, &live.uid, fingerprint);
    }
    known
}

/// Says once what the sandbox of the renderers is worth on this machine.
fn tell_of_sandbox(sandbox: render::Sandbox) {
    use render::sandbox::{Strength, check};
    // Nothing waits for the answer: a render in a sandbox that cannot be had fails by itself.
    tokio::task::spawn_blocking(move || match check(&sandbox) {
        Ok(Strength::Full) => tracing::info!("sandbox: {}", Strength::Full.as_str()),
        Ok(weak) => tracing::warn!("sandbox: {}", weak.as_str()),
        Err(error) => tracing::error!(
            %error,
            "helm and kustomize are not run; tools.sandbox = \"off\" would run them unconfined"
        ),
    });
}

fn prepare_scratch(scratch: &Path) -> Result<()> {
    if scratch.exists() {
        // Left behind by a run that was killed.
        std::fs::remove_dir_all(scratch)
            .with_context(|| format!("cannot empty {}", scratch.display()))?;
    }
    std::fs::create_dir_all(scratch).with_context(|| format!("cannot make {}", scratch.display()))
}

/// Saves a snapshot whenever enough has happened since the last.
async fn save_snapshots(parts: Parts, cancel: CancellationToken) {
    let mut saved = parts.read().world.seq;
    let mut tail = parts.ledger.subscribe(saved);
    loop {
        let ended = tokio::select! {
            batch = tail.next_batch() => batch.is_err(),
            () = cancel.cancelled() => true,
        };
        if ended {
            return;
        }
        let at = parts.read().world.seq;
        if at.0.saturating_sub(saved.0) < past::EVENTS_BETWEEN {
            continue;
        }
        let parts = parts.clone();
        let copied = tokio::task::spawn_blocking(move || {
            let world = parts.read().world.clone();
            past::save(&parts.ledger, &world);
        });
        if copied.await.is_ok() {
            saved = at;
        }
    }
}

/// The daemon's tasks. A task that ends before it was told to stops the daemon: a part that is
/// silently missing is worse than a restart.
pub(super) struct Tasks {
    set: JoinSet<(&'static str, Result<()>)>,
    cancel: CancellationToken,
}

impl Tasks {
    pub(super) fn new(cancel: CancellationToken) -> Self {
        Self { set: JoinSet::new(), cancel }
    }

    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Waits until a task ends.
    pub(super) async fn first_failure(&mut self) -> anyhow::Error {
        match self.set.join_next().await {
            Some(Ok((name, Ok(())))) => anyhow!("the {name} ended unexpectedly"),
            Some(Ok((name, Err(error)))) => error.context(format!("the {name} failed")),
            Some(Err(error)) => anyhow!(error).context("a task panicked"),
            None => anyhow!("no task is left"),
        }
    }

    pub(super) async fn stop_after(&mut self, failed: anyhow::Error) -> anyhow::Error {
        self.cancel.cancel();
        if let Err(error) = self.stop().await {
            tracing::warn!("while stopping: {error:#}");
        }
        failed
    }

    /// Waits until every task has ended.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let mut first = Ok(());
        while let Some(ended) = self.set.join_next().await {
            let (name, result) = ended.context("a task panicked")?;
            if let Err(error) = result {
                tracing::warn!(task = name, "{error:#}");
                first = first.and(Err(error.context(format!("the {name} failed"))));
            }
        }
        first
    }
}
