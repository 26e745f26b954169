//! From answers to the wire.

use serde_json::Value;

use super::dto;
use crate::ledger::event::{AuditTroubledV1, BackTo, DriftKind, Event, HoldOf, Origin};
use crate::ledger::{Info, Recorded};
use crate::model::{AppName, Seq};
use crate::plan::Plan;
use crate::query::describe::{Described, Tone, field_change, trouble_text};
use crate::query::diff::{AppDiff, Side};
use crate::query::people;
use crate::query::rollback::held_commit;
use crate::query::{self, AppView, Node, NodeKind, Resource};
use crate::replay::{App, Attributed, AuditSource, Gate, Hold, World};

/// How many changes that are not put back an overview names.
const DRIFTS_MAX: usize = 20;
/// Of how many holds an overview says who holds it.
const ACTORS_MAX: usize = 100;
/// How many objects a row names.
const ROW_OBJECTS_MAX: usize = 100;

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// An event. `detail` says whether everything that was recorded goes with it.
#[must_use]
pub fn row(recorded: &Recorded, described: Described, detail: bool) -> dto::Event {
    let envelope = &recorded.envelope;
    let tone = match described.tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    };
    dto::Event {
        seq: envelope.seq.0,
        id: envelope.id.to_string(),
        time: envelope.recorded.to_string(),
        kind: recorded.event.as_ref().map_or("unknown", Event::name).to_owned(),
        app: described.app,
        objects: strings(described.objects.iter().take(ROW_OBJECTS_MAX)),
        actor: recorded.actor.to_string(),
        by: described.by,
        parties: people::of_event(recorded, described.known.as_ref()),
        summary: described.summary,
        tone: tone.to_owned(),
        noise: described.noise,
        keep: described.keep,
        commit: described.commit.map(|commit| commit.to_string()).unwrap_or_default(),
        correlation: envelope.correlation.to_string(),
        causes: envelope.causes.iter().map(|cause| cause.0).collect(),
        detail: detail.then(|| recorded.event.as_ref().map(details)).flatten(),
        hash: String::new(),
        who: None,
        patches: Vec::new(),
    }
}

/// The event as JSON; manifests that travel as bytes become JSON again.
fn details(event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    match event {
        Event::AppDeclared(body) => value["manifest"] = parsed(&body.manifest),
        Event::RenderSucceeded(body) => {
            for (index, object) in body.objects.iter().enumerate() {
                if let Some(manifest) = &object.application {
                    value["objects"][index]["application"] = parsed(manifest);
                }
            }
        }
        _ => {}
    }
    value
}

fn gate(name: &AppName, gate: &Gate) -> dto::Gate {
    let write = |(verb, key): &(crate::ledger::event::Verb, crate::model::ObjectKey)| dto::Write {
        verb: verb.as_str().to_owned(),
        object: key.to_string(),
        reason: String::new(),
    };
    dto::Gate {
        app: name.to_string(),
        seq: gate.seq.0,
        plan: gate.plan.to_string(),
        approved: false,
        reasons: gate.reasons.iter().map(|reason| reason.what.clone()).collect(),
        writes: gate.writes.iter().map(write).collect(),
        apps: strings(&gate.apps),
    }
}

fn pause(view: &AppView<'_>, world: &World) -> Option<dto::Pause> {
    let pause = view.app.paused.as_ref()?;
    let over = pause.until.is_some_and(|until| until <= world.now);
    (!over).then(|| dto::Pause {
        app: view.name.to_string(),
        until: pause.until.map(|until| until.to_string()),
        reason: pause.reason.clone(),
    })
}

fn contests(view: &AppView<'_>, world: &World) -> Vec<dto::Contest> {
    let contests = view.app.contests().filter(|(_, _, contest)| contest.ends() > world.now);
    contests
        .map(|(key, rival, contest)| dto::Contest {
            app: view.name.to_string(),
            object: key.to_string(),
            path: rival.path.clone(),
            manager: rival.manager.clone(),
            seq: contest.named.map(|seq| seq.0),
            heals: contest.heals.to_string(),
            ends: contest.ends().to_string(),
            what: query::contest_text(rival, contest),
        })
        .collect()
}

fn held(view: &AppView<'_>) -> Option<dto::AppHold> {
    let hold = view.app.hold.as_ref()?;
    let waits = view.app.proposed.as_ref().map(|waits| &waits.desired.revision.commit);
    Some(dto::AppHold {
        app: view.name.to_string(),
        seq: hold.seq.0,
        to: hold.to.0,
        at: hold.at.to_string(),
        tree: hold.tree.as_ref().map(ToString::to_string).unwrap_or_default(),
        said: hold.said.clone(),
        by: String::new(),
        commit: view.app.commit().map(ToString::to_string).unwrap_or_default(),
        waits: waits.map(ToString::to_string).unwrap_or_default(),
        until: hold.until.map(|until| until.to_string()),
        reason: hold.reason.clone(),
        pinned: hold.pinned.clone(),
        commits: hold.commits.iter().map(held_commit).collect(),
    })
}

fn holds(view: &AppView<'_>, world: &World) -> Vec<dto::Hold> {
    let holds = view.app.holds.iter().filter(|hold| hold.holds(world.now));
    holds.map(|hold| hold_of(view.name, hold)).collect()
}

/// The hold of an application, or of the last one that had the object.
fn hold_of(app: &AppName, hold: &Hold) -> dto::Hold {
    dto::Hold {
        app: app.to_string(),
        object: hold.of.key().to_string(),
        seq: hold.seq.0,
        from: hold.from.seq().0,
        what: what_of(hold).to_owned(),
        by: String::new(),
        fields: hold.fields().iter().map(field_change).collect(),
        until: hold.until.map(|until| until.to_string()),
        reason: hold.reason.clone(),
    }
}

/// The holds of objects that no application has now.
fn adrift(world: &World) -> impl Iterator<Item = dto::Hold> {
    world.adrift.iter().map(|adrift| hold_of(&adrift.app, &adrift.hold))
}

/// What a hold holds of its object, in a word.
fn what_of(hold: &Hold) -> &'static str {
    match (&hold.of, hold.from) {
        (HoldOf::Absence(_), _) => "absence",
        (HoldOf::Fields(_), _) => "fields",
        (HoldOf::Object(_), BackTo::Undone(_)) => "object before",
        (HoldOf::Object(_), _) => "object",
    }
}

fn drifts<'a>(view: &'a AppView<'_>) -> impl Iterator<Item = dto::Drift> + 'a {
    let changed = |kind| matches!(kind, DriftKind::Drift | DriftKind::Deleted);
    let drifts = view.app.drift.iter().filter(move |(_, drift)| changed(drift.kind));
    drifts.map(|(key, drift)| dto::Drift {
        app: view.name.to_string(),
        object: key.to_string(),
        seq: drift.seq.0,
        fields: drift.fields.iter().map(field_change).collect(),
        by: drift.managers.clone(),
        whom: String::new(),
        keep: query::describe::keep_commands(view.name, drift.seq, drift.may_be_kept),
    })
}

/// Says who froze greffier, and who holds what; `by` finds the actor of an event.
#[must_use]
pub fn with_actors(mut status: dto::Status, by: impl Fn(u64) -> String) -> dto::Status {
    if let Some(freeze) = &mut status.freeze {
        freeze.by = by(freeze.seq);
    }
    for hold in status.holds.iter_mut().take(ACTORS_MAX) {
        hold.by = by(hold.seq);
    }
    for hold in status.held.iter_mut().take(ACTORS_MAX) {
        hold.by = by(hold.seq);
    }
    status
}

/// An application.
#[must_use]
pub fn app(world: &World, view: &AppView<'_>) -> dto::App {
    let (app, plan) = (view.app, &view.plan);
    let spec = &app.spec;
    let source = spec.sources.first();
    let text = |field: fn(&crate::model::Source) -> &String| {
        source.map(field).cloned().unwrap_or_default()
    };
    let policy = match spec.automated {
        None => vec!["manual".to_owned()],
        Some(automated) => {
            let parts = [("auto", true), ("prune", automated.prune), ("heal", automated.self_heal)];
            parts.iter().filter(|(_, on)| *on).map(|(word, _)| (*word).to_owned()).collect()
        }
    };
    let desired = app.desired.as_ref();
    let rendered = desired.into_iter().flat_map(|desired| &desired.warnings);
    dto::App {
        name: view.name.to_string(),
        project: spec.project.clone(),
        sync: plan.sync.as_str().to_owned(),
        health: plan.health.as_str().to_owned(),
        health_message: plan.health_message.clone(),
        repo: text(|source| &source.repo),
        path: text(|source| &source.path),
        revision: text(|source| &source.revision),
        commit: app.commit().map(ToString::to_string).unwrap_or_default(),
        namespace: spec.namespace.clone(),
        policy,
        objects: plan.objects.len(),
        origin: match &app.origin {
            Origin::Config => "config".to_owned(),
            Origin::Operator => "operator".to_owned(),
            Origin::Parent(parent) => format!("app/{parent}"),
            Origin::Unconfigured => "unconfigured".to_owned(),
        },
        held: held(view),
        paused: pause(view, world),
        gate: app.gate.as_ref().map(|waiting| gate(view.name, waiting)),
        last_sync: app.last_sync.as_ref().map(|sync| dto::Sync {
            seq: sync.seq.0,
            time: sync.at.to_string(),
            commit: sync.commit.to_string(),
            succeeded: sync.succeeded,
            message: sync.message.clone(),
        }),
        sources: sources(app),
        render_problem: app.render_problem.as_ref().map(|problem| problem.error.clone()),
        warnings: spec.warnings.iter().chain(rendered).cloned().collect(),
        suspended: plan.suspended.clone(),
        removing: app.removing,
        note: query::why::note(world, view),
    }
}

fn sources(app: &App) -> Vec<dto::Source> {
    let revisions = app.desired.as_ref().map(|desired| desired.revisions.as_slice());
    let sources = app.spec.sources.iter().enumerate();
    sources
        .map(|(index, source)| {
            let rendered = revisions.and_then(|revisions| revisions.get(index));
            let rendered = rendered.filter(|rendered| rendered.repo == source.repo);
            dto::Source {
                repo: source.repo.clone(),
                path: if source.lends_only { String::new() } else { source.path.clone() },
                revision: source.revision.clone(),
                commit: rendered.map(|r| r.commit.to_string()).unwrap_or_default(),
                lends: source.lends.clone().unwrap_or_default(),
            }
        })
        .collect()
}

/// A source of audit records.
fn audit((name, source): (&String, &AuditSource)) -> dto::Audit {
    let trouble = source.trouble.as_ref().map(|(trouble, what, count, at)| {
        let (source, what) = (name.clone(), what.clone());
        let event = AuditTroubledV1 { source, trouble: *trouble, what, count: *count };
        (trouble_text(&event), at.to_string())
    });
    let (trouble, troubled) = trouble.unzip();
    dto::Audit {
        source: name.clone(),
        records: source.records,
        recorded: source.recorded,
        duplicates: source.duplicates,
        unknown: source.unknown,
        offset: source.offset,
        newest: source.newest.map(|at| at.to_string()),
        read: (source.read > Seq::ZERO).then(|| source.at.to_string()),
        unreadable: source.unreadable.clone(),
        trouble,
        troubled,
    }
}

fn attribution(known: &Attributed) -> dto::Attribution {
    let Attributed { exact, unique, ambiguous, unknown } = *known;
    dto::Attribution { exact, unique, ambiguous, unknown }
}

fn old_copy(world: &World, views: &[AppView<'_>]) -> Option<dto::OldCopy> {
    let sign = world.old_copy()?;
    let waits = views.iter().filter(|view| world.is_of_old_copy(view.app));
    let waits: Vec<String> = waits.map(|view| view.name.to_string()).collect();
    (sign.started == world.started || !waits.is_empty()).then(|| dto::OldCopy {
        object: sign.key.to_string(),
        written: sign.at.to_string(),
        seq: sign.seq.0,
        waits,
    })
}

/// The overview. The caller adds the daemon, the ledger's head and identity, and who froze it.
#[must_use]
pub fn status(world: &World, views: &[AppView<'_>]) -> dto::Status {
    let status = query::status(world, views);
    let note = |note: &query::ProblemNote| dto::Note {
        app: note.app.to_string(),
        what: note.what.clone(),
    };
    let counts = |counts: &std::collections::BTreeMap<&'static str, usize>| {
        counts.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect()
    };
    let cluster = &world.cluster;
    dto::Status {
        as_of: None,
        daemon: None,
        cluster: dto::Cluster {
            uid: cluster.uid.clone(),
            version: cluster.version.clone(),
            server: cluster.server.clone(),
            lost: cluster.lost.clone(),
            lost_since: None,
            doubt: cluster.doubt_text(),
            kinds: cluster.kinds.len(),
            listed: cluster.listed.len(),
            objects: world.live.len(),
        },
        ledger: dto::Head {
            id: String::new(),
            seq: world.seq.0,
            folded: world.seq.0,
            time: world.now.to_string(),
        },
        audit: world.audit.sources.iter().map(audit).collect(),
        attribution: attribution(&world.attributed),
        repos: world
            .repos
            .iter()
            .map(|(url, repo)| dto::Repo {
                url: url.clone(),
                fetched: repo.fetched,
                refs: repo.refs.len(),
                error: repo.error.clone(),
            })
            .collect(),
        apps: views.len(),
        sync: counts(&status.sync),
        health: counts(&status.health),
        gates: views
            .iter()
            .filter_map(|view| Some(gate(view.name, view.app.gate.as_ref()?)))
            .collect(),
        freeze: world.freeze().map(|freeze| dto::Freeze {
            seq: freeze.seq.0,
            by: String::new(),
            until: freeze.until.map(|until| until.to_string()),
            reason: freeze.reason.clone(),
        }),
        contests: views.iter().flat_map(|view| contests(view, world)).collect(),
        holds: views.iter().flat_map(|view| holds(view, world)).chain(adrift(world)).collect(),
        held: views.iter().filter_map(held).collect(),
        drifts: views.iter().flat_map(|view| drifts(view)).take(DRIFTS_MAX).collect(),
        pauses: views.iter().filter_map(|view| pause(view, world)).collect(),
        problems: status.problems.iter().map(note).collect(),
        suspended: status.suspended.iter().map(note).collect(),
        replays: Vec::new(),
        old_copy: old_copy(world, views),
        wholeness: None,
    }
}

/// An object.
#[must_use]
pub fn resource(resource: &Resource) -> dto::Resource {
    let key = &resource.key;
    dto::Resource {
        object: key.to_string(),
        group: key.group().to_owned(),
        version: resource.version.clone(),
        kind: key.kind().to_owned(),
        namespace: key.namespace().to_owned(),
        name: key.name().to_owned(),
        app: resource.app.clone(),
        sync: resource.sync.to_owned(),
        why: resource.why.clone(),
        health: resource.health.as_str().to_owned(),
        health_message: resource.health_message.clone(),
        seen: resource.seen.map(|seen| seen.to_string()),
    }
}

/// A tree.
#[must_use]
pub fn tree(node: &Node) -> dto::Node {
    let (kind, name) = match &node.kind {
        NodeKind::App(name) => ("app", name.to_string()),
        NodeKind::Object(key) => ("object", key.to_string()),
    };
    dto::Node {
        kind: kind.to_owned(),
        name,
        sync: node.sync.to_owned(),
        health: node.health.as_str().to_owned(),
        note: node.note.clone(),
        children: node.children.iter().map(tree).collect(),
    }
}

/// A difference.
#[must_use]
pub fn diff(app: &str, commit: String, diff: AppDiff) -> dto::Diff {
    let objects = diff.objects.into_iter().map(|object| dto::ObjectDiff {
        object: object.key.to_string(),
        change: match object.side {
            Side::Missing => "missing",
            Side::Extra => "extra",
            Side::Changed => "changed",
        }
        .to_owned(),
        why: object.why,
        fields: object
            .fields
            .into_iter()
            .map(|field| dto::Field { path: field.path, live: field.was, git: field.now })
            .collect(),
        hold: object.hold.map(|(seq, to)| dto::DiffHold { seq: seq.0, to: to.0 }),
    });
    dto::Diff {
        app: app.to_owned(),
        commit,
        objects: objects.collect(),
        unknown: diff.unknown,
        notes: diff.notes,
    }
}

/// What a sync would do, without what the ledger knows of applications that come.
#[must_use]
pub fn dry_run(world: &World, plan: &Plan) -> dto::DryRun {
    let write = |write: &crate::ledger::event::Write| dto::Write {
        verb: write.verb.as_str().to_owned(),
        object: write.key.to_string(),
        reason: write.reason.clone(),
    };
    let written = |key| plan.writes.iter().any(|write| write.key == key);
    let not_done = plan.objects.iter().filter(|o| !o.why.is_empty() && !written(o.key.clone()));
    dto::DryRun {
        app: plan.app.to_string(),
        base: plan.base.0,
        writes: plan.writes.iter().map(write).collect(),
        gate: plan.gate.as_ref().map(|gated| dto::Gate {
            app: plan.app.to_string(),
            seq: 0,
            plan: gated.hash.to_string(),
            approved: false,
            reasons: gated.reasons.iter().map(|reason| reason.what.clone()).collect(),
            writes: gated.writes.iter().map(write).collect(),
            apps: strings(&gated.apps),
        }),
        declare: plan.declare.iter().map(|(name, _)| name.to_string()).collect(),
        remove: plan.remove.iter().map(|(name, _)| name.to_string()).collect(),
        gone: query::children::all_gone(world, plan),
        come: Vec::new(),
        not_done: not_done
            .map(|object| dto::Note {
                app: plan.app.to_string(),
                what: format!("{}: {}", object.key, object.why),
            })
            .collect(),
    }
}

/// The ledger.
#[must_use]
pub fn ledger(info: &Info) -> dto::Ledger {
    dto::Ledger {
        ledger_id: info.ledger.to_string(),
        head: info.head.0,
        head_hash: info.head_hash.to_string(),
        events: info.events,
        blobs: info.blobs,
        segments: info.segments,
        segment_bytes: info.segment_bytes,
        index_bytes: info.sled_bytes,
        index_seq: info.watermark.0,
        oldest: info.oldest.map(|time| time.to_string()),
        newest: info.newest.map(|time| time.to_string()),
        key_fingerprint: info.key_fingerprint.clone(),
        damage: info.damage.clone(),
        checked: info.checked.map(|(seq, _)| seq.0),
        checked_at: info.checked.map(|(_, at)| at.to_string()),
    }
}
