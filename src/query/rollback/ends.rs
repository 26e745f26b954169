//! Holds of objects that end with a release, also where the release is of the whole application.

use serde::{Deserialize, Serialize};

use crate::ledger::event::{Event, HoldOf};
use crate::model::Timestamp;
use crate::query::text::list;
use crate::replay::{App, AppHold, Hold};

/// How many fields of a hold are named.
const FIELDS_NAMED: usize = 5;

/// A hold that ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldEnds {
    /// The event that began it.
    pub hold: u64,
    /// The object.
    pub object: String,
    /// What of it is held: the fields, `as it was` or `kept away`.
    pub held: Vec<String>,
    /// When it would end by itself; empty when it does not.
    pub until: String,
    /// Why it was begun.
    pub reason: String,
}

impl HoldEnds {
    fn of(hold: &Hold) -> Self {
        let held = match &hold.of {
            HoldOf::Fields(held) => held.fields.iter().map(|field| field.path.clone()).collect(),
            HoldOf::Absence(_) => vec!["kept away".to_owned()],
            HoldOf::Object(_) => vec!["as it was".to_owned()],
        };
        Self {
            hold: hold.seq.0,
            object: hold.of.key().to_string(),
            held,
            until: hold.until.as_ref().map(Timestamp::to_string).unwrap_or_default(),
            reason: hold.reason.clone(),
        }
    }

    /// The hold for people.
    #[must_use]
    pub fn text(&self) -> String {
        let held = list(self.held.iter().cloned(), FIELDS_NAMED);
        let until = match self.until.as_str() {
            "" => String::new(),
            until => format!(", until {until}"),
        };
        let why = match self.reason.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        format!("hold #{} of {} ({held}{until}){why}", self.hold, self.object)
    }
}

/// The holds of objects that end with the event; `app` is as it was before.
pub(super) fn ending(app: &App, event: &Event) -> Vec<HoldEnds> {
    let ends = |hold: &&Hold| match event {
        Event::AppHoldEnded(body) => body.holds.contains(&hold.seq),
        Event::HoldEnded(body) => {
            body.holds.contains(&hold.seq) && body.objects.contains(hold.of.key())
        }
        _ => false,
    };
    app.holds.iter().filter(ends).map(HoldEnds::of).collect()
}

/// What a hold takes the place of, and what becomes of the time that this was to last.
pub(super) fn replaces(former: &AppHold, until: Option<Timestamp>) -> String {
    let what = format!("it takes the place of hold #{}, as at #{}", former.seq.0, former.to.0);
    match (former.until, until) {
        (Some(ends), None) => format!(
            "{what}, which was to end at {ends}: this one lasts until it is released (--for says \
             how long)"
        ),
        (Some(ends), Some(until)) if ends != until => {
            format!("{what}, which was to end at {ends}: this one ends at {until}")
        }
        (None, Some(until)) => format!("{what}, which had no end: this one ends at {until}"),
        _ => what,
    }
}
