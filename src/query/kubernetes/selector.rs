//! Label and field selectors, as the Kubernetes API writes them.
//!
//! Source: `k8s.io/apimachinery/pkg/labels` for the grammar of labels. Of field selectors the two
//! that every kind has are known; others select by what is not recorded.

use serde_json::Value;

/// Which objects are selected. Every condition must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    /// Where the value is in the object.
    place: Place,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Label(String),
    Name,
    Namespace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads both selectors of a request; empty texts select everything.
    ///
    /// # Errors
    /// What cannot be read, or asks for a field that is not recorded, as words for a person.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let mut conditions = Vec::new();
        for part in split(labels) {
            conditions.push(label(part)?);
        }
        for part in fields.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            conditions.push(field(part)?);
        }
        Ok(Self(conditions))
    }

    /// Whether an object of this name can be selected, whatever else it is.
    pub(super) fn admits(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().all(|condition| match condition.place {
            Place::Label(_) => true,
            Place::Name => condition.test.holds(Some(name)),
            Place::Namespace => {
                condition.test.holds(Some(namespace).filter(|text| !text.is_empty()))
            }
        })
    }

    /// Whether the object is selected.
    pub(super) fn selects(&self, object: &Value) -> bool {
        self.0.iter().all(|condition| condition.holds(object))
    }
}

impl Condition {
    fn holds(&self, object: &Value) -> bool {
        let value = match &self.place {
            Place::Label(key) => object.pointer("/metadata/labels").and_then(|l| l.get(key)),
            Place::Name => object.pointer("/metadata/name"),
            Place::Namespace => object.pointer("/metadata/namespace"),
        };
        self.test.holds(value.and_then(Value::as_str))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn label(part: &str) -> Result<Condition, String> {
    let unreadable = || format!("the label selector `{part}` cannot be read");
    let (key, test) = if let Some(key) = part.strip_prefix('!') {
        (key, Test::Absent)
    } else if let Some((key, rest)) = part.split_once('(') {
        let values = rest.strip_suffix(')').ok_or_else(unreadable)?;
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        match key.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => (key, Test::In(values)),
            Some((key, "notin")) => (key, Test::NotIn(values)),
            _ => return Err(unreadable()),
        }
    } else {
        equality(part).unwrap_or((part, Test::Exists))
    };
    let key = key.trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if key.is_empty() || !key.chars().all(allowed) {
        return Err(unreadable());
    }
    Ok(Condition { place: Place::Label(key.to_owned()), test })
}

fn field(part: &str) -> Result<Condition, String> {
    let unreadable = || format!("the field selector `{part}` cannot be read");
    let (field, test) = equality(part).ok_or_else(unreadable)?;
    let place = match field.trim() {
        "metadata.name" => Place::Name,
        "metadata.namespace" => Place::Namespace,
        other => {
            return Err(format!(
                "of the past, only metadata.name and metadata.namespace can be selected, not `{other}`"
            ));
        }
    };
    Ok(Condition { place, test })
}

/// Reads `key=value`, `key==value` or `key!=value`.
fn equality(part: &str) -> Option<(&str, Test)> {
    let (key, value) = part.split_once('=')?;
    let value = value.strip_prefix('=').unwrap_or(value).trim().to_owned();
    Some(match key.strip_suffix('!') {
        Some(key) => (key, Test::NotIn(vec![value])),
        None => (key, Test::In(vec![value])),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select_as_kubectl_does() {
        let object = json!({"metadata": {"name": "web", "namespace": "prod",
            "labels": {"app": "web", "tier": "front", "x.io/y": ""}}});
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,tier=front", "", true),
            ("app!=web", "", false),
            ("absent!=web", "", true),
            ("app in (api, web)", "", true),
            ("app notin (api,web)", "", false),
            ("absent notin (a)", "", true),
            ("app,x.io/y", "", true),
            ("!app", "", false),
            ("!absent", "", true),
            ("x.io/y=", "", true),
            ("", "metadata.name=web", true),
            ("", "metadata.name!=web", false),
            ("app=web", "metadata.namespace==other", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.selects(&object), expected, "{labels} {fields}");
            // What the name alone tells may say less, and nothing else.
            assert!(selector.admits("prod", "web") || !expected, "{labels} {fields}");
            assert_eq!(selector.admits("prod", "web"), expected || fields.is_empty(), "{fields}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_is_not_recorded_is_said() {
        for (labels, fields, expected) in [
            ("app in (a", "", "cannot be read"),
            ("app within (a)", "", "cannot be read"),
            ("=web", "", "cannot be read"),
            ("a b", "", "cannot be read"),
            ("", "metadata.name", "cannot be read"),
            ("", "status.phase=Running", "status.phase"),
        ] {
            let error = Selector::parse(labels, fields).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
