//! JSON values as YAML, for `-o yaml`.
//!
//! Only what JSON has is written, in block style; strings that could be read as something else
//! are quoted as JSON, which is YAML.

use serde_json::Value;

/// Writes `value` as one YAML document.
pub(super) fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(&"  ".repeat(depth));
                }
                out.push_str(&scalar(key));
                out.push(':');
                nested(value, depth, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(&"  ".repeat(depth));
                }
                out.push_str("- ");
                write(value, depth + 1, out);
                end_line(out);
            }
        }
        Value::String(text) => out.push_str(&scalar(text)),
        other => out.push_str(&other.to_string()),
    }
}

/// What follows a key: on the same line, or indented below it.
fn nested(value: &Value, depth: usize, out: &mut String) {
    let block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if block {
        out.push('\n');
        out.push_str(&"  ".repeat(depth + 1));
        write(value, depth + 1, out);
    } else {
        out.push(' ');
        write(value, depth, out);
    }
    end_line(out);
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

/// A string, plain where nothing else could be meant.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if plain && begins && !words.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_reads_back_as_the_same_value() {
        let value = json!({
            "a": [1, {"b": [], "c": {}}, [2, 3]], "on": "yes", "text": "x: y\n\u{1b}",
            "nested": {"deep": {"list": ["one", "1", null, true]}}, "empty": "", "key with space": -1.5,
        });
        let yaml = to_yaml(&value);
        let read = crate::render::parse_one(yaml.as_bytes(), "test").unwrap();
        assert_eq!(read, value, "{yaml}");
    }
}
