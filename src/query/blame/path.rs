//! Paths as people write them: `.spec.template.spec.containers[name=web].image`.
//!
//! What is printed is one form; what is read is every form that the project prints, and what
//! people leave out: keys of an item that the others tell, quotes, the dot at the beginning.

use serde_json::Value;

use crate::cluster::compare;
use crate::cluster::project::Step;

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
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(String),
    /// What stands in brackets, without quotes.
    Bracket(String),
}

impl Pattern {
    /// Reads a path; `None` = it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        rest = rest.strip_prefix('$').unwrap_or(rest);
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (bracket, after) = match inside.strip_prefix('"') {
                    Some(quoted) => quoted.split_once("\"]")?,
                    None => inside.split_once(']')?,
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

impl Part {
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
        for asked in
            [".metadata.labels[example.org/team]", ".metadata.labels[\"example.org/team\"]"]
        {
            assert!(Pattern::parse(asked).unwrap().covers(&label), "{asked}");
        }
        let finalizer = place(&["f:metadata", "f:finalizers", r#"v:"a/b""#]);
        assert!(Pattern::parse(".metadata.finalizers[a/b]").unwrap().covers(&finalizer));
        for bad in ["a..b", ".spec.", ".a[b", "a[\"b]"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
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
