//! What came of the objects that a person holds or has synced: waited for, as far as it is soon.

use std::time::Duration;

use axum::http::StatusCode;

use super::error::Error;
use super::server::State;
use crate::ledger::event::{Event, HoldOf};
use crate::model::{AppName, ObjectKey, Seq};
use crate::plan::{self, Compared, Limits, Plan, Status};
use crate::query::text::clean;
use crate::replay::{App, World};

/// How long a request waits for what it asked for to be written.
const WRITTEN_MAX: Duration = Duration::from_secs(15);

/// The objects of an application that are to be written because somebody said so.
pub(super) struct Asked {
    app: AppName,
    keys: Vec<ObjectKey>,
}

impl Asked {
    /// What the event asks for; `None` = it names no objects.
    pub(super) fn by(event: &Event) -> Option<Self> {
        match event {
            Event::HoldBegun(body) => {
                let keys = body.of.iter().map(HoldOf::key).cloned().collect();
                Some(Self { app: body.app.clone(), keys })
            }
            Event::SyncRequested(body) if !body.only.is_empty() => {
                Some(Self { app: body.app.clone(), keys: body.only.clone() })
            }
            _ => None,
        }
    }

    /// Waits until all of them are as they are to be, up to [`WRITTEN_MAX`]. `seq` is the event that
    /// asked for it.
    ///
    /// # Errors
    /// Some are not: each with what the API server said, or with what it waits for.
    pub(super) async fn written(&self, state: &State, seq: Seq) -> Result<(), Error> {
        let mut folded = state.folded();
        let settled = async {
            loop {
                let came = self.came(state).await?;
                // When the daemon stops, nobody waits any more.
                if came.iter().all(|came| *came != Came::NotYet) || folded.changed().await.is_err()
                {
                    return Ok::<_, Error>(came);
                }
            }
        };
        let came = match tokio::time::timeout(WRITTEN_MAX, settled).await {
            Ok(came) => came?,
            Err(_) => self.came(state).await?,
        };
        let left: Vec<String> =
            self.keys.iter().zip(&came).filter_map(|(key, came)| came.told(key)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let (message, app) = ("not all of it is done", clean(self.app.as_str()));
        let hint = format!("recorded as #{seq}: `greffier why {app}` says what becomes of it");
        Err(Error::new(StatusCode::CONFLICT, "restore_failed", message, hint).because(left))
    }

    async fn came(&self, state: &State) -> Result<Vec<Came>, Error> {
        let (app, keys) = (self.app.clone(), self.keys.clone());
        let limits = state.limits.clone();
        let found = state.read(move |world, compared| came(world, compared, &limits, &app, &keys));
        found.await
    }
}

/// What came of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    /// It is as it is to be.
    Done,
    /// It will be looked at, or written, soon.
    NotYet,
    /// It is not, for this reason.
    Not(String),
}

impl Came {
    fn told(&self, key: &ObjectKey) -> Option<String> {
        match self {
            Self::Done => None,
            Self::NotYet => Some(format!("{key}: it is not written yet")),
            Self::Not(why) => Some(format!("{key}: {}", clean(why))),
        }
    }
}

fn came(
    world: &World,
    compared: &Compared,
    limits: &Limits,
    name: &AppName,
    keys: &[ObjectKey],
) -> Vec<Came> {
    let plan = plan::plan(world, name, limits, compared);
    let (Some(plan), Some(app)) = (plan, world.apps.get(name)) else {
        return vec![Came::Not("its application is gone".to_owned()); keys.len()];
    };
    keys.iter().map(|key| of(world, app, &plan, key)).collect()
}

fn of(world: &World, app: &App, plan: &Plan, key: &ObjectKey) -> Came {
    let object = plan.objects.iter().find(|object| object.key == *key);
    let busy = world.in_flight.contains_key(key)
        || plan.writes.iter().any(|write| write.key == *key)
        || plan.compare.iter().any(|asked| asked.key == *key)
        || plan.dry_runs.iter().any(|asked| asked.key == *key)
        || plan.deleted.contains(key)
        || object.is_some_and(|object| object.status == Status::Unknown);
    if busy {
        return Came::NotYet;
    }
    if let Some(attempt) = app.attempts.get(key) {
        return Came::Not(attempt.error.clone());
    }
    let gated = plan.gate.as_ref().is_some_and(|gate| gate.writes.iter().any(|w| w.key == *key));
    if gated {
        return Came::Not(format!("waits for approval: `greffier approve {}`", plan.app));
    }
    match object {
        Some(object) if object.blocked && object.waits_for_progress => Came::NotYet,
        Some(object) if object.blocked => Came::Not(object.why.clone()),
        _ => Came::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{SyncRequestedV1, WriteResult};
    use crate::replay::testing::{Given, auto, map, name, objects};

    const A: &str = "ConfigMap/prod/a";

    fn found(given: &Given) -> Came {
        let key = A.parse().unwrap();
        let limits = Limits::default();
        let found = came(&given.world, &Compared::new(), &limits, &name("web"), &[key]);
        found.into_iter().next().unwrap()
    }

    #[test]
    fn what_is_to_be_written_is_not_done_and_what_was_written_is() {
        let mut given = Given::app("web", auto());
        given.renders("web", objects(&[A]));
        assert_eq!(found(&given), Came::NotYet);
        given.syncs("web");
        assert_eq!(found(&given), Came::Done);
    }

    /// Goal: what the API server refuses, what waits for a person, and what nothing will write is told
    /// with its reason, and not taken for done.
    #[test]
    fn what_is_refused_or_waits_for_a_person_is_told() {
        let mut given = Given::app("web", auto());
        given.renders("web", objects(&[A]));
        given.tries("web", &WriteResult::Refused("invalid: no".into()));
        assert_eq!(found(&given), Came::Not("invalid: no".into()));
        let key: ObjectKey = A.parse().unwrap();
        assert_eq!(found(&given).told(&key).unwrap(), format!("{A}: invalid: no"));

        let maps: Vec<String> = (0..8).map(map).collect();
        let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
        let mut given = Given::synced(objects(&[maps.as_slice(), &[A]].concat()));
        given.push(2);
        given.renders("web", objects(&maps[..2]));
        given.gates("web");
        assert_eq!(found(&given), Came::Not("waits for approval: `greffier approve web`".into()));
    }

    #[test]
    fn what_is_asked_of_objects_is_waited_for_and_what_is_asked_of_all_is_not() {
        let asks = |only: Vec<ObjectKey>| {
            let app = name("web");
            let event = SyncRequestedV1 { app, prune: true, only, reason: String::new() };
            Asked::by(&event.into())
        };
        let key: ObjectKey = A.parse().unwrap();
        assert_eq!(asks(vec![key.clone()]).unwrap().keys, [key]);
        assert!(asks(Vec::new()).is_none());
    }
}
