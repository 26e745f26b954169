//! Lays values that somebody set by hand over a manifest. Pure.
//!
//! Each place is a list of field set edges. What the place leads to in the saved object replaces
//! what is there in the manifest; what the saved object does not have is taken out. Where that
//! cannot be done (Git removed what the place was in, or several items may be meant) nothing is
//! guessed: the place is named.
//!
//! The API server fills in the keys of list items that have a default before it tells items apart
//! by them. A manifest hardly ever says `protocol`, and the edges of a field set always do.

use serde_json::{Map, Value};

use super::compare::path;
use super::normalize::Stored;
use super::project::Step;
use crate::ledger::event::HeldFields;
use crate::plan::diff::list_key;

/// The keys of list items that have a default in Kubernetes' own kinds.
const KEY_DEFAULTS: &[(&str, &str)] = &[("protocol", "TCP")];
/// How a value begins that was recorded as a digest only.
const DIGEST: &str = "hmac:";

/// Why what a person keeps cannot be laid over a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unlaid {
    /// The manifest has no such places, or several.
    #[error("Git's manifest does not have, or has more than once, what {} is in", .0.join(", "))]
    Places(Vec<String>),
    /// Only a digest of the value was recorded.
    #[error("the value of {0} is recorded nowhere")]
    Digest(String),
    /// The saved object cannot be read.
    #[error("{0}")]
    Saved(String),
}

/// Lays the fields of a hold over a manifest; `saved` is the blob that it names.
///
/// # Errors
/// [`Unlaid`]: the manifest is not to be used then.
pub fn lay_held(manifest: &mut Value, held: &HeldFields, saved: &[u8]) -> Result<(), Unlaid> {
    let unread = |error: String| Unlaid::Saved(error);
    let saved = if held.of_manifest {
        serde_json::from_slice(saved).map_err(|error| unread(error.to_string()))?
    } else {
        Stored::from_stored(saved).map_err(|error| unread(error.to_string()))?.object
    };
    // Security: of a Secret only what is recorded as it is may be written back. Such drifts are
    // not kept; this is the second lock. A manifest is sealed and has the values themselves.
    let digest = held.places.iter().filter(|_| !held.of_manifest).find(|place| {
        let value = steps(place).and_then(|steps| leads(Some(&saved), &steps));
        held.key.is_secret() && value.is_some_and(has_digest)
    });
    if let Some(place) = digest {
        return Err(Unlaid::Digest(path(place)));
    }
    let unlaid = overlay(manifest, &saved, &held.places);
    if unlaid.is_empty() { Ok(()) } else { Err(Unlaid::Places(unlaid)) }
}

/// Lays the values of `saved` at `places` over `object`.
///
/// # Errors
/// The places where that cannot be done, as people write them.
pub fn lay(object: &mut Value, saved: &Value, places: &[Vec<String>]) -> Result<(), Unlaid> {
    let unlaid = overlay(object, saved, places);
    if unlaid.is_empty() { Ok(()) } else { Err(Unlaid::Places(unlaid)) }
}

/// The value at a place; `None` = there is none.
#[must_use]
pub fn value_at<'v>(object: &'v Value, place: &[String]) -> Option<&'v Value> {
    leads(Some(object), &steps(place)?)
}

/// Whether something in the value was recorded as a digest only.
pub(crate) fn has_digest(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(DIGEST),
        Value::Array(items) => items.iter().any(has_digest),
        Value::Object(map) => map.values().any(has_digest),
        _ => false,
    }
}

/// Lays the values of `saved` at `places` over `manifest`; returns the places where that cannot
/// be done, as people write them.
fn overlay(manifest: &mut Value, saved: &Value, places: &[Vec<String>]) -> Vec<String> {
    let api_version = manifest.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    // What other APIs default their keys to is not known.
    let laying = Laying { defaults: if group.contains('.') { &[] } else { KEY_DEFAULTS } };
    let mut unlaid = Vec::new();
    for place in places {
        if !steps(place).is_some_and(|steps| laying.lay(manifest, Some(saved), &steps)) {
            unlaid.push(path(place));
        }
    }
    unlaid
}

fn steps(place: &[String]) -> Option<Vec<Step<'_>>> {
    place.iter().map(|edge| Step::parse(edge)).collect()
}

/// What the steps lead to.
fn leads<'v>(value: Option<&'v Value>, steps: &[Step<'_>]) -> Option<&'v Value> {
    steps.iter().fold(value, |value, step| value.and_then(|value| step.first(value)))
}

/// Has the items that `saved` has, too, follow each other as they do there; returns whether it is
/// known which those are.
fn in_order(items: &mut [Value], saved: &[Value]) -> bool {
    let Some(key) = list_key(saved) else { return false };
    let place = |item: &Value| saved.iter().position(|known| known.get(key) == item.get(key));
    let slots: Vec<usize> = (0..items.len()).filter(|at| place(&items[*at]).is_some()).collect();
    let mut shared: Vec<Value> = slots.iter().map(|at| items[*at].clone()).collect();
    shared.sort_by_key(|item| place(item));
    for (at, item) in slots.into_iter().zip(shared) {
        items[at] = item;
    }
    true
}

/// Where an item is.
enum Found {
    At(usize),
    Nowhere,
    /// Several may be meant.
    Unclear,
}

/// What is known of lists while values are laid over a manifest.
struct Laying {
    /// Keys of items and their defaults.
    defaults: &'static [(&'static str, &'static str)],
}

impl Laying {
    /// Lays what the steps lead to in `saved` over the same place of `target`; returns whether that
    /// was possible.
    fn lay(&self, target: &mut Value, saved: Option<&Value>, steps: &[Step<'_>]) -> bool {
        let Some((step, deeper)) = steps.split_first() else { return false };
        let below = saved.and_then(|saved| step.first(saved));
        match (step, target) {
            (Step::Field(name), Value::Object(map)) if deeper.is_empty() => {
                match below {
                    Some(value) => map.insert((*name).to_owned(), value.clone()),
                    None => map.shift_remove(*name),
                };
                true
            }
            (Step::Field(name), Value::Object(map)) => self.in_field(map, name, below, deeper),
            (Step::Key(keys), Value::Array(items)) => self.in_item(items, saved, keys, deeper),
            (Step::Member(member), Value::Array(items)) if deeper.is_empty() => {
                match below {
                    Some(_) if items.contains(member) => {}
                    Some(_) => items.push(member.clone()),
                    None => items.retain(|item| item != member),
                }
                true
            }
            (Step::Order, Value::Array(items)) if deeper.is_empty() => {
                saved.and_then(Value::as_array).is_none_or(|saved| in_order(items, saved))
            }
            // What was removed by hand is not there either.
            _ => leads(saved, steps).is_none(),
        }
    }

    /// Goes into a field that may not be there.
    fn in_field(
        &self,
        map: &mut Map<String, Value>,
        name: &str,
        saved: Option<&Value>,
        deeper: &[Step<'_>],
    ) -> bool {
        if let Some(below) = map.get_mut(name) {
            return self.lay(below, saved, deeper);
        }
        if leads(saved, deeper).is_none() {
            return true;
        }
        let mut below = match deeper.first() {
            Some(Step::Field(_)) => Value::Object(Map::new()),
            _ => Value::Array(Vec::new()),
        };
        let laid = self.lay(&mut below, saved, deeper);
        if laid {
            map.insert(name.to_owned(), below);
        }
        laid
    }

    /// Goes into the item of a list that has the keys.
    fn in_item(
        &self,
        items: &mut Vec<Value>,
        saved: Option<&Value>,
        keys: &Map<String, Value>,
        deeper: &[Step<'_>],
    ) -> bool {
        let below = saved.and_then(|saved| Step::Key(keys.clone()).first(saved));
        let known = saved.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match (self.find(items, known, keys), below) {
            (Found::Unclear, _) => false,
            (Found::At(at), below) if !deeper.is_empty() => {
                items.get_mut(at).is_some_and(|item| self.lay(item, below, deeper))
            }
            (Found::At(at), None) => {
                items.remove(at);
                true
            }
            (Found::At(at), Some(value)) => {
                items.get_mut(at).into_iter().for_each(|item| item.clone_from(value));
                true
            }
            (Found::Nowhere, Some(value)) if deeper.is_empty() => {
                items.insert(self.place_of(items, known, keys), value.clone());
                true
            }
            (Found::Nowhere, below) => leads(below, deeper).is_none(),
        }
    }

    /// Where an item belongs that the list does not have: behind the item that it followed in
    /// `known`, or else before the one that followed it.
    fn place_of(&self, items: &[Value], known: &[Value], keys: &Map<String, Value>) -> usize {
        let is = |item: &&Value| keys.iter().all(|(name, key)| item.get(name) == Some(key));
        let at = known.iter().position(|item| is(&item)).unwrap_or(known.len());
        let there = |item: &Value| {
            let of = |name: &String| Some((name.clone(), item.get(name)?.clone()));
            let keys: Map<String, Value> = keys.keys().filter_map(of).collect();
            match self.find(items, known, &keys) {
                Found::At(at) if !keys.is_empty() => Some(at),
                _ => None,
            }
        };
        let (before, after) = known.split_at(at);
        let follows = before.iter().rev().find_map(there).map(|at| at + 1);
        follows.or_else(|| after.iter().skip(1).find_map(there)).unwrap_or(items.len())
    }

    /// Finds the item with the keys in a list of a manifest, whose items may leave keys to their
    /// defaults. `known` are the items as the API server had them, defaults filled in.
    fn find(&self, items: &[Value], known: &[Value], keys: &Map<String, Value>) -> Found {
        let is = |item: &Value| keys.iter().all(|(name, key)| item.get(name) == Some(key));
        if let Some(at) = items.iter().position(is) {
            return Found::At(at);
        }
        let mut candidates = items.iter().enumerate().filter(|(_, item)| self.may_be(item, keys));
        let Some((at, item)) = candidates.next() else { return Found::Nowhere };
        let told = keys.keys().all(|name| item.get(name).is_some() || self.default(name).is_some());
        // The manifest's item became one of the known ones that have its keys: it is the one that is
        // looked for, unless it may be another that the manifest does not name in full.
        let same = |a: &Value, b: &Value| keys.keys().all(|name| a.get(name) == b.get(name));
        let named = |known: &Value| items.iter().any(|item| same(item, known));
        let like = |known: &Value| {
            keys.keys().all(|name| item.get(name).is_none_or(|key| known.get(name) == Some(key)))
        };
        let other = |known: &&Value| !is(known) && like(known) && !named(known);
        if candidates.next().is_some() || (!told && known.iter().any(|known| other(&known))) {
            return Found::Unclear;
        }
        Found::At(at)
    }

    /// Whether the item may be the one with the keys: it has some of them, and the rest is left to
    /// defaults which are not known to be others.
    fn may_be(&self, item: &Value, keys: &Map<String, Value>) -> bool {
        let some = keys.keys().any(|name| item.get(name).is_some());
        some && keys.iter().all(|(name, key)| match item.get(name) {
            Some(given) => given == key,
            None => self.default(name).is_none_or(|default| Some(default) == key.as_str()),
        })
    }

    fn default(&self, key: &str) -> Option<&'static str> {
        self.defaults.iter().find(|(name, _)| *name == key).map(|(_, default)| *default)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lays(manifest: &Value, saved: &Value, place: &[&str]) -> Result<Value, Vec<String>> {
        let mut manifest = manifest.clone();
        let place = place.iter().map(|edge| (*edge).to_owned()).collect();
        let unlaid = overlay(&mut manifest, saved, &[place]);
        if unlaid.is_empty() { Ok(manifest) } else { Err(unlaid) }
    }

    fn laid(manifest: &Value, saved: &Value, place: &[&str]) -> Value {
        lays(manifest, saved, place).unwrap()
    }

    fn manifest() -> Value {
        json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"replicas": 2, "containers": [
            {"name": "web", "image": "web:1", "args": ["-a"]}, {"name": "log", "image": "log:1"}]}})
    }

    #[test]
    fn a_value_that_was_changed_replaces_that_of_the_manifest() {
        let saved = json!({"spec": {"replicas": 5, "containers": [
            {"name": "log", "image": "log:2"}, {"name": "web", "image": "web:9", "args": ["-b"]}]}});
        let replicas = laid(&manifest(), &saved, &["f:spec", "f:replicas"]);
        assert_eq!(replicas["spec"]["replicas"], 5);
        assert_eq!(replicas["spec"]["containers"], manifest()["spec"]["containers"]);
        let web = "k:{\"name\":\"web\"}";
        let args = laid(&manifest(), &saved, &["f:spec", "f:containers", web, "f:args"]);
        assert_eq!(
            args["spec"]["containers"][0],
            json!({"name": "web", "image": "web:1", "args": ["-b"]})
        );
    }

    #[test]
    fn what_was_removed_is_taken_out_of_the_manifest() {
        let saved =
            json!({"metadata": {"finalizers": ["b"]}, "spec": {"containers": [{"name": "web"}]}});
        let web = "k:{\"name\":\"web\"}";
        let log = "k:{\"name\":\"log\"}";
        let without = |place: &[&str]| laid(&manifest(), &saved, place);
        assert_eq!(without(&["f:spec", "f:replicas"])["spec"].get("replicas"), None);
        let args = without(&["f:spec", "f:containers", web, "f:args"]);
        assert_eq!(args["spec"]["containers"][0], json!({"name": "web", "image": "web:1"}));
        let item = without(&["f:spec", "f:containers", log]);
        assert_eq!(item["spec"]["containers"].as_array().unwrap().len(), 1);
        let member = without(&["f:metadata", "f:finalizers", "v:\"a\""]);
        assert_eq!(member["metadata"]["finalizers"], json!(["b"]));
    }

    #[test]
    fn a_place_that_git_does_not_have_is_named_and_a_map_comes_back() {
        let saved = json!({"spec": {"strategy": {"type": "Recreate"},
            "containers": [{"name": "old", "image": "old:2"}]}});
        let old = "k:{\"name\":\"old\"}";
        let image = ["f:spec", "f:containers", old, "f:image"];
        let unlaid = |path: &str| Err(vec![path.to_owned()]);
        assert_eq!(lays(&manifest(), &saved, &image), unlaid(".spec.containers[name=old].image"));
        let args = laid(&manifest(), &saved, &["f:spec", "f:containers", old, "f:args"]);
        assert_eq!(args, manifest(), "nothing is there, and nothing is to be there");
        let strategy = laid(&manifest(), &saved, &["f:spec", "f:strategy", "f:type"]);
        assert_eq!(strategy["spec"]["strategy"], json!({"type": "Recreate"}));
        assert_eq!(laid(&manifest(), &saved, &["f:spec", "f:none", "f:at", "f:all"]), manifest());
        let odd = json!({"spec": "text"});
        let of_odd = lays(&odd, &saved, &["f:spec", "f:strategy", "f:type"]);
        assert_eq!(of_odd, unlaid(".spec.strategy.type"));
        assert!(lays(&manifest(), &saved, &["what"]).is_err());
    }

    /// Goal: an item that comes back is where it was: init containers run in their order, and a
    /// variable may only use those before it.
    #[test]
    fn an_item_comes_back_behind_the_one_that_it_followed() {
        let names = |list: &[&str]| list.iter().map(|n| json!({"name": n})).collect::<Vec<_>>();
        let of = |list: &[&str]| json!({"spec": {"initContainers": names(list)}});
        let back = |git: &[&str], saved: &[&str], name: &str| {
            let key = format!("k:{{\"name\":\"{name}\"}}");
            laid(&of(git), &of(saved), &["f:spec", "f:initContainers", &key])
        };
        for (git, saved, name, result) in [
            (&["fetch"][..], &["migrate", "fetch"][..], "migrate", &["migrate", "fetch"][..]),
            (&["a", "c"], &["a", "b", "c"], "b", &["a", "b", "c"]),
            (&["x", "a", "y"], &["a", "b"], "b", &["x", "a", "b", "y"]),
            (&["x", "c"], &["a", "b", "c"], "b", &["x", "b", "c"]),
            (&["x"], &["a", "b"], "b", &["x", "b"]),
        ] {
            assert_eq!(back(git, saved, name), of(result), "{name} into {git:?}");
        }
    }

    #[test]
    fn the_order_of_items_is_laid_over_those_that_both_have() {
        let git = json!({"env": [{"name": "a", "value": "1"}, {"name": "b"}, {"name": "c"}]});
        let saved = json!({"env": [{"name": "c", "value": "9"}, {"name": "x"}, {"name": "a"}]});
        let result = laid(&git, &saved, &["f:env", "o:"]);
        let wanted = json!({"env": [{"name": "c"}, {"name": "b"}, {"name": "a", "value": "1"}]});
        assert_eq!(result, wanted);
        let odd = json!({"env": ["a", "b"]});
        assert!(lays(&git, &odd, &["f:env", "o:"]).is_err(), "which items those are is not known");
    }

    #[test]
    fn a_key_that_the_manifest_leaves_to_its_default_leads_to_the_same_item() {
        let git = json!({"spec": {"ports": [{"port": 80, "targetPort": 8080},
            {"port": 53, "targetPort": 53}, {"port": 53, "protocol": "UDP", "targetPort": 53}]}});
        let saved = json!({"spec": {"ports": [
            {"port": 80, "protocol": "TCP", "targetPort": 9090},
            {"port": 53, "protocol": "TCP", "targetPort": 1053},
            {"port": 53, "protocol": "UDP", "targetPort": 2053}]}});
        let target = |port: &str| {
            let key = format!("k:{port}");
            laid(&git, &saved, &["f:spec", "f:ports", &key, "f:targetPort"])
        };
        let with = |at: usize, port: i64| {
            let mut expected = git.clone();
            expected["spec"]["ports"][at]["targetPort"] = json!(port);
            expected
        };
        assert_eq!(target(r#"{"port":80,"protocol":"TCP"}"#), with(0, 9090));
        assert_eq!(target(r#"{"port":53,"protocol":"TCP"}"#), with(1, 1053));
        assert_eq!(target(r#"{"port":53,"protocol":"UDP"}"#), with(2, 2053));
        let none = json!({"spec": {"ports": []}});
        let removed = r#"k:{"port":53,"protocol":"TCP"}"#;
        let without = laid(&git, &none, &["f:spec", "f:ports", removed]);
        assert_eq!(
            without["spec"]["ports"],
            json!([git["spec"]["ports"][0], git["spec"]["ports"][2]])
        );
    }

    #[test]
    fn an_item_that_may_be_another_is_not_guessed() {
        let ports = |items: Value| json!({"apiVersion": "x.example.org/v1", "ports": items});
        let place = ["f:ports", r#"k:{"port":53,"protocol":"UDP"}"#, "f:to"];
        let udp = json!({"port": 53, "protocol": "UDP", "to": 9});
        let other = json!({"port": 53, "protocol": "SCTP", "to": 1});
        let plain = json!({"port": 53, "to": 1});
        let one = lays(&ports(json!([plain])), &ports(json!([udp])), &place).unwrap();
        assert_eq!(one["ports"][0]["to"], 9, "what it defaults to shows in the saved one");
        assert!(lays(&ports(json!([plain])), &ports(json!([other, udp])), &place).is_err());
        let both = lays(&ports(json!([other, plain])), &ports(json!([other, udp])), &place);
        assert_eq!(both.unwrap()["ports"], json!([other, {"port": 53, "to": 9}]));
        let removed = lays(&ports(json!([plain])), &ports(json!([other])), &place[..2]);
        assert!(removed.is_err(), "it would come back, or the other would go");
        let of_kubernetes = |items: Value| json!({"apiVersion": "apps/v1", "ports": items});
        let saved = of_kubernetes(json!([udp]));
        assert!(lays(&of_kubernetes(json!([plain])), &saved, &place).is_err(), "it is TCP");
    }

    #[test]
    fn no_digest_is_written_in_the_place_of_a_value_of_a_secret() {
        let saved = |value: &str| {
            let object = json!({"metadata": {"annotations": {"a": value}}, "data": {"a": value}});
            json!({"object": object, "fields": []}).to_string().into_bytes()
        };
        let lays = |kind: &str, place: &[&str], value: &str| {
            let held = HeldFields {
                key: format!("{kind}/prod/s").parse().unwrap(),
                saved: crate::model::BlobAddr([1; 32]),
                of_manifest: false,
                places: vec![place.iter().map(|edge| (*edge).to_owned()).collect()],
                fields: Vec::new(),
            };
            lay_held(&mut json!({"metadata": {}}), &held, &saved(value))
        };
        let place = ["f:metadata", "f:annotations", "f:a"];
        let digest = Err(Unlaid::Digest(".metadata.annotations.a".into()));
        assert_eq!(lays("Secret", &place, "hmac:5f3c"), digest);
        assert!(matches!(lays("Secret", &place[..2], "hmac:5f3c"), Err(Unlaid::Digest(_))));
        assert!(matches!(lays("Secret", &["f:data"], "hmac:5f3c"), Err(Unlaid::Digest(_))));
        assert_eq!(lays("Secret", &place, "true"), Ok(()));
        assert_eq!(lays("ConfigMap", &place, "hmac:5f3c"), Ok(()));
    }
}
