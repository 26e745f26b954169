use super::*;
use crate::ledger::event::{AppDeclaredV1, Origin};
use crate::query::fixture::{Story, app_manifest, key, name};

const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

fn pause(until: Option<Timestamp>) -> Command {
    Command::Pause { app: "web".into(), until, reason: String::new() }
}

#[test]
fn a_command_becomes_an_event_of_its_actor() {
    let story = Story::told();
    let decision = decide(&story.world, Timestamp(0), &pause(None)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let alice = Actor::os_user("alice");
    let seq = runtime.block_on(execute(&story.ledger, alice.clone(), decision)).unwrap();
    let recorded = story.ledger.get(seq).unwrap().unwrap();
    assert_eq!(recorded.actor, alice);
    assert_eq!(recorded.event.as_ref().unwrap().name(), "operator.pause");
}

#[test]
fn a_pause_must_end_in_the_future() {
    let story = Story::told();
    let until = Some(Timestamp(5));
    assert!(decide(&story.world, Timestamp(4), &pause(until)).is_ok());
    let past = decide(&story.world, Timestamp(5), &pause(until)).unwrap_err();
    assert_eq!(past.to_string(), format!("the pause would have ended at {}", Timestamp(5)));
    let freeze = Command::Freeze { until, reason: String::new() };
    assert!(decide(&story.world, Timestamp(4), &freeze).is_ok());
    let past = decide(&story.world, Timestamp(5), &freeze).unwrap_err();
    assert!(past.to_string().starts_with("the freeze would have ended"), "{past}");
}

#[test]
fn what_is_not_frozen_is_not_unfrozen() {
    let mut story = Story::told();
    let unfreeze = decide(&story.world, Timestamp(0), &Command::Unfreeze);
    assert!(matches!(unfreeze, Err(Error::NotFrozen)));
    let freeze = Command::Freeze { until: None, reason: "audit".into() };
    let Decision::Record(event) = decide(&story.world, Timestamp(0), &freeze).unwrap() else {
        panic!("nothing recorded")
    };
    story.event(*event);
    let Decision::Record(event) = decide(&story.world, Timestamp(0), &Command::Unfreeze).unwrap()
    else {
        panic!("nothing recorded")
    };
    assert_eq!(event.name(), "operator.unfreeze");
}

#[test]
fn what_is_not_paused_is_not_resumed() {
    let story = Story::told();
    let command = Command::Resume { app: "web".into() };
    let refused = decide(&story.world, Timestamp(0), &command);
    assert!(matches!(refused, Err(Error::NotPaused(_))));
}

#[test]
fn an_application_from_git_is_changed_in_git() {
    let story = Story::told();
    let command = Command::AddApp { manifest: app_manifest("web") };
    let error = decide(&story.world, Timestamp(0), &command).unwrap_err().to_string();
    assert_eq!(
        error,
        "application `web` is defined by application `root` in Git, and is changed there"
    );
}

#[test]
fn a_finalizer_makes_the_removal_of_an_application_say_what_becomes_of_its_objects() {
    let mut story = Story::told();
    let mut manifest = app_manifest("extra");
    let remove = |cascade| Command::RemoveApp { app: "extra".into(), cascade };
    let removed = |story: &Story, cascade| {
        decide(&story.world, Timestamp(0), &remove(cascade)).map(|decision| match decision {
            Decision::Record(event) => match *event {
                Event::AppRemoved(body) => body.cascade,
                other => panic!("{other:?}"),
            },
            Decision::AlreadySo(_) => panic!("nothing recorded"),
        })
    };
    for (finalizers, plain) in [(Vec::new(), Some(false)), (vec![FINALIZER], None)] {
        manifest["metadata"]["finalizers"] = serde_json::json!(finalizers);
        let add = Command::AddApp { manifest: manifest.clone() };
        let Decision::Record(event) = decide(&story.world, Timestamp(0), &add).unwrap() else {
            panic!("nothing recorded")
        };
        story.event(*event);
        assert_eq!(removed(&story, None).ok(), plain, "{finalizers:?}");
        assert_eq!(removed(&story, Some(true)).ok(), Some(true));
        assert_eq!(removed(&story, Some(false)).ok(), Some(false));
    }
    let refused = decide(&story.world, Timestamp(0), &remove(None)).unwrap_err().to_string();
    assert!(refused.contains("would delete 0 of its objects"), "{refused}");
    story.world.observe = true;
    assert!(matches!(removed(&story, Some(true)), Err(Error::Observing)));
}

#[test]
fn a_child_that_its_parent_let_go_may_be_removed_by_a_person() {
    let mut story = Story::told();
    let remove = Command::RemoveApp { app: "web".into(), cascade: Some(false) };
    let refused = decide(&story.world, Timestamp(0), &remove);
    assert!(matches!(refused, Err(Error::DefinedElsewhere { .. })), "Git has it: {refused:?}");
    story.world.apps.remove(&name("root"));
    assert!(decide(&story.world, Timestamp(0), &remove).is_ok());
}

/// Goal: what the configuration defines is removed there; what it does not name any more, a person
/// may end.
#[test]
fn what_the_configuration_no_longer_names_may_be_removed_by_a_person() {
    let mut story = Story::told();
    let remove = Command::RemoveApp { app: "root".into(), cascade: Some(false) };
    let refused = decide(&story.world, Timestamp(0), &remove);
    assert!(matches!(refused, Err(Error::DefinedElsewhere { .. })), "{refused:?}");
    let (app, manifest) = (name("root"), serde_json::to_vec(&app_manifest("root")).unwrap());
    story.event(AppDeclaredV1 { app, manifest, origin: Origin::Unconfigured });
    assert!(decide(&story.world, Timestamp(0), &remove).is_ok());
}

#[test]
fn adding_the_same_application_again_records_nothing() {
    let mut story = Story::told();
    let command = Command::AddApp { manifest: app_manifest("extra") };
    let Decision::Record(event) = decide(&story.world, Timestamp(0), &command).unwrap() else {
        panic!("nothing recorded")
    };
    let seq = story.event(*event);
    let again = decide(&story.world, Timestamp(0), &command).unwrap();
    assert_eq!(again, Decision::AlreadySo(seq));
}

#[test]
fn a_sync_names_only_objects_of_the_application() {
    let story = Story::told();
    let sync = |only: &str| Command::Sync {
        app: "web".into(),
        prune: false,
        only: vec![key(only)],
        reason: String::new(),
    };
    assert!(decide(&story.world, Timestamp(0), &sync("ConfigMap/prod/web")).is_ok());
    assert!(decide(&story.world, Timestamp(0), &sync("ConfigMap/prod/old")).is_ok());
    match decide(&story.world, Timestamp(0), &sync("ConfigMap/prod/wbe")) {
        Err(Error::UnknownObject { near, .. }) => assert_eq!(near[0], "ConfigMap/prod/web"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_that_writes_is_accepted_while_observing() {
    let mut story = Story::told();
    story.world.observe = true;
    let plan = story.gated().to_string();
    let approve = Command::Approve { app: "web".into(), plan, reason: String::new() };
    assert!(matches!(decide(&story.world, Timestamp(0), &approve), Err(Error::Observing)));
    assert!(story.world.apps[&name("web")].gate.is_some());
}

#[test]
fn a_sync_of_which_nothing_can_come_is_refused() {
    let mut story = Story::told();
    let sync =
        Command::Sync { app: "web".into(), prune: false, only: vec![], reason: String::new() };
    let decided = |story: &Story| decide(&story.world, Timestamp(0), &sync);
    assert!(decided(&story).is_ok());
    let mut left = story.world.apps[&name("web")].clone();
    left.spec.skip = true;
    story.world.apps.insert(name("web"), left.clone());
    assert!(matches!(decided(&story), Err(Error::LeftAlone(_))));
    left.spec.skip = false;
    left.removing = true;
    story.world.apps.insert(name("web"), left);
    assert!(matches!(decided(&story), Err(Error::BeingRemoved(_))));
    // What stays of it may be let go of.
    let prune =
        Command::Sync { app: "web".into(), prune: true, only: vec![], reason: String::new() };
    assert!(decide(&story.world, Timestamp(0), &prune).is_ok());
}
