//! A report as one HTML file: no script, nothing from elsewhere, everything escaped.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::Form;
use super::words::{
    ABOUT, CHECK, CREDENTIAL, STRENGTHS, changed, counts, coverage, evidence, head, when, who, why,
};
use crate::http::dto::ReportHead;
use crate::query::report::{Change, Summary};
use crate::query::text::clean;

/// The beginning. The policy lets nothing in but the style below, should anything slip through.
const BEGIN: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>greffier audit report</title>
<style>
:root { color-scheme: light dark; --line: #bbb; --soft: #f3f3f3; --bad: #a40000; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #222; --bad: #ff8a80; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { background: var(--soft); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
ul { margin: 0; padding-left: 1.1rem; }
.failed { color: var(--bad); font-weight: 600; }
code { font-family: ui-monospace, monospace; font-size: .93em; }
@media print { body { margin: 0; max-width: none; font-size: 9pt; } thead { display: table-header-group; } tr { break-inside: avoid; } }
</style>
</head>
<body>
<main>
<h1>Audit report</h1>
"#;
const COLUMNS: [&str; 8] = [
    "Event",
    "When",
    "What was done",
    "What changed",
    "Who",
    "Strength and evidence",
    "Why",
    "Outcome",
];

pub(super) struct Page {
    pub(super) zone: TimeZone,
}

impl Form for Page {
    fn begin(&mut self, out: &mut dyn Write, of: &ReportHead, all: &Summary) -> io::Result<()> {
        writeln!(out, "{BEGIN}<p>{}</p>", text(ABOUT))?;
        table(out, "What this report is about", &["Name", "Value"], |out| {
            head(of, &self.zone).iter().try_for_each(|(name, value)| pair(out, name, value, ""))
        })?;
        writeln!(out, "<h2>How to check it</h2>\n<p>{}</p>", code(CHECK))?;
        writeln!(out, "<h2>What was not watched</h2>")?;
        items(out, &coverage(of, all, &self.zone))?;
        writeln!(out, "<h2>Summary</h2>")?;
        table(out, "Counts", &["What", "Number"], |out| {
            let counts = counts(all);
            counts.iter().try_for_each(|(name, n)| pair(out, name, &n.to_string(), " class=\"n\""))
        })?;
        let tallies = [
            ("Changes of objects by how well it is known who did it", &all.by_strength),
            ("Changes of objects by whom", &all.by_whom),
            ("Changes of objects by application", &all.by_app),
        ];
        for (title, counts) in tallies {
            table(out, title, &["Name", "Number"], |out| {
                counts.iter().try_for_each(|(name, n)| {
                    let name = if name.is_empty() { "(none)" } else { name };
                    pair(out, name, &n.to_string(), " class=\"n\"")
                })
            })?;
        }
        writeln!(out, "<h2>What the words mean</h2>\n<p>{}</p>", text(CREDENTIAL))?;
        table(out, "Strength", &["Word", "Meaning"], |out| {
            STRENGTHS.iter().try_for_each(|(word, meaning)| pair(out, word, meaning, ""))
        })?;
        writeln!(out, "<h2>Changes</h2>")?;
        open(out, "Every change, in the order of the ledger", &COLUMNS)
    }

    fn row(&mut self, out: &mut dyn Write, row: &Change) -> io::Result<()> {
        let subject = [row.object.as_str(), row.app.as_str()];
        let subject: Vec<&str> = subject.into_iter().filter(|name| !name.is_empty()).collect();
        let seq = row.seq;
        write!(out, "<tr id=\"e{seq}\"><th scope=\"row\">#{seq}</th>")?;
        write!(out, "<td>{}</td>", text(&when(row, &self.zone)))?;
        write!(
            out,
            "<td>{} <code>{}</code></td><td>",
            text(&row.verb),
            text(&subject.join(" of "))
        )?;
        items(out, &changed(row))?;
        write!(out, "</td><td>{}</td>", text(&who(row)))?;
        let doubt = if row.doubt.is_empty() { String::new() } else { format!(": {}", row.doubt) };
        let known = format!("{}{doubt} ({})", row.strength, evidence(row));
        write!(out, "<td>{}</td><td>", text(&known))?;
        items(out, &why(row))?;
        let class = if row.failed { " class=\"failed\"" } else { "" };
        writeln!(out, "</td><td{class}>{}</td></tr>", text(&row.outcome))
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "</tbody>\n</table>\n</main>\n</body>\n</html>")
    }
}

/// A text, made safe for HTML wherever it stands.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len() + 8);
    for c in clean(raw).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A text of our own, with what stands between backquotes as code.
fn code(raw: &str) -> String {
    let parts = raw.split('`').enumerate();
    parts
        .map(|(index, part)| match index % 2 {
            0 => text(part),
            _ => format!("<code>{}</code>", text(part)),
        })
        .collect()
}

fn items(out: &mut dyn Write, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    write!(out, "<ul>")?;
    lines.iter().try_for_each(|line| write!(out, "<li>{}</li>", text(line)))?;
    write!(out, "</ul>")
}

fn pair(out: &mut dyn Write, name: &str, value: &str, class: &str) -> io::Result<()> {
    writeln!(out, "<tr><th scope=\"row\">{}</th><td{class}>{}</td></tr>", text(name), text(value))
}

fn open(out: &mut dyn Write, caption: &str, columns: &[&str]) -> io::Result<()> {
    write!(out, "<table>\n<caption>{}</caption>\n<thead><tr>", text(caption))?;
    columns.iter().try_for_each(|name| write!(out, "<th scope=\"col\">{}</th>", text(name)))?;
    writeln!(out, "</tr></thead>\n<tbody>")
}

fn table(
    out: &mut dyn Write,
    caption: &str,
    columns: &[&str],
    rows: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    open(out, caption, columns)?;
    rows(out)?;
    writeln!(out, "</tbody>\n</table>")
}
