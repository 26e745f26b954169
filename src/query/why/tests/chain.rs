//! The chain from a field, an object, an application or an event back to whoever it was.

use super::super::chain::Walk;
use super::*;
use crate::ledger::event::*;
use crate::ledger::{Blob, Draft, Recorded};
use crate::model::{Actor, PlanHash};
use crate::query::fixture::canonical;
use crate::query::past::{AsOf, world_at};

const WEB: &str = "Deployment.apps/prod/web";
const OLD: &str = "Secret/prod/web";

/// `Story::told` with what comes after it.
struct Told(Story);

impl Told {
    fn new() -> Self {
        Self(Story::told())
    }

    fn ask(&self, subject: &str, field: Option<&str>) -> Result<Why, Error> {
        let (story, subject) = (&self.0, Subject::parse(subject, None)?);
        let pending = gather(&story.world, &story.compared, &story.limits, &subject)?;
        pending.with_field(&story.world, &subject, field)?.read(&story.ledger, &NoFiles)
    }

    fn chain(&self, subject: &str) -> Vec<ChainLink> {
        self.ask(subject, None).unwrap().chain
    }

    /// The last event of a kind.
    fn last(&self, kind: &str) -> (Seq, Event) {
        let all = Book::range(&self.0.ledger, Seq(1), Seq(u64::MAX)).unwrap();
        let of = |recorded: &Recorded| recorded.event.as_ref().is_some_and(|e| e.name() == kind);
        let last = all.iter().rev().find(|recorded| of(recorded)).unwrap();
        (last.seq(), last.event.clone().unwrap())
    }

    fn observed(&self, of: &str) -> ObjectObservedV1 {
        let all = Book::range(&self.0.ledger, Seq(1), Seq(u64::MAX)).unwrap();
        let found = all.iter().rev().find_map(|recorded| match &recorded.event {
            Some(Event::ObjectObserved(body)) if body.key == story_key(of) => Some(body.clone()),
            _ => None,
        });
        found.unwrap()
    }

    /// The audit says who made what an observation shows.
    fn attributed(&mut self, observation: Seq, key: &str, who: &str, causes: Vec<Seq>) -> Seq {
        let claim = ActorClaim {
            who: who.into(),
            verb: "patch".into(),
            evidence: vec![Seq(1)],
            strength: 5,
            ..ActorClaim::default()
        };
        self.0.event(AttributionResolvedV1 {
            observation,
            key: story_key(key),
            verdict: Verdict::Exact,
            claims: vec![claim],
            more: 0,
            fields: Vec::new(),
            causes,
            drift: None,
            replaces: None,
            was: None,
            counts: true,
            waiting: false,
            why: String::new(),
        })
    }

    /// greffier puts the Deployment back.
    fn healed(&mut self) -> Seq {
        let (drift, _) = self.last("drift.detected");
        let (render, _) = self.last("render.succeeded");
        let (_, Event::OutcomeRecorded(deployed)) = self.last("apply.outcome") else { panic!() };
        let (_, Event::IntentRecorded(first)) = self.last("apply.intent") else { panic!() };
        let write =
            Write { verb: Verb::Heal, reason: "it drifted".into(), ..first.writes[0].clone() };
        let body = IntentRecordedV1 { writes: vec![write], ..first };
        let draft = Draft::new(body).caused_by(render).caused_by(drift);
        let intent = self.0.add(draft);
        let mut results = vec![deployed.results[0].clone()];
        let WriteResult::Applied(applied) = &mut results[0].1 else { panic!() };
        applied.resource_version = "30".into();
        let blob = self.0.ledger.blob(applied.object).unwrap();
        let mut live: serde_json::Value = serde_json::from_slice(&blob).unwrap();
        live["fields"] = serde_json::json!([{
            "manager": "greffier", "operation": "Apply", "subresource": "", "time": 30,
            "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
        self.0.blob(&live);
        applied.object = Blob::plain(canonical(&live), None).addr;
        let outcome = OutcomeRecordedV1 { intent, results, ..deployed };
        self.0.add(Draft::new(outcome).caused_by(intent))
    }

    /// A second commit, by bob, and the render of it without the object.
    fn drops(&mut self, key: &str) -> Seq {
        let (_, Event::CommitRecorded(first)) = self.last("git.commit") else { panic!() };
        let (_, Event::RenderSucceeded(mut render)) = self.last("render.succeeded") else {
            panic!()
        };
        let new = super::super::super::fixture::commit('c');
        let bob = Signature {
            name: "Bob".into(),
            email: "bob@example.org".into(),
            time: first.author.time,
        };
        let (parents, message) = (vec![first.commit.clone()], "Drop it".into());
        let repo = first.repo.clone();
        let body = CommitRecordedV1 {
            commit: new.clone(),
            parents,
            author: bob,
            message,
            ..first.clone()
        };
        self.0.event(body);
        let name = "refs/heads/main".into();
        self.0.event(RefMovedV1 { repo, name, old: Some(first.commit), new: Some(new.clone()) });
        render.objects.retain(|object| object.key != story_key(key));
        render.revision.commit = new;
        render.revisions = vec![render.revision.clone()];
        self.0.event(render)
    }

    fn gone(&mut self, key: &str, uid: &str) -> Seq {
        let (key, uid) = (story_key(key), uid.into());
        self.0.event(ObjectGoneV1 { key, uid, learned: Learned::Watched })
    }
}

#[track_caller]
fn link<'c>(chain: &'c [ChainLink], kind: &str) -> &'c ChainLink {
    chain.iter().find(|link| link.kind == kind).unwrap_or_else(|| panic!("no {kind}: {chain:#?}"))
}

fn kinds(chain: &[ChainLink]) -> Vec<&str> {
    chain.iter().map(|link| link.kind.as_str()).collect()
}

/// Who a link names, with the strength.
fn people(link: &ChainLink) -> Vec<(&str, &str, &str)> {
    let claims = link.who.iter();
    claims.map(|c| (c.role.as_str(), c.name.as_str(), c.strength.as_str())).collect()
}

const ALICE: (&str, &str, &str) = ("user", "alice", "exact");

#[test]
fn a_field_that_somebody_set_leads_to_who_it_was() {
    let mut told = Told::new();
    let unknown = told.ask(WEB, Some(".spec.replicas")).unwrap();
    assert_eq!(unknown.headline, format!("{WEB}: .spec.replicas is 5"));
    assert_eq!(people(&unknown.chain[0]), [("user", "unknown", "unknown")]);
    assert_eq!(
        (unknown.chain[0].kind.as_str(), unknown.chain[0].certainty.as_str()),
        ("field", "unknown")
    );
    let (_, Event::DriftDetected(drift)) = told.last("drift.detected") else { panic!() };
    let at = told.0.ledger.head();
    let evidence = told.attributed(drift.observation, WEB, "alice", Vec::new());
    let why = told.ask(WEB, Some(".spec.replicas")).unwrap();
    let [field, observed, ..] = why.chain.as_slice() else { panic!("{why:#?}") };
    assert_eq!(field.what, ".spec.replicas is 5, was 2");
    assert_eq!((people(field), field.certainty.as_str()), (vec![ALICE], "exact"));
    assert_eq!((observed.seq, observed.depth), (Some(drift.observation.0), 1));
    assert_eq!((people(observed), observed.certainty.as_str()), (vec![ALICE], "exact"));
    assert_eq!(observed.who[0].evidence, [evidence.0, 1], "what it rests on");
    // As it was known before that.
    let world = world_at(&told.0.ledger, at, false).unwrap();
    let subject = Subject::parse(WEB, None).unwrap();
    let pending = gather(&world, &told.0.compared, &told.0.limits, &subject).unwrap();
    let pending = pending.with_field(&world, &subject, Some(".spec.replicas")).unwrap();
    let then = pending.read(&AsOf::new(&told.0.ledger, at), &NoFiles).unwrap();
    assert_eq!(then.chain, unknown.chain);
}

#[test]
fn a_field_that_was_put_back_leads_to_the_commit_and_to_whose_change_it_ended() {
    let mut told = Told::new();
    let (_, Event::DriftDetected(drift)) = told.last("drift.detected") else { panic!() };
    told.attributed(drift.observation, WEB, "alice", Vec::new());
    let outcome = told.healed();
    let why = told.ask(WEB, Some(".spec.replicas")).unwrap();
    let chain = &why.chain;
    let expected = [
        "field",
        "apply.outcome",
        "apply.intent",
        "render.succeeded",
        "git.commit",
        "unknown",
        "git.ref-moved",
        "app.declared",
        "drift.detected",
        "object.observed",
    ];
    assert_eq!(kinds(chain), expected, "{chain:#?}");
    assert_eq!(chain[0].what, ".spec.replicas is 2, was 5", "{chain:#?}");
    assert_eq!(chain[1].seq, Some(outcome.0));
    assert!(chain[2].what.ends_with(&format!("to heal {WEB}: it drifted")), "{}", chain[2].what);
    let inputs = "with directory; inputs ";
    assert!(chain[3].what.contains(inputs), "{}", chain[3].what);
    let alice = "Alice <alice@example.org>";
    let expected = [
        ("author", alice, "claimed"),
        ("committer", alice, "claimed"),
        ("signer", "unknown", "unknown"),
        ("pusher", "unknown", "unknown"),
    ];
    assert_eq!(people(link(chain, "git.commit")), expected, "four answers");
    assert!(link(chain, "git.commit").what.contains("Scale web to two"));
    assert_eq!(people(link(chain, "object.observed")), [ALICE]);
    let depths: Vec<usize> = chain.iter().map(|link| link.depth).collect();
    assert_eq!(depths, [0, 1, 2, 3, 4, 4, 4, 4, 3, 4]);
}

#[test]
fn a_wrong_field_is_refused_with_the_one_that_was_meant() {
    let told = Told::new();
    let hint = |subject: &str, field: &str| match told.ask(subject, Some(field)).unwrap_err() {
        Error::Field(error) => error.hint(),
        error => panic!("{error}"),
    };
    assert_eq!(hint(WEB, ".spec.replica"), "did you mean .spec.replicas?");
    assert!(hint(WEB, "a..b").starts_with("e.g. `.spec.replicas`"));
    assert!(hint("web", ".spec.replicas").contains("greffier tree web"));
    assert_eq!(hint("#3", ".spec.replicas"), "`greffier show '#3'` shows the event");
}

/// The prune of `old`, approved or not.
fn pruned(told: &mut Told, approved: bool) -> (Seq, Seq) {
    let dropped = told.drops(OLD);
    told.0.gated();
    let (_, Event::PlanGated(gated)) = told.last("plan.gated") else { panic!() };
    let plan = PlanHash([0xcd; 32]);
    let writes = vec![Write::plain(Verb::Prune, story_key(OLD), "v1", "it left Git")];
    told.0.event(PlanGatedV1 { plan, writes, ..gated });
    let approval = PlanApprovedV1 { app: name("web"), plan, reason: "change 12".into() };
    let approval = Draft::new(approval).by(Actor::os_user("bob"));
    let approval = told.0.add(approval);
    // It has rendered anew since: the commit that dropped the object is not the last one.
    let (_, Event::RenderSucceeded(again)) = told.last("render.succeeded") else { panic!() };
    let render = told.0.event(again);
    let uid = format!("uid-{OLD}");
    let write = Write {
        precondition: Some((uid.clone(), "10".into())),
        ..Write::plain(Verb::Prune, story_key(OLD), "v1", "it left Git")
    };
    let (app, writes, commit) =
        (name("web"), vec![write], Some(super::super::super::fixture::commit('c')));
    let body = IntentRecordedV1 { app: app.clone(), writes, commit, timeout_ms: 10_000 };
    let mut draft = Draft::new(body).caused_by(render);
    if approved {
        draft = draft.caused_by(approval);
    }
    let intent = told.0.add(draft);
    told.0.event(OutcomeRecordedV1 { app, intent, results: vec![(0, WriteResult::Deleted)] });
    told.gone(OLD, &uid);
    (dropped, approval)
}

#[test]
fn a_prune_leads_to_the_commit_that_dropped_it_and_to_who_approved_it() {
    let mut told = Told::new();
    let (dropped, approval) = pruned(&mut told, true);
    let chain = told.chain(OLD);
    let gone = link(&chain, "object.gone");
    assert_eq!(people(gone), [("greffier", "greffier", "exact")]);
    assert!(link(&chain, "apply.intent").what.ends_with(&format!("to prune {OLD}: it left Git")));
    assert_eq!(link(&chain, "render.succeeded").seq, Some(dropped.0), "the first without it");
    let commit = link(&chain, "git.commit");
    assert!(commit.what.contains("Drop it"), "{}", commit.what);
    assert_eq!(commit.who[0].name, "Bob <bob@example.org>");
    let approved = link(&chain, "plan.approved");
    assert_eq!(approved.seq, Some(approval.0));
    assert_eq!(people(approved), [("operator", "bob", "exact")]);
    assert!(approved.what.contains("change 12"), "{}", approved.what);
    let gated = link(&chain, "plan.gated");
    assert_eq!(gated.depth, approved.depth + 1);
    // What nobody approved names nobody.
    let mut told = Told::new();
    pruned(&mut told, false);
    assert!(!kinds(&told.chain(OLD)).contains(&"plan.approved"));
}

#[test]
fn whom_the_audit_names_surely_deleted_what_greffier_was_answered_for_too() {
    let mut told = Told::new();
    pruned(&mut told, false);
    let (gone, _) = told.last("object.gone");
    told.attributed(gone, OLD, "alice", Vec::new());
    let chain = told.chain(OLD);
    assert_eq!(people(link(&chain, "object.gone")), [ALICE]);
    assert!(!kinds(&chain).contains(&"apply.intent"), "{chain:#?}");
}

#[test]
fn what_is_seen_to_be_deleted_later_names_nobody() {
    let mut told = Told::new();
    let uid = format!("uid-{OLD}");
    let write = Write {
        precondition: Some((uid.clone(), "10".into())),
        ..Write::plain(Verb::Prune, story_key(OLD), "v1", "it left Git")
    };
    let (app, writes) = (name("web"), vec![write]);
    let body = IntentRecordedV1 { app: app.clone(), writes, commit: None, timeout_ms: 10_000 };
    let intent = told.0.event(body);
    told.0.event(IntentSettledV1 { app, intent, results: vec![(0, WriteResult::Deleted)] });
    told.gone(OLD, &uid);
    let chain = told.chain(OLD);
    let gone = link(&chain, "object.gone");
    assert_eq!(people(gone), [("user", "unknown", "unknown")]);
    assert!(!kinds(&chain).contains(&"apply.intent"), "{chain:#?}");
}

#[test]
fn an_approval_of_something_else_is_no_approval_of_it() {
    let mut told = Told::new();
    let (_, approval) = pruned(&mut told, true);
    let (_, Event::IntentRecorded(body)) = told.last("apply.intent") else { panic!() };
    let other = story_key("ConfigMap/prod/old");
    let uid = format!("uid-{other}");
    let write = Write {
        precondition: Some((uid.clone(), "10".into())),
        ..Write::plain(Verb::Prune, other.clone(), "v1", "it left Git")
    };
    let body = IntentRecordedV1 { writes: vec![write], ..body };
    let intent = told.0.add(Draft::new(body).caused_by(approval));
    let results = vec![(0, WriteResult::Deleted)];
    told.0.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    told.gone(&other.to_string(), &uid);
    let chain = told.chain(&format!("#{}", told.0.ledger.head()));
    assert!(kinds(&chain).contains(&"apply.intent"), "{chain:#?}");
    assert!(!kinds(&chain).contains(&"plan.approved"), "{chain:#?}");
}

#[test]
fn what_the_garbage_collector_removed_leads_to_who_deleted_its_owner() {
    const SET: &str = "ReplicaSet.apps/prod/web-1";
    let mut told = Told::new();
    let deployment = told.gone(WEB, &format!("uid-{WEB}"));
    let set = told.gone(SET, "rs-1");
    // Without records: its owner went before, which is all that is known.
    let chain = told.chain(SET);
    let owner = chain.iter().find(|link| link.seq == Some(deployment.0)).unwrap();
    assert_eq!((owner.certainty.as_str(), owner.depth), (BEFORE, 2));
    assert_eq!(people(link(&chain, "object.gone")), [("user", "unknown", "unknown")]);
    told.attributed(deployment, WEB, "alice", Vec::new());
    told.attributed(set, SET, "system:gc", vec![deployment]);
    let chain = told.chain(SET);
    let gone: Vec<_> = chain.iter().filter(|link| link.kind == "object.gone").collect();
    assert_eq!(people(gone[0]), [("user", "system:gc", "exact")]);
    assert_eq!((gone[1].seq, people(gone[1])), (Some(deployment.0), vec![ALICE]));
    // And seen from the cause.
    let why = told.ask(&format!("#{deployment}"), None).unwrap();
    assert!(why.consequences.iter().any(|link| link.what.contains(SET)), "{why:#?}");
}

#[test]
fn what_is_not_put_back_leads_to_who_changed_it_and_to_who_keeps_it_so() {
    let mut told = Told::new();
    let (drift, Event::DriftDetected(body)) = told.last("drift.detected") else { panic!() };
    told.attributed(body.observation, WEB, "alice", Vec::new());
    let pause = PausedV1 { app: name("web"), until: None, reason: "incident 7".into() };
    let pause = told.0.add(Draft::new(pause).by(Actor::os_user("bob")));
    for subject in ["web", WEB] {
        let chain = told.chain(subject);
        let paused = link(&chain, "operator.pause");
        assert_eq!(
            (paused.seq, people(paused)),
            (Some(pause.0), vec![("operator", "bob", "exact")])
        );
        let found = link(&chain, "drift.detected");
        assert_eq!(found.seq, Some(drift.0), "{chain:#?}");
        assert_eq!(people(link(&chain, "object.observed")), [ALICE]);
    }
}

#[test]
fn what_is_held_leads_to_who_holds_it_and_to_whose_change_it_is() {
    let mut told = Told::new();
    let (drift, Event::DriftDetected(body)) = told.last("drift.detected") else { panic!() };
    told.attributed(body.observation, WEB, "alice", Vec::new());
    let of = vec![HoldOf::Fields(HeldFields {
        key: story_key(WEB),
        saved: body.saved.unwrap(),
        of_manifest: false,
        places: body.places.clone(),
        fields: body.fields.clone(),
    })];
    let hold = HoldBegunV1 {
        app: name("web"),
        of,
        from: BackTo::Drift(drift),
        until: None,
        reason: "load".into(),
    };
    let hold = told.0.add(Draft::new(hold).by(Actor::os_user("bob")));
    let chain = told.chain(WEB);
    let held = link(&chain, "hold.begun");
    assert_eq!((held.seq, people(held)), (Some(hold.0), vec![("operator", "bob", "exact")]));
    let (_, Event::DriftDetected(drift)) = told.last("drift.detected") else { panic!() };
    assert!(chain.iter().any(|link| link.seq == Some(drift.observation.0)), "{chain:#?}");
}

#[test]
fn what_turned_unwell_is_told_with_what_came_before_and_not_as_its_cause() {
    let mut told = Told::new();
    let outcome = told.healed();
    let mut unwell = told.observed(WEB);
    (unwell.health, unwell.health_message) = (Health::Degraded, "no progress".into());
    unwell.resource_version = "40".into();
    let observation = told.0.event(unwell);
    let turn = ObjectHealthChangedV1 {
        app: name("web"),
        key: story_key(WEB),
        was: Health::Healthy,
        now: Health::Degraded,
        message: "no progress".into(),
    };
    let turn = told.0.add(Draft::new(turn).caused_by(observation));
    for subject in ["web", WEB] {
        let chain = told.chain(subject);
        let place = |seq: Seq| chain.iter().position(|link| link.seq == Some(seq.0));
        let (turned, wrote) = (place(turn).unwrap(), place(outcome).unwrap());
        assert!(turned < wrote, "{chain:#?}");
        assert_eq!((chain[wrote].certainty.as_str(), chain[wrote].depth), (BEFORE, 1));
        let said = link(&chain, "before");
        assert!(said.what.contains(&format!("before #{turn}: what came before need not be")));
    }
}

#[test]
fn an_event_is_told_down_to_its_roots_and_with_what_it_brought_about() {
    let mut told = Told::new();
    let outcome = told.healed();
    let why = told.ask(&format!("#{outcome}"), None).unwrap();
    assert_eq!((why.app.as_str(), why.subject), ("web", format!("#{outcome}")));
    assert_eq!(why.chain[0].seq, Some(outcome.0));
    assert!(
        kinds(&why.chain).ends_with(&["drift.detected", "object.observed"]),
        "{:#?}",
        why.chain
    );
    let (intent, _) = told.last("apply.intent");
    let ends = told.ask(&format!("#{intent}"), None).unwrap().consequences;
    assert_eq!(ends.iter().map(|link| link.seq).collect::<Vec<_>>(), [Some(outcome.0)]);
    // A commit has a ref that moved to it and many renders; what is left out is said.
    let (commit, _) = told.last("git.commit");
    let (_, render) = told.last("render.succeeded");
    let why = told.ask(&format!("#{commit}"), None).unwrap();
    let moved = kinds(&why.consequences);
    assert_eq!((moved[0], moved[1], why.bounds.len()), ("git.ref-moved", "render.succeeded", 0));
    for _ in 0..20 {
        told.0.event(render.clone());
    }
    let why = told.ask(&format!("#{commit}"), None).unwrap();
    assert_eq!((why.consequences.len(), why.bounds.len()), (20, 1), "{:?}", why.bounds);
    let last = told.0.ledger.head();
    for none in [0, last.0 + 1] {
        let Error::Subject(error) = told.ask(&format!("#{none}"), None).unwrap_err() else {
            panic!("there is no {none}")
        };
        assert_eq!(error.to_string(), format!("there is no event #{none}"));
        assert_eq!(error.hint(), format!("the last is #{last}"));
    }
    assert!(Subject::parse("#x", None).is_err());
}

#[test]
fn what_was_not_watched_is_said_to_lie_between_two_events() {
    let mut told = Told::new();
    let before = told.0.world.live[&story_key(WEB)].seq;
    let mut seen = told.observed(WEB);
    (seen.learned, seen.resource_version) = (Learned::Listed, "50".into());
    let seen = told.0.event(seen);
    let chain = told.chain(&format!("#{seen}"));
    let gap = link(&chain, "gap");
    assert!(gap.what.contains(&format!("between #{before} and #{seen}")), "{}", gap.what);
    assert_eq!((gap.seq, gap.certainty.as_str()), (None, "unknown"));
}

#[test]
fn a_plan_that_is_not_known_approves_nothing() {
    let mut told = Told::new();
    let approval =
        PlanApprovedV1 { app: name("web"), plan: PlanHash([1; 32]), reason: String::new() };
    let approval = told.0.add(Draft::new(approval).by(Actor::os_user("eve")));
    let (_, Event::IntentRecorded(body)) = told.last("apply.intent") else { panic!() };
    let intent = told.0.add(Draft::new(body).caused_by(approval));
    let outcome = OutcomeRecordedV1 { app: name("web"), intent, results: Vec::new() };
    let outcome = told.0.event(outcome);
    let mut walk = Walk::new(&told.0.ledger);
    walk.event(outcome, Some(&story_key(WEB)), 0).unwrap();
    assert_eq!(kinds(&walk.ends().0), ["apply.outcome", "apply.intent"]);
}

#[test]
fn what_left_git_and_is_still_there_leads_to_the_commit_that_dropped_it() {
    let mut told = Told::new();
    let dropped = told.drops(OLD);
    let (_, Event::RenderSucceeded(again)) = told.last("render.succeeded") else { panic!() };
    told.0.event(again);
    let chain = told.chain(OLD);
    assert!(chain[0].what.contains("it left Git"), "{chain:#?}");
    assert_eq!(link(&chain, "render.succeeded").seq, Some(dropped.0));
    assert!(link(&chain, "git.commit").what.contains("Drop it"), "{chain:#?}");
}

#[test]
fn a_drift_is_of_who_changed_the_field_and_not_of_who_touched_the_object_after() {
    let mut told = Told::new();
    let (_, Event::DriftDetected(drift)) = told.last("drift.detected") else { panic!() };
    told.attributed(drift.observation, WEB, "alice", Vec::new());
    // A controller writes the status; only then the object is compared.
    let touched = ObjectObservedV1 { resource_version: "21".into(), ..told.observed(WEB) };
    let touched = told.0.event(touched);
    told.attributed(touched, WEB, "system:controller", Vec::new());
    let late = told.0.event(DriftDetectedV1 { observation: touched, ..drift.clone() });
    let chain = told.chain(&format!("#{late}"));
    let observed: Vec<_> = chain.iter().filter(|link| link.kind == "object.observed").collect();
    assert_eq!(observed[0].seq, Some(drift.observation.0), "{chain:#?}");
    assert_eq!((people(observed[0]), observed.len()), (vec![ALICE], 1));
}

#[test]
fn drifts_that_an_intent_cannot_name_are_counted() {
    let mut told = Told::new();
    let (drift, Event::DriftDetected(body)) = told.last("drift.detected") else { panic!() };
    let (render, _) = told.last("render.succeeded");
    let (_, Event::IntentRecorded(first)) = told.last("apply.intent") else { panic!() };
    let keys: Vec<_> = (0..10).map(|n| story_key(&format!("ConfigMap/prod/other-{n}"))).collect();
    let heals = |keys: &[ObjectKey]| {
        let heal = |key: &ObjectKey| Write {
            verb: Verb::Heal,
            key: key.clone(),
            ..first.writes[0].clone()
        };
        IntentRecordedV1 { writes: keys.iter().map(heal).collect(), ..first.clone() }
    };
    let mut draft = Draft::new(heals(&keys)).caused_by(render);
    for key in &keys[..7] {
        let body = DriftDetectedV1 { key: key.clone(), ..body.clone() };
        draft = draft.caused_by(told.0.event(body));
    }
    let intent = told.0.add(draft);
    let untold = |told: &Told, intent: Seq, key: Option<&ObjectKey>| {
        let mut walk = Walk::new(&told.0.ledger);
        walk.event(intent, key, 0).unwrap();
        let (links, _) = walk.ends();
        let untold = links.into_iter().find(|link| link.what.contains("are not named"));
        untold.map(|link| link.what)
    };
    let what = "that it puts back are not named: an event names 8 causes at most";
    assert_eq!(untold(&told, intent, None), Some(format!("3 more drifts {what}")));
    assert_eq!(untold(&told, intent, Some(&keys[0])), None);
    assert_eq!(untold(&told, intent, Some(&keys[9])), Some(format!("1 more drift {what}")));
    // Where there was room nothing was left out.
    let draft = Draft::new(heals(&keys[..1])).caused_by(render).caused_by(drift);
    let intent = told.0.add(draft);
    assert_eq!(untold(&told, intent, None), None);
}
