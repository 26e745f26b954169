//! One JSON file to one value, by the same rules as YAML: bounded depth and memory, no key
//! twice, errors with line and column that quote no value. Pure.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::yaml::{self, Budget, DEPTH_MAX, Document, Error, Problem};

/// Reads the single value of `bytes`; `None` for an empty file.
///
/// # Errors
/// The first problem, with its line and column.
pub(super) fn parse(bytes: &[u8], budget: &mut Budget) -> Result<Option<Document>, Error> {
    let text = yaml::text(bytes)?;
    let content = text.trim_start();
    if content.is_empty() {
        return Ok(None);
    }
    let line = text[..text.len() - content.len()].matches('\n').count() as u64 + 1;
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Seed { depth: 0, budget, refused: &mut refused };
    let value = seed.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => Ok(Some(Document { line, value })),
        Err(error) => {
            let problem = refused.unwrap_or_else(|| Problem::Json(message(&error)));
            Err(Error { line: error.line() as u64, column: error.column() as u64, problem })
        }
    }
}

/// The parser's message without its position, which is given apart.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

/// Builds a value. What is refused here is left in `refused`, because the deserializer's own
/// error carries text only.
struct Seed<'a> {
    depth: usize,
    budget: &'a mut Budget,
    refused: &'a mut Option<Problem>,
}

impl Seed<'_> {
    fn pay<E: de::Error>(&mut self, text_bytes: usize) -> Result<(), E> {
        let paid = self.budget.node(text_bytes);
        paid.map(|_| ()).map_err(|problem| self.refuse(problem))
    }

    fn refuse<E: de::Error>(&mut self, problem: Problem) -> E {
        let error = E::custom(&problem);
        *self.refused = Some(problem);
        error
    }

    fn inner(&mut self) -> Seed<'_> {
        Seed { depth: self.depth + 1, budget: self.budget, refused: self.refused }
    }

    fn enter<E: de::Error>(&mut self) -> Result<(), E> {
        if self.depth >= DEPTH_MAX {
            return Err(self.refuse(Problem::TooDeep));
        }
        self.pay(0)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(mut self) -> Result<Value, E> {
        self.pay(0).map(|()| Value::Null)
    }

    fn visit_bool<E: de::Error>(mut self, value: bool) -> Result<Value, E> {
        self.pay(0).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(mut self, value: i64) -> Result<Value, E> {
        self.pay(0).map(|()| Value::from(value))
    }

    fn visit_u64<E: de::Error>(mut self, value: u64) -> Result<Value, E> {
        self.pay(0).map(|()| Value::from(value))
    }

    fn visit_f64<E: de::Error>(mut self, value: f64) -> Result<Value, E> {
        self.pay(0)?;
        match yaml::fraction(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(self.refuse(Problem::NotFinite)),
        }
    }

    fn visit_str<E: de::Error>(mut self, value: &str) -> Result<Value, E> {
        self.pay(value.len()).map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.inner())? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.pay(key.len())?;
            if map.contains_key(&key) {
                return Err(self.refuse(Problem::DuplicateKey { key }));
            }
            let value = access.next_value_seed(self.inner())?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Result<Value, (u64, &str)>) {
        let mut budget = Budget::new(1 << 20, 10);
        let found = parse(text.as_bytes(), &mut budget);
        let found = found.map(|document| document.unwrap().value);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err((line, text))) => {
                assert_eq!(error.line, line, "{error}");
                assert!(error.problem.to_string().contains(text), "{error}");
            }
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn json_is_read_and_what_is_wrong_is_placed() {
        check(r#"{"a": [1, -2, 1.5, "\ud83d\ude00"]}"#, Ok(json!({"a": [1, -2, 1.5, "😀"]})));
        check("\n {\"a\": 18446744073709551615}", Ok(json!({"a": 18_446_744_073_709_551_615_u64})));
        check("{\"a\": 1,\n\"a\": 2}", Err((2, "duplicate key `a`")));
        check("{\"a\": 1}\n{\"b\": 2}", Err((2, "trailing characters")));
        check("{\"a\": 1,\n}", Err((2, "trailing comma")));
        check("{\"a\": tru", Err((1, "EOF")));
    }

    #[test]
    fn nesting_and_memory_are_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let mut budget = Budget::new(1 << 20, 10);
        assert!(parse(deep(DEPTH_MAX).as_bytes(), &mut budget).is_ok());
        for levels in [DEPTH_MAX + 1, 1_000_000] {
            let error = parse(deep(levels).as_bytes(), &mut budget).unwrap_err();
            assert_eq!(error.problem, Problem::TooDeep);
        }
        let wide = format!("[{}1]", "1,".repeat(100_000));
        let error = parse(wide.as_bytes(), &mut budget).unwrap_err();
        assert_eq!(error.problem, Problem::TooLarge { max: 1 << 20 });
    }
}
