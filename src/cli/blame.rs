//! `blame`: an object as YAML, each line with who wrote it.

use std::fmt::Write as _;

use anstyle::Style;
use serde_json::Value;

use super::args::{BlameArgs, Format};
use super::asker::Context;
use super::error::Error;
use super::table::{local_time, table};
use super::yaml::{scalar, to_yaml};
use super::{at, output, people};
use crate::model::{Instant, Seq};
use crate::query::blame::{Blame, CLAIMED, Deed, Field, Removed, UNKNOWN, Who};
use crate::query::instant::About;
use crate::query::text::{clean, clip, count};

/// How long a name may be in the gutter, in characters.
const NAME_CHARS_MAX: usize = 28;
/// How long a value may be in a table, in characters.
const VALUE_CHARS_MAX: usize = 48;
/// How many digits of a commit are shown.
const COMMIT_DIGITS: usize = 10;

/// Runs `blame`.
pub(super) async fn run(context: &Context, args: &BlameArgs) -> Result<(), Error> {
    let about = About::named(&args.subject, args.namespace.as_deref());
    let asker = context.asker_about(about).await?;
    let mut blame =
        asker.blame(&args.subject, args.namespace.as_deref(), args.field.as_deref()).await?;
    people::name_blame(&mut blame, &asker.people().await?);
    let begun = Seq(blame.begun.after.filter(|after| *after > 0).unwrap_or(blame.begun.seq));
    let span = (Instant::Event(begun), Instant::Event(Seq(blame.seq)));
    let about = About { app: None, object: blame.subject.parse().ok() };
    let coverage = at::covered(&asker, &about, span, context.global.quiet).await?;
    let (format, introduced) = (context.global.output, args.introduced);
    let text = |blame: &Blame| match format {
        _ if args.removed => removed(blame),
        Format::Wide => wide(blame, introduced),
        _ => text(blame, introduced),
    };
    let covered = at::Covered { of: &blame, coverage: &coverage };
    let text = |covered: &at::Covered<'_, Blame>| text(covered.of);
    output::print(&output::one(&covered, format, text, |covered| covered.of.subject.clone()))
}

/// The object as YAML with the gutter, and what is to be said beside it.
pub(super) fn text(blame: &Blame, introduced: bool) -> String {
    let mut out = head(blame);
    let lines = lines(&blame.fields);
    let gutters: Vec<[String; 4]> =
        blame.fields.iter().map(|field| gutter(field, introduced)).collect();
    let width = |column: usize| {
        gutters.iter().map(|gutter| gutter[column].chars().count()).max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let dim = Style::new().dimmed();
    for (field, line) in lines {
        let empty = Default::default();
        let [seq, time, who, commit] = field.and_then(|field| gutters.get(field)).unwrap_or(&empty);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{dim}{seq:>0$}  {time:1$}  {who:2$}  {commit:3$} │{dim:#} {4}",
            widths[0],
            widths[1],
            widths[2],
            widths[3],
            clean(&line),
        );
    }
    foot(&mut out, blame, introduced);
    out
}

fn head(blame: &Blame) -> String {
    let mut out = String::new();
    let bold = Style::new().bold();
    let _ = writeln!(out, "{bold}{}{bold:#}", clean(&blame.subject));
    let begun = if blame.begun.after.is_some() { "first seen" } else { "created" };
    let _ = writeln!(out, "  {begun} {}", clean(&deed(&blame.begun)));
    if blame.before > 0 {
        let _ = writeln!(
            out,
            "  made anew: nothing of {} before it counts",
            match blame.before {
                1 => "the object".to_owned(),
                n => format!("the {n} objects"),
            }
        );
    }
    if let Some(gone) = &blame.gone {
        let _ = match blame.former.as_str() {
            "" => writeln!(out, "  gone {}; this is how it was", clean(&deed(gone))),
            former => writeln!(out, "  NOT THERE: {}; this is how it was before", clean(former)),
        };
    }
    out.push('\n');
    out
}

fn foot(out: &mut String, blame: &Blame, introduced: bool) {
    let mut notes: Vec<String> = Vec::new();
    for field in &blame.fields {
        if !field.conflict.is_empty() {
            notes.push(format!("! {}: {}", field.path, field.conflict));
        }
    }
    let told =
        |field: &Field| if introduced { field.introduced.clone() } else { field.set.clone() };
    if blame.fields.iter().any(|field| told(field).after.is_some()) {
        notes.push("#a..#b: seen by a list; it happened between the two events".to_owned());
    }
    if blame.fields.iter().any(|field| field.by_position) {
        let text = "~ told by position: what tells the items of the list apart is not known";
        notes.push(text.to_owned());
    }
    if blame.fields.iter().any(|field| told(field).who.strength == CLAIMED) {
        notes.push("(claimed): a field manager, which every client chooses itself".to_owned());
    }
    if !blame.removed.is_empty() {
        let fields = count(blame.removed.len(), "field");
        notes.push(format!("{fields} no longer there: --removed lists them"));
    }
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        let _ = writeln!(out, "{}", clean(&note));
    }
}

/// Position, time, who and commit of a field, each with its marks.
fn gutter(field: &Field, introduced: bool) -> [String; 4] {
    let deed = if introduced { &field.introduced } else { &field.set };
    let conflict = if field.conflict.is_empty() { "" } else { "!" };
    let position = if field.by_position { "~" } else { "" };
    [format!("{conflict}{position}{}", seq(deed)), local_time(&deed.time), who(deed), commit(deed)]
}

fn seq(deed: &Deed) -> String {
    match deed.after {
        Some(0) => format!("..#{}", deed.seq),
        Some(after) => format!("#{after}..#{}", deed.seq),
        None => format!("#{}", deed.seq),
    }
}

/// The person with the credential, or whoever it is.
fn named(who: &Who) -> String {
    match &who.person {
        Some(person) => format!("{person} ({})", who.name),
        None => who.name.clone(),
    }
}

fn who(deed: &Deed) -> String {
    let who = &deed.who;
    if who.strength == UNKNOWN {
        return UNKNOWN.to_owned();
    }
    format!("{} ({})", clip(&named(who), NAME_CHARS_MAX), who.strength)
}

fn commit(deed: &Deed) -> String {
    let commit = deed.git.as_ref().map_or("", |git| git.commit.as_str());
    commit.get(..COMMIT_DIGITS).unwrap_or(commit).to_owned()
}

fn file(deed: &Deed) -> String {
    match &deed.git {
        Some(git) => match git.line {
            Some(line) => format!("{}:{line}", git.file),
            None => git.file.clone(),
        },
        None => String::new(),
    }
}

/// `#12 2026-11-26 02:40:11 by greffier (exact)`.
fn deed(deed: &Deed) -> String {
    format!("{} {} by {}", seq(deed), local_time(&deed.time), who(deed))
}

/// The lines of the object as YAML, each with the number of the field that it shows; what only
/// leads to fields has none.
fn lines(fields: &[Field]) -> Vec<(Option<usize>, String)> {
    let mut lines = Vec::new();
    let mut last: &[String] = &[];
    for (number, field) in fields.iter().enumerate() {
        let place = field.place.as_slice();
        let same = place.iter().zip(last).take_while(|(a, b)| a == b).count();
        let mut dashes = 0;
        for (depth, edge) in place.iter().enumerate().skip(same) {
            let end = depth + 1 == place.len();
            let Some(name) = edge.strip_prefix("f:") else {
                dashes += 1;
                if end {
                    let head = head_of(depth + 1, dashes);
                    lines.push((Some(number), format!("{head}{}", inline(&field.value))));
                }
                continue;
            };
            let head = format!("{}{}:", head_of(depth, dashes), scalar(name));
            dashes = 0;
            if end {
                value_lines(&mut lines, number, &head, depth, &field.value);
            } else {
                lines.push((None, head));
            }
        }
        last = place;
    }
    lines
}

/// The indentation, with a dash for each item that begins on the line.
fn head_of(depth: usize, dashes: usize) -> String {
    format!("{}{}", "  ".repeat(depth - dashes), "- ".repeat(dashes))
}

fn value_lines(
    lines: &mut Vec<(Option<usize>, String)>,
    number: usize,
    head: &str,
    depth: usize,
    value: &Value,
) {
    let block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if !block {
        lines.push((Some(number), format!("{head} {}", inline(value))));
        return;
    }
    lines.push((Some(number), head.to_owned()));
    let indent = "  ".repeat(depth + 1);
    let below = to_yaml(value);
    lines.extend(below.lines().map(|line| (Some(number), format!("{indent}{line}"))));
}

fn inline(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), scalar)
}

/// A row for each field.
fn wide(blame: &Blame, introduced: bool) -> String {
    let header = [
        "PATH", "VALUE", "EVENT", "TIME", "WHO", "STRENGTH", "COMMIT", "AUTHOR", "FILE", "OWNERS",
        "NOTE",
    ];
    let rows = blame.fields.iter().map(|field| {
        let deed = if introduced { &field.introduced } else { &field.set };
        let git = deed.git.as_ref();
        let mut notes: Vec<&str> = vec![&deed.who.note];
        notes.extend(git.map(|git| git.note.as_str()));
        notes.push(&field.conflict);
        notes.push(if field.by_position { "told by position" } else { "" });
        notes.retain(|note| !note.is_empty());
        vec![
            field.path.clone(),
            clip(&field.value.to_string(), VALUE_CHARS_MAX),
            seq(deed),
            local_time(&deed.time),
            named(&deed.who),
            deed.who.strength.clone(),
            commit(deed),
            git.map(|git| git.author.clone()).unwrap_or_default(),
            file(deed),
            field.owners.join(", "),
            notes.join("; "),
        ]
    });
    table(&header, rows)
}

/// A row for each field that is no longer there.
fn removed(blame: &Blame) -> String {
    if blame.removed.is_empty() {
        return format!("nothing of {} was removed\n", clean(&blame.subject));
    }
    let header = ["PATH", "WAS", "REMOVED", "TIME", "BY", "SET", "SET BY"];
    let row = |gone: &Removed| {
        vec![
            gone.path.clone(),
            clip(&gone.was.to_string(), VALUE_CHARS_MAX),
            seq(&gone.removed),
            local_time(&gone.removed.time),
            who(&gone.removed),
            seq(&gone.set),
            who(&gone.set),
        ]
    };
    table(&header, blame.removed.iter().map(row))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::blame::Who;

    fn field(place: &[&str], value: Value, seq: u64) -> Field {
        let who = Who { name: "kubectl-edit".into(), strength: "claimed".into(), ..Who::default() };
        let set = Deed { seq, time: "2026-11-26T02:00:00Z".into(), who, ..Deed::default() };
        Field {
            place: place.iter().map(|edge| (*edge).to_owned()).collect(),
            value,
            introduced: Deed { seq: 1, ..set.clone() },
            set,
            ..Field::default()
        }
    }

    fn object() -> (Vec<Field>, Value) {
        let web = r#"k:{"name":"web"}"#;
        let fields = vec![
            field(&["f:kind"], json!("Pod"), 1),
            field(&["f:metadata", "f:finalizers", "v:\"a/b\""], json!("a/b"), 2),
            field(&["f:metadata", "f:finalizers", "v:\"c\""], json!("c"), 2),
            field(&["f:spec", "f:containers", web, "f:args"], json!(["-x", "1"]), 3),
            field(
                &["f:spec", "f:containers", web, "f:env", "k:{\"name\":\"A\"}", "f:name"],
                json!("A"),
                3,
            ),
            field(
                &["f:spec", "f:containers", web, "f:env", "k:{\"name\":\"A\"}", "f:value"],
                json!("1"),
                4,
            ),
            field(&["f:spec", "f:containers", web, "f:name"], json!("web"), 3),
            field(&["f:spec", "f:grid", "i:0", "i:0"], json!(1), 3),
            field(&["f:spec", "f:grid", "i:0", "i:1"], json!({}), 3),
            field(&["f:spec", "f:grid", "i:1", "i:0"], json!(true), 3),
            field(&["f:spec", "f:sel"], json!({"a": {"b": [1]}}), 5),
            field(&["f:spec", "f:volumes"], json!([]), 5),
        ];
        let object = json!({
            "kind": "Pod", "metadata": {"finalizers": ["a/b", "c"]},
            "spec": {
                "containers": [{"args": ["-x", "1"], "env": [{"name": "A", "value": "1"}], "name": "web"}],
                "grid": [[1, {}], [true]], "sel": {"a": {"b": [1]}}, "volumes": [],
            },
        });
        (fields, object)
    }

    #[test]
    fn the_lines_are_the_object() {
        let (fields, object) = object();
        let yaml: String = lines(&fields).into_iter().map(|(_, line)| line + "\n").collect();
        let read = crate::render::parse_one(yaml.as_bytes(), "test").unwrap();
        assert_eq!(read, object, "{yaml}");
    }

    #[test]
    fn each_line_says_who_wrote_it() {
        let (fields, _) = object();
        let blame = Blame { subject: "Pod/prod/web".into(), fields, ..Blame::default() };
        let text = anstream::adapter::strip_str(&text(&blame, false)).to_string();
        let line = |end: &str| text.lines().find(|line| line.ends_with(end)).unwrap().to_owned();
        assert!(line("value: \"1\"").starts_with("#4  "), "{text}");
        assert!(line("value: \"1\"").contains("kubectl-edit (claimed)"), "{text}");
        assert!(
            line("env:").trim_start().starts_with('│'),
            "what leads to fields is nobody's: {text}"
        );
        assert!(
            line("      b:").starts_with("#5  "),
            "a whole atomic value is one field's: {text}"
        );
        let introduced = super::text(&blame, true);
        assert!(!introduced.contains("#4"), "{introduced}");
    }

    #[test]
    fn what_was_not_seen_as_it_happened_says_between_what() {
        let deed = |after| seq(&Deed { seq: 9, after, ..Deed::default() });
        assert_eq!([deed(None), deed(Some(4)), deed(Some(0))], ["#9", "#4..#9", "..#9"]);
    }
}
