//! What a YAML scalar means: the rules of go-yaml v2, which `kubectl`, Helm and Argo CD use.
//!
//! Those are YAML 1.1 in part: an unquoted `yes`, `on` or `n` is a boolean, `0644` and `0o644`
//! are octal and `1_000` is a thousand, while base-60 numbers and timestamps stay text. A
//! manifest must mean here what it means to the tools that people test it with. Pure.

use serde_json::{Number, Value};

use super::Problem;

/// What an explicit tag asks a scalar to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Text,
    Null,
    Boolean,
    Integer,
    Float,
}

/// The value of a plain (unquoted, untagged) scalar.
///
/// # Errors
/// Not-a-number and infinity, which JSON cannot carry.
pub(super) fn plain(text: &str) -> Result<Value, Problem> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Err(Problem::NotFinite),
        _ => {}
    }
    let number = match text.as_bytes()[0] {
        b'.' => float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    };
    Ok(number.map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// The value of a scalar with an explicit tag.
///
/// # Errors
/// The text cannot be read as what the tag says. The text itself is not part of the error: it
/// may be a secret.
pub(super) fn tagged(text: &str, wanted: Wanted) -> Result<Value, Problem> {
    if wanted == Wanted::Text {
        return Ok(Value::String(text.to_owned()));
    }
    let value = plain(text)?;
    let fits = match (&value, wanted) {
        (Value::Null, Wanted::Null)
        | (Value::Bool(_), Wanted::Boolean)
        | (Value::Number(_), Wanted::Float) => true,
        (Value::Number(number), Wanted::Integer) => !number.is_f64(),
        _ => false,
    };
    let tag = match wanted {
        Wanted::Text => "!!str",
        Wanted::Null => "!!null",
        Wanted::Boolean => "!!bool",
        Wanted::Integer => "!!int",
        Wanted::Float => "!!float",
    };
    if fits { Ok(value) } else { Err(Problem::TagMismatch { tag }) }
}

/// The text of a scalar that is the key of a mapping; `None` for null, which cannot be a key.
pub(super) fn key(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads an integer as Go's `strconv` does with base 0: `0x`, `0o`, `0b`, and a leading zero for
/// octal. Signed up to 64 bits; unsigned 64 bits without a sign.
fn integer(text: &str) -> Option<Number> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` accepts a sign of its own; here it was read already.
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Number::from);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Number::from(value)),
        Err(_) if !signed => Some(Number::from(magnitude)),
        Err(_) => None,
    }
}

/// Reads a decimal fraction; what does not fit an `f64` stays text.
fn float(text: &str) -> Option<Number> {
    if looks_like_float(text) { fraction(text.parse().ok()?) } else { None }
}

/// A fraction as Go writes it to JSON: a whole number that fits 64 bits is an integer, `1.0` is
/// `1`. `None` for what JSON cannot carry.
pub(in crate::render) fn fraction(value: f64) -> Option<Number> {
    if value.fract() == 0.0
        && let Ok(whole) = format!("{value:.0}").parse::<i64>()
    {
        return Some(Number::from(whole));
    }
    Number::from_f64(value)
}

/// `[-+]? ( .digits | digits [ . digits? ] ) [ e sign? digits ]`
fn looks_like_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_is_right = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_is_right = exponent
        .is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    mantissa_is_right && exponent_is_right
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_go_yaml_makes_of_them() {
        // The right column was taken from sigs.k8s.io/yaml 1.6.0.
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nULL", json!("nULL")),
            ("y", json!(true)),
            ("yes", json!(true)),
            ("yEs", json!("yEs")),
            ("on", json!(true)),
            ("Off", json!(false)),
            ("N", json!(false)),
            ("no", json!(false)),
            ("0", json!(0)),
            ("00", json!(0)),
            ("-0", json!(0)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0O17", json!(15)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("-0x1F", json!(-31)),
            ("0b101", json!(5)),
            ("0b102", json!("0b102")),
            ("0x", json!("0x")),
            ("1_000", json!(1000)),
            ("+12", json!(12)),
            ("++12", json!("++12")),
            ("-", json!("-")),
            ("1.0", json!(1)),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            ("-.5", json!(-0.5)),
            (".", json!(".")),
            ("1.50", json!(1.5)),
            ("1e3", json!(1000)),
            ("3E16", json!(30_000_000_000_000_000_i64)),
            ("123456789012345678901234567890", json!(1.234_567_890_123_456_8e29)),
            ("1E-2", json!(0.01)),
            ("1e400", json!("1e400")),
            ("1.2.3", json!("1.2.3")),
            ("190:20:30", json!("190:20:30")),
            ("2026-11-23", json!("2026-11-23")),
            ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
            ("-9223372036854775808", json!(-9_223_372_036_854_775_808_i64)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("100Mi", json!("100Mi")),
            ("1e3Mi", json!("1e3Mi")),
            ("infinity", json!("infinity")),
            ("+infinity", json!("+infinity")),
        ] {
            assert_eq!(plain(text), Ok(expected), "`{text}`");
        }
        assert_eq!(plain(".inf"), Err(Problem::NotFinite));
        assert_eq!(plain("-.INF"), Err(Problem::NotFinite));
        assert_eq!(plain(".NaN"), Err(Problem::NotFinite));
    }

    #[test]
    fn explicit_tags_are_held_to() {
        for (text, wanted, expected) in [
            ("123", Wanted::Text, Some(json!("123"))),
            ("123", Wanted::Integer, Some(json!(123))),
            ("1.5", Wanted::Integer, None),
            ("1.5", Wanted::Float, Some(json!(1.5))),
            ("1", Wanted::Float, Some(json!(1))),
            ("yes", Wanted::Boolean, Some(json!(true))),
            ("maybe", Wanted::Boolean, None),
            ("", Wanted::Null, Some(json!(null))),
        ] {
            assert_eq!(tagged(text, wanted).ok(), expected, "`{text}` as {wanted:?}");
        }
    }
}
