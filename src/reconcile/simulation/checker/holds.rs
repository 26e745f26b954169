//! What people hold of single objects.

use std::collections::BTreeMap;

use super::Checker;
use crate::ledger::event::{BackTo, HoldBegunV1, HoldOf, Write};
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
            hold.app != app || !(again || hold.key == key && goes)
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

    /// Whether a write was decided with other holds than are in force. Those that end by
    /// themselves may have ended in between.
    pub(super) fn is_held_otherwise(&self, name: &AppName, write: &Write) -> bool {
        let of_object = |hold: &&Hold| hold.app == *name && hold.key == write.key;
        let holds: Vec<&Hold> = self.holds.iter().filter(of_object).collect();
        let lasts = |hold: &&Hold| hold.until.is_none() || hold.object.is_some();
        holds.iter().all(lasts) && !holds.iter().map(|hold| &hold.seq).eq(&write.holds)
    }
}
