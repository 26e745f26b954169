//! What pods told is found, counts where it should, and is never guessed.

use serde_json::json;

use super::*;
use crate::ledger::Blob;
use crate::ledger::event::Learned;
use crate::ledger::event::{
    ClusterIdentifiedV1, DaemonStartedV1, DaemonStoppedV1, IntentRecordedV1, KindListedV1,
    KindsServedV1, ObjectGoneV1, ObjectObservedV1, PulledImage, ServedKind, Verb, Write,
};
use crate::model::{Digest, GroupKind, Seq};
use crate::query::fixture::{Story, canonical, key, name};
use crate::replay::testing::{Given, auto, object};

const WEB: &str = "Deployment.apps/prod/web";
const IMAGE: &str = "shop:v1";

fn digest(digit: char) -> String {
    format!("sha256:{}", String::from(digit).repeat(64))
}

/// The id that a node tells of an image in the repository `shop`.
fn id(digit: char) -> String {
    format!("docker.io/library/shop@{}", digest(digit))
}

/// A ledger in which everything is watched.
fn watched() -> Story {
    let mut story = Story::empty();
    story.event(DaemonStartedV1 { version: "0.1.0".into(), observe: false, pid: 7 });
    let server = "https://127.0.0.1:6443".to_owned();
    story.event(ClusterIdentifiedV1 { uid: "c-1".into(), version: "v1.36.3".into(), server });
    lists(&mut story, true);
    story
}

fn lists(story: &mut Story, pods: bool) {
    let kind = GroupKind::new("", "Pod");
    let served = ServedKind { watched: pods, ..ServedKind::plain(kind.clone(), "pods") };
    story.event(KindsServedV1 { kinds: vec![served], broken_groups: vec![] });
    if pods {
        let (resource_version, named) = (String::new(), Vec::new());
        story.event(KindListedV1 { kind, objects: 0, resource_version, named });
    }
}

/// greffier writes a version of the workload.
fn writes(story: &mut Story, of: &str, version: u64) -> Seq {
    let write = Write {
        digest: version_of(version),
        ..Write::plain(Verb::Update, key(of), "v1", "Git changed")
    };
    let (app, writes) = (name("web"), vec![write]);
    story.event(IntentRecordedV1 { app, writes, commit: None, timeout_ms: 10_000 })
}

fn version_of(version: u64) -> Digest {
    Digest::of(&version.to_be_bytes())
}

/// An object is seen whose controller is `by`: its key and uid.
fn seen(story: &mut Story, of: &str, by: (&str, &str)) -> ObjectObservedV1 {
    let by_key = key(by.0);
    let body = ObjectObservedV1 {
        controller: Some((by_key.group_kind(), by_key.name().to_owned(), by.1.to_owned())),
        ..ObjectObservedV1::plain(key(of), of, "1")
    };
    story.event(body.clone());
    body
}

/// A pod begins, and its node tells what its container runs.
fn runs(story: &mut Story, pod: &str, by: (&str, &str), (image, id): (&str, &str)) -> Seq {
    let began = seen(story, pod, by);
    told(story, began, (image, id))
}

fn told(story: &mut Story, of: ObjectObservedV1, (image, id): (&str, &str)) -> Seq {
    let (container, image, id) = ("main".to_owned(), image.to_owned(), id.to_owned());
    story.event(ObjectObservedV1 { images: vec![PulledImage { container, image, id }], ..of })
}

const FIRST: (&str, &str) = ("ReplicaSet.apps/prod/web-1", "ReplicaSet.apps/prod/web-1");
const SECOND: (&str, &str) = ("ReplicaSet.apps/prod/web-2", "ReplicaSet.apps/prod/web-2");

/// The Deployment is applied in version 1, and its ReplicaSet is there.
fn deployed() -> Story {
    let mut story = watched();
    writes(&mut story, WEB, 1);
    seen(&mut story, FIRST.0, (WEB, "web"));
    story
}

/// What is found of a version of a workload as of an event.
fn found(story: &Story, of: &str, version: u64, to: Seq) -> (ImageThen, Option<String>) {
    let time = story.ledger.get(to).unwrap().unwrap().envelope.recorded;
    let mut images = Images::new(&story.ledger, Moment { seq: to, time });
    let (of, digest, rendered) = (key(of), version_of(version), Seq(1));
    let named = Named { container: "main".into(), image: IMAGE.into(), place: Some("/".into()) };
    images.one(&Workload { key: &of, digest, rendered }, &named).unwrap()
}

fn was(found: &ImageThen) -> Vec<&str> {
    found.was.iter().map(|told| told.digest.as_str()).collect()
}

#[test]
fn a_tag_that_moved_is_told_with_the_pods_that_ran_it_then_and_since() {
    let mut story = deployed();
    let then = runs(&mut story, "Pod/prod/web-1-a", FIRST, (IMAGE, &id('a')));
    let (same, pinned) = found(&story, WEB, 1, then);
    assert_eq!((same.state, pinned), (Moved::Same, Some(format!("{IMAGE}@{}", digest('a')))));
    assert_eq!((same.text(), same.held()), (None, None));
    writes(&mut story, WEB, 2);
    // Anybody's pod tells what the name stands for now, and not what it stood for.
    let by = ("StatefulSet.apps/other/db", "db");
    let now = runs(&mut story, "Pod/other/db-0", by, (IMAGE, &id('b')));
    let (moved, _) = found(&story, WEB, 1, then);
    assert_eq!((moved.state, was(&moved)), (Moved::Moved, vec![digest('a').as_str()]));
    let latest = moved.latest.as_ref().unwrap();
    assert_eq!((&*latest.digest, &*latest.pod, latest.seq), (&*digest('b'), "other/db-0", now.0));
    let text = moved.text().unwrap();
    let said = format!("MOVED: it was sha256:aaaaaaaaaaaa (pod prod/web-1-a, #{})", then.0);
    assert!(
        text.contains(&said) && text.contains("is sha256:bbbbbbbbbbbb (pod other/db-0"),
        "{text}"
    );
    let held = moved.held().unwrap();
    assert_eq!((held.was, held.latest), (vec![digest('a')], digest('b')));
    // The old pod tells again, later than the new one: that is no newer.
    let again = ObjectObservedV1 {
        controller: Some((GroupKind::new("apps", "ReplicaSet"), "web-1".into(), FIRST.1.into())),
        ..ObjectObservedV1::plain(key("Pod/prod/web-1-a"), "Pod/prod/web-1-a", "9")
    };
    told(&mut story, again, (IMAGE, &id('a')));
    assert_eq!(found(&story, WEB, 1, then).0.state, Moved::Moved);
    story.ledger.shutdown();
}

#[test]
fn an_old_pod_is_not_taken_for_one_of_the_version_that_is_rolled_out() {
    let mut story = deployed();
    runs(&mut story, "Pod/prod/web-1-a", FIRST, (IMAGE, &id('a')));
    let to = writes(&mut story, WEB, 2);
    // Nothing was made anew for it: what ran goes on.
    assert_eq!(was(&found(&story, WEB, 2, to).0), [digest('a')]);
    seen(&mut story, SECOND.0, (WEB, "web"));
    let then = runs(&mut story, "Pod/prod/web-2-a", SECOND, (IMAGE, &id('b')));
    for to in [to, then] {
        assert_eq!(was(&found(&story, WEB, 2, to).0), [digest('b')], "as of #{to}");
    }
    assert_eq!(was(&found(&story, WEB, 1, Seq(to.0 - 1)).0), [digest('a')]);
    // A pod beside it that is made of the same template later, when the tag has moved.
    let both = runs(&mut story, "Pod/prod/web-2-b", SECOND, (IMAGE, &id('c')));
    assert_eq!(was(&found(&story, WEB, 2, then).0), [digest('b')], "it was not there then");
    let (mixed, pinned) = found(&story, WEB, 2, both);
    assert_eq!((mixed.state, pinned), (Moved::Unknown, None));
    let mut told = was(&mixed);
    told.sort_unstable();
    assert_eq!(told, [digest('b'), digest('c')]);
    assert!(mixed.unpinned.contains("not all of its pods"), "{mixed:?}");
    // Once the one is gone, the other is what is left.
    let (gone, learned) = (key("Pod/prod/web-2-b"), Learned::Watched);
    let gone = story.event(ObjectGoneV1 { key: gone, uid: "Pod/prod/web-2-b".into(), learned });
    assert_eq!(was(&found(&story, WEB, 2, gone).0), [digest('b')]);
    story.ledger.shutdown();
}

#[test]
fn what_no_pod_of_it_told_is_unknown_and_why_is_said() {
    let mut story = deployed();
    let unknown = |story: &Story, to: Seq, why: &str| {
        let (found, pinned) = found(story, WEB, 1, to);
        assert_eq!((found.state, pinned, was(&found).len()), (Moved::Unknown, None, 0));
        assert!(found.why.contains(why) && found.unpinned == found.why, "{why}: {found:?}");
        assert!(found.text().unwrap().contains("unknown what it was"), "{found:?}");
    };
    let to = story.ledger.head();
    unknown(&story, to, "no pod of it that ran it was recorded");
    // Those of others, in another namespace, and of another container, are not its own.
    let other = ("ReplicaSet.apps/prod/other-1", "ReplicaSet.apps/prod/other-1");
    seen(&mut story, other.0, ("Deployment.apps/prod/other", "other"));
    runs(&mut story, "Pod/prod/other-1-a", other, (IMAGE, &id('a')));
    let elsewhere = ("ReplicaSet.apps/else/web-1", "ReplicaSet.apps/else/web-1");
    seen(&mut story, elsewhere.0, (WEB, "web"));
    runs(&mut story, "Pod/else/web-1-a", elsewhere, (IMAGE, &id('a')));
    let beside = seen(&mut story, "Pod/prod/web-1-a", FIRST);
    let (container, image) = ("beside".to_owned(), IMAGE.to_owned());
    let images = vec![PulledImage { container, image, id: id('a') }];
    let to = story.event(ObjectObservedV1 { images, ..beside.clone() });
    unknown(&story, to, "no pod of it that ran it was recorded");
    // What was seen before nobody watched may be something else.
    told(&mut story, beside, (IMAGE, &id('a')));
    story.event(DaemonStoppedV1 { reason: "signal".into() });
    let to = story.event(crate::ledger::event::DeadlineReachedV1 { deadline: Default::default() });
    unknown(&story, to, "pods were not watched then: greffier was stopped");
    story.ledger.shutdown();

    let mut story = watched();
    lists(&mut story, false);
    let to = writes(&mut story, WEB, 1);
    writes(&mut story, WEB, 2);
    unknown(&story, to, "not watched all the time: it is excluded from watching");
    story.ledger.shutdown();
}

#[test]
fn an_id_that_the_node_alone_knows_tells_whether_it_moved_and_cannot_be_pulled() {
    let mut story = deployed();
    let then = runs(&mut story, "Pod/prod/web-1-a", FIRST, (IMAGE, &digest('a')));
    let (same, pinned) = found(&story, WEB, 1, then);
    assert_eq!((same.state, pinned), (Moved::Same, None));
    assert!(same.unpinned.contains("an id of its own"), "{same:?}");
    // The same image may have another digest in its repository.
    let since = runs(&mut story, "Pod/prod/web-1-b", FIRST, (IMAGE, &id('b')));
    assert_eq!(found(&story, WEB, 1, then).0.state, Moved::Unknown);
    assert!(found(&story, WEB, 1, then).0.why.contains("cannot be compared"));
    // Two pods that tell the same in two ways tell one thing.
    let id = format!("docker-pullable://registry.example.org/shop@{}", digest('b'));
    let mut story_of_two = deployed();
    runs(&mut story_of_two, "Pod/prod/web-1-a", FIRST, (IMAGE, &id));
    let to = runs(&mut story_of_two, "Pod/prod/web-1-b", FIRST, (IMAGE, &super::tests::id('b')));
    let (found, pinned) = found(&story_of_two, WEB, 1, to);
    assert_eq!(
        (was(&found), pinned),
        (vec![&*digest('b')], Some(format!("{IMAGE}@{}", digest('b'))))
    );
    assert!(since > then);
    story.ledger.shutdown();
    story_of_two.ledger.shutdown();
}

#[test]
fn pods_are_found_below_jobs_of_cron_jobs_and_told_apart_by_the_revision_of_their_template() {
    let mut story = watched();
    let (cron, job) = ("CronJob.batch/prod/web", "Job.batch/prod/web-1");
    writes(&mut story, cron, 1);
    seen(&mut story, job, (cron, "cron"));
    let to = runs(&mut story, "Pod/prod/web-1-x", (job, job), (IMAGE, &id('a')));
    assert_eq!(was(&found(&story, cron, 1, to).0), [digest('a')]);
    let pod = "Pod/prod/alone";
    writes(&mut story, pod, 1);
    let began = ObjectObservedV1::plain(key(pod), pod, "1");
    let to = told(&mut story, began, (IMAGE, &id('b')));
    assert_eq!(was(&found(&story, pod, 1, to).0), [digest('b')]);

    let set = "StatefulSet.apps/prod/db";
    let replica = |story: &mut Story, name: &str, revision: &str, digit| {
        let labels = json!({"controller-revision-hash": revision});
        let live = json!({"object": {"metadata": {"labels": labels}}, "fields": []});
        story.blob(&live);
        let controller = Some((GroupKind::new("apps", "StatefulSet"), "db".into(), "db".into()));
        let (of, uid) = (key(&format!("Pod/prod/{name}")), format!("{name}-{revision}"));
        let object = Blob::plain(canonical(&live), None).addr;
        let body = ObjectObservedV1 {
            object,
            controller,
            added: true,
            ..ObjectObservedV1::plain(of, &uid, "1")
        };
        told(story, body, (IMAGE, &id(digit)))
    };
    writes(&mut story, set, 1);
    replica(&mut story, "db-0", "one", 'a');
    replica(&mut story, "db-1", "one", 'a');
    writes(&mut story, set, 2);
    // One of two is made anew.
    let to = replica(&mut story, "db-1", "two", 'b');
    assert_eq!(was(&found(&story, set, 2, to).0), [digest('b')]);
    story.ledger.shutdown();
}

#[test]
fn what_is_known_is_named_by_its_digest_and_the_rest_is_told() {
    let mut story = deployed();
    let manifest = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "main", "image": IMAGE}, {"name": "log", "image": "log:1"},
        {"name": "proxy", "image": "proxy@sha256:00"}]}}}});
    story.blob(&manifest);
    let addr = Blob::plain(canonical(&manifest), None).addr;
    let to = runs(&mut story, "Pod/prod/web-1-a", FIRST, (IMAGE, &id('a')));
    let mut given = Given::app("web", auto());
    let web = crate::ledger::event::DesiredObject {
        manifest: addr,
        digest: version_of(1),
        ..object(WEB, 1)
    };
    given.renders("web", vec![web, object("ConfigMap/prod/a", 1)]);
    let before = given.world.apps[&name("web")].desired.clone().unwrap();
    let mut desired = before.clone();
    let time = story.ledger.get(to).unwrap().unwrap().envelope.recorded;
    let pinned = pin(&story.ledger, Moment { seq: to, time }, &mut desired).unwrap();
    let web = &desired.objects[&key(WEB)];
    assert_eq!((pinned.blobs.len(), web.manifest), (1, pinned.blobs[0].addr));
    assert_eq!(web.digest, Digest::of(pinned.blobs[0].bytes()));
    let now: Value = serde_json::from_slice(pinned.blobs[0].bytes()).unwrap();
    let images: Vec<&Value> = now["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["image"])
        .collect();
    let by_digest = format!("{IMAGE}@{}", digest('a'));
    assert_eq!(images, [&json!(by_digest), &json!("log:1"), &json!("proxy@sha256:00")]);
    let unpinned = pinned.unpinned("web");
    assert_eq!(unpinned.len(), 1, "{unpinned:?}");
    assert!(
        unpinned[0].starts_with(&format!("web: {WEB} log: log:1: no pod of it")),
        "{unpinned:?}"
    );
    let recorded = held(pinned.images.as_ref().unwrap(), &[]);
    assert_eq!(pinned_as(&recorded, &key(WEB), &by_digest).map(|held| &*held.image), Some(IMAGE));
    assert_eq!(pinned_as(&recorded, &key(WEB), IMAGE), None);
    assert_eq!(held(pinned.images.as_ref().unwrap(), &[key(WEB)]), []);
    // It is another render than the one of that commit.
    assert_ne!(desired.inputs, before.inputs);
    let other = key("ConfigMap/prod/a");
    assert_eq!(desired.objects[&other], before.objects[&other], "its manifest is not there");
    story.ledger.shutdown();
}
