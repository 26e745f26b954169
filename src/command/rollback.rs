//! Bringing back what was in force at an earlier instant.

use std::borrow::Cow;

use super::{Decision, Error, writable};
use crate::ledger::event::{AppHeldV1, HeldRender};
use crate::model::{AppName, ObjectKey, Timestamp};
use crate::query::instant::At;
use crate::replay::{App, Desired, World};

/// What was in force of an application at an instant.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// It was not there.
    NotThere,
    /// Nothing: it was not rendered yet, or was being removed.
    Nothing,
    /// This.
    Wanted(Box<Desired>),
    /// It is not known, and why.
    Unknown(String),
}

impl Then {
    /// What `world`, as of the instant, says of it.
    #[must_use]
    pub fn of(world: &World, name: &str) -> Self {
        let found = world.apps.iter().find(|(known, _)| known.as_str() == name);
        match found.map(|(_, app)| app) {
            None => Self::NotThere,
            Some(App { removing: true, .. } | App { desired: None, .. }) => Self::Nothing,
            Some(App { desired: Some(desired), .. }) => Self::Wanted(Box::new(desired.clone())),
        }
    }
}

/// Leaves `missing` of a rollback as it is now: what is in force of it stays, the rest is not
/// made.
pub fn leave(world: &World, body: &mut AppHeldV1, missing: &[ObjectKey]) {
    let now = world.apps.get(&body.app).and_then(|app| app.desired.as_ref());
    let objects = &mut body.desired.objects;
    objects.retain(|object| !missing.contains(&object.key));
    let stays = missing.iter().filter_map(|key| now?.objects.get(key).cloned());
    objects.extend(stays);
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    body.left = missing.to_vec();
    body.images.retain(|image| !missing.contains(&image.key));
}

pub(super) fn rollback(
    world: &World,
    (name, app): (&AppName, &App),
    (to, said): (&At, String),
    then: &Then,
    until: Option<Timestamp>,
    reason: String,
) -> Result<Decision, Error> {
    writable(world)?;
    if app.spec.skip {
        return Err(Error::LeftAlone(name.clone()));
    }
    if app.removing {
        return Err(Error::BeingRemoved(name.clone()));
    }
    let (seq, time) = (to.seq, to.time);
    let desired = match then {
        Then::NotThere => return Err(Error::NotThen { app: name.clone(), seq, time }),
        Then::Nothing | Then::Unknown(_) => {
            return Err(Error::NothingThen { app: name.clone(), seq, time });
        }
        Then::Wanted(desired) => desired,
    };
    let git = if app.is_held() { app.newest().map(Cow::Borrowed) } else { app.unheld() };
    if git.is_some_and(|git| git.asks_for_the_same(desired)) {
        return Err(Error::AsThen { app: name.clone(), seq, held: app.is_held() });
    }
    // The same with images by their digests, or without, is something else.
    let same = app.desired.as_ref().is_some_and(|held| held.inputs == desired.inputs);
    let hold = app.hold.as_ref().filter(|hold| hold.to == seq && hold.until == until && same);
    if let Some(hold) = hold {
        return Ok(Decision::AlreadySo(hold.seq));
    }
    Ok(Decision::record(AppHeldV1 {
        app: name.clone(),
        tree: None,
        to: seq,
        at: time,
        said,
        desired: HeldRender::from(&**desired),
        left: Vec::new(),
        images: Vec::new(),
        approves: None,
        until,
        reason,
        automatic: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, decide};
    use super::*;
    use crate::ledger::event::{
        AppHoldEndedV1, Event, FrozenV1, HoldEnd, PausedV1, ResumedV1, UnfrozenV1,
    };
    use crate::model::Seq;
    use crate::replay::testing::{Given, application, auto, name, object};

    /// `web` at commit 2, with the world as it was at commit 1.
    fn moved_on() -> (Given, World) {
        let mut given = Given::synced(vec![object("ConfigMap/prod/a", 1)]);
        let then = given.world.clone();
        given.push(2);
        given.renders("web", vec![object("ConfigMap/prod/a", 2)]);
        given.syncs("web");
        (given, then)
    }

    fn command(then: &World) -> Command {
        let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
        let (said, reason) = ("@-".to_owned(), "incident".to_owned());
        let then = Then::of(then, "web");
        Command::Rollback { app: "web".into(), to, said, then, until: None, reason }
    }

    fn rolls_back(given: &Given, then: &World) -> Result<Decision, Error> {
        decide(&given.world, given.now(), &command(then))
    }

    #[test]
    fn what_was_in_force_is_in_the_event_and_what_cannot_be_is_refused() {
        let (mut given, then) = moved_on();
        let Decision::Record(event) = rolls_back(&given, &then).unwrap() else { panic!() };
        let Event::AppHeld(body) = *event else { panic!("{event:?}") };
        assert_eq!((body.to, &*body.said, &*body.reason), (then.seq, "@-", "incident"));
        assert_eq!(Desired::from(&body.desired), then.apps[&name("web")].desired.clone().unwrap());
        let refused = rolls_back(&given, &given.world);
        assert!(matches!(refused, Err(Error::AsThen { held: false, .. })), "{refused:?}");
        let never = Given::cluster().world;
        let refused = rolls_back(&given, &never);
        assert!(matches!(refused, Err(Error::NotThen { .. })), "{refused:?}");
        let unrendered = Given::app("web", auto()).world;
        let refused = rolls_back(&given, &unrendered);
        assert!(matches!(refused, Err(Error::NothingThen { .. })), "{refused:?}");

        let mut skipped = given.clone();
        let mut manifest = application("web", auto());
        let skip = serde_json::json!({"argocd.argoproj.io/skip-reconcile": "true"});
        manifest["metadata"]["annotations"] = skip;
        skipped.declares(&manifest, crate::ledger::event::Origin::Config);
        let refused = rolls_back(&skipped, &then);
        assert!(matches!(refused, Err(Error::LeftAlone(_))), "{refused:?}");
        // It is a decision, and is carried out once something may be written again.
        for restrained in [
            PausedV1 { app: name("web"), until: None, reason: String::new() }.into(),
            Event::from(FrozenV1 { until: None, reason: String::new() }),
        ] {
            let mut given = given.clone();
            given.event(restrained);
            assert!(matches!(rolls_back(&given, &then), Ok(Decision::Record(_))));
            given.rolls_back("web", &then);
            assert_eq!(given.writes("web"), [""; 0]);
            given.event(UnfrozenV1 { expired: false });
            given.event(ResumedV1 { app: name("web"), expired: false });
            assert_eq!(given.writes("web").len(), 1);
        }
        given.starts(true);
        let refused = rolls_back(&given, &then);
        assert!(matches!(refused, Err(Error::Observing)), "{refused:?}");
    }

    #[test]
    fn what_cannot_be_restored_is_left_as_it_is_now() {
        let (given, then) = moved_on();
        let mut body = given.rollback("web", &then);
        let (a, b) = ("ConfigMap/prod/a", "ConfigMap/prod/b");
        body.desired.objects.push(object(b, 1));
        let missing = [a, b].map(|text| text.parse().unwrap());
        leave(&given.world, &mut body, &missing);
        assert_eq!(body.desired.objects, [object(a, 2)], "what is there stays, and b is not made");
        assert_eq!(body.left, missing);
    }

    #[test]
    fn the_same_again_is_so_already_and_a_release_ends_it_by_any_of_its_names() {
        let (mut given, then) = moved_on();
        let hold = given.rolls_back("web", &then);
        assert_eq!(rolls_back(&given, &then).unwrap(), Decision::AlreadySo(hold));
        let release = |given: &Given, subject: String| {
            let command = Command::Release { subject, namespace: None };
            decide(&given.world, given.now(), &command)
        };
        for subject in ["web".to_owned(), format!("#{hold}")] {
            let Decision::Record(event) = release(&given, subject).unwrap() else { panic!() };
            let (app, end, holds) = (name("web"), HoldEnd::Released, Vec::new());
            assert_eq!(*event, AppHoldEndedV1 { app, hold, end, holds }.into());
        }
        let other = release(&given, format!("#{}", Seq(hold.0 - 1)));
        assert!(matches!(other, Err(Error::NothingHeld(_))), "{other:?}");
        given.lets_go("web", hold);
        let nothing = release(&given, "web".into());
        assert!(matches!(nothing, Err(Error::NothingHeld(_))), "{nothing:?}");
    }
}
