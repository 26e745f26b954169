//! A report as text.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::Form;
use super::words::{
    ABOUT, CHECK, CREDENTIAL, STRENGTHS, changed, counts, coverage, evidence, head, when, who, why,
};
use crate::http::dto::ReportHead;
use crate::query::report::{Change, Summary};
use crate::query::text::clean;

/// How many names of each kind are counted in the summary; the other forms have all.
const NAMES_MAX: usize = 20;

pub(super) struct Table {
    pub(super) zone: TimeZone,
}

impl Form for Table {
    fn begin(&mut self, out: &mut dyn Write, of: &ReportHead, all: &Summary) -> io::Result<()> {
        writeln!(out, "AUDIT REPORT\n{ABOUT}\n")?;
        for (name, value) in head(of, &self.zone) {
            writeln!(out, "{name}: {}", clean(&value))?;
        }
        writeln!(out, "\nHOW TO CHECK IT\n{CHECK}\n\nWHAT WAS NOT WATCHED")?;
        for line in coverage(of, all, &self.zone) {
            writeln!(out, "  {}", clean(&line))?;
        }
        writeln!(out, "\nSUMMARY")?;
        for (name, value) in counts(all) {
            writeln!(out, "  {value:>8}  {name}")?;
        }
        let tallies = [
            ("by how well it is known who did it", &all.by_strength),
            ("by whom", &all.by_whom),
            ("by application", &all.by_app),
        ];
        for (title, counts) in tallies {
            writeln!(out, "  Changes of objects {title}:")?;
            for (name, value) in counts.iter().take(NAMES_MAX) {
                let name = if name.is_empty() { "(none)" } else { name };
                writeln!(out, "  {value:>8}  {}", clean(name))?;
            }
            if counts.len() > NAMES_MAX {
                writeln!(out, "  {:>8}  more", counts.len() - NAMES_MAX)?;
            }
        }
        writeln!(out, "\nWHAT THE WORDS MEAN\n  {CREDENTIAL}")?;
        for (word, meaning) in STRENGTHS {
            writeln!(out, "  {word}: {meaning}")?;
        }
        writeln!(out, "\nCHANGES")
    }

    fn row(&mut self, out: &mut dyn Write, row: &Change) -> io::Result<()> {
        let subject = match (row.object.as_str(), row.app.as_str()) {
            ("", "") => String::new(),
            ("", app) => format!(" {app}"),
            (object, "") => format!(" {object}"),
            (object, app) => format!(" {object} of {app}"),
        };
        let line = format!("{} {}{subject}", when(row, &self.zone), row.verb);
        writeln!(out, "#{}  {}", row.seq, clean(&line))?;
        let mut more = |name: &str, value: &str| writeln!(out, "    {name:<8}  {}", clean(value));
        for text in changed(row) {
            more("what", &text)?;
        }
        more("who", &format!("{} ({}; {})", who(row), row.strength, evidence(row)))?;
        if !row.doubt.is_empty() {
            more("doubt", &row.doubt)?;
        }
        for text in why(row) {
            more("why", &text)?;
        }
        more("outcome", &row.outcome)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nEND OF REPORT")
    }
}
