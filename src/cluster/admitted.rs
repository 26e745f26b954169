//! What admission made of what was sent (design §8.1, row 7). Pure.
//!
//! Only what the manifest says is looked at: defaults and the fields of others are not
//! differences. Equal quantities are equal where fields hold some. What differs is no drift:
//! the baseline is what was admitted. It is recorded, because a person who reads the manifest
//! would otherwise expect something else.

use super::normalize::Normalised;
use crate::ledger::event::FieldChange;
use crate::plan::diff::diff;
use crate::plan::secret::hide;

/// The most fields that are named.
const FIELDS_MAX: usize = 20;
/// The longest text of one value.
const VALUE_BYTES_MAX: usize = 256;

/// Lists the sent fields that came back otherwise: `was` is what was sent, `now` what was
/// admitted (empty = left out). Values of Secrets do not leave here.
#[must_use]
pub fn admitted(sent: &Normalised, returned: &Normalised) -> Vec<FieldChange> {
    let found = diff(&sent.object, &returned.object).into_iter().take(FIELDS_MAX);
    let change = |change: FieldChange| {
        let change = hide(&sent.key, change);
        FieldChange { was: cut(change.now), now: cut(change.was), path: change.path }
    };
    found.map(change).collect()
}

fn cut(mut text: String) -> String {
    if text.len() > VALUE_BYTES_MAX {
        let end = (0..=VALUE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::normalize::normalize;
    use super::super::normalize::tests::TestKey;
    use super::*;

    fn found(kind: &str, sent: Value, returned: Value) -> Vec<(String, String, String)> {
        let object = |mut body: Value| {
            body["apiVersion"] = json!("v1");
            body["kind"] = json!(kind);
            body["metadata"] = json!({"name": "x"});
            normalize(&body, &TestKey("key")).unwrap()
        };
        let found = admitted(&object(sent), &object(returned));
        found.into_iter().map(|c| (c.path, c.was, c.now)).collect()
    }

    #[test]
    fn defaults_and_spelling_are_no_difference() {
        let spec = |cpu: Value, policy: Value| json!({"spec": {"resources": {"limits": {"cpu": cpu}}, "policy": policy}});
        let returned = spec(json!("1"), json!("Always"));
        for cpu in [json!("1000m"), json!(1)] {
            assert_eq!(found("Pod", spec(cpu, json!(null)), returned.clone()), []);
        }
    }

    #[test]
    fn changed_and_dropped_fields_are_named_with_both_values() {
        let sent = json!({"spec": {"size": 1, "unknown": true}});
        assert_eq!(
            found("Widget", sent, json!({"spec": {"size": 2}})),
            [
                (".spec.size".into(), "1".into(), "2".into()),
                (".spec.unknown".into(), "true".into(), String::new()),
            ]
        );
    }

    #[test]
    fn values_of_secrets_are_not_shown() {
        let changed =
            found("Secret", json!({"data": {"a": "YQ=="}}), json!({"data": {"a": "Yg=="}}));
        assert_eq!(changed, [(".data.a".into(), "(secret)".into(), "(secret)".into())]);
    }

    #[test]
    fn long_values_are_cut() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        let changed = found("ConfigMap", json!({"data": {"a": long}}), json!({"data": {"a": "b"}}));
        assert!(changed[0].1.len() <= VALUE_BYTES_MAX + '…'.len_utf8());
    }
}
