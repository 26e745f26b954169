//! What a question may be about, and what the ledger adds to the answer.

use super::*;
use crate::ledger::event::ClusterReplacedV1;

#[test]
fn objects_of_nobody_say_whose_they_are() {
    let deployment = "Deployment.apps/prod/web";
    let set = GroupKind::new("apps", "ReplicaSet");
    let mut given = Given::cluster();
    given.serves(&[set.clone(), GroupKind::new("", "Pod")]);
    given.lists_everything();
    given.declares(&application("web", auto()), Origin::Config);
    given.renders("web", objects(&[deployment]));
    given.syncs("web");
    let controlled = |given: &mut Given, text: &str, owner: &str| {
        let live = &given.world.live[&key(owner)];
        let controller =
            Some((key(owner).group_kind(), key(owner).name().to_owned(), live.uid.clone()));
        let observation = ObjectObservedV1 { controller, ..given.observation(text) };
        given.event(observation);
    };
    controlled(&mut given, "ReplicaSet.apps/prod/web-1", deployment);
    controlled(&mut given, "Pod/prod/web-1-x", "ReplicaSet.apps/prod/web-1");
    let why = asks(&given, "pods/web-1-x");
    assert_eq!((why.subject.as_str(), why.app.as_str()), ("Pod/prod/web-1-x", "web"));
    assert!(why.reasons[0].text.contains("ReplicaSet.apps/prod/web-1 ← Deployment.apps/prod/web"));
    assert_eq!(why.can_do[0].command, format!("greffier why {deployment}"));
    given.sees("ConfigMap/prod/foreign");
    assert_eq!(asks(&given, "configmap/foreign").reasons[0].code, "not_wanted");
    assert!(asks(&given, "configmap/foreign").reasons[0].text.contains("never applied it"));
    // Of a former cluster nothing is said.
    let mut accepted = given.clone();
    accepted.identified("one");
    let doubt = accepted.replaced("two");
    accepted.accepts(doubt);
    accepted.sees("ConfigMap/prod/foreign");
    let text = &asks(&accepted, "configmap/foreign").reasons[0].text;
    assert!(text.contains("did not apply it in this cluster"), "{text}");
    // Its own fields say otherwise.
    let seen = given.observation("ConfigMap/prod/pruned");
    given.event(ObjectObservedV1 { owned: Some(Digest::default()), ..seen });
    let text = &asks(&given, "configmap/pruned").reasons[0].text;
    assert!(text.contains("greffier applied it once") && !text.contains("never"), "{text}");
}

#[test]
fn an_object_may_be_named_in_short_as_long_as_it_is_one() {
    let mut given = Given::synced(objects(&[A]));
    given.sees("Namespace/stage");
    given.sees("ConfigMap/stage/a");
    let find = |text: &str, namespace: Option<&str>| {
        let subject = Subject::parse(text, namespace).unwrap();
        gather(&given.world, &given.compared, &given.limits, &subject)
            .map(|p| p.why().subject.clone())
    };
    for (text, namespace) in
        [("configmap/prod/a", None), ("configmaps/a", Some("prod")), ("CM/a", Some("prod"))]
    {
        assert_eq!(find(text, namespace).unwrap(), A, "{text}");
    }
    let error = find("configmap/a", None).unwrap_err();
    assert_eq!(error.to_string(), "`configmap/a` could be ConfigMap/prod/a, ConfigMap/stage/a");
    // Whether there ever was such an application only the ledger knows.
    let story = Story::empty();
    let subject = Subject::parse("wbe", None).unwrap();
    let pending = gather(&given.world, &given.compared, &given.limits, &subject).unwrap();
    let Err(Error::Subject(unknown)) = pending.read(&story.ledger, &NoFiles) else { panic!() };
    assert_eq!(unknown.hint(), "did you mean web?");
    story.ledger.shutdown();
    for bad in ["No Name", "a/b/c/d", "/x", "x/"] {
        assert!(Subject::parse(bad, None).is_err(), "{bad}");
    }
}

#[test]
fn the_ledger_adds_the_commit_the_last_write_and_the_chain_of_causes() {
    let story = Story::told();
    let ask = |text: &str| {
        let subject = Subject::parse(text, None).unwrap();
        let pending = gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
        pending.read(&story.ledger, &NoFiles)
    };
    let why = ask("Deployment/web").unwrap();
    let git = why.git.as_ref().unwrap();
    assert_eq!(
        (git.subject.as_str(), git.author.as_str()),
        ("Scale web to two", "Alice <alice@example.org>")
    );
    let told = &why.objects[0];
    assert_eq!(told.intent.as_ref().unwrap().kind, "apply.intent");
    let (begun, ended) = (told.intent.as_ref().unwrap().seq, told.outcome.as_ref().unwrap().seq);
    assert!(begun < ended);
    let kinds: Vec<&str> = why.history.iter().map(|link| link.kind.as_str()).collect();
    for kind in [
        "drift.detected",
        "object.observed",
        "apply.outcome",
        "apply.intent",
        "render.succeeded",
        "git.ref-moved",
        "git.commit",
    ] {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
    assert!(why.history.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
    let why = ask("web").unwrap();
    let kinds: Vec<&str> = why.history.iter().map(|link| link.kind.as_str()).collect();
    assert_eq!(kinds[0], "drift.detected");
    assert!(kinds.contains(&"app.declared"), "{kinds:?}");
    assert!(!why.history.iter().any(|link| link.summary.contains("hunter2")));
    // Neither the world nor the ledger knows it.
    let unknown = ask("Deployment/wbe").unwrap_err();
    let Error::Subject(unknown) = unknown else { panic!("{unknown}") };
    assert!(unknown.to_string().starts_with("nothing is known of Deployment"), "{unknown}");
    assert_eq!(story_key("Deployment.apps/prod/web").name(), "web");
}

/// Goal: an application that went is told of, with what is left of it; one that never was is not.
#[test]
fn an_application_that_is_not_there_any_more_is_told_of() {
    let mut story = Story::told();
    let ask = |story: &Story, text: &str| {
        let subject = Subject::parse(text, None).unwrap();
        let pending = gather(&story.world, &story.compared, &story.limits, &subject)?;
        pending.read(&story.ledger, &NoFiles)
    };
    let app: crate::model::AppName = "web".parse().unwrap();
    let origin = crate::ledger::event::Origin::Parent("root".parse().unwrap());
    let orphans = vec![story_key("Deployment.apps/prod/web")];
    let removed =
        crate::ledger::event::AppRemovedV1 { app, cascade: false, origin, declared: None, orphans };
    let seq = story.event(removed);
    story.fold();
    let why = ask(&story, "web").unwrap();
    let text = format!("(#{seq}), and 1 object left as they were: Deployment.apps/prod/web");
    assert!(why.headline.starts_with("web is not there any more"), "{}", why.headline);
    assert!(why.headline.ends_with(&text), "{}", why.headline);
    assert_eq!(why.reasons[0].code, "removed");
    assert!(why.reasons[0].text.contains("application root does not define it"), "{why:?}");
    assert_eq!((why.chain[0].kind.as_str(), why.chain[0].seq), ("app.removed", Some(seq.0)));
    let unknown = ask(&story, "wbe").unwrap_err();
    assert!(unknown.to_string().contains("there is no application `wbe`"), "{unknown}");
}

/// The root is rolled back to before it had `web`, by alice.
fn rolled_back(story: &mut Story) -> crate::model::Seq {
    use crate::ledger::event::{AppHeldV1, HeldRender};
    use crate::model::{Actor, Seq};
    let mut desired = story.world.apps[&name("root")].desired.clone().unwrap();
    desired.objects.clear();
    let held = AppHeldV1 {
        app: name("root"),
        to: Seq(9),
        at: crate::model::Timestamp(9),
        said: "@-".into(),
        desired: HeldRender::from(&desired),
        left: vec![],
        until: None,
        reason: "incident 7".into(),
        tree: Some(name("root")),
        automatic: None,
        approves: None,
        images: vec![],
    };
    story.add(crate::ledger::Draft::new(held).by(Actor::os_user("alice")))
}

/// Goal: of an application that a rollback removed, and of an object that went with it, the rollback is
/// told with who asked for it, and neither Git nor a commit.
#[test]
fn what_a_rollback_removed_names_the_rollback_and_who_asked_for_it() {
    use crate::ledger::Draft;
    use crate::ledger::event::{
        AppRemovedV1, IntentRecordedV1, ObjectGoneV1, OutcomeRecordedV1, Verb, Write,
    };
    let mut story = Story::told();
    let ask = |story: &Story, text: &str| {
        let subject = Subject::parse(text, None).unwrap();
        let pending = gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
        pending.read(&story.ledger, &NoFiles).unwrap()
    };
    let hold = rolled_back(&mut story);
    let web = story_key("Deployment.apps/prod/web");
    let uid = story.world.live[&web].uid.clone();
    let render = story.world.apps[&name("web")].desired.as_ref().unwrap().seq;
    let origin = crate::ledger::event::Origin::Parent(name("root"));
    let removed = |cascade| AppRemovedV1 {
        app: name("web"),
        cascade,
        origin: origin.clone(),
        declared: None,
        orphans: vec![],
    };
    let _ = story.add(Draft::new(removed(true)).caused_by(hold));
    let write = Write::plain(Verb::Prune, web.clone(), "v1", "the application was removed");
    let rv = story.world.live[&web].resource_version.clone();
    let writes = vec![Write { precondition: Some((uid.clone(), rv)), ..write }];
    let intent = IntentRecordedV1 { app: name("web"), writes, commit: None, timeout_ms: 1 };
    let intent = story.add(Draft::new(intent).caused_by(render).caused_by(hold));
    let results = vec![(0, WriteResult::Deleted)];
    story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    let learned = crate::ledger::event::Learned::Watched;
    story.event(ObjectGoneV1 { key: web.clone(), uid, learned });
    let _ = story.add(Draft::new(removed(false)).caused_by(hold));
    for subject in ["web", "Deployment.apps/prod/web"] {
        let why = ask(&story, subject);
        let who = |link: &super::super::chain::ChainLink| {
            link.who.iter().any(|claim| claim.name.contains("alice"))
        };
        let mut links = why.chain.iter();
        assert!(links.any(|link| link.seq == Some(hold.0) && who(link)), "{subject}: {why:#?}");
        let said = serde_json::to_string(&why).unwrap();
        assert!(!said.contains("does not define it any more in Git"), "{said}");
        assert!(!said.contains("which commit dropped it is not known"), "{said}");
    }
    let why = ask(&story, "web");
    let text = &why.reasons[0].text;
    let says =
        format!("application root was rolled back to #9 (#{hold}, by os-user:alice: incident 7)");
    assert!(text.starts_with(&says) && text.contains("did not define it then"), "{text}");
    let commands: Vec<&str> = why.can_do.iter().map(|advice| advice.command.as_str()).collect();
    assert_eq!(commands, ["greffier release root --tree --plan", "greffier log web"]);
    let log = crate::query::describe::describe(
        &story.ledger.get(story.world.seq).unwrap().unwrap(),
        None,
    );
    assert!(log.summary.ends_with(&format!("because of #{hold}")), "{}", log.summary);
}

#[test]
fn what_is_gone_is_told_from_the_ledger() {
    let mut story = Story::told();
    let set = story_key("ReplicaSet.apps/prod/web-1");
    story.event(crate::ledger::event::ObjectGoneV1 {
        key: set.clone(),
        uid: "rs-1".into(),
        learned: crate::ledger::event::Learned::Watched,
    });
    let subject = Subject::parse(&set.to_string(), None).unwrap();
    let pending = gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
    let why = pending.read(&story.ledger, &NoFiles).unwrap();
    assert_eq!(why.reasons[0].code, "gone");
    assert_eq!(why.history[0].kind, "object.gone");
}

/// Goal: a name in short means an object that is there, or the one that the ledger knows; what
/// means nothing is refused, and so is what means several.
#[test]
fn a_name_in_short_is_found_also_of_what_is_gone() {
    let mut story = Story::told();
    let whole = |story: &Story, text: &str| {
        let named = super::super::naming(&story.world, &story_key(text));
        named.read(&story.ledger).map(|key| key.to_string())
    };
    let web = "Deployment.apps/prod/web";
    for text in [web, "Deployment/web", "deploy/web", "deployments/prod/web", "deployment.apps/web"]
    {
        assert_eq!(whole(&story, text).unwrap(), web, "{text}");
    }
    let set = story_key("ReplicaSet.apps/prod/web-1");
    story.event(crate::ledger::event::ObjectGoneV1 {
        key: set.clone(),
        uid: "rs-1".into(),
        learned: crate::ledger::event::Learned::Watched,
    });
    for text in ["rs/prod/web-1", "ReplicaSet/prod/web-1", "ReplicaSet.apps/prod/web-1"] {
        assert_eq!(whole(&story, text).unwrap(), set.to_string(), "{text}");
    }
    for (text, what, hint) in [
        ("cm/prod/none", "nothing is known of ConfigMap/prod/none", "ConfigMap/prod/"),
        ("deploy/prod/wbe", "nothing is known of Deployment.apps/prod/wbe", "prod/web?"),
        ("deploymen/prod/web", "the cluster serves no kind `deploymen`", "Deployment"),
    ] {
        let error = whole(&story, text).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(error.hint().contains(hint), "{}", error.hint());
    }
    story.observed(&story_key("ConfigMap/stage/old"), &json!({"kind": "ConfigMap"}), "u", "");
    let several = whole(&story, "cm/old").unwrap_err().to_string();
    assert_eq!(several, "`cm/old` could be ConfigMap/prod/old, ConfigMap/stage/old");
}

/// Goal: of what was rolled back by itself it is said that Git ends that, of what a person holds
/// that a release does; a rule that is not understood is told wherever somebody looks.
#[test]
fn what_ends_a_hold_and_what_is_misread_is_said() {
    let mut given = Given::synced(objects(&[A]));
    let from = crate::ledger::event::AutoRollback {
        why: crate::ledger::event::RollbackCause::Degraded,
        render: Seq(1),
        commit: commit(7),
        asked: Digest::default(),
        health: None,
        message: String::new(),
        after_ms: 0,
    };
    for (automatic, ends) in [(Some(Box::new(from)), true), (None, false)] {
        let at = crate::model::Timestamp(0);
        let hold = crate::replay::AppHold {
            seq: Seq(1),
            tree: None,
            begun: Seq(1),
            gave_way: None,
            to: Seq(1),
            at,
            said: "last-healthy".into(),
            made: at,
            until: None,
            reason: String::new(),
            pinned: Vec::new(),
            automatic,
            commits: Vec::new(),
            confirmed: None,
        };
        given.world.apps.get_mut(&name("web")).unwrap().hold = Some(hold);
        let next = asks(&given, "web").next;
        let says = next.iter().any(|next| next.what.contains("until Git says something else"));
        assert_eq!(says, ends, "{next:?}");
    }
    let app = given.world.apps.get_mut(&name("web")).unwrap();
    app.hold = None;
    let wrong = "annotation greffier.dev/rollback \"soon\" is not understood".to_owned();
    app.spec.warnings.extend(["another".to_owned(), wrong.clone()]);
    let why = asks(&given, "web");
    assert!(why.reasons.iter().any(|reason| reason.code == "misread" && reason.text == wrong));
    let views = crate::query::apps(&given.world, &given.compared, &given.limits);
    assert_eq!(note(&given.world, &views[0]), wrong);
    let told = crate::query::status(&given.world, &views).problems;
    assert_eq!(told.iter().map(|note| note.what.as_str()).collect::<Vec<_>>(), [wrong.as_str()]);
}

/// Goal: where nothing tells why something is not well, nothing is said to be why.
#[test]
fn health_without_a_reason_is_told_without_one() {
    let mut given = Given::synced(objects(&[A]));
    given.event(ClusterReplacedV1 {
        kept: "former".into(),
        uid: "another".into(),
        version: "v1.36.3".into(),
        server: "https://127.0.0.1:6443".into(),
    });
    let unwell = asks(&given, A).reasons.into_iter().find(|reason| reason.code == "unwell");
    assert_eq!(unwell.unwrap().text, "health is Unknown");
    let reasons = asks(&given, "web").reasons;
    assert!(reasons.iter().all(|reason| !reason.text.trim_end().ends_with(':')), "{reasons:?}");
}
