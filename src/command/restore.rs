//! Bringing back one object, or fields of it, as it was.

use super::{Decision, Error, find, writable};
use crate::ledger::event::{
    BackTo, DesiredObject, HeldFields, HeldObject, HoldBegunV1, HoldOf, RestoreIntendedV1,
    RestoreWrite, SyncRequestedV1,
};
use crate::model::{AppName, ObjectKey, Timestamp};
use crate::replay::{App, World};

/// For how long the writes of a restore may be made, in ms.
const RESTORE_TIMEOUT_MS: u32 = 10_000;

/// Why something is not brought back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRestored {
    /// Nothing of the application was ever rendered.
    #[error("nothing of application `{0}` is rendered yet")]
    Unrendered(AppName),
    /// Git says what is to come back, and something else is held.
    #[error("Git says of {key} what it was, and application `{app}` holds something else of it")]
    HeldOtherwise {
        /// The application.
        app: AppName,
        /// The object.
        key: Box<ObjectKey>,
    },
    /// What no application has is written once and not held.
    #[error("no application has it: it is written once, and nothing is held that could end")]
    NothingToEnd,
    /// It is not to be written now.
    #[error("{key} is not restored: {why}")]
    Not {
        /// The object.
        key: Box<ObjectKey>,
        /// Why.
        why: String,
    },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
pub enum Restored {
    /// Objects, fields or absences of an application: it holds them against Git.
    Held(AppName, Vec<HoldOf>),
    /// Objects that no application has, or fields that Git says nothing of: they are written once.
    Written(Vec<RestoreWrite>),
}

impl Restored {
    /// An object of an application, as a whole.
    #[must_use]
    pub fn object(app: AppName, object: DesiredObject, seen: bool) -> Self {
        Self::Held(app, vec![HoldOf::Object(Box::new(HeldObject { object, seen }))])
    }

    /// Fields of an object of an application.
    #[must_use]
    pub fn fields(app: AppName, held: HeldFields) -> Self {
        Self::Held(app, vec![HoldOf::Fields(held)])
    }
}

/// The application that an object which somebody brings back belongs to: the one that wants it, or
/// has it still, or wanted it `then` and is there. `None` = no application has it.
#[must_use]
pub fn whose<'w>(
    world: &'w World,
    key: &ObjectKey,
    then: Option<&AppName>,
) -> Option<(&'w AppName, &'w App)> {
    let wants = world.wanted_by.get(key).into_iter().flatten();
    let owner = world.owned.get(key).map(|owned| &owned.app);
    let first = wants.clone().find(|app| Some(*app) == owner).or_else(|| wants.clone().next());
    let name = first.or(owner).or(then)?;
    world.apps.get_key_value(name).filter(|(_, app)| !app.removing)
}

pub(super) fn restore(
    world: &World,
    restored: &Restored,
    from: BackTo,
    until: Option<Timestamp>,
    reason: String,
) -> Result<Decision, Error> {
    writable(world)?;
    match restored {
        // A decision: it is carried out once something may be written again.
        Restored::Held(app, of) => held(world, find(world, app.as_str())?, of, from, until, reason),
        // Written now, or not at all.
        Restored::Written(_) if world.freeze().is_some() => Err(Error::Frozen),
        Restored::Written(writes) => {
            if until.is_some() {
                return Err(NotRestored::NothingToEnd.into());
            }
            for write in writes {
                if let Some(why) = world.why_not_restored(write) {
                    let key = Box::new(write.key.clone());
                    return Err(NotRestored::Not { key, why }.into());
                }
            }
            let (writes, timeout_ms) = (writes.clone(), RESTORE_TIMEOUT_MS);
            Ok(Decision::record(RestoreIntendedV1 { writes, from, timeout_ms, reason }))
        }
    }
}

fn held(
    world: &World,
    (name, app): (&AppName, &App),
    of: &[HoldOf],
    from: BackTo,
    until: Option<Timestamp>,
    reason: String,
) -> Result<Decision, Error> {
    if app.spec.skip {
        return Err(Error::LeftAlone(name.clone()));
    }
    if app.removing {
        return Err(Error::BeingRemoved(name.clone()));
    }
    let Some(git) = app.unheld() else {
        return Err(NotRestored::Unrendered(name.clone()).into());
    };
    for part in of {
        let key = part.key();
        match part {
            HoldOf::Object(held) => {
                let same = git.objects.get(key).is_some_and(|git| git.digest == held.object.digest);
                if same && of.len() == 1 {
                    return as_git_says(app, name, key, reason);
                }
            }
            HoldOf::Fields(_) | HoldOf::Absence(_) if !app.wants(key) => {
                return Err(Error::Left { app: name.clone(), key: Box::new(key.clone()) });
            }
            HoldOf::Fields(_) | HoldOf::Absence(_) => {}
        }
    }
    let mut holds = app.holds.iter().filter(|hold| hold.holds(world.now));
    let same = holds.find(|hold| of.len() == 1 && hold.of == of[0] && hold.until == until);
    if let Some(hold) = same {
        return Ok(Decision::AlreadySo(hold.seq));
    }
    let (app, of) = (name.clone(), of.to_vec());
    Ok(Decision::record(HoldBegunV1 { app, of, from, until, reason }))
}

/// Git says of the object what it was: it is applied, and nothing is held.
fn as_git_says(
    app: &App,
    name: &AppName,
    key: &ObjectKey,
    reason: String,
) -> Result<Decision, Error> {
    if app.holds.iter().any(|hold| hold.of.key() == key) {
        let (app, key) = (name.clone(), Box::new(key.clone()));
        return Err(NotRestored::HeldOtherwise { app, key }.into());
    }
    let (app, only) = (name.clone(), vec![key.clone()]);
    Ok(Decision::record(SyncRequestedV1 { app, prune: false, only, reason }))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, decide};
    use super::*;
    use crate::ledger::event::{AppRemovedV1, Event, HoldEnd, HoldEndedV1, Origin, Verb};
    use crate::model::Seq;
    use crate::plan::Status;
    use crate::replay::testing::{Given, key, name, object, said, writes};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    fn decides(given: &Given, restored: Restored) -> Result<Decision, Error> {
        let (from, until, reason) = (BackTo::Instant(Seq(1)), None, "a slip".to_owned());
        decide(&given.world, given.now(), &Command::Restore { restored, from, until, reason })
    }

    fn restores(given: &mut Given, restored: Restored) -> Seq {
        let Decision::Record(event) = decides(given, restored).unwrap() else { panic!() };
        given.event(*event);
        given.seq()
    }

    fn as_it_was(text: &str, content: u64) -> Restored {
        Restored::object(name("web"), object(text, content), false)
    }

    /// `web` at commit 2, which changed `a` and dropped `b`.
    fn moved_on() -> Given {
        let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        given.syncs("web");
        assert!(!given.world.live.contains_key(&key(B)), "b is pruned");
        given
    }

    /// Goal: what Git dropped is wanted by the hold, through new commits, and goes with it.
    #[test]
    fn an_object_that_git_does_not_have_is_wanted_until_it_is_released() {
        let mut given = moved_on();
        let hold = restores(&mut given, as_it_was(B, 1));
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [format!("create {B}")]);
        assert!(plan.writes[0].reason.contains(&format!("hold #{hold}")), "{plan:?}");
        given.syncs("web");
        given.push(3);
        given.renders("web", vec![object(A, 3)]);
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [format!("update {A}")], "b stays");
        given.syncs("web");
        assert_eq!(said(&given.plan("web"), B).status, Status::OnHold);
        assert!(given.world.apps[&name("web")].unheld().unwrap().objects.len() == 1);
        let (app, objects, holds) = (name("web"), vec![key(B)], vec![hold]);
        given.event(HoldEndedV1 { app, objects, holds, end: HoldEnd::Released });
        assert_eq!(writes(&given.plan("web")), [format!("prune {B}")]);
    }

    #[test]
    fn an_object_is_as_it_was_in_the_place_of_what_git_says_and_ends_with_it() {
        let mut given = moved_on();
        let hold = restores(&mut given, as_it_was(A, 1));
        given.syncs("web");
        assert_eq!(given.world.owned[&key(A)].applied, object(A, 1).digest);
        assert!(
            matches!(decides(&given, as_it_was(A, 1)), Ok(Decision::AlreadySo(seq)) if seq == hold)
        );
        // Another commit goes on waiting behind it, and a rollback of the whole knows what Git says.
        given.push(3);
        given.renders("web", vec![object(A, 3)]);
        assert_eq!(writes(&given.plan("web")), [] as [String; 0]);
        let git = given.world.apps[&name("web")].unheld().unwrap().objects[&key(A)].digest;
        assert_eq!(git, object(A, 3).digest);
        // Git says the same at last.
        given.push(4);
        given.renders("web", vec![object(A, 1)]);
        assert_eq!(given.world.apps[&name("web")].same_as_git().count(), 1);
    }

    #[test]
    fn what_git_says_is_synced_and_nothing_is_held() {
        let mut given = moved_on();
        let Decision::Record(event) = decides(&given, as_it_was(A, 2)).unwrap() else { panic!() };
        assert!(matches!(*event, Event::SyncRequested(body) if body.only == [key(A)]));
        restores(&mut given, as_it_was(A, 1));
        let held = decides(&given, as_it_was(A, 2));
        assert!(matches!(held, Err(Error::Restore(NotRestored::HeldOtherwise { .. }))), "{held:?}");
    }

    #[test]
    fn by_hand_it_is_written_once_and_nothing_else_is() {
        let mut given = Given::app("web", serde_json::json!({}));
        given.renders("web", vec![object(A, 1), object(B, 1)]);
        given.requests("web", false, &[]);
        given.syncs("web");
        given.finishes("web");
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        restores(&mut given, as_it_was(A, 3));
        assert_eq!(writes(&given.plan("web")), [format!("update {A}")]);
        given.syncs("web");
        assert_eq!(writes(&given.plan("web")), [] as [String; 0]);
        given.loses(A);
        assert_eq!(writes(&given.plan("web")), [] as [String; 0], "nobody heals here");
    }

    #[test]
    fn what_no_application_has_is_written_once_and_not_while_one_wants_it() {
        let mut given = moved_on();
        let write = |text: &str| RestoreWrite {
            key: key(text),
            version: "v1".into(),
            verb: Verb::Create,
            saved: Some(object(text, 1).manifest),
            of_manifest: true,
            places: Vec::new(),
            fields: Vec::new(),
            found: None,
            beside: None,
        };
        let other = "ConfigMap/prod/other";
        let restored = Restored::Written(vec![write(other)]);
        assert!(matches!(decides(&given, restored), Ok(Decision::Record(event))
            if matches!(*event, Event::RestoreIntended(_))));
        let wanted = decides(&given, Restored::Written(vec![write(A)]));
        assert!(matches!(wanted, Err(Error::Restore(NotRestored::Not { .. }))), "{wanted:?}");
        // Whose it is: the one that wants it, the one that wanted it then, nobody.
        let web = name("web");
        let whose_is = |given: &Given, text: &str, then: Option<&AppName>| {
            whose(&given.world, &key(text), then).map(|(name, _)| name.clone())
        };
        assert_eq!(whose_is(&given, A, None), Some(web.clone()));
        assert_eq!(whose_is(&given, B, Some(&web)), Some(web.clone()));
        assert_eq!(whose_is(&given, B, None), None);
        let (app, origin) = (web.clone(), Origin::Operator);
        let (cascade, declared, orphans) = (false, None, Vec::new());
        given.event(AppRemovedV1 { app, cascade, origin, declared, orphans });
        assert_eq!(whose_is(&given, B, Some(&web)), None);
        assert!(matches!(decides(&given, as_it_was(B, 1)), Err(Error::UnknownApp(_))));
    }

    #[test]
    fn an_object_that_is_held_is_no_part_of_what_a_rollback_lays_aside() {
        let mut given = moved_on();
        let then = given.world.clone();
        let hold = restores(&mut given, as_it_was(B, 1));
        given.syncs("web");
        given.push(3);
        given.renders("web", vec![object(A, 3)]);
        given.syncs("web");
        let rolled = given.rolls_back("web", &then);
        let app = &given.world.apps[&name("web")];
        assert!(app.wants(&key(B)), "the hold of the object stays in force");
        assert!(!app.proposed.as_ref().unwrap().desired.objects.contains_key(&key(B)));
        given.lets_go("web", rolled);
        let app = &given.world.apps[&name("web")];
        assert!(app.wants(&key(B)) && app.holds[0].seq == hold);
        assert_eq!(app.unheld().unwrap().objects.len(), 1);
    }
}
