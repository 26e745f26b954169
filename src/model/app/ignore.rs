//! `ignoreDifferences`: what of which objects is nobody's business.
//!
//! A rule selects objects and names what to ignore in them in three ways: by JSON pointers, by jq
//! path expressions, and by the managers whose fields are left to them. What the rules that
//! select one object name together is its [`Mask`]. A rule with something in it that is not
//! understood restrains the updates of the objects it selects, by name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Restraint;
use crate::model::canonical::canonical_json;
use crate::model::id::Digest;
use crate::model::object::ObjectKey;

/// Bound: the longest jq expression, in bytes. Whole programs are not what it is for.
const EXPRESSION_BYTES_MAX: usize = 4_096;
/// Every field of a rule.
const FIELDS: [&str; 7] = [
    "group",
    "kind",
    "name",
    "namespace",
    "jsonPointers",
    "jqPathExpressions",
    "managedFieldsManagers",
];

/// The pointer to what an autoscaler sets.
pub const REPLICAS: &str = "/spec/replicas";

/// Which objects a rule is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Pattern of the API group; empty = the core group.
    pub group: String,
    /// Pattern of the kind.
    pub kind: String,
    /// The namespace; empty = all.
    pub namespace: String,
    /// The name; empty = all.
    pub name: String,
}

impl Selection {
    /// Whether it is about `key`.
    #[must_use]
    pub fn covers(&self, key: &ObjectKey) -> bool {
        fits(&self.group, key.group())
            && fits(&self.kind, key.kind())
            && (self.namespace.is_empty() || self.namespace == key.namespace())
            && (self.name.is_empty() || self.name == key.name())
    }
}

/// Whether `text` fits a pattern in which `*` stands for any text and `?` for any letter.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last `*` has to stand for one letter more.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, from)) = again else { return false };
                again = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What of one object is ignored. Empty = nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mask {
    /// JSON pointers (RFC 6901).
    pub pointers: Vec<String>,
    /// jq path expressions.
    pub jq: Vec<String>,
    /// Field managers whose fields are left to them.
    pub managers: Vec<String>,
}

impl Mask {
    /// Whether nothing is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty() && self.jq.is_empty() && self.managers.is_empty()
    }

    /// Whether it names the JSON pointer.
    #[must_use]
    pub fn has(&self, pointer: &str) -> bool {
        self.pointers.iter().any(|known| known == pointer)
    }

    /// The same with one JSON pointer more.
    #[must_use]
    pub fn and(mut self, pointer: &str) -> Self {
        if !self.has(pointer) {
            self.pointers.push(pointer.to_owned());
        }
        self
    }

    /// Whether it names everything that `other` names.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let all = |mine: &[String], others: &[String]| others.iter().all(|one| mine.contains(one));
        all(&self.pointers, &other.pointers)
            && all(&self.jq, &other.jq)
            && all(&self.managers, &other.managers)
    }

    /// What tells it from every other mask; zero for the empty one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        if self.is_empty() {
            return Digest::default();
        }
        let parts = [&self.pointers, &self.jq, &self.managers];
        Digest::of(&canonical_json(&serde_json::json!(parts)))
    }
}

/// One rule of `ignoreDifferences`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreRule {
    /// Which objects it is about.
    pub objects: Selection,
    /// What it ignores in them.
    pub mask: Mask,
}

/// What the rules that select `key` ignore together.
#[must_use]
pub(super) fn mask(rules: &[IgnoreRule], key: &ObjectKey) -> Mask {
    let mut mask = Mask::default();
    for rule in rules.iter().filter(|rule| rule.objects.covers(key)) {
        let parts = [
            (&mut mask.pointers, &rule.mask.pointers),
            (&mut mask.jq, &rule.mask.jq),
            (&mut mask.managers, &rule.mask.managers),
        ];
        for (all, more) in parts {
            all.extend(more.iter().filter(|one| !all.contains(one)).cloned().collect::<Vec<_>>());
        }
    }
    mask
}

/// Reads the list, with what of it is not understood.
pub(super) fn read(list: Option<&Value>) -> (Vec<IgnoreRule>, Vec<Restraint>) {
    let (mut rules, mut restraints) = (Vec::new(), Vec::new());
    let list = match list {
        None | Some(Value::Null) => return (rules, restraints),
        Some(Value::Array(list)) => list.as_slice(),
        Some(_) => {
            restraints.push(restraint(&Selection::all(), "is no list"));
            return (rules, restraints);
        }
    };
    for rule in list {
        let mut problems = Vec::new();
        let objects = Selection::read(rule, &mut problems);
        let mask = Mask {
            pointers: texts(rule, "jsonPointers", pointer_problem, &mut problems),
            jq: texts(rule, "jqPathExpressions", expression_problem, &mut problems),
            managers: texts(rule, "managedFieldsManagers", |_| None, &mut problems),
        };
        let fields = rule.as_object().into_iter().flatten().map(|(field, _)| field);
        let unknown = fields.filter(|field| !FIELDS.contains(&field.as_str()));
        problems.extend(unknown.map(|field| format!("field `{field}` is not known")));
        restraints.extend(problems.iter().map(|problem| restraint(&objects, problem)));
        rules.push(IgnoreRule { objects, mask });
    }
    (rules, restraints)
}

fn restraint(objects: &Selection, problem: &str) -> Restraint {
    let what = format!("ignoreDifferences ({problem})");
    Restraint::Updates { what, objects: objects.clone() }
}

impl Selection {
    fn all() -> Self {
        Self { group: "*".into(), kind: "*".into(), ..Self::default() }
    }

    /// Reads whom a rule is about. What cannot be read makes it be about everything: nothing that
    /// it may have meant is written.
    fn read(rule: &Value, problems: &mut Vec<String>) -> Self {
        let known = problems.len();
        if !rule.is_object() {
            problems.push("has an entry that is no object".into());
            return Self::all();
        }
        let mut text = |field: &str| match rule.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            // YAML reads a name such as 5 as a number.
            Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
            Some(_) => {
                problems.push(format!("`{field}` is no text"));
                String::new()
            }
        };
        let found = Self {
            group: text("group"),
            kind: text("kind"),
            namespace: text("namespace"),
            name: text("name"),
        };
        if found.kind.is_empty() {
            problems.push("names no `kind`".into());
        }
        for pattern in [&found.group, &found.kind] {
            if pattern.contains(['[', ']', '{', '}', '\\']) {
                problems.push(format!("pattern `{pattern}`: only `*` and `?` are known"));
            }
        }
        if problems.len() > known { Self::all() } else { found }
    }
}

/// The texts of a list, without those that have a problem.
fn texts(
    rule: &Value,
    field: &str,
    problem: fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Vec<String> {
    let list = match rule.get(field) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) => list.as_slice(),
        Some(_) => {
            problems.push(format!("`{field}` is no list"));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in list {
        match entry.as_str() {
            None => problems.push(format!("`{field}` has an entry that is no text")),
            Some(text) => match problem(text) {
                Some(problem) => problems.push(format!("{field} `{text}` {problem}")),
                None => found.push(text.to_owned()),
            },
        }
    }
    found
}

fn pointer_problem(pointer: &str) -> Option<String> {
    if !pointer.starts_with('/') {
        return Some("does not begin with `/`".into());
    }
    let escapes = pointer.split('~').skip(1);
    let wrong = escapes.into_iter().any(|rest| !rest.starts_with(['0', '1']));
    wrong.then(|| "has a `~` that is neither `~0` nor `~1`".into())
}

fn expression_problem(expression: &str) -> Option<String> {
    if expression.trim().is_empty() {
        return Some("is empty".into());
    }
    let long = expression.len() > EXPRESSION_BYTES_MAX;
    long.then(|| format!("is longer than {EXPRESSION_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(list: Value) -> Vec<IgnoreRule> {
        let (rules, restraints) = read(Some(&list));
        assert_eq!(restraints, []);
        rules
    }

    fn web() -> ObjectKey {
        ObjectKey::new("apps", "Deployment", "prod", "web")
    }

    #[test]
    fn a_rule_selects_by_group_kind_namespace_and_name() {
        let selects = |rule: Value| {
            let mut rule = rule;
            rule["jsonPointers"] = json!(["/spec"]);
            !mask(&rules(json!([rule])), &web()).is_empty()
        };
        for rule in [
            json!({"group": "apps", "kind": "Deployment"}),
            json!({"group": "*", "kind": "*"}),
            json!({"group": "a?ps", "kind": "Dep*nt"}),
            json!({"group": "apps", "kind": "Deployment", "name": "web", "namespace": "prod"}),
        ] {
            assert!(selects(rule.clone()), "{rule}");
        }
        for rule in [
            json!({"kind": "Deployment"}),
            json!({"group": "apps", "kind": "deployment"}),
            json!({"group": "apps", "kind": "Deploy"}),
            json!({"group": "apps", "kind": "Deployment", "name": "web*"}),
            json!({"group": "apps", "kind": "Deployment", "namespace": "test"}),
        ] {
            assert!(!selects(rule.clone()), "{rule}");
        }
    }

    #[test]
    fn the_rules_of_an_object_are_put_together() {
        let rules = rules(json!([
            {"group": "apps", "kind": "Deployment", "jsonPointers": ["/a", "/b"]},
            {"group": "*", "kind": "*", "jsonPointers": ["/b", "/c"], "jqPathExpressions": [".d"],
             "managedFieldsManagers": ["vpa"]},
            {"kind": "Service", "jsonPointers": ["/e"]},
        ]));
        let mask = mask(&rules, &web());
        assert_eq!(mask.pointers, ["/a", "/b", "/c"]);
        assert_eq!(
            (mask.jq.as_slice(), mask.managers.as_slice()),
            ([".d".to_owned()].as_slice(), ["vpa".to_owned()].as_slice())
        );
        assert_ne!(mask.digest(), Mask::default().digest());
        let moved = Mask { pointers: Vec::new(), jq: mask.pointers.clone(), ..Mask::default() };
        assert_ne!(
            moved.digest(),
            Mask { jq: Vec::new(), pointers: moved.jq.clone(), ..moved.clone() }.digest()
        );
    }

    #[test]
    fn what_is_not_understood_restrains_the_objects_that_it_may_be_about() {
        let other = ObjectKey::new("", "Service", "prod", "web");
        for (rule, words, widely) in [
            (
                json!({"group": "apps", "kind": "Deployment", "jsonPointers": ["spec"]}),
                "jsonPointers `spec` does not begin",
                false,
            ),
            (
                json!({"group": "apps", "kind": "Deployment", "jsonPointers": ["/a~2"]}),
                "`~`",
                false,
            ),
            (
                json!({"group": "apps", "kind": "Deployment", "jsonPointers": "/a"}),
                "is no list",
                false,
            ),
            (
                json!({"group": "apps", "kind": "Deployment", "jqPathExpressions": [" "]}),
                "is empty",
                false,
            ),
            (
                json!({"group": "apps", "kind": "Deployment", "jqPathExpressions": ["x".repeat(5_000)]}),
                "longer than",
                false,
            ),
            (
                json!({"group": "apps", "kind": "Deployment", "managedFieldsManagers": [1]}),
                "no text",
                false,
            ),
            (
                json!({"group": "apps", "kind": "Deployment", "cel": "x"}),
                "`cel` is not known",
                false,
            ),
            (json!({"group": "apps"}), "no `kind`", true),
            (json!({"group": "[ab]pps", "kind": "Deployment"}), "only `*` and `?`", true),
            (json!("all"), "no object", true),
        ] {
            let (_, restraints) = read(Some(&json!([rule])));
            let [restraint] = restraints.as_slice() else { panic!("{rule}: {restraints:?}") };
            assert!(restraint.what().contains(words), "{rule}: {}", restraint.what());
            assert!(restraint.holds_update(&web()), "{rule}");
            assert_eq!(restraint.holds_update(&other), widely, "{rule}");
        }
        assert_eq!(read(None), (Vec::new(), Vec::new()));
        assert!(read(Some(&json!({}))).1[0].holds_update(&other));
    }
}
