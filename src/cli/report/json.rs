//! A report as one JSON document, or its rows one a line. docs/report.md describes both.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Form;
use super::words::CHECK;
use crate::http::dto::ReportHead;
use crate::query::report::{Change, SCHEMA, Summary};

/// The whole document; rows are written as they come.
#[derive(Default)]
pub(super) struct Document {
    rows: u64,
}

impl Form for Document {
    fn begin(&mut self, out: &mut dyn Write, head: &ReportHead, all: &Summary) -> io::Result<()> {
        let mut head = serde_json::to_value(head)?;
        let coverage = head.as_object_mut().and_then(|head| head.remove("coverage"));
        writeln!(out, "{{\"schema\":{},", Value::from(SCHEMA))?;
        writeln!(out, "\"head\":{head},")?;
        writeln!(
            out,
            "\"verify\":{},",
            json!({"command": "greffier ledger verify", "how": CHECK})
        )?;
        writeln!(out, "\"coverage\":{},", coverage.unwrap_or_default())?;
        writeln!(out, "\"summary\":{},", serde_json::to_value(all)?)?;
        write!(out, "\"changes\":[")
    }

    fn row(&mut self, out: &mut dyn Write, row: &Change) -> io::Result<()> {
        let comma = if self.rows == 0 { "" } else { "," };
        self.rows += 1;
        write!(out, "{comma}\n{}", serde_json::to_string(row)?)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n]}}")
    }
}

/// The rows alone.
pub(super) struct Lines;

impl Form for Lines {
    fn begin(&mut self, _: &mut dyn Write, _: &ReportHead, _: &Summary) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, out: &mut dyn Write, row: &Change) -> io::Result<()> {
        writeln!(out, "{}", serde_json::to_string(row)?)
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
