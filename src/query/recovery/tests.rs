use serde_json::json;

use super::*;
use crate::ledger::event::{
    AppDeclaredV1, BackTo, ClusterAcceptedV1, ClusterReplacedV1, DesiredObject, Event, FrozenV1,
    HoldBegunV1, Learned, ObjectGoneV1, ObjectPreviewedV1, Origin, PausedV1, Preview,
};
use crate::ledger::{Archive, Batch, Blob, Draft, Ledger, Options};
use crate::model::{Digest, Stance};
use crate::query::AsOf;
use crate::query::fixture::{Story, app_manifest, canonical, key, name};
use crate::recovery::Source;
use crate::recovery::{Plan, Serving, plan};
use crate::replay::{Attempt, Owned, Sign};

fn planned(story: &Story, asked: &Asked, has: impl Fn(BlobAddr) -> bool) -> Plan {
    let pending = gather(&story.world, asked).unwrap();
    plan(pending.read(&story.ledger, has).unwrap(), Serving::unknown())
}

fn keys(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.key.to_string()).collect()
}

fn lost(plan: &Plan, kind: LossKind) -> Vec<String> {
    let shown = &plan.shown;
    let all = shown.missing.iter().chain(&shown.lost).chain(&shown.later);
    all.filter(|loss| loss.kind == kind).map(|loss| loss.subject.clone()).collect()
}

const WANTED: [&str; 4] =
    ["Namespace/prod", "Secret/prod/web", "ConfigMap/prod/web", "Deployment.apps/prod/web"];

#[test]
fn what_is_in_force_is_replayed_as_it_was_wanted_with_the_values_of_secrets() {
    let story = Story::told();
    let made = planned(&story, &Asked::default(), |_| true);
    assert_eq!(keys(&made), WANTED);
    let [_, secret, _, web] = made.steps.as_slice() else { panic!("four steps") };
    assert_eq!(secret.manifest["data"]["password"], "dHdv");
    assert_eq!(web.manifest["spec"]["replicas"], 2, "what was wanted, not what was scaled by hand");
    assert_eq!(web.manifest["metadata"]["annotations"][OWNER_ANNOTATION], "web");
    assert_eq!(web.uid, format!("uid-{}", web.key));
    let shown = serde_json::to_string(&made.shown).unwrap();
    assert!(!shown.contains("dHdv") && !shown.contains("password"), "{shown}");
    // What left Git is still there; what a controller made comes by itself.
    assert_eq!(lost(&made, LossKind::LeftGit), ["ConfigMap/prod/old"]);
    assert_eq!(lost(&made, LossKind::Unowned), [""; 0]);
    let skipped: Vec<_> = made.shown.skipped.iter().map(|s| (&*s.rule, &*s.object)).collect();
    assert_eq!(
        skipped,
        [
            ("application", "Application.argoproj.io/web"),
            ("controlled", "ReplicaSet.apps/prod/web-1")
        ]
    );
    assert_eq!(
        made.shown.notes[..2],
        [
            "web: wanted otherwise than applied last, replayed as wanted: Secret/prod/web",
            "web: not applied yet, replayed as wanted: ConfigMap/prod/web"
        ]
    );
    assert!(!made.shown.returns() && made.shown.missing.is_empty());
}

/// What is said of ConfigMap/prod/old, which left Git and is still there.
fn of_old(story: &Story) -> String {
    let made = planned(story, &Asked::default(), |_| true);
    let old = made.shown.lost.iter().find(|loss| loss.subject == "ConfigMap/prod/old");
    old.map_or_else(String::new, |loss| loss.why.clone())
}

/// Goal: what somebody was still to decide about is named with what keeps it, and is no stranger's.
#[test]
fn what_left_git_and_is_still_there_does_not_come_back_unsaid() {
    let mut story = Story::told();
    let old = key("ConfigMap/prod/old");
    assert_eq!(
        of_old(&story),
        "it left Git, and web does not have it any more: its deletion was not made yet; not \
         replayed: --include-unowned brings it as it was observed"
    );
    let says = |story: &Story, what: &str| {
        let said = of_old(story);
        assert!(said.contains(&format!("any more: {what}")), "{said}");
    };
    let automated =
        |story: &mut Story| story.world.apps.get_mut(&name("web")).unwrap().spec.automated.take();
    let policy = automated(&mut story);
    says(&story, "the policy of web removes nothing unasked");
    story.world.apps.get_mut(&name("web")).unwrap().spec.automated = policy;
    story.event(FrozenV1 { until: None, reason: String::new() });
    says(&story, "greffier is frozen");
    story.event(PausedV1 { app: name("web"), until: None, reason: String::new() });
    says(&story, "application web is paused");
    story.world.live.get_mut(&old).unwrap().protection.prune = Stance::Asks;
    says(&story, "its deletion waits until somebody confirms it (annotation sync-options Prune=");
    story.gated();
    says(&story, "its deletion waits for approval (greffier approve web)");
    story.world.live.get_mut(&old).unwrap().protection.prune = Stance::Stays;
    says(&story, "it stays (annotation sync-options Prune=false)");
    story.world.owned.get_mut(&old).unwrap().keep = vec!["its own".into()];
    says(&story, "it stays (its own)");
    // Of an application alone as well, and of no other.
    for (app, named) in [("web", 1), ("root", 0)] {
        let asked = Asked { apps: vec![name(app)], ..Asked::default() };
        assert_eq!(lost(&planned(&story, &asked, |_| true), LossKind::LeftGit).len(), named);
    }
    let mut moving = story.world.clone();
    moving.wanted_by.insert(old.clone(), [name("root")].into());
    let moving = gather(&moving, &Asked { apps: vec![name("web")], ..Asked::default() }).unwrap();
    let moving = plan(moving.read(&story.ledger, |_| true).unwrap(), Serving::unknown());
    assert_eq!(lost(&moving, LossKind::LeftGit), [""; 0], "another application wants it");
    // Who asks for it gets it.
    let asked = Asked { unowned: true, ..Asked::default() };
    let made = planned(&story, &asked, |_| true);
    assert!(keys(&made).contains(&old.to_string()));
    assert!(lost(&made, LossKind::LeftGit).is_empty() && made.shown.returns());
    // Somebody else's of that name is nobody's, and what goes with its application is not kept.
    let mut replaced = story;
    replaced.world.owned.get_mut(&old).unwrap().uid = "another".into();
    let made = planned(&replaced, &Asked::default(), |_| true);
    assert_eq!(
        (lost(&made, LossKind::LeftGit).len(), lost(&made, LossKind::Unowned).len()),
        (0, 1)
    );
}

/// Goal: what serves until something else is written comes back, with the reason that `why` gives, and
/// what was refused is not counted on.
#[test]
fn what_stays_beside_what_is_refused_is_replayed_as_its_applications() {
    let mut story = Story::told();
    let (old, new) = (key("ConfigMap/prod/old"), key("ConfigMap/prod/web"));
    let tried = |story: &mut Story, error: &str, refused: bool| {
        let app = story.world.apps.get_mut(&name("web")).unwrap();
        let digest = app.desired.as_ref().unwrap().objects[&new].digest;
        let error = error.to_owned();
        let attempt = Attempt { failures: 1, refusals: 1, next: None, error, digest, refused };
        app.attempts.insert(new.clone(), attempt);
    };
    tried(&mut story, "422: no such field", true);
    let made = planned(&story, &Asked::default(), |_| true);
    let step = made.steps.iter().find(|step| step.key == old).expect("it comes back");
    assert_eq!((&*step.app, step.source, step.render), ("web", Source::Observed, None));
    assert_eq!(step.uid, story.world.owned[&old].uid);
    assert_eq!(lost(&made, LossKind::LeftGit), [""; 0]);
    let note = made.shown.notes.iter().find(|note| note.starts_with(&old.to_string())).unwrap();
    let why =
        crate::plan::plan(&story.world, &name("web"), &story.limits, &story.compared).unwrap();
    let why = why.objects.iter().find(|object| object.key == old).unwrap().why.clone();
    let (_, why) = why.split_once("; ").unwrap();
    assert!(why.contains("not written: 422: no such field") && note.contains(why), "{note}\n{why}");
    let refused = made.shown.lost.iter().find(|loss| loss.kind == LossKind::WasRefused).unwrap();
    assert_eq!(refused.subject, new.to_string());
    assert_eq!(refused.why, "was refused when last tried: 422: no such field; tried all the same");
    assert!(keys(&made).contains(&new.to_string()) && !made.shown.returns());
    // Whoever asks for what is nobody's gets it as its application's as well.
    let asked = Asked { unowned: true, ..Asked::default() };
    let step = planned(&story, &asked, |_| true).steps.into_iter().find(|step| step.key == old);
    assert_eq!(step.unwrap().app, "web");

    // What fails otherwise holds it back as well, and may come.
    let mut failed = story;
    tried(&mut failed, "503: later", false);
    let made = planned(&failed, &Asked::default(), |_| true);
    assert!(keys(&made).contains(&old.to_string()));
    assert_eq!(lost(&made, LossKind::WasRefused), [""; 0]);
    // What the old one may be in the way of needs it gone; what is kept for ever is nobody's there.
    tried(&mut failed, "422: provided port is already allocated", true);
    let made = planned(&failed, &Asked::default(), |_| true);
    assert_eq!(lost(&made, LossKind::LeftGit), [old.to_string()]);
    assert_eq!(lost(&made, LossKind::WasRefused), [""; 0]);
    tried(&mut failed, "422: no such field", true);
    failed.world.live.get_mut(&old).unwrap().protection.prune = Stance::Stays;
    assert_eq!(
        lost(&planned(&failed, &Asked::default(), |_| true), LossKind::LeftGit),
        [old.to_string()]
    );
    // What the cluster does not serve cannot come either.
    let mut unserved = Story::told();
    unserved.world.cluster.kinds.remove(&new.group_kind());
    let made = planned(&unserved, &Asked::default(), |_| true);
    let note = made.shown.notes.iter().find(|note| note.starts_with(&old.to_string())).unwrap();
    assert!(note.contains("the cluster does not serve the kind ConfigMap"), "{note}");
}

/// Goal: what cannot be brought at all, even if it is asked for, is said not to be.
#[test]
fn what_left_git_and_is_not_observed_or_of_the_cluster_itself_is_named_as_such() {
    let mut story = Story::told();
    let old = key("ConfigMap/prod/old");
    let owned = story.world.owned[&old].clone();
    for gone in ["Secret/prod/gone", "ConfigMap/kube-system/gone"] {
        let manifest = json!({"apiVersion": "v1", "kind": "Secret", "data": {}});
        story.observed(&key(gone), &manifest, &owned.uid, "");
        story.world.owned.insert(key(gone), owned.clone());
    }
    for unowned in [false, true] {
        let made = planned(&story, &Asked { unowned, ..Asked::default() }, |_| true);
        let of = |name: &str| {
            let mut lost = made.shown.lost.iter();
            lost.find(|loss| loss.subject == name).map_or("", |loss| loss.why.as_str())
        };
        let secret = of("Secret/prod/gone");
        assert!(secret.ends_with("not replayed: of a Secret only digests were observed"));
        assert!(of("ConfigMap/kube-system/gone").ends_with("not replayed (system-namespace)"));
        assert_eq!(of(&old.to_string()).is_empty(), unowned);
        assert!(!made.shown.returns());
    }
}

/// Goal: whoever replays an old copy of the ledger is told that it is one.
#[test]
fn an_old_copy_is_told_of() {
    let mut story = Story::told();
    let told = |story: &Story| {
        let notes = planned(story, &Asked::default(), |_| true).shown.notes;
        notes.iter().any(|note| note.starts_with("the ledger may be an OLD COPY: greffier wrote"))
    };
    assert!(!told(&story));
    let (object, at) = (key("ConfigMap/prod/web"), Timestamp(1_900_000_000_000_000_000));
    let (seq, started) = (story.world.seq, story.world.started);
    story.world.own_writes.sign = Some(Sign { key: object, at, seq, started });
    assert!(told(&story));
}

/// Goal: what is as Git says is no note, whether greffier applied it or the API server said so.
#[test]
fn nothing_is_noted_of_objects_that_are_as_they_are_wanted() {
    let mut story = Story::told();
    let wanted = |story: &Story, object: &str| {
        let desired = story.world.apps[&name("web")].desired.as_ref().unwrap();
        desired.objects[&key(object)].digest
    };
    let notes = |story: &Story| {
        let notes = planned(story, &Asked::default(), |_| true).shown.notes;
        notes.into_iter().filter(|note| note.starts_with("web:")).collect::<Vec<_>>()
    };
    assert_eq!(notes(&story).len(), 2);
    for object in ["ConfigMap/prod/web", "Secret/prod/web"] {
        let uid = format!("uid-{object}");
        if object.starts_with("Config") {
            let map = json!({"kind": "ConfigMap", "data": {"a": "1"}});
            story.observed(&key(object), &map, &uid, "");
        }
        let live = story.world.live[&key(object)].digest;
        let previewed = |result| ObjectPreviewedV1 {
            app: name("web"),
            key: key(object),
            digest: wanted(&story, object),
            uid: uid.clone(),
            live,
            mask: Digest::default(),
            result,
        };
        let (changes, same) = (previewed(Preview::Changes(vec![])), previewed(Preview::Same));
        let before = notes(&story);
        story.event(changes);
        assert_eq!(notes(&story), before, "it is not as it is wanted");
        story.event(same);
    }
    assert_eq!(notes(&story), [""; 0]);
}

#[test]
fn what_was_observed_is_replayed_where_that_is_asked_for() {
    let story = Story::told();
    let made = planned(&story, &Asked { live: true, ..Asked::default() }, |_| true);
    let web = made.steps.iter().find(|step| step.key.kind() == "Deployment").unwrap();
    assert_eq!((web.source, &web.manifest["spec"]["replicas"]), (Source::Observed, &json!(5)));
    let secret = made.steps.iter().find(|step| step.key.is_secret()).unwrap();
    assert_eq!(secret.manifest["data"]["password"], "dHdv", "of Secrets what is wanted is known");
    let all = Asked { live: true, unowned: true, ..Asked::default() };
    let all = planned(&story, &all, |_| true);
    assert!(keys(&all).contains(&"ConfigMap/prod/old".to_owned()), "{:?}", keys(&all));
}

#[test]
fn what_was_gone_when_it_was_observed_last_is_named_where_it_comes_back() {
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let uid = story.world.live[&web].uid.clone();
    let said = |story: &Story, live: bool| {
        let made = planned(story, &Asked { live, ..Asked::default() }, |_| true);
        assert!(keys(&made).contains(&web.to_string()));
        made.shown.notes.join("; ")
    };
    assert!(!said(&story, true).contains("observed last"));
    story.event(ObjectGoneV1 { key: web.clone(), uid, learned: Learned::Watched });
    let what = "web: gone, or changed in a Secret, when it was observed last, replayed as wanted: \
                Deployment.apps/prod/web";
    assert!(said(&story, true).contains(what), "{}", said(&story, true));
    assert!(!said(&story, false).contains("observed last"), "nobody asks for what was observed");
}

#[test]
fn an_application_alone_brings_the_namespace_that_it_needs() {
    let story = Story::told();
    let web = Asked { apps: vec![name("web")], ..Asked::default() };
    let made = planned(&story, &web, |_| true);
    assert_eq!(keys(&made), WANTED);
    assert_eq!(lost(&made, LossKind::Unowned), [""; 0], "others are not asked about");
    let root = Asked { apps: vec![name("root")], ..Asked::default() };
    assert_eq!(keys(&planned(&story, &root, |_| true)), [""; 0]);
    let unknown = gather(&story.world, &Asked { apps: vec![name("wbe")], ..Asked::default() });
    assert_eq!(unknown.unwrap_err().near, ["web"]);
}

/// `web` and two applications beside it in the same namespace, which two of them make.
fn sharing() -> Story {
    let mut story = Story::told();
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}});
    story.blob(&manifest);
    let web = story.world.apps[&name("web")].clone();
    for (app, kind, makes) in
        [("a", "ConfigMap", true), ("b", "ConfigMap", true), ("c", "Secret", false)]
    {
        let mut other = web.clone();
        let objects = &mut other.desired.as_mut().unwrap().objects;
        objects.retain(|key, _| key.kind() == kind);
        let mut object = objects.pop_first().unwrap().1;
        let mut namespace = object.clone();
        object.key = ObjectKey::new("", kind, "prod", app);
        namespace.key = key("Namespace/prod");
        namespace.manifest = Blob::plain(canonical(&manifest), None).addr;
        let objects_of = [object].into_iter().chain(makes.then_some(namespace));
        for object in objects_of {
            let wanting = story.world.wanted_by.entry(object.key.clone()).or_default();
            wanting.insert(name(app));
            objects.insert(object.key.clone(), object);
        }
        story.world.apps.insert(name(app), other);
    }
    let owned = story.world.owned.values().next().unwrap().clone();
    story.world.owned.insert(key("Namespace/prod"), Owned { app: name("b"), ..owned });
    story
}

/// Goal: what two applications make is written once, as that of the one that is asked for.
#[test]
fn a_namespace_that_others_make_too_is_written_once() {
    let story = sharing();
    let made = |apps: &[&str]| {
        let apps = apps.iter().map(|app| name(app)).collect();
        planned(&story, &Asked { apps, ..Asked::default() }, |_| true)
    };
    for (asked, owner) in
        [(vec!["a"], "a"), (vec!["b"], "b"), (vec!["a", "b"], "b"), (vec!["c"], "b"), (vec![], "b")]
    {
        let made = made(&asked);
        let mut steps = made.steps.iter();
        let namespaces: Vec<_> =
            steps.by_ref().filter(|step| step.key.kind() == "Namespace").collect();
        let [namespace] = namespaces.as_slice() else { panic!("{asked:?}: {:?}", keys(&made)) };
        assert_eq!(namespace.app, owner, "{asked:?}");
        assert_eq!(namespace.manifest["metadata"]["annotations"][OWNER_ANNOTATION], owner);
        let notes = &made.shown.notes;
        let of_others = notes.iter().find(|note| note.starts_with("of applications that are not"));
        assert_eq!(
            of_others.is_some_and(|note| note.ends_with(": Namespace/prod of b")),
            asked == ["c"]
        );
        assert!(
            !notes.iter().any(|note| note.contains("wanted by no application: rep")),
            "{notes:?}"
        );
    }
}

#[test]
fn everything_that_the_ledger_should_have_and_has_not_is_named() {
    let mut story = Story::told();
    let addr = |story: &Story, object: &str| {
        let desired = story.world.apps[&name("web")].desired.as_ref().unwrap();
        desired.objects[&key(object)].manifest
    };
    let gone = [addr(&story, "ConfigMap/prod/web"), addr(&story, "Secret/prod/web")];
    let made = planned(&story, &Asked::default(), |addr| !gone.contains(&addr));
    assert_eq!(lost(&made, LossKind::BlobMissing), ["ConfigMap/prod/web", "Secret/prod/web"]);
    assert_eq!(keys(&made), ["Namespace/prod", "Deployment.apps/prod/web"]);
    assert_eq!(made.shown.missing.len(), 2);
    assert!(made.shown.missing[0].why.contains(&gone[0].to_string()), "{:?}", made.shown.missing);

    let manifest = canonical(&app_manifest("new"));
    story.event(AppDeclaredV1 { app: name("new"), manifest, origin: Origin::Operator });
    let made = planned(&story, &Asked::default(), |_| true);
    assert_eq!(lost(&made, LossKind::NotRendered), ["application new"]);
    assert!(!made.shown.returns());
}

#[test]
fn what_people_keep_is_replayed_as_they_keep_it() {
    let mut story = Story::told();
    let drift = story.world.apps[&name("web")].drift[&key("Deployment.apps/prod/web")].seq;
    let detected = story.ledger.get(drift).unwrap().unwrap();
    let Some(Event::DriftDetected(drifted)) = &detected.event else { panic!("a drift") };
    story.blob(&json!({"object": {"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "prod"}, "spec": {"replicas": 5}}, "fields": []}));
    let held = HeldFields {
        key: key("Deployment.apps/prod/web"),
        saved: drifted.saved.unwrap(),
        of_manifest: false,
        places: drifted.places.clone(),
        fields: drifted.fields.clone(),
    };
    let begun = |drift: Seq, of: HoldOf| HoldBegunV1 {
        app: name("web"),
        of: vec![of],
        from: BackTo::Drift(drift),
        until: None,
        reason: String::new(),
    };
    story.event(begun(drift, HoldOf::Fields(held)));
    story.event(begun(drift.next(), HoldOf::Absence(key("ConfigMap/prod/web"))));
    let made = planned(&story, &Asked::default(), |_| true);
    let web = made.steps.iter().find(|step| step.key.kind() == "Deployment").unwrap();
    assert_eq!(web.manifest["spec"]["replicas"], 5);
    assert!(!keys(&made).contains(&"ConfigMap/prod/web".to_owned()));
    assert!(made.shown.skipped.iter().any(|skipped| skipped.rule == skips::HELD_ABSENT));
    // As of an instant before, nothing was kept.
    let world = crate::query::past::world_at(&story.ledger, drift, false).unwrap();
    let book = AsOf::new(&story.ledger, drift);
    let then = gather(&world, &Asked::default()).unwrap().read(&book, |_| true).unwrap();
    let then = plan(then, Serving::unknown());
    assert_eq!(keys(&then), WANTED);
    assert_eq!(then.shown.to, drift.0);
}

#[test]
fn without_the_key_every_secret_is_named_and_with_it_none() {
    let dir = tempfile::tempdir().unwrap();
    let (files, key_file) = (dir.path().join("ledger"), dir.path().join("key"));
    let options = Options { free_bytes_reserve: 0, ..Options::new(&files, &key_file) };
    let (ledger, _) = Ledger::open(options).unwrap();
    let story = Story::told();
    let secret = canonical(&json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "web", "namespace": "prod"}, "data": {"password": "c2VhbGVk"}}));
    let sealed = ledger.seal().blob_sealed(&secret).unwrap();
    let mut batch = Batch::default();
    // Both begin with their own creation, so that positions stay.
    for seq in ledger.head().next().0..=story.ledger.head().0 {
        let recorded = story.ledger.get(Seq(seq)).unwrap().unwrap();
        let mut event = recorded.event.clone().unwrap();
        if let Event::RenderSucceeded(body) = &mut event {
            for object in body.objects.iter_mut().filter(|object| object.key.is_secret()) {
                object.manifest = sealed.addr;
            }
            let plain = |object: &DesiredObject| story.ledger.blob(object.manifest).ok();
            let kept = body.objects.iter().filter_map(plain);
            batch.blobs.extend(kept.map(|bytes| ledger.seal().blob_plain(bytes.to_vec(), None)));
        }
        batch.drafts.push(Draft::new(event));
    }
    batch.blobs.push(sealed);
    ledger.append_blocking(batch).unwrap();
    ledger.shutdown();
    for with_key in [true, false] {
        let archive = Archive::open(&files, with_key.then_some(key_file.as_path())).unwrap();
        let mut world = World::default();
        for recorded in Book::range(&archive, Seq(1), archive.head()).unwrap() {
            crate::query::past::fold(&mut world, &recorded);
        }
        let pending = gather(&world, &Asked::default()).unwrap();
        let made = plan(
            pending.read(&archive, |addr| archive.has_blob(addr)).unwrap(),
            Serving::unknown(),
        );
        let secrets = if with_key { [].as_slice() } else { &["Secret/prod/web"] };
        assert_eq!(lost(&made, LossKind::NoKey), secrets);
        let secret = made.steps.iter().any(|step| step.key.is_secret());
        assert_eq!(secret, with_key, "{:?}", made.shown.missing);
    }
}

/// Goal: whoever replays what was observed is told by name where that is of another cluster, and
/// which instant is the last of the former one.
#[test]
fn what_was_observed_of_another_cluster_is_said_to_be() {
    let mut story = Story::told();
    let kept = story.world.cluster.uid.clone();
    let noted = |story: &Story, live, unowned| {
        let asked = Asked { apps: Vec::new(), live, unowned };
        let notes = planned(story, &asked, |_| true).shown.notes;
        let of_cluster = |note: &String| note.contains("cluster");
        notes.into_iter().filter(of_cluster).collect::<Vec<_>>()
    };
    assert_eq!(noted(&story, true, true), [""; 0]);
    let doubt = story.event(ClusterReplacedV1 {
        kept: kept.clone(),
        uid: "c-9".into(),
        version: "v1.36.0".into(),
        server: "https://127.0.0.1".into(),
    });
    let before = format!("--at '#{}'", doubt.0 - 1);
    assert_eq!(noted(&story, false, false), [""; 0], "what is wanted is as it was");
    for (live, unowned) in [(true, false), (false, true)] {
        let notes = noted(&story, live, unowned);
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        assert!(note.starts_with("DOUBT: another cluster answers since"), "{note}");
        assert!(note.contains(&format!("#{doubt}")) && note.contains(&before), "{note}");
    }
    let accepted =
        story.event(ClusterAcceptedV1 { uid: "c-9".into(), doubt, reason: String::new() });
    let [note] = &noted(&story, true, false)[..] else { panic!("one note") };
    assert!(note.contains(&format!("#{accepted} in place of {kept}")), "{note}");
    assert!(note.contains(&before) && !note.contains("DOUBT"), "{note}");
}
