//! Lays values that somebody set by hand over a manifest. Pure.
//!
//! Each place is a list of field set edges. What the place leads to in the saved object replaces
//! what is there in the manifest; what the saved object does not have is taken out. A place inside
//! a list item that the manifest does not have any more is left out: Git removed what it was in.

use serde_json::{Map, Value};

use super::project::Step;

/// Lays the values of `saved` at `places` over `manifest`.
pub fn overlay(manifest: &mut Value, saved: &Value, places: &[Vec<String>]) {
    for place in places {
        let steps: Option<Vec<Step<'_>>> = place.iter().map(|edge| Step::parse(edge)).collect();
        // A place that this version cannot read is left to Git.
        let Some(steps) = steps else { continue };
        let mut value = Some(saved);
        for step in &steps {
            value = value.and_then(|value| step.first(value));
        }
        lay(manifest, &steps, value);
    }
}

fn lay(target: &mut Value, steps: &[Step<'_>], value: Option<&Value>) {
    let Some((step, deeper)) = steps.split_first() else { return };
    match (step, target) {
        (Step::Field(name), Value::Object(map)) => match (deeper.is_empty(), value) {
            (true, Some(value)) => {
                map.insert((*name).to_owned(), value.clone());
            }
            (true, None) => {
                map.shift_remove(*name);
            }
            (false, _) => in_field(map, name, deeper, value),
        },
        (Step::Key(keys), Value::Array(items)) => {
            let is = |item: &Value| keys.iter().all(|(name, key)| item.get(name) == Some(key));
            let found = items.iter().position(is);
            match (deeper.is_empty(), value, found.and_then(|at| items.get_mut(at))) {
                (true, Some(value), Some(item)) => *item = value.clone(),
                (true, Some(value), None) => items.push(value.clone()),
                (true, None, _) => items.retain(|item| !is(item)),
                (false, _, Some(item)) => lay(item, deeper, value),
                (false, _, None) => {}
            }
        }
        (Step::Member(member), Value::Array(items)) => {
            items.retain(|item| item != member);
            if value.is_some() {
                items.push(member.clone());
            }
        }
        // The place is no longer what it was: Git decides.
        _ => {}
    }
}

/// Goes into a field that may not be there.
fn in_field(map: &mut Map<String, Value>, name: &str, deeper: &[Step<'_>], value: Option<&Value>) {
    if let Some(below) = map.get_mut(name) {
        return lay(below, deeper, value);
    }
    if value.is_none() {
        return;
    }
    let mut below = match deeper.first() {
        Some(Step::Field(_)) => Value::Object(Map::new()),
        _ => Value::Array(Vec::new()),
    };
    lay(&mut below, deeper, value);
    let empty = match &below {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if !empty {
        map.insert(name.to_owned(), below);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn laid(manifest: &Value, saved: &Value, place: &[&str]) -> Value {
        let mut manifest = manifest.clone();
        let place = place.iter().map(|edge| (*edge).to_owned()).collect();
        overlay(&mut manifest, saved, &[place]);
        manifest
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
    fn what_git_dropped_around_a_place_stays_dropped_and_a_map_comes_back() {
        let saved = json!({"spec": {"strategy": {"type": "Recreate"},
            "containers": [{"name": "old", "image": "old:2"}]}});
        let old = "k:{\"name\":\"old\"}";
        assert_eq!(
            laid(&manifest(), &saved, &["f:spec", "f:containers", old, "f:image"]),
            manifest()
        );
        let strategy = laid(&manifest(), &saved, &["f:spec", "f:strategy", "f:type"]);
        assert_eq!(strategy["spec"]["strategy"], json!({"type": "Recreate"}));
        assert_eq!(laid(&manifest(), &saved, &["f:spec", "f:none", "f:at", "f:all"]), manifest());
        let odd = json!({"spec": "text"});
        assert_eq!(laid(&odd, &saved, &["f:spec", "f:strategy", "f:type"]), odd);
        assert_eq!(laid(&manifest(), &saved, &["what"]), manifest());
    }
}
