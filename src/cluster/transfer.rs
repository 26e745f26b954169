//! Taking fields over from the managers that wrote an object before greffier (design §8.1,
//! adoption). Pure: this module works out who owns what afterwards; the patch is made elsewhere.
//!
//! kubectl and Argo CD stay owners of what they once applied. A field that later leaves Git would
//! then stay in the cluster for ever, because somebody else still wants it. So on adoption their
//! entries become greffier's own:
//!
//! - what a *whole manifest* was applied by (`kubectl apply`, Argo CD) is taken over entirely, and
//!   what of it Git does not have is removed by the next apply, as their own next apply would;
//! - of what was set by hand (`kubectl create`, `edit`, `patch` …) only the fields that greffier
//!   applies too are taken over: the rest is somebody's addition and stays.
//!
//! Controllers, autoscalers and whoever else are left alone, and so is Argo CD's tracking mark.

use serde_json::{Value, json};

use super::compare::path;
use super::field_set::FieldSet;
use super::mask::Masked;
use super::normalize::{ManagerFields, Normalised};
use super::project::{Step, plain};
use crate::ledger::event::{FieldChange, ManagerStamp};
use crate::model::{BEFORE_FIRST_APPLY, BESIDE_MANAGER, is_by_hand};

/// Managers that apply whole manifests, by name and operation; an empty operation is any.
const WHOLE: [(&str, &str); 4] = [
    ("kubectl-client-side-apply", "Update"),
    ("kubectl", "Apply"),
    ("argocd-controller", ""),
    ("argocd-application-controller", ""),
];
/// What Argo CD marks its objects with: read, never written, so never taken over.
const MARKS: [&[&str]; 2] = [
    &["f:metadata", "f:annotations", "f:argocd.argoproj.io/tracking-id"],
    &["f:metadata", "f:annotations", "f:argocd.argoproj.io/installation-id"],
];
/// How much of a manager's fields is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Everything.
    Whole,
    /// What greffier applies too.
    Common,
    /// Nothing.
    None,
}

fn is_whole(manager: &str, operation: &str) -> bool {
    let whole =
        |(name, how): &(&str, &str)| *name == manager && (how.is_empty() || *how == operation);
    WHOLE.iter().any(whole)
}

/// Whether whole manifests are applied by it, which adoption takes over.
pub(super) fn is_of_whole_manifests(stamp: &ManagerStamp) -> bool {
    stamp.subresource.is_empty() && is_whole(&stamp.manager, &stamp.operation)
}

fn share(manager: &str, operation: &str, subresource: &str) -> Share {
    if !subresource.is_empty() {
        return Share::None;
    }
    if is_whole(manager, operation) {
        Share::Whole
    } else if manager == "kubectl"
        || manager.starts_with("kubectl-")
        || [BEFORE_FIRST_APPLY, BESIDE_MANAGER].contains(&manager)
    {
        Share::Common
    } else {
        Share::None
    }
}

/// What is taken over from one entry, given what greffier owns. With `strict` what was set by hand
/// is taken over entirely, apart from what is ignored.
fn taken(
    entry: &ManagerFields,
    own: &ManagerFields,
    owned: &FieldSet,
    strict: Option<(&Value, &Masked)>,
) -> FieldSet {
    // In another version the same fields may have other names.
    if entry.is_own() || entry.api_version != own.api_version {
        return FieldSet::default();
    }
    let stamp = &entry.stamp;
    let theirs = FieldSet::parse(&entry.fields_v1);
    if let Some((object, ignored)) = strict
        && stamp.subresource.is_empty()
        && is_by_hand(&stamp.manager)
    {
        let mut added = ignored.spared(object, &theirs.without(owned));
        MARKS.iter().for_each(|mark| added.remove(mark));
        return theirs.intersection(owned).union(&added);
    }
    match share(&stamp.manager, &stamp.operation, &stamp.subresource) {
        Share::None => FieldSet::default(),
        Share::Common => theirs.intersection(owned),
        Share::Whole => {
            let mut whole = theirs;
            for mark in MARKS {
                whole.remove(mark);
            }
            whole
        }
    }
}

/// The managers from whom something is to be taken over; empty when greffier owns nothing.
#[must_use]
pub fn co_owners(fields: &[ManagerFields]) -> Vec<String> {
    let Some(own) = fields.iter().find(|entry| entry.is_own()) else { return Vec::new() };
    let owned = FieldSet::parse(&own.fields_v1);
    let from = fields.iter().filter(|entry| !taken(entry, own, &owned, None).is_empty());
    let mut names: Vec<String> = from.map(|entry| entry.stamp.manager.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Who owns what once the fields are taken over.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// The object's `managedFields` afterwards.
    pub managed_fields: Value,
    /// Whether fields were taken over that greffier did not apply: the next apply removes them.
    pub surplus: bool,
}

/// Works the transfer out; `None` when there is nothing to take over. With `strict` what people
/// added by hand is taken over as well, apart from what is ignored of the object. `raw` is the object as the
/// API server returned it, whose entries `fields` are: what is not taken over stays to the byte.
#[must_use]
pub fn transfer(
    raw: &Value,
    fields: &[ManagerFields],
    strict: Option<(&Value, &Masked)>,
) -> Option<Transfer> {
    let entries = raw.pointer("/metadata/managedFields")?.as_array()?;
    let own = fields.iter().find(|entry| entry.is_own())?;
    let owned = FieldSet::parse(&own.fields_v1);
    let mut mine = owned.clone();
    let mut kept = Vec::new();
    let mut any = false;
    let mut own_place = None;
    for (entry, fields) in entries.iter().zip(fields) {
        if fields.is_own() {
            own_place = Some(kept.len());
            kept.push(entry.clone());
            continue;
        }
        let taken = taken(fields, own, &owned, strict);
        any |= !taken.is_empty();
        let rest = FieldSet::parse(&fields.fields_v1).without(&taken);
        if taken.is_empty() {
            kept.push(entry.clone());
        } else if !rest.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = rest.to_fields_v1();
            kept.push(entry);
        }
        mine = mine.union(&taken);
    }
    if entries.len() > fields.len() || !any {
        return None;
    }
    let surplus = !mine.contents().without(&owned.contents()).is_empty();
    kept[own_place?]["fieldsV1"] = mine.to_fields_v1();
    Some(Transfer { managed_fields: json!(kept), surplus })
}

/// The fields of an object that adoption would remove, as a dry run of the apply shows it: what
/// earlier appliers of whole manifests own alone.
#[must_use]
pub(super) fn would_remove(would_be: &Normalised) -> Vec<FieldChange> {
    let Some(own) = would_be.fields.iter().find(|entry| entry.is_own()) else { return Vec::new() };
    let owned = FieldSet::parse(&own.fields_v1);
    let mut gone = FieldSet::default();
    let mut rest = owned.clone();
    for entry in would_be.fields.iter().filter(|entry| !entry.is_own()) {
        let taken = taken(entry, own, &owned, None);
        rest = rest.union(&FieldSet::parse(&entry.fields_v1).without(&taken));
        gone = gone.union(&taken);
    }
    changes(&gone.contents().without(&rest.contents()), &would_be.object)
}

/// Fields that left what greffier applies and are still there, because others own them too: the
/// path, and who.
#[must_use]
pub fn left_behind(before: &[ManagerFields], after: &Normalised) -> Vec<(String, Vec<String>)> {
    let own = |fields: &[ManagerFields]| {
        let own = fields.iter().find(|entry| entry.is_own())?;
        Some((own.api_version.clone(), FieldSet::parse(&own.fields_v1)))
    };
    let (Some((version, was)), Some((now_version, now))) = (own(before), own(&after.fields)) else {
        return Vec::new();
    };
    if version != now_version {
        return Vec::new();
    }
    let dropped = was.contents().without(&now.contents());
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let others = after.fields.iter().filter(|entry| !entry.is_own());
    for entry in others.filter(|entry| entry.api_version == version) {
        let kept = FieldSet::parse(&entry.fields_v1).contents().intersection(&dropped);
        for place in kept.places().iter().filter(|place| value_at(&after.object, place).is_some()) {
            let path = path(place);
            let manager = entry.stamp.manager.clone();
            match found.iter_mut().find(|(known, _)| *known == path) {
                Some((_, managers)) => managers.push(manager),
                None => found.push((path, vec![manager])),
            }
        }
    }
    found
}

/// Fields that people set by hand beside those that greffier applies: the path, and with what.
#[must_use]
pub fn by_hand(object: &Normalised) -> Vec<(String, Vec<String>)> {
    let Some(own) = object.fields.iter().find(|entry| entry.is_own()) else { return Vec::new() };
    let owned = FieldSet::parse(&own.fields_v1).contents();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let people = object.fields.iter().filter(|entry| {
        entry.stamp.subresource.is_empty()
            && entry.api_version == own.api_version
            && is_by_hand(&entry.stamp.manager)
    });
    for entry in people {
        let mut added = FieldSet::parse(&entry.fields_v1).contents().without(&owned);
        MARKS.iter().for_each(|mark| added.remove(mark));
        for place in added.places() {
            let Some(value) = value_at(&object.object, &place) else { continue };
            if value.as_object().is_some_and(serde_json::Map::is_empty) {
                continue;
            }
            let (path, who) = (path(&place), entry.stamp.manager.clone());
            match found.iter_mut().find(|(known, _)| *known == path) {
                Some((_, managers)) => managers.push(who),
                None => found.push((path, vec![who])),
            }
        }
    }
    found
}

/// The places of a set that the object has, as removals.
fn changes(gone: &FieldSet, object: &Value) -> Vec<FieldChange> {
    let places = gone.places();
    let found = places.iter().filter_map(|place| {
        let was = value_at(object, place)?;
        let empty = was.as_object().is_some_and(serde_json::Map::is_empty);
        let change =
            FieldChange { path: path(place), was: plain(was).to_string(), now: String::new() };
        (!empty).then_some(change)
    });
    found.collect()
}

fn value_at<'v>(object: &'v Value, place: &[String]) -> Option<&'v Value> {
    let mut value = object;
    for edge in place {
        value = Step::parse(edge)?.first(value)?;
    }
    Some(value)
}

/// The JSON patch that puts a transfer into effect, if the object still is the one looked at.
#[must_use]
pub(super) fn patch(transfer: &Transfer, resource_version: &str) -> Value {
    json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": transfer.managed_fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
    ])
}

#[cfg(test)]
mod tests {
    use super::super::normalize::normalize;
    use super::super::normalize::tests::TestKey;
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1",
               "time": "2026-11-23T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn object(entries: &[Value]) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "managedFields": entries, "annotations": {"team": "a"}},
            "data": {"a": "1", "b": "2", "c": "3"}})
    }

    fn normalised(raw: &Value) -> Normalised {
        normalize(raw, &TestKey("key")).unwrap()
    }

    fn data(keys: &[&str]) -> Value {
        let keys = keys.iter().map(|key| (format!("f:{key}"), json!({})));
        json!({"f:data": keys.collect::<serde_json::Map<_, _>>()})
    }

    fn moved(raw: &Value) -> Option<Transfer> {
        transfer(raw, &normalised(raw).fields, None)
    }

    #[test]
    fn what_applied_whole_manifests_is_taken_over_entirely() {
        for (manager, operation) in [
            ("kubectl-client-side-apply", "Update"),
            ("kubectl", "Apply"),
            ("argocd-controller", "Apply"),
            ("argocd-controller", "Update"),
            ("argocd-application-controller", "Update"),
        ] {
            let raw = object(&[
                entry("greffier", "Apply", data(&["a"])),
                entry(manager, operation, data(&["a", "b"])),
            ]);
            assert_eq!(co_owners(&normalised(&raw).fields), [manager]);
            let found = moved(&raw).unwrap();
            let expected = entry("greffier", "Apply", data(&["a", "b"]));
            assert_eq!(found.managed_fields, json!([expected]), "{manager}");
            assert!(found.surplus);
            let removed: Vec<_> =
                would_remove(&normalised(&raw)).into_iter().map(|c| c.path).collect();
            assert_eq!(removed, [".data.b"]);
        }
    }

    #[test]
    fn of_what_was_set_by_hand_only_the_common_part_is_taken_over() {
        let raw = object(&[
            entry("kubectl-edit", "Update", data(&["a", "c"])),
            entry("greffier", "Apply", data(&["a"])),
        ]);
        let found = moved(&raw).unwrap();
        assert_eq!(
            found.managed_fields,
            json!([
                entry("kubectl-edit", "Update", data(&["c"])),
                entry("greffier", "Apply", data(&["a"])),
            ])
        );
        assert!(!found.surplus);
        assert_eq!(would_remove(&normalised(&raw)), []);
    }

    #[test]
    fn controllers_and_other_versions_and_subresources_are_left_alone() {
        let mut status = entry("kubectl-edit", "Update", data(&["a"]));
        status["subresource"] = json!("scale");
        let mut old = entry("kubectl-client-side-apply", "Update", data(&["a"]));
        old["apiVersion"] = json!("v1beta1");
        let raw = object(&[
            entry("greffier", "Apply", data(&["a"])),
            entry("kube-controller-manager", "Update", data(&["a"])),
            entry("somebody", "Apply", data(&["a"])),
            status,
            old,
        ]);
        assert_eq!(co_owners(&normalised(&raw).fields), [""; 0]);
        assert_eq!(moved(&raw), None);
        assert_eq!(moved(&object(&[entry("kubectl", "Apply", data(&["a"]))])), None, "not ours");
    }

    #[test]
    fn the_mark_of_argo_cd_stays_with_argo_cd() {
        let mark = json!({"f:metadata": {"f:annotations": {
            "f:argocd.argoproj.io/tracking-id": {}, "f:team": {}}}, "f:data": {"f:a": {}}});
        let raw = object(&[
            entry("greffier", "Apply", data(&["a"])),
            entry("argocd-controller", "Apply", mark),
        ]);
        let found = moved(&raw).unwrap();
        let left =
            json!({"f:metadata": {"f:annotations": {"f:argocd.argoproj.io/tracking-id": {}}}});
        assert_eq!(found.managed_fields[1], entry("argocd-controller", "Apply", left));
        let mine = &found.managed_fields[0]["fieldsV1"]["f:metadata"]["f:annotations"];
        assert_eq!(*mine, json!({"f:team": {}}));
        // Afterwards there is nothing more to take.
        let mut after = raw;
        after["metadata"]["managedFields"] = found.managed_fields;
        assert_eq!(moved(&after), None);
    }

    #[test]
    fn what_others_own_too_is_not_removed_and_is_named() {
        let raw = object(&[
            entry("greffier", "Apply", data(&["a"])),
            entry("kubectl-client-side-apply", "Update", data(&["a", "b"])),
            entry("helm", "Update", data(&["b"])),
        ]);
        // kubectl owns the maps around its fields as well, which is not more than the fields.
        let mut around = data(&["a"]);
        around["f:data"]["."] = json!({});
        let same = object(&[
            entry("greffier", "Apply", data(&["a"])),
            entry("kubectl-client-side-apply", "Update", around),
        ]);
        assert_eq!(would_remove(&normalised(&same)), []);
        assert!(!moved(&same).unwrap().surplus);
        assert_eq!(would_remove(&normalised(&raw)), []);
        let before = normalised(&object(&[entry("greffier", "Apply", data(&["a", "b", "gone"]))]));
        let after = normalised(&object(&[
            entry("greffier", "Apply", data(&["a"])),
            entry("helm", "Update", data(&["b", "gone"])),
        ]));
        assert_eq!(left_behind(&before.fields, &after), [(".data.b".into(), vec!["helm".into()])]);
        assert_eq!(left_behind(&after.fields, &after), []);
    }

    #[test]
    fn a_strict_takeover_takes_what_was_set_by_hand_and_nothing_that_is_ignored() {
        let raw = object(&[
            entry("greffier", "Apply", data(&["a"])),
            entry("kubectl-edit", "Update", data(&["b", "c"])),
            entry("some-program", "Update", data(&["d"])),
        ]);
        let live = normalised(&raw);
        let edited = vec!["kubectl-edit".to_owned()];
        assert_eq!(
            by_hand(&live),
            [(".data.b".into(), edited.clone()), (".data.c".into(), edited)]
        );
        assert_eq!(moved(&raw), None, "nobody is strict");
        let mask = crate::model::Mask { pointers: vec!["/data/c".into()], ..<_>::default() };
        let ignored = Masked::of(&live.object, &live.fields, &mask, &[]).unwrap();
        let found = transfer(&raw, &live.fields, Some((&live.object, &ignored))).unwrap();
        assert_eq!(
            found.managed_fields,
            json!([
                entry("greffier", "Apply", data(&["a", "b"])),
                entry("kubectl-edit", "Update", data(&["c"])),
                entry("some-program", "Update", data(&["d"])),
            ])
        );
        assert!(found.surplus);
    }
}
