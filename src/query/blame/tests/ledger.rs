//! Blame of what a ledger tells: greffier's own writes, others', gaps, ends, commits.

use serde_json::{Value, json};

use super::super::{Blame, EXACT, Error, Field, Mirrored, UNKNOWN, gather};
use crate::ledger::event::*;
use crate::ledger::{Batch, Blob, Draft};
use crate::model::{CommitId, Digest, ObjectKey, Protection, Seq, Timestamp, canonical_json};
use crate::query::fixture::{Story, commit, key, name};
use crate::query::why::Subject;

pub(super) const WEB: &str = "Deployment.apps/prod/web";

/// A ledger about one object.
pub(super) struct Told {
    pub(super) story: Story,
    pub(super) key: ObjectKey,
}

/// Name, operation, time, field set.
pub(super) type Manager<'m> = (&'m str, &'m str, i64, Value);

pub(super) fn deployment(replicas: u32, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "prod"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "web", "image": image}]}}}})
}

pub(super) fn own_fields() -> Value {
    json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}})
}

pub(super) fn greffier() -> Manager<'static> {
    greffier_at(1)
}

pub(super) fn greffier_at(time: i64) -> Manager<'static> {
    ("greffier", "Apply", time, own_fields())
}

pub(super) fn replicas_of(manager: &'static str, time: i64) -> Manager<'static> {
    (manager, "Update", time, json!({"f:spec": {"f:replicas": {}}}))
}

fn stored(object: &Value, managers: &[Manager<'_>]) -> (Blob, Vec<ManagerStamp>) {
    let entry = |(manager, operation, time, fields): &Manager<'_>| {
        json!({"manager": manager, "operation": operation, "subresource": "", "time": time,
            "apiVersion": "apps/v1", "fieldsV1": fields})
    };
    let stamp = |(manager, operation, time, fields): &Manager<'_>| ManagerStamp {
        manager: (*manager).to_owned(),
        operation: (*operation).to_owned(),
        subresource: String::new(),
        time: Some(Timestamp::from_seconds(*time)),
        fields: Digest::of(&canonical_json(fields)),
    };
    let fields: Vec<Value> = managers.iter().map(entry).collect();
    let bytes = canonical_json(&json!({"object": object, "fields": fields}));
    (Blob::plain(bytes, None), managers.iter().map(stamp).collect())
}

impl Told {
    pub(super) fn new(text: &str) -> Self {
        Self { story: Story::empty(), key: key(text) }
    }

    fn add(&mut self, blob: Blob, event: impl Into<Event>) -> Seq {
        let (blobs, drafts) = (vec![blob], vec![Draft::new(event)]);
        self.story.add(Batch { blobs, drafts })
    }

    pub(super) fn sees(
        &mut self,
        learned: Learned,
        (uid, version): (&str, u64),
        object: &Value,
        managers: &[Manager<'_>],
    ) -> Seq {
        let (blob, stamps) = stored(object, managers);
        let body = ObjectObservedV1 {
            learned,
            digest: Digest::of(&canonical_json(object)),
            object: blob.addr,
            managers: stamps,
            ..ObjectObservedV1::plain(self.key.clone(), uid, &version.to_string())
        };
        self.add(blob, body)
    }

    /// The watch shows a version of what was, or was not, there before.
    pub(super) fn shows(&mut self, added: bool, version: u64, object: &Value) -> Seq {
        let (blob, managers) = stored(object, &[]);
        let body = ObjectObservedV1 {
            added,
            digest: Digest::of(&canonical_json(object)),
            object: blob.addr,
            managers,
            ..ObjectObservedV1::plain(self.key.clone(), "u1", &version.to_string())
        };
        self.add(blob, body)
    }

    pub(super) fn watches(
        &mut self,
        version: u64,
        object: &Value,
        managers: &[Manager<'_>],
    ) -> Seq {
        self.sees(Learned::Watched, ("u1", version), object, managers)
    }

    /// A render of the object alone at a commit; the manifest is recorded with it.
    pub(super) fn renders(
        &mut self,
        digit: char,
        declared: u64,
        manifest: &Value,
        origin: &str,
    ) -> Seq {
        let blob = Blob::plain(canonical_json(manifest), None);
        let revision = RevisionRef {
            repo: "/srv/infra.git".into(),
            commit: commit(digit),
            tree: commit(digit),
        };
        let object = DesiredObject {
            key: self.key.clone(),
            version: "v1".into(),
            manifest: blob.addr,
            digest: Digest::of(&canonical_json(manifest)),
            wave: 0,
            replicas: None,
            origin: origin.into(),
            holds: vec![],
            options: ObjectOptions::default(),
            application: None,
        };
        let tool = if origin.contains("kustom") { "kustomize v5" } else { "directory" };
        self.add(
            blob,
            RenderSucceededV1 {
                app: name("web"),
                declared: Seq(declared),
                revision: revision.clone(),
                revisions: vec![revision],
                inputs: Digest::of(b"inputs"),
                sources: Digest::of(b"sources"),
                tool: tool.into(),
                made_with: vec![],
                restores: vec![],
                objects: vec![object],
                warnings: vec![],
                unknown_kinds: vec![],
                reused: None,
            },
        )
    }

    /// An intent; returns its position.
    pub(super) fn intends(
        &mut self,
        verb: Verb,
        render: Seq,
        manifest: &Value,
        commit: CommitId,
    ) -> Seq {
        let manifest = canonical_json(manifest);
        let live = self.story.world.live.get(&self.key).filter(|_| verb == Verb::Prune);
        let write = Write {
            precondition: live.map(|live| (live.uid.clone(), "1".to_owned())),
            manifest: (verb != Verb::Prune).then(|| Blob::plain(manifest.clone(), None).addr),
            digest: Digest::of(&manifest),
            ..Write::plain(verb, self.key.clone(), "v1", "because")
        };
        let body = IntentRecordedV1 {
            app: name("web"),
            writes: vec![write],
            commit: Some(commit),
            timeout_ms: 10_000,
        };
        self.story.add(Draft::new(body).caused_by(render))
    }

    pub(super) fn ends(
        &mut self,
        intent: Seq,
        version: u64,
        object: &Value,
        managers: &[Manager<'_>],
    ) -> Seq {
        let (blob, _) = stored(object, managers);
        let applied = Applied {
            uid: "u1".into(),
            resource_version: version.to_string(),
            baseline: Digest::default(),
            object: blob.addr,
            changed: true,
            digest: Digest::of(&canonical_json(object)),
            managers: Digest::default(),
            health: Health::Healthy,
            health_message: String::new(),
            protection: Protection::default(),
            notes: Box::default(),
        };
        let results = vec![(0, WriteResult::Applied(applied))];
        self.add(blob, OutcomeRecordedV1 { app: name("web"), intent, results })
    }

    /// Rendered, intended, applied.
    pub(super) fn applies(
        &mut self,
        verb: Verb,
        render: Seq,
        version: u64,
        manifest: &Value,
    ) -> Seq {
        let intent = self.intends(verb, render, manifest, commit('f'));
        let time = i64::try_from(version).unwrap();
        self.ends(intent, version, manifest, &[greffier_at(time)])
    }

    pub(super) fn asks(&self, field: Option<&str>) -> Result<Blame, Error> {
        let subject = Subject::parse(&self.key.to_string(), None)?;
        gather(&self.story.world, &subject, field)?.read(&self.story.ledger, self)
    }

    pub(super) fn blame(&self) -> Blame {
        self.asks(None).unwrap()
    }

    pub(super) fn field(&self, path: &str) -> Field {
        let mut fields = self.asks(Some(path)).unwrap().fields;
        assert_eq!(fields.len(), 1, "{fields:?}");
        fields.remove(0)
    }
}

/// The file of every render, as the mirror has it.
const FILE: &str = "kind: Deployment
apiVersion: apps/v1
spec:
  template:
    spec:
      containers:
        - name: web
          image: app:v2
";

impl Mirrored for Told {
    fn file(&self, repo: &str, at: &CommitId, path: &str) -> Option<Vec<u8>> {
        let known = repo == "/srv/infra.git" && *at == commit('b') && path == "web/d.yaml";
        known.then(|| FILE.as_bytes().to_vec())
    }
}

pub(super) const REPLICAS: &str = ".spec.replicas";
pub(super) const IMAGE: &str = ".spec.template.spec.containers[name=web].image";
const LABEL: &str = ".metadata.labels.team";

pub(super) fn labelled(mut object: Value) -> Value {
    object["metadata"]["labels"] = json!({"team": "a"});
    object
}

fn label_of(manager: &'static str) -> Manager<'static> {
    (manager, "Update", 4, json!({"f:metadata": {"f:labels": {".": {}, "f:team": {}}}}))
}

#[test]
fn an_answer_and_its_echo_are_one_version_and_late_news_of_others_come_before_it() {
    let mut told = Told::new(WEB);
    let wanted = deployment(2, "app:v1");
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    let first = told.applies(Verb::Create, render, 10, &wanted);
    told.watches(10, &wanted, &[greffier()]);
    told.watches(11, &deployment(5, "app:v1"), &[greffier(), replicas_of("kubectl-scale", 3)]);
    let intent = told.intends(Verb::Heal, render, &wanted, commit('b'));
    // Somebody labels it before the heal is carried out, and the watch tells it afterwards.
    let healed = labelled(wanted.clone());
    let heal = told.ends(intent, 13, &healed, &[greffier_at(13), label_of("kubectl-label")]);
    let late = told.watches(
        12,
        &labelled(deployment(5, "app:v1")),
        &[greffier(), replicas_of("kubectl-scale", 3), label_of("kubectl-label")],
    );
    told.watches(13, &healed, &[greffier_at(13), label_of("kubectl-label")]);
    let blame = told.blame();
    assert_eq!((blame.versions, blame.before, blame.begun.seq), (4, 0, first.0));
    assert_eq!(blame.begun.who.write.as_ref().unwrap().verb, "create");
    let replicas = told.field(REPLICAS);
    assert_eq!((replicas.set.seq, replicas.was), (heal.0, Some(json!(5))));
    assert_eq!(replicas.set.who.write.unwrap().intent, intent.0);
    let label = told.field(LABEL);
    assert_eq!((label.set.seq, label.set.who.name.as_str()), (late.0, "kubectl-label"));
    assert_eq!((label.set.who.strength.as_str(), label.set.git), ("claimed", None));
    assert_eq!(told.field(IMAGE).set.seq, first.0);
    assert_eq!(blame.removed, []);
}

#[test]
fn a_heal_names_the_commit_that_changed_the_field_and_not_the_one_in_force() {
    let mut told = Told::new(WEB);
    told.commits('a', None, &["web/d.yaml"]);
    told.commits('b', Some('a'), &["web/d.yaml"]);
    told.commits('c', Some('b'), &["README.md"]);
    let (one, two) = (deployment(2, "app:v1"), deployment(2, "app:v2"));
    let render = told.renders('a', 1, &one, "web/d.yaml:1");
    told.applies(Verb::Create, render, 10, &one);
    // Two commits come with one push; only one of them changes the file.
    let render = told.renders('c', 1, &two, "web/d.yaml:1");
    told.applies(Verb::Update, render, 11, &two);
    let edited = deployment(2, "evil:v1");
    told.watches(12, &edited, &[("kubectl-edit", "Update", 5, own_fields())]);
    let heal = told.applies(Verb::Heal, render, 13, &two);
    let image = told.field(IMAGE);
    assert_eq!((image.set.seq, image.set.who.strength.as_str()), (heal.0, EXACT));
    let git = image.set.git.unwrap();
    assert_eq!((git.commit.as_str(), git.note.as_str()), (commit('b').as_str(), ""));
    assert_eq!((git.file.as_str(), git.line), ("web/d.yaml", Some(8)));
    assert_eq!((git.author.as_str(), git.subject.as_str()), ("ada <ada@example.org>", "change b"));
    assert_eq!(git.committer, "linus <linus@example.org>");
    let replicas = told.field(REPLICAS).set.git.unwrap();
    assert_eq!(replicas.commit, commit('a').as_str());
    assert_eq!(
        replicas.note,
        "as old as the first render, or older; line unknown; the object begins on line 1"
    );
    assert_eq!(told.field(".kind").set.git.unwrap().commit, commit('a').as_str());
}

#[test]
fn what_the_ledger_does_not_say_of_a_commit_is_said_to_be_unknown() {
    let images = |told: &mut Told, digit, declared, origin: &str| {
        let (one, two) = (deployment(2, "app:v1"), deployment(2, "app:v2"));
        let render = told.renders('a', 1, &one, origin);
        told.applies(Verb::Create, render, 10, &one);
        let render = told.renders(digit, declared, &two, origin);
        told.applies(Verb::Update, render, 11, &two);
        told.field(IMAGE).set.git.unwrap()
    };
    let mut told = Told::new(WEB);
    for (digit, parent) in [('a', None), ('b', Some('a')), ('c', Some('b'))] {
        told.commits(digit, parent, &["web/d.yaml"]);
    }
    let git = images(&mut told, 'c', 1, "web/d.yaml:1");
    assert!(git.note.starts_with("or one of the 2 commits up to it that change the file;"));
    let mut told = Told::new(WEB);
    told.commits('c', Some('b'), &["web/d.yaml"]);
    let git = images(&mut told, 'c', 1, "web/d.yaml:1");
    assert!(git.note.starts_with("the history before it is not in the ledger;"), "{}", git.note);
    let git = images(&mut Told::new(WEB), 'a', 2, "web/d.yaml:1");
    assert_eq!(git.commit, "");
    assert!(git.note.starts_with("no commit: the Application changed (#2);"), "{}", git.note);
    let git = images(&mut Told::new(WEB), 'a', 1, "web/d.yaml:1");
    let others = "no commit: rendered by other versions of programs;";
    assert!(git.note.starts_with(others), "{}", git.note);
    let mut told = Told::new(WEB);
    told.commits('b', Some('a'), &["base/d.yaml"]);
    let git = images(&mut told, 'b', 1, "web/kustomization.yaml (object 1)");
    assert_eq!((git.commit.as_str(), git.file.as_str()), (commit('b').as_str(), ""));
    assert_eq!(git.note, "file unknown: built by web/kustomization.yaml");
    let mut told = Told::new(WEB);
    let mut live = deployment(2, "app:v1");
    let render = told.renders('a', 1, &live, "web/d.yaml:1");
    live["spec"]["paused"] = json!(false);
    let intent = told.intends(Verb::Create, render, &deployment(2, "app:v1"), commit('a'));
    told.ends(intent, 10, &live, &[greffier()]);
    let paused = told.field(".spec.paused").set;
    assert_eq!(paused.who.strength, EXACT);
    assert!(paused.git.unwrap().note.starts_with("not in the manifest"));
}

#[test]
fn what_a_list_shows_happened_between_two_events() {
    let mut told = Told::new(WEB);
    let first = told.sees(Learned::Listed, ("u1", 10), &deployment(2, "app:v1"), &[]);
    let second =
        told.sees(Learned::Listed, ("u1", 20), &deployment(3, "app:v1"), &[replicas_of("k9s", 3)]);
    let (image, replicas) = (told.field(IMAGE).set, told.field(REPLICAS).set);
    assert_eq!((image.seq, image.after, image.who.strength.as_str()), (first.0, Some(0), UNKNOWN));
    assert_eq!((replicas.seq, replicas.after), (second.0, Some(first.0)));
    assert_eq!(replicas.who.name, "k9s");
}

#[test]
fn who_removed_a_field_is_told_where_the_object_tells_and_unknown_elsewhere() {
    let mut told = Told::new(WEB);
    let own = deployment(2, "app:v1");
    let applied = |fields: Value| -> Manager<'static> { ("helm", "Apply", 2, fields) };
    let labels = json!({"f:metadata": {"f:labels": {"f:team": {}}}});
    let set = told.watches(10, &labelled(own.clone()), &[applied(labels.clone())]);
    let edit = told.watches(11, &own, &[]);
    let removed = told.blame().removed.remove(0);
    assert_eq!((removed.path.as_str(), &removed.was), (LABEL, &json!("a")));
    assert_eq!((removed.removed.seq, removed.set.seq), (edit.0, set.0));
    assert_eq!(removed.removed.who.strength, UNKNOWN, "a label that is taken off leaves no trace");
    told.watches(12, &labelled(own.clone()), &[applied(labels)]);
    assert_eq!(told.blame().removed, []);
    let less = ("helm", "Apply", 9, json!({"f:metadata": {}}));
    told.watches(13, &own, &[less]);
    let who = told.blame().removed.remove(0).removed.who;
    assert_eq!((who.name.as_str(), who.strength.as_str()), ("helm (apply)", "claimed"));
    // A field that is gone is found by its path.
    assert_eq!(told.asks(Some(LABEL)).unwrap().removed.len(), 1);
}

#[test]
fn an_object_that_is_made_anew_begins_anew_and_one_that_is_gone_says_so() {
    let mut told = Told::new(WEB);
    let wanted = deployment(2, "app:v1");
    told.watches(10, &labelled(wanted.clone()), &[]);
    let gone = |told: &mut Told, uid: &str| {
        let (key, uid) = (told.key.clone(), uid.to_owned());
        told.story.event(ObjectGoneV1 { key, uid, learned: Learned::Watched })
    };
    let first_gone = gone(&mut told, "u1");
    assert_eq!(told.blame().gone.unwrap().seq, first_gone.0);
    assert_eq!(told.blame().gone.unwrap().who.strength, UNKNOWN);
    let anew = told.sees(Learned::Watched, ("u2", 20), &wanted, &[]);
    let blame = told.blame();
    assert_eq!((blame.before, blame.begun.seq, blame.gone), (1, anew.0, None));
    assert_eq!(blame.removed, [], "the label was another object's");
    assert!(blame.fields.iter().all(|field| field.set.seq == anew.0));
    let intent = told.intends(Verb::Prune, Seq(1), &Value::Null, commit('a'));
    let results = vec![(0, WriteResult::Deleted)];
    told.story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    gone(&mut told, "u2");
    let who = told.blame().gone.unwrap().who;
    assert_eq!(who.write.unwrap().verb, "prune");
}

#[test]
fn the_object_and_the_ledger_may_disagree_and_a_takeover_is_no_disagreement() {
    let mut told = Told::new(WEB);
    let wanted = deployment(2, "app:v1");
    let adopted: &[Manager<'_>] = &[("kubectl", "Update", 1, own_fields())];
    let made = told.watches(9, &wanted, adopted);
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    let intent = told.intends(Verb::TakeOver, render, &wanted, commit('a'));
    told.ends(intent, 10, &wanted, &[greffier()]);
    let image = told.field(IMAGE);
    assert_eq!((image.set.seq, image.conflict.as_str()), (made.0, ""));
    assert_eq!(image.owners, ["greffier (apply)"]);
    // Both own it, and greffier's value is the one that is there. Then greffier's ownership goes.
    let both = [greffier_at(11), ("helm", "Apply", 1, own_fields())];
    let next = deployment(2, "app:v2");
    let render = told.renders('b', 1, &next, "web/d.yaml:1");
    let intent = told.intends(Verb::Update, render, &next, commit('b'));
    told.ends(intent, 11, &next, &both);
    assert_eq!(told.field(IMAGE).conflict, "");
    told.watches(12, &next, &both[1..]);
    let image = told.field(IMAGE);
    assert_eq!((image.set.who.name.as_str(), image.set.who.strength.as_str()), ("greffier", EXACT));
    assert_eq!(image.conflict, "the object names helm (apply) as its owner");
}

#[test]
fn writing_what_is_there_is_writing_and_introduces_nothing() {
    let mut told = Told::new(WEB);
    let object = deployment(2, "app:v1");
    let first = told.watches(10, &object, &[replicas_of("kubectl", 1)]);
    let second =
        told.watches(11, &object, &[replicas_of("kubectl", 1), ("flux", "Apply", 2, own_fields())]);
    let replicas = told.field(REPLICAS);
    assert_eq!((replicas.set.seq, replicas.introduced.seq), (second.0, first.0));
    assert_eq!(replicas.set.who.name, "flux (apply)");
    assert_eq!(replicas.introduced.who.name, "kubectl");
}

#[test]
fn of_a_secret_no_value_and_no_digest_is_told() {
    let mut told = Told::new("Secret/prod/s");
    let secret = |digest: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": digest},
            "metadata": {"name": "s", "namespace": "prod", "annotations": {"copy": digest}}})
    };
    told.watches(10, &secret("hmac:5f3c"), &[]);
    let changed = told.watches(11, &secret("hmac:77aa"), &[]);
    let mut bare = secret("");
    bare["data"] = json!({"other": "hmac:99"});
    told.watches(12, &bare, &[]);
    let blame = told.blame();
    let text = serde_json::to_string(&blame).unwrap();
    assert!(!text.contains("hmac") && !text.contains("5f3c"), "{text}");
    assert_eq!(blame.removed[0].path, ".data.password");
    assert_eq!((blame.removed[0].set.seq, &blame.removed[0].was), (changed.0, &json!("(secret)")));
    assert!(text.contains(".data.other"));
}

#[test]
fn wrong_questions_are_answered_with_what_may_be_meant() {
    let mut told = Told::new(WEB);
    told.watches(10, &deployment(2, "app:v1"), &[]);
    let error = told.asks(Some(".spec.replica")).unwrap_err();
    assert_eq!(error.to_string(), format!("{WEB} has no field .spec.replica"));
    assert_eq!(error.hint(), "did you mean .spec.replicas?");
    assert!(matches!(told.asks(Some("a..b")), Err(Error::NotAPath(_))));
    let never = Told { key: key("Deployment.apps/prod/wbe"), ..told };
    let error = never.asks(None).unwrap_err();
    assert_eq!(error.to_string(), "nothing is known of Deployment.apps/prod/wbe");
    assert_eq!(error.hint(), format!("did you mean {WEB}?"));
    let story = Story::told();
    let app = Subject::parse("web", None).unwrap();
    assert!(matches!(gather(&story.world, &app, None), Err(Error::NotAnObject(_))));
}

pub(super) fn resolved(told: &mut Told, observation: Seq, verdict: Verdict, users: &[&str]) -> Seq {
    let claim = |user: &&str| ActorClaim {
        who: (*user).to_owned(),
        verb: "patch".into(),
        evidence: vec![Seq(1)],
        strength: verdict.strength(),
        ..ActorClaim::default()
    };
    let webhook = FieldSource::Admission(vec!["pin.example.org".into()]);
    let body = AttributionResolvedV1 {
        observation,
        key: told.key.clone(),
        verdict,
        claims: users.iter().map(claim).collect(),
        more: 0,
        fields: vec![
            FieldRemark { path: REPLICAS.into(), source: FieldSource::Request },
            FieldRemark { path: ".spec.template.spec.containers[].image".into(), source: webhook },
        ],
        causes: vec![],
        drift: None,
        replaces: None,
        was: None,
        counts: true,
        waiting: false,
        why: String::new(),
    };
    told.story.event(body)
}

#[test]
fn what_the_audit_says_is_who_did_it_and_what_it_does_not_say_stays_a_claim() {
    let mut told = Told::new(WEB);
    told.watches(10, &deployment(2, "app:v1"), &[]);
    let edit = ("kubectl-edit", "Update", 3, own_fields());
    let seen = told.watches(11, &deployment(5, "app:v2"), std::slice::from_ref(&edit));
    assert_eq!(told.field(REPLICAS).set.who.name, "kubectl-edit");
    resolved(&mut told, seen, Verdict::Ambiguous, &["alice", "bob"]);
    let who = told.field(REPLICAS).set.who;
    assert_eq!((who.name.as_str(), who.strength.as_str()), ("alice or bob", "ambiguous"));
    let better = resolved(&mut told, seen, Verdict::Exact, &["alice"]);
    let field = told.field(REPLICAS);
    assert_eq!((field.set.who.name.as_str(), field.conflict.as_str()), ("alice", ""));
    assert_eq!(
        (field.set.who.strength.as_str(), field.set.who.attribution),
        (EXACT, Some(better.0))
    );
    assert_eq!(field.set.who.note, "");
    let note = told.field(IMAGE).set.who.note;
    assert_eq!(note, "the request does not name it: defaulted, or set by pin.example.org");
    // Who takes something off is known then, too, and who deletes the whole.
    let mut less = deployment(5, "app:v2");
    less["spec"].as_object_mut().unwrap().shift_remove("replicas");
    let seen = told.watches(12, &less, &[edit]);
    resolved(&mut told, seen, Verdict::Unique, &["bob"]);
    let removed = told.blame().removed.remove(0);
    assert_eq!((removed.path.as_str(), removed.removed.who.name.as_str()), (REPLICAS, "bob"));
    let key = told.key.clone();
    let gone = told.story.event(ObjectGoneV1 { key, uid: "u1".into(), learned: Learned::Watched });
    resolved(&mut told, gone, Verdict::FieldManager, &["kubectl"]);
    assert_eq!(told.blame().gone.unwrap().who.strength, UNKNOWN);
    resolved(&mut told, gone, Verdict::Exact, &["carol"]);
    assert_eq!(told.blame().gone.unwrap().who.name, "carol");
}

#[test]
fn the_end_of_a_write_is_found_however_much_happens_before_it() {
    let mut told = Told::new(WEB);
    let wanted = deployment(2, "app:v1");
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    let intent = told.intends(Verb::Create, render, &wanted, commit('a'));
    for number in 0..40 {
        let body = AppHealthChangedV1 {
            app: name("web"),
            was: Health::Progressing,
            now: Health::Progressing,
            message: format!("{number} of 40"),
        };
        told.story.event(body);
    }
    told.ends(intent, 10, &wanted, &[greffier()]);
    assert_eq!(told.field(IMAGE).set.who.write.unwrap().intent, intent.0);
}
