//! What a program said, as it may be recorded.
//!
//! Helm and Kustomize quote values in their errors, and nobody can tell which of them are secret.
//! What stands in quotes, braces or maps is left out, unless it is known to be a name; files,
//! lines, templates and the words of a chart's author stay. Only who renders a working tree on
//! their own machine is told everything.

use std::fmt;

/// What stands for a value.
const VALUE: &str = "(…)";
/// After these words stands a name.
const NAMED_AFTER: &[&str] = &[
    "calling",
    "chart",
    "executing",
    "field",
    "file",
    "function",
    "key",
    "kind",
    "name",
    "option",
    "property",
    "resource",
    "template",
    "version",
];
/// Endings of files, which are names too.
const FILE_ENDINGS: &[&str] = &[".yaml", ".yml", ".tpl", ".json", ".toml", ".txt", ".tgz"];
/// What Kustomize says of a literal before it quotes it whole.
const LITERAL: &str = "literal source ";
/// What it says of all of them, before it quotes them as a list.
const LITERALS: &str = "literal sources [";
/// What comes behind that list.
const LITERALS_END: &str = "]: invalid literal source ";

/// What a program said. Shown, it quotes no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Said(String);

impl Said {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// All of it, values included, for the person on whose machine it ran.
    #[must_use]
    pub fn whole(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_values(&self.0))
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Said({:?})", self.to_string())
    }
}

/// The text without what it quotes.
pub(super) fn without_values(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = if rest.starts_with(LITERAL) {
            shown.push_str(LITERAL);
            shown.push_str(VALUE);
            rest.find(", expected").unwrap_or(rest.len())
        } else if rest.starts_with(LITERALS) {
            shown.push_str(LITERALS);
            shown.push_str(VALUE);
            // A value may have anything in it: the last such words are the program's.
            rest.rfind(LITERALS_END).unwrap_or(rest.len())
        } else if rest.starts_with("map[") {
            bracketed(rest, "map[", ('[', ']'), &mut shown)
        } else if next == '{' {
            bracketed(rest, "{", ('{', '}'), &mut shown)
        } else if next == '"' || next == '`' || (next == '\'' && opens(&shown)) {
            quoted(rest, next, &mut shown)
        } else {
            shown.push(next);
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    shown
}

/// Whether an apostrophe after this text begins a quotation.
fn opens(before: &str) -> bool {
    // Kustomize wraps whole sentences as `err='…'`.
    !before.ends_with(char::is_alphanumeric) && !before.ends_with("err=")
}

/// Shows a quotation; returns how long it is. One without an end is a value to the end.
fn quoted(text: &str, mark: char, shown: &mut String) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == mark && !escaped;
        escaped = *c == '\\' && !escaped && mark == '"';
        ends
    });
    let (inner, length) = match end {
        Some((end, _)) => (&text[1..end], end + 1),
        None if mark == '\'' => {
            shown.push(mark);
            return 1;
        }
        None => (&text[1..], text.len()),
    };
    let inner = if is_name(shown, inner) { inner } else { VALUE };
    shown.push(mark);
    shown.push_str(inner);
    shown.push(mark);
    length
}

/// Shows what stands in brackets; returns how long it is.
fn bracketed(text: &str, begin: &str, (open, close): (char, char), shown: &mut String) -> usize {
    let mut depth = 1_u32;
    let end = text.char_indices().skip(begin.len()).find(|(_, c)| {
        depth += u32::from(*c == open);
        depth -= u32::from(*c == close);
        depth == 0
    });
    let (inner, length) = match end {
        Some((end, _)) => (&text[begin.len()..end], end + 1),
        None => (&text[begin.len()..], text.len()),
    };
    shown.push_str(begin);
    // `interface {}` and `map[string]` are types.
    shown.push_str(if inner.is_empty() || inner == "string" { inner } else { VALUE });
    shown.push(close);
    length
}

/// Whether what is quoted after `before` is a name rather than a value.
fn is_name(before: &str, inner: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    if !inner.chars().any(char::is_alphanumeric) {
        return true;
    }
    if !inner.chars().all(plain) {
        return false;
    }
    let words = before.trim_end_matches([' ', ':']);
    let word = words.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    NAMED_AFTER.contains(&word)
        || FILE_ENDINGS.iter().any(|ending| inner.ends_with(ending))
        || (word == "at" && inner.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_recorded_without_the_values_that_they_quote() {
        for (said, shown) in [
            (
                "invalid literal source password hunter2, expected key=value",
                "invalid literal source (…), expected key=value",
            ),
            (
                "loading KV pairs: literal sources [a]: invalid literal source hunter2]: invalid literal source hunter2, expected key=value",
                "loading KV pairs: literal sources [(…)]: invalid literal source (…), expected key=value",
            ),
            ("literal sources [hunter2]: hunter2", "literal sources [(…)"),
            (
                "yaml: unmarshal errors: line 3: cannot unmarshal !!str `hunter2` into int",
                "yaml: unmarshal errors: line 3: cannot unmarshal !!str `(…)` into int",
            ),
            (
                "wrong node kind: expected ScalarNode but got MappingNode: node contents: {password: hunter2, a: {b: hunter2}}",
                "wrong node kind: expected ScalarNode but got MappingNode: node contents: {(…)}",
            ),
            ("- at '/password': 'hunter2' is too short", "- at '/password': '(…)' is too short"),
            ("got map[password:hunter2 more:[1 2]] here", "got map[(…)] here"),
            ("value \"a \\\" hunter2\" is bad", "value \"(…)\" is bad"),
            ("it ends in \"hunter2", "it ends in \"(…)\""),
            ("{hunter2", "{(…)}"),
        ] {
            let shown_as = without_values(said);
            assert_eq!(shown_as, shown);
            assert!(!format!("{:?}", Said::new(said.to_owned())).contains("hunter2"), "{said}");
            assert_eq!(Said::new(said.to_owned()).whole(), said);
        }
    }

    #[test]
    fn where_it_is_and_what_the_author_says_stays() {
        for said in [
            "template: web/templates/a.yaml:3:4: executing \"web/templates/a.yaml\" at <.Values.x.y>: nil pointer evaluating interface {}.y",
            "execution error at (web/templates/a.yaml:1:3): image.tag is required, isn't it",
            "parse error at (web/templates/a.yaml:3): function \"foo\" not defined",
            "error calling include: template: no template \"web.name\" associated with template \"gotpl\"",
            "wrong type for value; expected string; got map[string]interface {}",
            "accumulating resources: accumulation err='accumulating resources from 'base/x.yaml': no such file'",
            "yaml: line 3: could not find expected ':'",
            "json: unknown field \"imagess\"",
            "- at '': missing property 'image'",
        ] {
            assert_eq!(without_values(said), said);
        }
    }
}
