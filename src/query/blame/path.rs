//! Paths as people write them: `.spec.template.spec.containers[name=web].image`.
//!
//! What is printed is one form; what is read is every form that the project prints, and what
//! people leave out: keys of an item that the others tell, quotes, the dot at the beginning.

use serde_json::Value;

use crate::cluster::project::Step;
use crate::cluster::{compare, value_at};
use crate::plan::diff::list_key;

/// The path to a place.
pub(super) fn text(place: &[String]) -> String {
    let path = compare::path(place);
    if path.is_empty() { ".".to_owned() } else { path }
}

/// The path to a place with `[]` for every item, as what is said of requests has it.
pub(super) fn with_items(place: &[String]) -> String {
    place.iter().fold(String::new(), |path, edge| {
        let field = edge.starts_with("f:");
        path + &if field { compare::path(std::slice::from_ref(edge)) } else { "[]".to_owned() }
    })
}

/// Whether `path` is `place` or in it.
pub(super) fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A path as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(String),
    /// What stands in brackets, without quotes.
    Bracket(String),
}

impl Pattern {
    /// Reads a path; `None` = it is none.
    pub(in crate::query) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        rest = rest.strip_prefix('$').unwrap_or(rest);
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                // Single quotes are what jsonpath has, and what a shell leaves of the double ones.
                let (bracket, after) = match (inside.strip_prefix('"'), inside.strip_prefix('\'')) {
                    (Some(quoted), _) => quoted.split_once("\"]")?,
                    (_, Some(quoted)) => quoted.split_once("']")?,
                    _ => inside.split_once(']')?,
                };
                parts.push(Part::Bracket(bracket.to_owned()));
                rest = after;
                continue;
            }
            let begin = rest.strip_prefix('.').unwrap_or(rest);
            let end = begin.find(['.', '[']).unwrap_or(begin.len());
            let (name, after) = begin.split_at(end);
            // A single dot is the whole object.
            if name.is_empty() && !(parts.is_empty() && after.is_empty()) {
                return None;
            }
            if !name.is_empty() {
                parts.push(Part::Name(name.to_owned()));
            }
            rest = after;
        }
        Some(Self(parts))
    }

    /// Whether the place is the one that is asked for, or below it.
    pub(super) fn covers(&self, place: &[String]) -> bool {
        self.0.len() <= place.len()
            && self.0.iter().zip(place).all(|(part, edge)| part.matches(edge))
    }
}

impl Pattern {
    /// Whether the place is the one that is asked for, below it, or above it.
    pub(super) fn meets(&self, place: &[String]) -> bool {
        self.0.iter().zip(place).all(|(part, edge)| part.matches(edge))
    }
}

impl Pattern {
    /// The place that is meant in the first of the objects that has what it leads through; `None` =
    /// none has, or several places may be meant, or only a position tells.
    pub(in crate::query) fn place(&self, objects: &[&Value]) -> Option<Vec<String>> {
        let mut inside: Vec<Option<&Value>> = objects.iter().copied().map(Some).collect();
        let mut place = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            let edge = part.edge(&inside)?;
            let step = Step::parse(&edge)?;
            for value in &mut inside {
                *value = value.and_then(|value| step.first(value));
            }
            place.push(edge);
        }
        Some(place)
    }
}

impl Pattern {
    /// Whether two states of an object differ at the place that is meant; `None` = it is no single
    /// one.
    pub(in crate::query) fn differs(&self, was: &Value, is: &Value) -> Option<bool> {
        let place = self.place(&[was, is])?;
        Some(value_at(was, &place) != value_at(is, &place))
    }
}

impl Part {
    /// The edge of a field set that is meant.
    fn edge(&self, inside: &[Option<&Value>]) -> Option<String> {
        let text = match self {
            Self::Name(name) => return Some(format!("f:{name}")),
            Self::Bracket(text) => text,
        };
        let lists: Vec<&Vec<Value>> =
            inside.iter().flatten().filter_map(|value| value.as_array()).collect();
        if lists.is_empty() {
            return Some(format!("f:{text}"));
        }
        lists.into_iter().find_map(|items| item(items, text))
    }

    fn matches(&self, edge: &str) -> bool {
        let step = Step::parse(edge);
        match (self, step) {
            (Self::Name(wanted) | Self::Bracket(wanted), Some(Step::Field(name))) => wanted == name,
            (Self::Bracket(wanted), Some(Step::Key(keys))) => {
                let given = |pair: &str| match pair.split_once('=') {
                    Some((name, key)) => keys.get(name.trim()).is_some_and(|k| is(k, key)),
                    None => keys.values().any(|k| is(k, pair)),
                };
                // A key may hold a comma or an equals sign itself.
                wanted.split(',').all(given) || given(wanted)
            }
            (Self::Bracket(wanted), Some(Step::Member(member))) => is(&member, wanted),
            (Self::Bracket(wanted), Some(Step::Index(index))) => *wanted == index.to_string(),
            _ => false,
        }
    }
}

/// The edge to the one item of a list that is meant.
fn item(items: &[Value], text: &str) -> Option<String> {
    if let Some(member) = items.iter().find(|item| !item.is_object() && is(item, text)) {
        return Some(format!("v:{member}"));
    }
    let key = list_key(items);
    let fits = |item: &&Value| match text.contains('=') {
        true => text.split(',').all(|pair| {
            pair.split_once('=').is_some_and(|(name, key)| {
                item.get(name.trim()).is_some_and(|found| is(found, key))
            })
        }),
        false => key.and_then(|key| item.get(key)).is_some_and(|found| is(found, text)),
    };
    let mut found = items.iter().filter(fits);
    let by_position = || text.parse::<usize>().ok().and_then(|index| items.get(index));
    let item = match (found.next(), found.next()) {
        (Some(item), None) => item,
        (None, _) => by_position()?,
        (Some(_), Some(_)) => return None,
    };
    // What several items share tells none of them apart.
    let named = text.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.trim()));
    let mut names: Vec<&str> = named.chain(key).collect();
    names.sort_unstable();
    names.dedup();
    let keys =
        names.into_iter().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())));
    let keys: serde_json::Map<String, Value> = keys.collect();
    (!keys.is_empty()).then(|| format!("k:{}", Value::Object(keys)))
}

fn is(value: &Value, text: &str) -> bool {
    let text = text.trim().trim_matches('"');
    match value {
        Value::String(value) => value == text,
        other => {
            let printed = other.to_string();
            printed == text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(edges: &[&str]) -> Vec<String> {
        edges.iter().map(|edge| (*edge).to_owned()).collect()
    }

    #[test]
    fn a_path_is_read_in_every_form_in_which_it_is_written() {
        let image = place(&["f:spec", "f:containers", r#"k:{"name":"web"}"#, "f:image"]);
        for asked in [
            ".spec.containers[name=web].image",
            "spec.containers[web].image",
            ".spec.containers[name=\"web\"]",
            "$.spec",
            ".",
            "",
        ] {
            assert!(Pattern::parse(asked).unwrap().covers(&image), "{asked}");
        }
        for other in [".spec.containers[name=log].image", ".spec.containers[0]", ".spec.contain"] {
            assert!(!Pattern::parse(other).unwrap().covers(&image), "{other}");
        }
        let port = place(&["f:ports", r#"k:{"port":80,"protocol":"TCP"}"#, "f:nodePort"]);
        for asked in [".ports[port=80]", ".ports[port=80,protocol=TCP].nodePort", ".ports[80]"] {
            assert!(Pattern::parse(asked).unwrap().covers(&port), "{asked}");
        }
        assert!(!Pattern::parse(".ports[port=80,protocol=UDP]").unwrap().covers(&port));
        let label = place(&["f:metadata", "f:labels", "f:example.org/team"]);
        for asked in [
            ".metadata.labels[example.org/team]",
            ".metadata.labels[\"example.org/team\"]",
            "metadata.labels['example.org/team']",
        ] {
            assert!(Pattern::parse(asked).unwrap().covers(&label), "{asked}");
        }
        let finalizer = place(&["f:metadata", "f:finalizers", r#"v:"a/b""#]);
        assert!(Pattern::parse(".metadata.finalizers[a/b]").unwrap().covers(&finalizer));
        for bad in ["a..b", ".spec.", ".a[b", "a[\"b]", "a['b]"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_leads_to_one_place_of_an_object_or_to_none() {
        use serde_json::json;
        let object = json!({"metadata": {"labels": {"a.b/c": "1"}, "finalizers": ["x/y"]},
            "spec": {"containers": [{"name": "web", "image": "1"}, {"name": "log"}],
            "ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
        let place = |path: &str| Pattern::parse(path).unwrap().place(&[&Value::Null, &object]);
        let web = r#"k:{"name":"web"}"#;
        for (path, edges) in [
            (".spec.replicas", vec!["f:spec", "f:replicas"]),
            ("spec.containers[name=web].image", vec!["f:spec", "f:containers", web, "f:image"]),
            (".spec.containers[web]", vec!["f:spec", "f:containers", web]),
            (".spec.containers[0]", vec!["f:spec", "f:containers", web]),
            (
                ".spec.ports[port=53,protocol=UDP]",
                vec!["f:spec", "f:ports", r#"k:{"port":53,"protocol":"UDP"}"#],
            ),
            (".metadata.labels[\"a.b/c\"]", vec!["f:metadata", "f:labels", "f:a.b/c"]),
            (".metadata.finalizers[x/y]", vec!["f:metadata", "f:finalizers", "v:\"x/y\""]),
        ] {
            let edges: Vec<String> = edges.into_iter().map(str::to_owned).collect();
            assert_eq!(place(path), Some(edges), "{path}");
        }
        for none in [".spec.ports[port=53]", ".spec.containers[name=other]", ".spec.ports[7]"] {
            assert_eq!(place(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for edges in [
            &["f:spec", "f:containers", r#"k:{"containerPort":80,"protocol":"TCP"}"#] as &[&str],
            &["f:metadata", "f:annotations", "f:a.b/c"],
            &["f:l", "i:3", "f:x"],
            &["f:s", "v:\"x\""],
        ] {
            let place = place(edges);
            let printed = text(&place);
            assert!(Pattern::parse(&printed).unwrap().covers(&place), "{printed}");
        }
    }
}
