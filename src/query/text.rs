//! Words for people: safe, short, and the same everywhere.

use std::borrow::Cow;

/// How many near names are offered for an unknown one.
const NEAR_NAMES_MAX: usize = 3;

/// Whether a character could change what a terminal does, or how text around it reads.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Makes a text safe to print: control characters and bidirectional overrides become escapes.
///
/// Security: names and messages come from Git and from the cluster, where others choose them.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| {
        if is_unsafe(c) { c.escape_default().to_string() } else { c.to_string() }
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Like [`clean`], but keeps line breaks and tabs: for text that is meant to have lines.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    let keep = |c: char| c == '\n' || c == '\t';
    let escape = |c: char| {
        if is_unsafe(c) && !keep(c) { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(escape).collect()
}

/// The first `max` characters of a text, cleaned; `…` stands for what is left out.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= max {
        return clean.into_owned();
    }
    let kept: String = clean.chars().take(max.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The first line of a text, at most `max` characters of it.
#[must_use]
pub fn first_line(text: &str, max: usize) -> String {
    clip(text.trim().lines().next().unwrap_or_default(), max)
}

/// `1 object`, `2 objects`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A duration, as exact as people care to know: `412 ms`, `12.3 s`, `3 min 5 s`.
#[must_use]
pub fn seconds(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// The first `max` entries, and as the last one how many more there are.
pub fn first(entries: impl IntoIterator<Item = String>, max: usize) -> Vec<String> {
    let mut entries = entries.into_iter();
    let mut shown: Vec<String> = entries.by_ref().take(max).collect();
    match entries.count() {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    shown
}

/// The first `max` entries, comma-separated, and how many more there are.
pub fn list(entries: impl IntoIterator<Item = String>, max: usize) -> String {
    let entries: Vec<String> = entries.into_iter().collect();
    let shown = entries.iter().take(max).map(String::as_str).collect::<Vec<_>>().join(", ");
    match entries.len().saturating_sub(max) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A word as a shell reads it: in quotes where it takes some.
#[must_use]
pub fn shell(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,=%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", clean(word).replace('\'', r"'\''")))
}

/// A repository's short name: the last part of its URL without `.git`.
#[must_use]
pub fn repo_name(url: &str) -> String {
    let trimmed = url.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix(".git").unwrap_or(trimmed).trim_end_matches('/');
    let last = trimmed.rsplit(['/', ':']).next().filter(|last| !last.is_empty());
    clip(last.unwrap_or(url), 60)
}

/// The candidates that look like `wanted`, nearest first.
pub fn near_names<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let limit = 1 + wanted.chars().count() / 3;
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| {
            let contains = !wanted.is_empty() && candidate.contains(wanted);
            (if contains { 0 } else { distance(wanted, candidate) }, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_NAMES_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// The number of single-character edits between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_people_care() {
        for (milliseconds, told) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (12_399, "12.3 s"),
            (119_999, "119.9 s"),
            (185_000, "3 min 5 s"),
        ] {
            assert_eq!(seconds(milliseconds), told);
        }
    }

    #[test]
    fn the_first_are_told_and_the_others_counted() {
        let told = |n: usize| first((0..n).map(|n| n.to_string()), 2);
        assert_eq!(told(0), [""; 0]);
        assert_eq!(told(2), ["0", "1"]);
        assert_eq!(told(5), ["0", "1", "and 3 more"]);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(clean("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(clean("a\u{202e}b\r"), "a\\u{202e}b\\r");
        assert!(matches!(clean("ünï → ok"), Cow::Borrowed(_)));
        assert_eq!(clean_lines("a\n\u{7}"), "a\n\\u{7}");
    }

    #[test]
    fn a_word_is_in_quotes_only_where_a_shell_takes_some() {
        for plain in ["web", "Deployment/prod/web", "a.example.org/x", "git@host:team/infra.git"] {
            assert_eq!(shell(plain), plain);
        }
        for (word, quoted) in [
            ("#12", "'#12'"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("~x", "'~x'"),
        ] {
            assert_eq!(shell(word), quoted);
        }
    }

    #[test]
    fn near_names_are_near() {
        let names = ["web", "webshop", "database", "dns"];
        assert_eq!(near_names("wbe", names), ["web"]);
        assert_eq!(near_names("databse", names), ["database"]);
        assert_eq!(near_names("shop", names), ["webshop"]);
        assert!(near_names("zzzzzz", names).is_empty());
    }

    #[test]
    fn repositories_have_short_names() {
        for url in ["/srv/git/infra.git", "git@host:team/infra.git", "file:///x/infra/", "infra"] {
            assert_eq!(repo_name(url), "infra", "{url}");
        }
    }
}
