//! What people hold of single objects.

use std::collections::BTreeMap;

use super::{App, Checker};
use crate::ledger::event::{BackTo, HoldBegunV1, HoldEnd, HoldEndedV1, HoldOf, Verb, Write};
use crate::model::{AppName, BlobAddr, ObjectKey, Seq, Timestamp};

/// What a person holds of an object.
pub(super) struct Hold {
    pub(super) seq: Seq,
    pub(super) app: AppName,
    pub(super) key: ObjectKey,
    pub(super) absence: bool,
    /// The manifest of an object that is held as a whole.
    pub(super) object: Option<BlobAddr>,
    drift: BackTo,
    pub(super) until: Option<Timestamp>,
}

/// The manifests that people brought back of objects of an application.
pub(super) fn restored(holds: &[Hold], app: &AppName) -> BTreeMap<ObjectKey, BlobAddr> {
    let own = holds.iter().filter(|hold| hold.app == *app);
    own.filter_map(|hold| Some((hold.key.clone(), hold.object?))).collect()
}

impl Checker {
    pub(super) fn hold(&mut self, seq: Seq, body: &HoldBegunV1) {
        let [of] = body.of.as_slice() else { panic!("people here keep one thing at a time") };
        let (app, key) = (body.app.clone(), of.key().clone());
        let Some(known) = self.apps.get_mut(&app) else { return };
        let absence = matches!(of, HoldOf::Absence(_));
        let mut object = None;
        if let HoldOf::Object(held) = of {
            object = Some(held.object.manifest);
            known.ever.entry(key.clone()).or_default().insert(held.object.digest);
            self.brought += 1;
        }
        // Who keeps the same again changes for how long; and an object is kept away, or it is as it
        // was, or it follows Git but for some fields, whoever said what last.
        self.holds.retain(|hold| {
            let again = hold.drift == body.from && matches!(hold.drift, BackTo::Drift(_));
            let goes = match (object.is_some(), hold.object.is_some()) {
                (true, _) => true,
                (false, true) => absence,
                (false, false) => hold.absence != absence,
            };
            !(again || hold.key == key && goes)
        });
        self.kept_by_people += 1;
        let (drift, until) = (body.from, body.until);
        self.holds.push(Hold { seq, app: app.clone(), key, absence, object, drift, until });
        self.wants_changed(&app);
        self.holds_changed(&app);
    }

    pub(super) fn holds_changed(&mut self, app: &AppName) {
        let intents = self.intents.values_mut().filter(|intent| intent.app == *app);
        intents.for_each(|intent| intent.held.clear());
    }

    /// What is held of an object is held by whichever application has it, until an event ends it.
    pub(super) fn holds_pass(&mut self) {
        let apps = &self.apps;
        for hold in &mut self.holds {
            let has = |app: &App| !app.removing && app.wants.contains_key(&hold.key);
            let keeps = apps
                .get(&hold.app)
                .is_some_and(|app| has(app) || (hold.object.is_some() && !app.removing));
            let heirs = apps.iter().filter(|(_, app)| !keeps && has(app));
            if let Some((heir, _)) = heirs.min_by_key(|(_, app)| app.declared) {
                hold.app = heir.clone();
            }
        }
    }

    pub(super) fn hold_ended(&mut self, body: &HoldEndedV1) {
        let wanted = |key: &ObjectKey| {
            self.apps.values().any(|app| !app.removing && app.wants.contains_key(key))
        };
        // Somebody may have come for it since that was decided.
        let comes = |key: &ObjectKey| body.end == HoldEnd::NewerInGit && wanted(key);
        self.holds.retain(|hold| {
            let ends = body.holds.contains(&hold.seq) && body.objects.contains(&hold.key);
            !ends || comes(&hold.key)
        });
    }

    /// Whether a write was decided with other holds than are in force. Those that end by
    /// themselves may have ended in between. What is deleted because it left Git is held no more.
    pub(super) fn is_held_otherwise(&self, name: &AppName, write: &Write) -> bool {
        let wants = |app: &App| !app.removing && app.wants.contains_key(&write.key);
        if write.verb == Verb::Prune && !self.apps.get(name).is_some_and(wants) {
            return false;
        }
        let holds: Vec<&Hold> = self.holds.iter().filter(|hold| hold.key == write.key).collect();
        let lasts = |hold: &&Hold| hold.until.is_none() || hold.object.is_some();
        holds.iter().all(lasts) && !holds.iter().map(|hold| &hold.seq).eq(&write.holds)
    }
}
