//! A ledger that is not there at all: a new one is made beside its key.

use super::A;
use super::start::shows;
use crate::ledger::event::{FieldChange, LedgerRepairedV1, Origin, Preview};
use crate::model::GroupKind;
use crate::replay::testing::{Given, application, auto, object, writes};

/// Goal: a new ledger beside the key of one that is lost takes nothing for its own before everything
/// was listed, and then knows what it sees for what it is.
#[test]
fn a_ledger_that_is_lost_as_a_whole_is_an_old_copy() {
    for key_found in [false, true] {
        let mut given = Given::nothing();
        let (what, kept) = (String::new(), String::new());
        given.event(LedgerRepairedV1 { what, kept, possibly_acknowledged: key_found });
        given.serves(&[]);
        given.push(1);
        given.declares(&application("web", auto()), Origin::Config);
        given.renders("web", vec![object(A, 3)]);
        let at = given.now();
        given.sees("Namespace/prod");
        for kind in ["ConfigMap", "Namespace"] {
            given.lists(GroupKind::new("", kind));
        }
        assert_eq!(given.writes("web").is_empty(), key_found, "the rest is not listed yet");
        given.lists_everything();
        let mut empty = given.clone();
        shows(&mut given, A, at, "Apply");
        let asked = given.plan("web").dry_runs[0].clone();
        let differing = FieldChange { path: ".data".into(), was: "1".into(), now: "2".into() };
        given.previews("web", &asked, Preview::Changes(vec![differing]));
        let plan = given.plan("web");
        assert_eq!((plan.gate.is_some(), given.world.old_copy().is_some()), (key_found, key_found));
        assert_eq!(writes(&plan).is_empty(), key_found, "{plan:?}");
        // On a cluster that greffier never wrote to, a key that was made before changes nothing.
        assert_eq!(empty.writes("web"), [format!("create {A}")]);
        empty.syncs("web");
        assert!(!empty.world.may_lack_everything());
    }
}
