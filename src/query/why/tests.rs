//! Every reason with its words, what comes next, and the command that helps; the same questions
//! as a daemon gets them.

mod chain;
mod heirs;
mod subjects;

use serde_json::json;

use super::super::fixture::{Story, key as story_key};
use super::*;
use crate::ledger::event::{
    AppHealthChangedV1, AppRefusedV1, ClusterLostV1, DesiredObject, DriftDetectedV1, DriftKind,
    FetchFailedV1, FieldChange, FrozenV1, Health, ManagerStamp, ObjectObservedV1, Origin, PausedV1,
    WatchGapV1, WriteResult,
};
use crate::model::{Digest, GroupKind};
use crate::replay::testing::{
    Given, REPO, application, auto, child, commit, hold, key, maps, name, object, objects,
};

/// No repository is mirrored.
struct NoFiles;

impl Mirrored for NoFiles {
    fn file(&self, _: &str, _: &CommitId, _: &str) -> Option<Vec<u8>> {
        None
    }
}

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn asks(given: &Given, subject: &str) -> Why {
    let subject = Subject::parse(subject, None).unwrap();
    let pending = gather(&given.world, &given.compared, &given.limits, &subject);
    pending.unwrap_or_else(|error| panic!("{subject:?}: {error}")).why().clone()
}

/// The beginning of a text that may be cut further on.
fn start(text: &str) -> &str {
    &text[..text.len().min(30)]
}

/// A situation, and the answer it must get.
struct Case {
    given: Given,
    subject: &'static str,
    /// The code and a part of the text of a reason, which must be the first.
    reason: (&'static str, &'static str),
    /// The word for what is done about the object; empty = not looked at.
    doing: &'static str,
    /// A part of what comes next.
    next: &'static str,
    /// A command, or a part of a sentence, that must be among what can be done; empty = none.
    can_do: &'static str,
}

impl Case {
    #[track_caller]
    fn holds(self) {
        let why = asks(&self.given, self.subject);
        let first = &why.reasons[0];
        let (code, text) = self.reason;
        assert_eq!(first.code, code, "{why:#?}");
        assert!(first.text.contains(text), "`{text}` is not in {why:#?}");
        assert!(why.headline.contains(start(text)), "{}", why.headline);
        if !self.doing.is_empty() {
            assert_eq!(why.objects[0].doing, self.doing, "{why:#?}");
        }
        assert!(why.next.iter().any(|next| next.what.contains(self.next)), "{why:#?}");
        let helps =
            |advice: &Advice| advice.command == self.can_do || advice.what.contains(self.can_do);
        assert!(self.can_do.is_empty() || why.can_do.iter().any(helps), "{why:#?}");
        // The note in lists says the same.
        if why.subject == why.app {
            let view = super::super::app(
                &self.given.world,
                &self.given.compared,
                &self.given.limits,
                &why.app,
            );
            let note = note(&self.given.world, &view.unwrap());
            let calm = code == reasons::AS_GIT_SAYS;
            assert_eq!(note.is_empty(), calm, "{note}");
            assert!(calm || text.starts_with(&note) || note.contains(start(text)), "{note}");
        }
    }
}

fn manual() -> Given {
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A, B]));
    given
}

/// `web` is synced; then somebody scales what greffier applied.
fn drifted(policy: serde_json::Value) -> Given {
    let mut given = Given::app("web", policy);
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    given.sees(A);
    let observation = given.world.live[&key(A)].seq;
    let manager = ManagerStamp {
        manager: "kubectl-edit".into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: None,
        fields: Digest::default(),
    };
    let field = FieldChange { path: ".data.key".into(), was: "1".into(), now: "2".into() };
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind: DriftKind::Drift,
        fields: vec![field],
        places: Vec::new(),
        managers: vec![manager],
        observation,
        mask: Digest::default(),
        saved: None,
        later: None,
    });
    given
}

#[test]
fn a_synced_application_and_its_objects() {
    let given = Given::synced(objects(&[A]));
    Case {
        given: given.clone(),
        subject: "web",
        reason: ("as_git_says", "every object is as Git says at 0000000000"),
        doing: "",
        next: "a commit is applied as soon as it is known",
        can_do: "",
    }
    .holds();
    let why = asks(&given, A);
    assert_eq!(why.headline, format!("{A} is Synced and Healthy: it is as Git says at 0000000000"));
    assert_eq!((why.app.as_str(), why.can_do.len()), ("web", 0));
}

#[test]
fn what_restrains_every_write_comes_first() {
    let paused = |until| {
        let mut given = drifted(auto());
        let until = if until { Some(given.now().plus_ms(60_000)) } else { None };
        given.event(PausedV1 { app: name("web"), until, reason: "incident 7".into() });
        given
    };
    let mut observing = drifted(auto());
    observing.starts(true);
    observing.lists_everything();
    let mut lost = drifted(auto());
    lost.event(ClusterLostV1 { error: "timeout".into() });
    let mut frozen = paused(true);
    let until = Some(frozen.now().plus_ms(30_000));
    frozen.event(FrozenV1 { until, reason: "upgrade".into() });
    let cases = [
        (frozen.clone(), "frozen", "is frozen until 2027", "greffier unfreeze"),
        (paused(false), "paused", "is paused: incident 7", "greffier resume web"),
        (paused(true), "paused", "is paused until 2027", "greffier resume web"),
        (observing, "observing", "only observes", "restart the daemon without --observe"),
        (lost, "cluster_lost", "cannot be reached: timeout", "greffier log --kind cluster"),
    ];
    for (given, code, text, can_do) in cases {
        for subject in ["web", A] {
            let why = asks(&given, subject);
            let told = why.reasons.iter().find(|reason| reason.code == code);
            assert!(told.is_some_and(|told| told.text.contains(text)), "{why:#?}");
            let helps = |a: &Advice| a.command == can_do || a.what.contains(can_do);
            assert!(why.can_do.iter().any(helps), "{why:#?}");
            assert_eq!(why.objects[0].doing, "left_as_it_is");
            let asked = why.can_do.iter().any(|a| a.command.starts_with("greffier sync"));
            assert!(!asked, "a request would not be followed: {why:#?}");
        }
        assert_eq!(asks(&given, "web").reasons[0].code, code);
    }
    let why = asks(&paused(true), "web");
    assert!(why.next[0].at.as_ref().is_some_and(|at| at.starts_with("2027")), "{why:#?}");
    assert!(asks(&paused(true), A).next[0].at.is_some(), "the object is decided anew then");
    assert!(asks(&frozen, A).next[0].what.contains("when the freeze ends"));
}

#[test]
fn a_manual_application_waits_for_a_person() {
    Case {
        given: manual(),
        subject: "web",
        reason: ("manual", "synced by hand"),
        doing: "left_as_it_is",
        next: "until a person asks",
        can_do: "greffier sync web",
    }
    .holds();
    Case {
        given: manual(),
        subject: A,
        reason: ("left_as_it_is", "it is in Git and not in the cluster; not written:"),
        doing: "left_as_it_is",
        next: "until a person asks",
        can_do: "greffier sync web --only ConfigMap/prod/a",
    }
    .holds();
    let mut asked = manual();
    asked.requests("web", false, &[B]);
    let why = asks(&asked, A);
    assert!(why.reasons[0].text.contains("the sync was asked for other objects"), "{why:#?}");
}

#[test]
fn policies_that_leave_things_are_named_with_what_would_change_them() {
    let mut extra = Given::app("web", json!({"automated": {}}));
    extra.renders("web", objects(&[A, B]));
    extra.syncs("web");
    extra.push(2);
    extra.renders("web", objects(&[B]));
    Case {
        given: extra.clone(),
        subject: "web",
        reason: ("left_as_it_is", "ConfigMap/prod/a: left as it is: the automated policy"),
        doing: "left_as_it_is",
        next: "as soon as it is known",
        can_do: "set automated.prune: true",
    }
    .holds();
    Case {
        given: extra,
        subject: A,
        reason: ("left_as_it_is", "left as it is: the automated policy"),
        doing: "left_as_it_is",
        next: "until a person asks",
        can_do: "greffier sync web --prune --only ConfigMap/prod/a",
    }
    .holds();
    Case {
        given: drifted(json!({"automated": {}})),
        subject: A,
        reason: ("left_as_it_is", "somebody changed fields that greffier applied; not written:"),
        doing: "left_as_it_is",
        next: "until a person asks",
        can_do: "set automated.selfHeal: true",
    }
    .holds();
}

#[test]
fn drift_names_who_and_what_and_is_put_back_now() {
    let given = drifted(auto());
    let why = asks(&given, A);
    assert_eq!(why.objects[0].doing, "writing");
    assert_eq!(why.next[0].what, "heal now");
    let drift = why.objects[0].drift.as_ref().unwrap();
    assert_eq!(
        (drift.fields[0].as_str(), drift.by[0].as_str()),
        (".data.key 1 → 2", "kubectl-edit")
    );
    let told = why.reasons.iter().find(|reason| reason.code == "changed_by").unwrap();
    assert_eq!(
        (told.text.as_str(), told.seq),
        (".data.key 1 → 2", Some(drift.seq)),
        "by whom is added when the ledger is read"
    );
    assert!(why.can_do.iter().any(|advice| advice.command.starts_with("greffier pause web")));
    assert_eq!(asks(&given, "web").next[0].what, "now: heal 1 of its objects");
}

#[test]
fn an_addition_is_noted_and_left() {
    let mut given = Given::synced(objects(&[A]));
    given.sees(A);
    given.finds("web", A, DriftKind::Addition);
    Case {
        given,
        subject: "web",
        reason: ("noted", "ADDED BY HAND"),
        doing: "as_git_says",
        next: "as soon as it is known",
        can_do: "put it into Git",
    }
    .holds();
}

#[test]
fn a_gate_names_its_rule_and_the_command() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", maps(1));
    let hash = given.gates("web").plan.short();
    let command: &'static str = format!("greffier approve web {hash}").leak();
    Case {
        given: given.clone(),
        subject: "web",
        reason: ("gated", "4 writes wait for approval: would delete 4 of 5"),
        doing: "gated",
        next: "after an approval: 4 writes",
        can_do: command,
    }
    .holds();
    let why = asks(&given, "ConfigMap/prod/m0001");
    assert_eq!(why.objects[0].doing, "gated");
    assert!(why.reasons.iter().any(|reason| reason.code == "gated" && reason.seq.is_some()));
    assert!(why.can_do.iter().any(|advice| advice.command == command), "{why:#?}");
}

#[test]
fn what_failed_says_when_it_is_tried_again() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.tries("web", &WriteResult::Failed("timeout".into()));
    Case {
        given: given.clone(),
        subject: A,
        reason: ("retrying", "timeout"),
        doing: "retrying",
        next: "tried again (failed 1 times)",
        can_do: "greffier sync web",
    }
    .holds();
    let deadline = given.plan("web").deadline.unwrap().to_string();
    assert_eq!(asks(&given, A).next[0].at.as_deref(), Some(deadline.as_str()));
    assert_eq!(asks(&given, "web").next[0].at.as_deref(), Some(deadline.as_str()));
    // Refused for good: the words say that it is over.
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    for _ in 0..6 {
        given.tries("web", &WriteResult::Refused("immutable".into()));
        if let Some(deadline) = given.plan("web").deadline {
            given.after_ms(deadline.ms_since(given.now()) + 1);
        }
    }
    Case {
        given,
        subject: "web",
        reason: ("refused", "ConfigMap/prod/a: immutable"),
        doing: "refused",
        next: "as soon as it is known",
        can_do: "greffier log ConfigMap/prod/a --kind apply",
    }
    .holds();
}

#[test]
fn a_render_that_fails_leaves_the_last_good_state_in_force() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.fails_to_render("web");
    Case {
        given: given.clone(),
        subject: "web",
        reason: ("does_not_render", "does not render: web.yaml:3: bad; the last good render, of"),
        doing: "",
        next: "as soon as it is known",
        can_do: "correct it in Git",
    }
    .holds();
    assert!(asks(&given, A).reasons.iter().any(|reason| reason.code == "does_not_render"));
    let mut never = Given::app("web", auto());
    never.fails_to_render("web");
    let why = asks(&never, "web");
    assert!(why.reasons[0].text.ends_with("it was never rendered, so nothing is wanted"));
    let show = format!("greffier log --commit {}", commit(1).short());
    assert!(why.can_do.iter().any(|advice| advice.command == show), "{why:#?}");
}

#[test]
fn a_render_that_the_machine_spoiled_says_when_it_is_tried_again() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.fails_to_render_by("web", true);
    let when = given.plan("web").deadline.unwrap().to_string();
    let next = asks(&given, "web").next;
    assert!(next.iter().any(|next| next.at.as_deref() == Some(&when)), "{next:?}");
    Case {
        given,
        subject: "web",
        reason: ("does_not_render", "does not render: web.yaml:3: bad; the last good render, of"),
        doing: "",
        next: "is rendered again",
        can_do: "greffier sync web",
    }
    .holds();
}

#[test]
fn a_source_that_is_not_there_yet_or_any_more() {
    let mut given = Given::synced(objects(&[A]));
    given.event(FetchFailedV1 { repo: REPO.into(), error: "no such host".into() });
    let command: &'static str = format!("greffier refresh {REPO}").leak();
    Case {
        given,
        subject: "web",
        reason: ("not_fetched", "cannot be fetched: no such host; the last good render"),
        doing: "",
        next: "as soon as it is known",
        can_do: command,
    }
    .holds();
    Case {
        given: Given::app("web", auto()),
        subject: "web",
        reason: ("rendering", "is being rendered"),
        doing: "",
        next: "when the newest revision is rendered",
        can_do: "",
    }
    .holds();
}

#[test]
fn what_an_object_waits_for_is_named_with_what_brings_it() {
    let nowhere = "ConfigMap/nowhere/a";
    let mut namespace = Given::app("web", auto());
    namespace.renders("web", objects(&[nowhere]));
    Case {
        given: namespace,
        subject: nowhere,
        reason: ("blocked", "namespace nowhere does not exist and no application creates it"),
        doing: "blocked",
        next: "until that is changed",
        can_do: "kubectl create namespace nowhere",
    }
    .holds();
    let widget = "Widget.example.org/prod/w";
    let mut kind = Given::app("web", auto());
    kind.renders("web", objects(&[widget]));
    Case {
        given: kind,
        subject: widget,
        reason: ("blocked", "the cluster does not serve the kind Widget.example.org"),
        doing: "blocked",
        next: "until that is changed",
        can_do: "install what defines Widget.example.org",
    }
    .holds();
    let definition = "CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org";
    let mut coming = Given::app("web", auto());
    coming.renders("web", objects(&[definition, widget]));
    Case {
        given: coming,
        subject: widget,
        reason: ("waiting", "the cluster does not serve the kind"),
        doing: "waiting",
        next: "goes on by itself",
        can_do: "",
    }
    .holds();
    let mut waves = Given::app("web", auto());
    waves.health.insert(key(A), Health::Progressing);
    waves.renders("web", vec![object(A, 1), DesiredObject { wave: 1, ..object(B, 1) }]);
    waves.syncs("web");
    Case {
        given: waves,
        subject: B,
        reason: ("waiting", "wave 0 waits for ConfigMap/prod/a"),
        doing: "waiting",
        next: "goes on by itself",
        can_do: "",
    }
    .holds();
}

#[test]
fn what_another_application_has_is_left_to_it() {
    let mut given = Given::synced(objects(&[A]));
    given.declares(&application("other", auto()), Origin::Config);
    given.renders("other", objects(&[A]));
    Case {
        given: given.clone(),
        subject: "other",
        reason: ("owned_by_other", "application web has it too, and had it first"),
        doing: "owned_by_other",
        next: "as soon as it is known",
        can_do: "take ConfigMap/prod/a out of one of the two applications",
    }
    .holds();
    assert_eq!(asks(&given, A).app, "web", "the owner speaks for it");
}

#[test]
fn what_is_held_and_what_is_not_known() {
    let mut given = Given::app("web", auto());
    let hook =
        DesiredObject { holds: vec![hold("hook PreSync", true, true, true)], ..object(A, 1) };
    given.renders("web", vec![hook]);
    Case {
        given,
        subject: "web",
        reason: ("held", "hook PreSync"),
        doing: "held",
        next: "as soon as it is known",
        can_do: "",
    }
    .holds();
    let mut restrained = application("web", auto());
    restrained["spec"]["project"] = json!("payments");
    let mut given = Given::cluster();
    given.declares(&restrained, Origin::Config);
    given.renders("web", objects(&[A]));
    Case {
        given,
        subject: A,
        reason: ("held", "project payments"),
        doing: "held",
        next: "while that holds it",
        can_do: "take `project payments",
    }
    .holds();
    let mut given = Given::synced(objects(&[A]));
    given.starts(false);
    Case {
        given,
        subject: A,
        reason: ("not_known", "ConfigMap objects are not listed yet"),
        doing: "not_known",
        next: "when it was looked at",
        can_do: "",
    }
    .holds();
    let mut given = Given::synced(objects(&[A]));
    given.starts(false);
    let (kind, reason) = (key(A).group_kind(), "configmaps is forbidden".to_owned());
    given.event(WatchGapV1 { kind, reason, refused: true });
    Case {
        given,
        subject: A,
        reason: ("blocked", "ConfigMap objects cannot be seen: configmaps is forbidden"),
        doing: "blocked",
        next: "until that is changed",
        can_do: "allow greffier's user to get, list and watch ConfigMap",
    }
    .holds();
}

#[test]
fn writes_and_comparisons_under_way_are_told_as_such() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    assert_eq!(asks(&given, A).next[0].what, "create now");
    assert_eq!(asks(&given, "web").next[0].what, "now: create 1 of its objects");
    given.intends("web");
    let why = asks(&given, A);
    assert_eq!(why.objects[0].doing, "under_way");
    assert!(why.headline.contains("a write is under way"), "{}", why.headline);
    let mut given = Given::synced(objects(&[A]));
    given.sees(A);
    assert_eq!(asks(&given, A).objects[0].doing, "comparing");
}

#[test]
fn health_is_a_reason_of_its_own() {
    let mut given = Given::app("web", auto());
    given.health.insert(key(A), Health::Degraded);
    given.renders("web", objects(&[A]));
    given.syncs("web");
    Case {
        given: given.clone(),
        subject: "web",
        reason: ("unwell", "health is Degraded: ConfigMap/prod/a: as reported"),
        doing: "as_git_says",
        next: "as soon as it is known",
        can_do: "",
    }
    .holds();
    assert_eq!(asks(&given, A).reasons[0].text, "health is Degraded: as reported");
}

#[test]
fn a_parent_points_to_the_child_that_has_something_to_say() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("web", auto()))]);
    given.syncs("root");
    let (was, now) = (Health::Unknown, Health::Degraded);
    given.event(AppHealthChangedV1 { app: name("web"), was, now, message: "crash".into() });
    let why = asks(&given, "root");
    assert!(why.can_do.iter().any(|advice| advice.command == "greffier why web"), "{why:#?}");
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("web", auto()))]);
    let (error, origin) = ("`spec.source` is missing".to_owned(), Origin::Parent(name("root")));
    given.event(AppRefusedV1 { app: "web".into(), error, origin });
    let why = asks(&given, "root");
    assert_eq!(
        (why.reasons[0].code.as_str(), why.objects[0].doing.as_str()),
        ("blocked", "blocked")
    );
    assert!(why.reasons[0].text.contains("`spec.source` is missing"), "{why:#?}");
}

mod held;
