//! Keeping what somebody changed by hand, and letting go of it.

use super::restore::whose;
use super::{Decision, Error, find};
use crate::cluster::lay_held;
use crate::ledger;
use crate::ledger::event::{
    AppHoldEndedV1, BackTo, DriftDetectedV1, DriftKind, HeldFields, HoldBegunV1, HoldEnd,
    HoldEndedV1, HoldOf,
};
use crate::model::{AppName, BlobAddr, Seq, Timestamp};
use crate::query::why::{Found, Subject};
use crate::replay::{Adrift, App, Hold, World, why_not_kept};

pub(super) fn keep(
    world: &World,
    event: Seq,
    drift: Option<&DriftDetectedV1>,
    until: Option<Timestamp>,
    reason: &str,
) -> Result<Decision, Error> {
    let drift = drift.ok_or(Error::NoDrift(event))?;
    if let Some(why) = why_not_kept(drift) {
        return Err(Error::NotKept { event, why });
    }
    let (name, app) = find(world, keeper(world, drift).as_str())?;
    if !app.wants(&drift.key) {
        return Err(Error::Left { app: name.clone(), key: Box::new(drift.key.clone()) });
    }
    let of = match held(drift) {
        Some(held) => {
            changes_nothing_else(world, (name, app), drift)?;
            HoldOf::Fields(held)
        }
        None => HoldOf::Absence(drift.key.clone()),
    };
    let (app, of, reason) = (name.clone(), vec![of], reason.to_owned());
    Ok(Decision::record(HoldBegunV1 { app, of, from: BackTo::Drift(event), until, reason }))
}

/// The application that keeps what was found: the one that has the object now.
#[must_use]
pub fn keeper<'w>(world: &'w World, drift: &'w DriftDetectedV1) -> &'w AppName {
    let wants = world.apps.get(&drift.app).is_some_and(|app| app.wants(&drift.key));
    let heir = whose(world, &drift.key, None).filter(|(_, app)| !wants && app.wants(&drift.key));
    heir.map_or(&drift.app, |(name, _)| name)
}

/// What is held of a drift that changed fields.
fn held(drift: &DriftDetectedV1) -> Option<HeldFields> {
    let saved = drift.saved.filter(|_| drift.kind == DriftKind::Drift)?;
    let (key, places, fields) = (drift.key.clone(), drift.places.clone(), drift.fields.clone());
    Some(HeldFields { key, saved, of_manifest: false, places, fields })
}

/// Checks that what the event tells of can be laid over the manifest that `world` wants.
///
/// `blob` reads the ledger, outside the world's lock. What is no drift that can be kept passes:
/// [`decide`](super::decide) says why it cannot. A manifest that comes later is checked when it is
/// sent.
///
/// # Errors
/// [`Error::NotLaid`], or what the ledger says of a blob that cannot be read.
pub fn can_be_laid<B: AsRef<[u8]>>(
    event: Seq,
    drift: &DriftDetectedV1,
    manifest: BlobAddr,
    blob: impl Fn(BlobAddr) -> Result<B, ledger::Error>,
) -> Result<(), Error> {
    let Some(held) = held(drift).filter(|_| why_not_kept(drift).is_none()) else { return Ok(()) };
    let read = |addr| blob(addr).map_err(Error::Ledger);
    let Ok(mut manifest) = serde_json::from_slice(read(manifest)?.as_ref()) else { return Ok(()) };
    lay_held(&mut manifest, &held, read(held.saved)?.as_ref())
        .map_err(|why| Error::NotLaid { event, why })
}

/// Whoever keeps something asks for that alone: where the policy neither applies what Git changed
/// nor puts back what others changed, it does not happen because of that either.
fn changes_nothing_else(
    world: &World,
    (name, app): (&AppName, &App),
    drift: &DriftDetectedV1,
) -> Result<(), Error> {
    let key = &drift.key;
    let owned = world.owned.get(key);
    let asked = app.request.as_ref().is_some_and(|request| {
        let covers = request.only.is_empty() || request.only.contains(key);
        covers && owned.is_none_or(|owned| owned.seq < request.seq)
    });
    if asked {
        return Ok(());
    }
    let automated = app.spec.automated;
    let applied = owned.map(|owned| owned.applied);
    let wanted = app.desired.as_ref().and_then(|desired| desired.objects.get(key));
    if automated.is_none() && applied != wanted.map(|object| object.digest) {
        return Err(Error::Unsynced { app: name.clone(), key: Box::new(key.clone()) });
    }
    let known = app.drift.get(key).filter(|known| known.kind == DriftKind::Drift);
    let Some(known) = known.filter(|_| !automated.is_some_and(|policy| policy.self_heal)) else {
        return Ok(());
    };
    let held = app.holds.iter().filter(|hold| hold.of.key() == key).flat_map(Hold::fields);
    let held: Vec<&str> = held.chain(&drift.fields).map(|field| field.path.as_str()).collect();
    let beside = known.fields.iter().map(|field| &field.path);
    let paths: Vec<String> =
        beside.filter(|path| !held.contains(&path.as_str())).cloned().collect();
    if paths.is_empty() {
        return Ok(());
    }
    let (app, key, drift) = (name.clone(), Box::new(key.clone()), known.seq);
    Err(Error::ChangedBeside { app, key, drift, paths })
}

pub(super) fn release(
    world: &World,
    subject: &str,
    namespace: Option<&str>,
) -> Result<Decision, Error> {
    let nothing = || Error::NothingHeld(subject.to_owned());
    let event = subject.parse::<Seq>().ok();
    let of_event = |hold: &&Hold| event == Some(hold.seq) || event == Some(hold.from.seq());
    let by_event = |(name, app): (&AppName, &App)| {
        let whole = app.hold.as_ref().is_some_and(|hold| Some(hold.seq) == event);
        if whole { let_go(world, name, app) } else { ended(name, app, of_event) }
    };
    let apps = || world.apps.iter();
    let decision =
        apps().find_map(by_event).or_else(|| ended_adrift(world, |a| of_event(&&a.hold)));
    if let Some(decision) = decision {
        return Ok(decision);
    }
    if event.is_some() && !world.apps.keys().any(|name| name.as_str() == subject) {
        return Err(nothing());
    }
    let found = match Subject::parse(subject, namespace)?.find(world)? {
        Found::App(name) => {
            let (name, app) = find(world, name.as_str())?;
            let whole = let_go(world, name, app);
            let all = whole.or_else(|| ended(name, app, |_| true));
            all.or_else(|| ended_adrift(world, |adrift| adrift.app == *name))
        }
        Found::Object(key, _) => apps()
            .find_map(|(name, app)| ended(name, app, |hold| hold.is_of(&key)))
            .or_else(|| ended_adrift(world, |adrift| adrift.hold.is_of(&key))),
        // By the event of a hold or a drift it would have been found above.
        Found::Event(_) => None,
    };
    found.ok_or_else(nothing)
}

/// That the hold of the whole application ends, and those of its objects with it.
fn let_go(world: &World, name: &AppName, app: &App) -> Option<Decision> {
    let hold = app.hold.as_ref()?.seq;
    let holds = app.holds.iter().chain(world.cast_off_by(name)).map(|hold| hold.seq).collect();
    let (app, end) = (name.clone(), HoldEnd::Released);
    Some(Decision::record(AppHoldEndedV1 { app, hold, end, holds }))
}

/// That the chosen holds of an application end; `None` when there are none.
fn ended(name: &AppName, app: &App, chosen: impl Fn(&&Hold) -> bool) -> Option<Decision> {
    let over: Vec<&Hold> = app.holds.iter().filter(chosen).collect();
    (!over.is_empty())
        .then(|| Decision::record(HoldEndedV1::of(name.clone(), over, HoldEnd::Released)))
}

/// The same of those whose objects no application has now.
fn ended_adrift(world: &World, chosen: impl Fn(&Adrift) -> bool) -> Option<Decision> {
    let over: Vec<&Adrift> = world.adrift.iter().filter(|adrift| chosen(adrift)).collect();
    let name = over.first()?.app.clone();
    let holds = over.iter().map(|adrift| &adrift.hold);
    Some(Decision::record(HoldEndedV1::of(name, holds, HoldEnd::Released)))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, decide};
    use super::*;
    use crate::ledger::event::{DriftKind, Event, FieldChange};
    use crate::model::{BlobAddr, ObjectKey};
    use crate::query::fixture::{Story, key, name};
    use crate::replay::NotKept;

    fn drift(object: &ObjectKey, place: &[&str]) -> DriftDetectedV1 {
        let text = String::from;
        DriftDetectedV1 {
            app: name("web"),
            key: object.clone(),
            kind: DriftKind::Drift,
            fields: vec![FieldChange { path: ".x".into(), was: "2".into(), now: "5".into() }],
            places: vec![place.iter().copied().map(text).collect()],
            managers: Vec::new(),
            observation: Seq(3),
            mask: crate::model::Digest::default(),
            saved: Some(BlobAddr([7; 32])),
            later: None,
        }
    }

    fn keeps(story: &Story, event: u64, drift: DriftDetectedV1) -> Result<Event, Error> {
        let (until, reason) = (None, "sale".to_owned());
        let drift = Some(Box::new(drift));
        let command = Command::Keep { event: Seq(event), drift, until, reason };
        match decide(&story.world, Timestamp(0), &command)? {
            Decision::Record(event) => Ok(*event),
            other => panic!("{other:?}"),
        }
    }

    fn releases(story: &Story, subject: &str) -> Result<Vec<Seq>, Error> {
        let command = Command::Release { subject: subject.into(), namespace: None };
        match decide(&story.world, Timestamp(0), &command)? {
            Decision::Record(event) => match *event {
                Event::HoldEnded(body) => Ok(body.holds),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_drift_is_held_and_released_by_any_of_its_names() {
        let mut story = Story::told();
        let (web, map) = (key("Deployment.apps/prod/web"), key("ConfigMap/prod/web"));
        let replicas = ["f:spec", "f:replicas"];
        let event = keeps(&story, 90, drift(&web, &replicas)).unwrap();
        assert!(matches!(&event, Event::HoldBegun(body) if body.from == BackTo::Drift(Seq(90))
            && matches!(&body.of[0], HoldOf::Fields(held) if held.places == [replicas.map(String::from).to_vec()])));
        let first = story.event(event);
        let second = keeps(&story, 91, drift(&map, &["f:data", "f:a"])).unwrap();
        let second = story.event(second);
        assert_eq!(releases(&story, "web").unwrap(), [first, second]);
        assert_eq!(releases(&story, "Deployment/web").unwrap(), [first]);
        assert_eq!(releases(&story, "90").unwrap(), [first]);
        assert_eq!(releases(&story, &format!("#{}", second.0)).unwrap(), [second]);
        for nothing in ["root", "92", "ConfigMap/prod/old"] {
            let refused = releases(&story, nothing);
            assert!(matches!(refused, Err(Error::NothingHeld(_))), "{nothing}: {refused:?}");
        }
        // Who keeps the same drift again changes for how long.
        let again = keeps(&story, 90, drift(&web, &replicas)).unwrap();
        let again = story.event(again);
        assert_eq!(releases(&story, "Deployment/web").unwrap(), [again]);
    }

    #[test]
    fn what_is_recorded_nowhere_or_not_to_be_told_apart_is_not_kept() {
        let story = Story::told();
        let (web, secret) = (key("Deployment.apps/prod/web"), key("Secret/prod/web"));
        let as_kind = |kind| DriftDetectedV1 { kind, ..drift(&web, &["f:spec"]) };
        let no_places = DriftDetectedV1 { places: Vec::new(), ..drift(&web, &[]) };
        let many = DriftDetectedV1 {
            places: vec![vec!["f:spec".to_owned()]; 100],
            ..drift(&web, &["f:spec"])
        };
        for (drift, expected) in [
            (drift(&secret, &["f:data", "f:password"]), NotKept::Secret),
            (drift(&secret, &["f:metadata", "f:annotations", "f:vault/role"]), NotKept::Secret),
            (drift(&secret, &["f:metadata", "f:annotations"]), NotKept::Secret),
            (drift(&secret, &["f:metadata"]), NotKept::Secret),
            (drift(&secret, &["f:spec", "f:x"]), NotKept::Secret),
            (DriftDetectedV1 { key: secret.clone(), ..no_places.clone() }, NotKept::Secret),
            (no_places, NotKept::NoPlaces),
            (drift(&web, &[]), NotKept::NoPlaces),
            (DriftDetectedV1 { saved: None, ..drift(&web, &["f:spec"]) }, NotKept::NoPlaces),
            (drift(&web, &["f:spec", "f:list", "i:0"]), NotKept::Position),
            (many, NotKept::TooMany),
            (as_kind(DriftKind::Addition), NotKept::Addition),
            (as_kind(DriftKind::OwnershipLost), NotKept::NothingDiffers),
            (as_kind(DriftKind::None), NotKept::NothingDiffers),
        ] {
            let refused = keeps(&story, 90, drift.clone());
            assert!(
                matches!(&refused, Err(Error::NotKept { why, .. }) if *why == expected),
                "{drift:?}: {refused:?}"
            );
        }
        assert!(keeps(&story, 90, drift(&secret, &["f:metadata", "f:labels", "f:a"])).is_ok());
        let recorded = ["f:metadata", "f:annotations", "f:helm.sh/resource-policy"];
        assert!(keeps(&story, 90, drift(&secret, &recorded)).is_ok());
        assert!(keeps(&story, 90, as_kind(DriftKind::Deleted)).is_ok());
        let gone = keeps(&story, 90, drift(&key("ConfigMap/prod/old"), &["f:data"]));
        assert!(matches!(gone, Err(Error::Left { .. })), "{gone:?}");
        let command =
            Command::Keep { event: Seq(1), drift: None, until: None, reason: String::new() };
        let none = decide(&story.world, Timestamp(0), &command);
        assert!(matches!(none, Err(Error::NoDrift(Seq(1)))), "{none:?}");
    }

    #[test]
    fn keeping_applies_nothing_that_nobody_synced_and_puts_nothing_else_back() {
        use crate::replay::testing::{Given, auto, object, objects};
        let map = key("ConfigMap/prod/a");
        let text = map.to_string();
        let applied = |policy| {
            let mut given = Given::app("web", policy);
            given.renders("web", objects(&[&text]));
            given.requests("web", false, &[]);
            given.syncs("web");
            given.finishes("web");
            given.sees(&text);
            given
        };
        let changes =
            |path: &str| FieldChange { path: path.into(), was: "1".into(), now: "9".into() };
        let of = |given: &Given, paths: &[&str]| DriftDetectedV1 {
            fields: paths.iter().map(|path| changes(path)).collect(),
            observation: given.world.live[&map].seq,
            ..drift(&map, &["f:data", "f:k"])
        };
        let keeps = |given: &Given, drift: &DriftDetectedV1| {
            let drift = Some(Box::new(drift.clone()));
            let (event, until, reason) = (Seq(9), None, String::new());
            decide(&given.world, Timestamp(0), &Command::Keep { event, drift, until, reason })
        };
        let by_hand = serde_json::json!({});
        let no_heal = serde_json::json!({"automated": {"selfHeal": false}});

        let mut behind = applied(by_hand.clone());
        let one = of(&behind, &[".data.k"]);
        assert!(keeps(&behind, &one).is_ok());
        behind.push(2);
        behind.renders("web", vec![object(&text, 2)]);
        let refused = keeps(&behind, &one);
        assert!(
            matches!(&refused, Err(Error::Unsynced { key, .. }) if **key == map),
            "{refused:?}"
        );
        let gone = DriftDetectedV1 { kind: DriftKind::Deleted, ..one.clone() };
        assert!(keeps(&behind, &gone).is_ok(), "an absence applies nothing");
        behind.requests("web", false, &["ConfigMap/prod/b"]);
        assert!(keeps(&behind, &one).is_err(), "the sync is of another");
        behind.requests("web", false, &[]);
        assert!(keeps(&behind, &one).is_ok());

        for (policy, heals) in [(by_hand, false), (no_heal, false), (auto(), true)] {
            let mut given = applied(policy);
            let both = of(&given, &[".data.k", ".data.other"]);
            given.event(both.clone());
            let all = given.seq();
            assert!(keeps(&given, &both).is_ok());
            match keeps(&given, &one) {
                Err(Error::ChangedBeside { drift, paths, .. }) if !heals => {
                    assert_eq!((drift, paths), (all, vec![".data.other".to_owned()]));
                }
                Ok(_) if heals => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_laid_over_the_manifest_is_not_kept() {
        let (git, saved) = (BlobAddr([1; 32]), BlobAddr([7; 32]));
        let laid = |drift: &DriftDetectedV1, manifest: &str| {
            let blob = |addr| {
                let saved = r#"{"object": {"l": [{"name": "a", "x": 5}]}, "fields": []}"#;
                Ok((if addr == git { manifest } else { saved }).to_owned())
            };
            can_be_laid(Seq(90), drift, git, blob)
        };
        let map = drift(&key("ConfigMap/prod/web"), &["f:l", r#"k:{"name":"a"}"#, "f:x"]);
        assert_eq!(map.saved, Some(saved));
        assert!(laid(&map, r#"{"l": [{"name": "a"}]}"#).is_ok());
        let unlaid = laid(&map, r#"{"l": [{"name": "b"}]}"#).unwrap_err().to_string();
        assert!(unlaid.contains("event 90") && unlaid.contains(".l[name=a].x"), "{unlaid}");
        let gone = DriftDetectedV1 { kind: DriftKind::Deleted, ..map };
        assert!(laid(&gone, "{}").is_ok());
    }
}
