//! A report as CSV (RFC 4180): a header, then one line for each row.
//!
//! Security: a spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula. Such
//! a cell gets an apostrophe in front; control characters are escaped.

use std::io::{self, Write};

use super::Form;
use super::words::{changed, evidence, parties, who};
use crate::http::dto::ReportHead;
use crate::query::people::Party;
use crate::query::report::{Change, Summary};
use crate::query::text::clean;

/// The columns; they are added to, never renamed.
const COLUMNS: [&str; 21] = [
    "event",
    "time",
    "not_before",
    "class",
    "kind",
    "application",
    "object",
    "verb",
    "changed",
    "who",
    "strength",
    "doubt",
    "evidence",
    "why",
    "asked_by",
    "commit",
    "author",
    "committer",
    "signer",
    "pusher",
    "outcome",
];
/// What a formula begins with, also as the wide forms that some programs take for the same.
const FORMULA: &[char] = &['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

pub(super) struct Csv;

impl Form for Csv {
    fn begin(&mut self, out: &mut dyn Write, _: &ReportHead, _: &Summary) -> io::Result<()> {
        line(out, COLUMNS.map(str::to_owned))
    }

    fn row(&mut self, out: &mut dyn Write, row: &Change) -> io::Result<()> {
        let party = |party: Option<&Party>| party.map_or_else(|| "unknown".to_owned(), Party::text);
        let asked =
            if row.asked_by.is_empty() { String::new() } else { parties(&row.asked_by, ", ") };
        let [id, author, committer, signer, pusher] = match &row.commit {
            None => Default::default(),
            Some(commit) => [
                commit.id.clone(),
                party(commit.author.as_ref()),
                party(commit.committer.as_ref()),
                commit.signer.clone(),
                commit.pusher.clone(),
            ],
        };
        let text = str::to_owned;
        line(
            out,
            [
                row.seq.to_string(),
                text(&row.time),
                text(&row.not_before),
                text(row.class.as_str()),
                text(&row.kind),
                text(&row.app),
                text(&row.object),
                text(&row.verb),
                changed(row).join("; "),
                who(row),
                text(&row.strength),
                text(&row.doubt),
                evidence(row),
                text(&row.why),
                asked,
                id,
                author,
                committer,
                signer,
                pusher,
                text(&row.outcome),
            ],
        )
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn line(out: &mut dyn Write, cells: [String; 21]) -> io::Result<()> {
    let cells = cells.map(|text| cell(&text));
    write!(out, "{}\r\n", cells.join(","))
}

fn cell(text: &str) -> String {
    let text = clean(text);
    let apostrophe = if text.trim_start().starts_with(FORMULA) { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}
