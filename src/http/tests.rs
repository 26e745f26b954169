//! The API over a real socket.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ledger::Draft;
use crate::ledger::event::{
    ActorClaim, AttributionResolvedV1, AuditTrouble, AuditTroubledV1, ClusterFoundV1, Event,
    Verdict,
};
use crate::model::Seq;
use crate::plan::Compared;
use crate::query::fixture::{Story, app_manifest};
use crate::replay::World;
use crate::replay::testing::Given;

/// Serves a story; folds what is appended when it is read, as the daemon's driver does.
pub(crate) struct Told(pub(crate) Mutex<Story>);

impl Facts for Told {
    fn read(&self, reader: &mut dyn FnMut(&World, &Compared)) {
        let mut story = self.0.lock().unwrap();
        story.fold();
        reader(&story.world, &story.compared);
    }

    fn folded(&self) -> watch::Receiver<Seq> {
        watch::channel(Seq(u64::MAX)).1
    }
}

/// A world that is folded on while somebody waits for it.
struct Starting {
    given: Mutex<Given>,
    folded: watch::Sender<Seq>,
    /// Whether the cluster was seen, as each reader found it.
    found: tokio::sync::mpsc::UnboundedSender<bool>,
}

impl Facts for Starting {
    fn read(&self, reader: &mut dyn FnMut(&World, &Compared)) {
        let given = self.given.lock().unwrap();
        reader(&given.world, &given.compared);
        let _ = self.found.send(given.world.cluster.seen);
    }

    fn folded(&self) -> watch::Receiver<Seq> {
        self.folded.subscribe()
    }
}

/// Goal: a plan that is asked for right after a start is made once the cluster was seen, not of
/// objects that are all unknown.
#[tokio::test]
async fn a_plan_waits_until_the_cluster_was_seen() {
    let mut given = Given::synced(Vec::new());
    given.starts(false);
    let (sender, mut found) = tokio::sync::mpsc::unbounded_channel();
    let folded = watch::Sender::new(Seq(u64::MAX - 1));
    let starting = Arc::new(Starting { given: Mutex::new(given), folded, found: sender });
    let story = Story::empty();
    let (ledger, limits) = (story.ledger.clone(), story.limits.clone());
    let state = State::new(starting.clone(), Arc::<Refreshed>::default(), ledger, limits);
    let waits = tokio::spawn(async move { state.seen().await });
    assert_eq!(found.recv().await, Some(false));
    starting.given.lock().unwrap().lists_everything();
    starting.folded.send_replace(Seq(u64::MAX));
    waits.await.unwrap();
    // Not asked for with patience: who did not wait found nothing more.
    assert_eq!(found.try_recv().ok(), Some(true));
    story.ledger.shutdown();
}

#[derive(Default)]
pub(crate) struct Refreshed(Mutex<Vec<Option<String>>>);

impl Control for Refreshed {
    fn refresh(&self, repo: Option<&str>) {
        self.0.lock().unwrap().push(repo.map(str::to_owned));
    }

    fn trial(
        &self,
        app: &str,
        _: Option<&str>,
    ) -> Result<crate::reconcile::Trial, crate::reconcile::TrialError> {
        let problem = "nothing is mirrored here".to_owned();
        Err(crate::reconcile::TrialError::Render { app: app.to_owned(), problem })
    }

    fn git_back(
        &self,
        _: &crate::reconcile::Wish,
    ) -> Result<crate::reconcile::GitBack, crate::reconcile::GitBackError> {
        Err(crate::reconcile::GitBackError::NoSource)
    }

    fn sandbox(&self) -> crate::render::Sandbox {
        crate::render::Sandbox::Off
    }

    fn mirrors(&self) -> crate::source::Options {
        crate::source::Options::new("/nowhere")
    }
}

pub(crate) struct Daemon {
    pub(crate) client: Client,
    ledger: crate::ledger::Ledger,
    pub(crate) told: Arc<Told>,
    refreshed: Arc<Refreshed>,
    cancel: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    pub(crate) socket: PathBuf,
    _dir: tempfile::TempDir,
}

/// What the handlers have, of a story.
pub(crate) fn state(story: Story) -> State {
    let (ledger, limits) = (story.ledger.clone(), story.limits.clone());
    State::new(Arc::new(Told(Mutex::new(story))), Arc::<Refreshed>::default(), ledger, limits)
}

impl Daemon {
    pub(crate) async fn start(story: Story) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("run/greffier.sock");
        let listener = bind(&socket).await.unwrap();
        let (ledger, limits) = (story.ledger.clone(), story.limits.clone());
        let told = Arc::new(Told(Mutex::new(story)));
        let refreshed = Arc::new(Refreshed::default());
        let state = State::new(told.clone(), refreshed.clone(), ledger.clone(), limits);
        let cancel = CancellationToken::new();
        let server = tokio::spawn(serve(listener, state, cancel.clone()));
        let client = Client::new(&socket, Duration::from_secs(30));
        Self { client, ledger, told, refreshed, cancel, server, socket, _dir: dir }
    }

    async fn refusal(&self, path: &str, body: serde_json::Value) -> dto::Error {
        match self.client.post::<dto::Accepted>(path, &body).await {
            Err(ClientError::Api(error)) => error,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[tokio::test]
async fn questions_are_answered() {
    let daemon = Daemon::start(Story::told()).await;
    let status: dto::Status = daemon.client.get("status", "").await.unwrap();
    assert_eq!((status.apps, status.sync["OutOfSync"]), (2, 1));
    assert_eq!(status.ledger.seq, status.ledger.folded);
    let apps: dto::Page<dto::App> = daemon.client.get("apps", "").await.unwrap();
    assert_eq!(apps.items[1].policy, ["auto", "prune", "heal"]);
    let tree: dto::Node = daemon.client.get("apps/root/tree", "").await.unwrap();
    assert_eq!(tree.children[0].name, "web");
    let diff: dto::Diff = daemon.client.get("apps/web/diff", "").await.unwrap();
    assert_eq!(diff.objects.len(), 4);
    let ledger: dto::Ledger = daemon.client.get("ledger", "").await.unwrap();
    assert_eq!(ledger.head, status.ledger.seq);
}

/// Goal: what was read of a source that is not configured any more is history.
#[tokio::test]
async fn a_source_of_audit_records_is_told_of_as_long_as_it_is_configured() {
    let mut story = Story::told();
    for source in ["/var/log/old.log", "/var/log/audit.log"] {
        let (trouble, what) = (AuditTrouble::Unreadable, "gone".to_owned());
        story.event(AuditTroubledV1 { source: source.into(), trouble, what, count: 1 });
    }
    let then = story.ledger.head();
    let asked = async |state: State, at: Option<String>| {
        let asked = Ok(axum::extract::Query(super::past::AtQuery { at }));
        let found = super::api::status(axum::extract::State(state), asked).await.unwrap().0;
        found.audit.into_iter().map(|audit| audit.source).collect::<Vec<_>>()
    };
    let all = state(story);
    let configured = all.clone().audited(vec!["/var/log/audit.log".into(), "webhook".into()]);
    assert_eq!(asked(configured.clone(), None).await, ["/var/log/audit.log"]);
    assert_eq!(asked(configured, Some(format!("#{then}"))).await.len(), 2, "it was read then");
    assert_eq!(asked(all, None).await.len(), 2);
}

#[tokio::test]
async fn lists_come_in_bounded_pages() {
    let daemon = Daemon::start(Story::told()).await;
    let mut after = String::new();
    let mut seen = Vec::new();
    loop {
        let query = query_string(&[("after", &after), ("limit", "2")]);
        let page: dto::Page<dto::Resource> = daemon.client.get("resources", &query).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|resource| resource.object));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(seen.contains(&"Deployment.apps/prod/web".to_owned()), "{seen:?}");
    let mut unique = seen.clone();
    unique.dedup();
    assert_eq!(unique, seen);
}

#[tokio::test]
async fn events_can_be_filtered_and_shown_whole() {
    let daemon = Daemon::start(Story::told()).await;
    let query = query_string(&[("kind", "drift"), ("detail", "true"), ("newest", "true")]);
    let page: dto::Page<dto::Event> = daemon.client.get("events", &query).await.unwrap();
    let row = &page.items[0];
    assert_eq!(row.detail.as_ref().unwrap()["fields"][0]["path"], ".spec.replicas");
    let same: dto::Event = daemon.client.get(&format!("events/{}", row.seq), "").await.unwrap();
    assert_eq!(same.summary, row.summary);
    let wrong = daemon.client.get::<dto::Page<dto::Event>>("events", "kind=drfit").await;
    let Err(ClientError::Api(error)) = wrong else { panic!("{wrong:?}") };
    assert_eq!(error.code, "unknown_kind");
}

/// Goal: a kind is understood by any of its names; one of which nothing was ever recorded is
/// refused, and what is not served any more is not.
#[tokio::test]
async fn events_are_found_by_any_name_of_the_kind_of_their_object() {
    let mut story = Story::told();
    story.event(crate::ledger::event::ObjectGoneV1 {
        key: crate::query::fixture::key("Widget.example.org/prod/w"),
        uid: "w".into(),
        learned: crate::ledger::event::Learned::Watched,
    });
    let daemon = Daemon::start(story).await;
    let asked = async |kind: &str| {
        let query = query_string(&[("object_kind", kind), ("newest", "true")]);
        daemon.client.get::<dto::Page<dto::Event>>("events", &query).await
    };
    let all = asked("Deployment").await.unwrap().items.len();
    assert!(all > 0);
    for name in ["deploy", "deployments", "DEPLOYMENT", "Deployment.apps", "deployments.apps"] {
        assert_eq!(asked(name).await.unwrap().items.len(), all, "{name}");
    }
    assert_eq!(asked("widget").await.unwrap().items.len(), 1);
    let mut hints = Vec::new();
    for name in ["deplyment", "deploy.example.org", "Nonsense"] {
        let Err(ClientError::Api(error)) = asked(name).await else { panic!("{name}") };
        assert_eq!(error.code, "unknown_subject", "{error:?}");
        hints.push(error.hint);
    }
    assert!(hints[0].contains("did you mean Deployment"), "{hints:?}");
}

/// Goal: who made a change is told as it was known then, in every word of the answer.
#[tokio::test]
async fn an_event_is_told_as_it_was_known_then() {
    let mut story = Story::told();
    let drift = story.ledger.head();
    let Some(Event::DriftDetected(body)) = story.ledger.get(drift).unwrap().unwrap().event.clone()
    else {
        panic!("the story ends with a drift")
    };
    let said = |verdict, who: &str| AttributionResolvedV1 {
        observation: body.observation,
        key: body.key.clone(),
        verdict,
        claims: vec![ActorClaim { who: who.into(), ..ActorClaim::default() }],
        more: 0,
        fields: Vec::new(),
        causes: Vec::new(),
        drift: Some(drift),
        replaces: None,
        was: None,
        counts: true,
        waiting: false,
        why: String::new(),
    };
    let first = story.event(said(Verdict::Ambiguous, "bob"));
    story.event(said(Verdict::Exact, "alice"));
    let daemon = Daemon::start(story).await;
    let known = async |as_of: &str| {
        let path = format!("events/{drift}");
        let row: dto::Event = daemon.client.get(&path, &format!("as_of={as_of}")).await.unwrap();
        (row.who.unwrap().verdict, row.summary)
    };
    let (verdict, now) = known("").await;
    assert!(verdict == "exact" && now.contains("alice"), "{verdict} {now}");
    let (verdict, then) = known(&first.to_string()).await;
    assert!(verdict == "ambiguous" && !then.contains("alice"), "{verdict} {then}");
    let (verdict, earlier) = known(&drift.to_string()).await;
    assert!(verdict == "unknown" && !earlier.contains("bob"), "{verdict} {earlier}");
    let path = format!("events/{drift}");
    let too_early = daemon.client.get::<dto::Event>(&path, "as_of=1").await;
    assert!(matches!(too_early, Err(ClientError::Api(error)) if error.code == "unknown_event"));
}

#[tokio::test]
async fn commands_are_recorded_with_the_peer_as_their_actor() {
    let daemon = Daemon::start(Story::told()).await;
    let body = json!({"for": "2h", "reason": "incident"});
    let paused: dto::Accepted = daemon.client.post("apps/web/pause", &body).await.unwrap();
    assert_eq!(paused.undo, "greffier resume web");
    let event: dto::Event = daemon.client.get(&format!("events/{}", paused.seq), "").await.unwrap();
    assert!(event.actor.starts_with("os-user:"), "{}", event.actor);
    let app: dto::App = daemon.client.get("apps/web", "").await.unwrap();
    assert_eq!(app.paused.unwrap().reason, "incident", "people read their own writes");
    let _: dto::Accepted = daemon.client.post("apps/web/resume", &json!({})).await.unwrap();
    let added: dto::Accepted = daemon.client.post("apps", &app_manifest("extra")).await.unwrap();
    assert_eq!(added.undo, "greffier app remove extra");
    let _: dto::Accepted = daemon.client.delete("apps/extra", "").await.unwrap();
}

#[tokio::test]
async fn a_freeze_is_told_with_who_why_and_until_when() {
    let daemon = Daemon::start(Story::told()).await;
    assert_eq!(daemon.refusal("unfreeze", json!({})).await.code, "not_frozen");
    let body = json!({"for": "2h", "reason": "upgrade"});
    let frozen: dto::Accepted = daemon.client.post("freeze", &body).await.unwrap();
    assert_eq!(frozen.undo, "greffier unfreeze");
    let status: dto::Status = daemon.client.get("status", "").await.unwrap();
    let freeze = status.freeze.unwrap();
    assert_eq!((freeze.seq, freeze.reason.as_str()), (frozen.seq, "upgrade"));
    assert!(freeze.by.starts_with("os-user:") && freeze.until.is_some(), "{freeze:?}");
    let app: dto::App = daemon.client.get("apps/web", "").await.unwrap();
    assert!(app.note.starts_with("greffier is frozen until "), "{}", app.note);
    let _: dto::Accepted = daemon.client.post("unfreeze", &json!({})).await.unwrap();
    let status: dto::Status = daemon.client.get("status", "").await.unwrap();
    assert_eq!(status.freeze, None);
}

#[tokio::test]
async fn refusals_say_why_and_what_to_do() {
    let daemon = Daemon::start(Story::told()).await;
    let unknown = daemon.refusal("apps/wbe/sync", json!({})).await;
    assert_eq!(
        (unknown.code.as_str(), unknown.hint.as_str()),
        ("unknown_app", "did you mean web?")
    );
    assert!(!unknown.request_id.is_empty());
    let nothing = daemon.refusal("apps/web/approve", json!({"plan": "abcd"})).await;
    assert_eq!(nothing.code, "nothing_gated");
    daemon.told.0.lock().unwrap().gated();
    let short = daemon.refusal("apps/web/approve", json!({"plan": "ab"})).await;
    assert_eq!(short.code, "bad_plan_hash");
    let other = daemon.refusal("apps/web/approve", json!({"plan": "1234"})).await;
    assert_eq!(other.code, "other_plan");
    let field = daemon.refusal("apps/web/sync", json!({"prun": true})).await;
    assert!(field.message.contains("unknown field `prun`"), "{}", field.message);
    let period = daemon.refusal("apps/web/pause", json!({"for": "soon"})).await;
    assert!(period.message.contains("is not a duration"), "{}", period.message);
    let elsewhere = daemon.refusal("apps", app_manifest("web")).await;
    assert_eq!(elsewhere.code, "defined_elsewhere");
    let large = daemon.refusal("apps", json!("x".repeat(2 * 1024 * 1024))).await;
    assert!(!large.code.is_empty());
    let nowhere = daemon.client.get::<dto::Status>("nowhere", "").await;
    assert!(matches!(nowhere, Err(ClientError::Api(error)) if error.code == "no_route"));
}

#[tokio::test]
async fn a_dry_run_lists_writes_and_records_nothing() {
    let daemon = Daemon::start(Story::told()).await;
    let head = daemon.ledger.head();
    let body = json!({"prune": true, "dry_run": true});
    let plan: dto::DryRun = daemon.client.post("apps/web/sync", &body).await.unwrap();
    let verbs: Vec<_> = plan.writes.iter().map(|write| write.verb.as_str()).collect();
    assert!(verbs.contains(&"heal") && verbs.contains(&"create"), "{plan:?}");
    assert_eq!(daemon.ledger.head(), head);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left_and_ends_with_the_daemon() {
    let daemon = Daemon::start(Story::told()).await;
    let mut stream = daemon.client.stream("after=0&all=true").await.unwrap();
    for seq in 1..=daemon.ledger.head().0 {
        assert_eq!(stream.next().await.unwrap().unwrap().seq, seq);
    }
    let seq = daemon.ledger.append(Draft::new(ClusterFoundV1 {})).await.unwrap()[0];
    let event = stream.next().await.unwrap().unwrap();
    assert_eq!((event.seq, event.kind.as_str()), (seq.0, "cluster.found"));
    daemon.cancel.cancel();
    assert!(stream.next().await.unwrap().is_none());
    daemon.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refresh_reaches_the_daemon() {
    let daemon = Daemon::start(Story::told()).await;
    let body = json!({"repo": "/srv/infra.git"});
    daemon.client.post::<serde_json::Value>("repos/refresh", &body).await.unwrap();
    let asked = daemon.refreshed.0.lock().unwrap().clone();
    assert_eq!(asked, [Some("/srv/infra.git".to_owned())]);
    let unknown =
        daemon.client.post::<serde_json::Value>("repos/refresh", &json!({"repo": "/x"})).await;
    assert!(matches!(unknown, Err(ClientError::Api(error)) if error.code == "unknown_repo"));
}

#[tokio::test]
async fn the_socket_is_for_its_user_and_group_and_is_taken_once() {
    let daemon = Daemon::start(Story::told()).await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&daemon.socket), 0o660);
    assert_eq!(mode(daemon.socket.parent().unwrap()), 0o750);
    assert!(matches!(bind(&daemon.socket).await, Err(BindError::InUse(_))));
    daemon.cancel.cancel();
    daemon.server.await.unwrap().unwrap();
    // The socket of a daemon that is gone is replaced.
    drop(bind(&daemon.socket).await.unwrap());
    let file = daemon.socket.with_extension("txt");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(bind(&file).await, Err(BindError::NoSocket(_))));
}

#[tokio::test]
async fn a_client_tells_absent_from_forbidden() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::new(dir.path().join("none.sock"), Duration::from_secs(5));
    assert!(matches!(client.probe().await, Err(ClientError::Unreachable { .. })));
}

#[tokio::test]
async fn prometheus_is_told_what_is_watched_and_how_well_changes_are_known() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let daemon = Daemon::start(Story::told()).await;
    let mut stream = tokio::net::UnixStream::connect(&daemon.socket).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: greffier\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for part in [
        "content-type: text/plain; version=0.0.4",
        "# TYPE greffier_kinds_watched gauge\ngreffier_kinds_watched 5\n",
        "greffier_kinds_unwatched{cause=\"gap\"} 0\n",
        "greffier_attributed_changes{verdict=\"exact\"} 0\n",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
}
