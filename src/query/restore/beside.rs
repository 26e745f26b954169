//! What others had set of an object beside what greffier applied: it does not come back with what
//! was applied.

use super::super::book::Book;
use super::super::text::count;
use crate::cluster::compare::path;
use crate::cluster::field_set::FieldSet;
use crate::cluster::{Stored, value_at};
use crate::ledger;
use crate::ledger::event::DesiredObject;
use crate::model::{BlobAddr, ObjectKey, Seq};

/// How many fields are named.
const NAMED_MAX: usize = 5;

/// The fields of an object as it was seen that others had set and that its manifest does not have,
/// as a note; `None` where there are none, or where what was seen cannot be read.
///
/// # Errors
/// What the ledger says about a manifest that cannot be read.
pub fn left_out(
    book: &dyn Book,
    object: &DesiredObject,
    (seen, at): (BlobAddr, Seq),
) -> Result<Option<String>, ledger::Error> {
    let key = &object.key;
    let Some(Ok(stored)) = book.blob(seen).ok().map(|bytes| Stored::from_stored(&bytes)) else {
        return Ok(None);
    };
    let manifest = serde_json::from_slice(&book.blob(object.manifest)?).unwrap_or_default();
    let own = stored.own().map(|own| FieldSet::parse(&own.fields_v1)).unwrap_or_default();
    let others = stored.fields.iter().filter(|entry| !entry.is_own());
    let mut fields: Vec<String> = Vec::new();
    for entry in others.filter(|entry| entry.stamp.subresource.is_empty()) {
        for place in FieldSet::parse(&entry.fields_v1).without(&own).leaves() {
            let gone = value_at(&stored.object, &place).is_some();
            if gone && value_at(&manifest, &place).is_none() {
                fields.push(format!("{} ({})", path(&place), entry.stamp.manager));
            }
        }
    }
    fields.sort();
    fields.dedup();
    Ok((!fields.is_empty()).then(|| note(key, &fields, at)))
}

fn note(key: &ObjectKey, fields: &[String], at: Seq) -> String {
    let n = count(fields.len(), "field");
    let mut named = fields.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if fields.len() > NAMED_MAX {
        named.push_str(", …");
    }
    // An observed Secret has digests for values.
    let how = match key.is_secret() {
        true => String::new(),
        false => {
            format!("; `greffier restore {key} --to '#{at}' --live --plan` shows it with them")
        }
    };
    format!("{key}: not with it: {n} that others had set: {named}{how}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::Blob;
    use crate::query::fixture::{Story, canonical};
    use crate::replay::testing::object;

    /// Goal: what people and controllers had set beside what Git said is named with who had, and
    /// what Git said, what a status write set and what was gone already is not.
    #[test]
    fn what_others_had_set_and_git_did_not_say_is_named() {
        let entry = |manager: &str, how: &str, of: &str, fields: serde_json::Value| {
            json!({"manager": manager, "operation": how, "subresource": of, "time": null,
                "apiVersion": "v1", "fieldsV1": {"f:data": fields}})
        };
        let seen = json!({
            "object": {"kind": "ConfigMap", "data": {"z": "1", "w": "alice", "s": "2"}},
            "fields": [
                entry("greffier", "Apply", "", json!({"f:z": {}})),
                entry("kubectl-patch", "Update", "", json!({"f:w": {}, "f:z": {}, "f:gone": {}})),
                entry("controller", "Update", "status", json!({"f:s": {}})),
            ],
        });
        let manifest = json!({"kind": "ConfigMap", "data": {"z": "1"}});
        for (key, shown) in [("ConfigMap/prod/a", true), ("Secret/prod/a", false)] {
            let mut story = Story::empty();
            story.blob(&seen);
            story.blob(&manifest);
            let addr = |value| Blob::plain(canonical(value), None).addr;
            let wanted = DesiredObject { manifest: addr(&manifest), ..object(key, 1) };
            let note = left_out(&story.ledger, &wanted, (addr(&seen), Seq(7))).unwrap().unwrap();
            let says =
                format!("{key}: not with it: 1 field that others had set: .data.w (kubectl-patch)");
            assert!(note.starts_with(&says), "{note}");
            let live = format!("`greffier restore {key} --to '#7' --live --plan`");
            assert_eq!(note.contains(&live), shown, "{note}");
            let all = DesiredObject { manifest: addr(&seen["object"]), ..object(key, 1) };
            story.blob(&seen["object"]);
            assert_eq!(left_out(&story.ledger, &all, (addr(&seen), Seq(7))).unwrap(), None);
            story.ledger.shutdown();
        }
    }
}
