//! What the demo prints: at most 100 columns, colour only where a terminal shows it.

use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

/// The width that nothing exceeds, in characters.
const COLUMNS_MAX: usize = 100;
/// How many ledger events of one step are shown.
const ROWS_MAX: usize = 16;
/// Where measured times end.
const TIME_COLUMN: usize = 74;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const ALERT: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The terminal, or the file that stands in for it.
pub(crate) struct Terminal {
    out: anstream::AutoStream<std::io::Stdout>,
}

impl Terminal {
    /// Takes standard output.
    pub(crate) fn new() -> Self {
        Self { out: anstream::AutoStream::auto(std::io::stdout()) }
    }

    /// Begins a step.
    pub(crate) fn heading(&mut self, number: usize, title: &str) {
        self.line("");
        self.styled(BOLD, &format!("{number}. {title}"));
    }

    /// Begins a part without a number.
    pub(crate) fn title(&mut self, title: &str) {
        self.line("");
        self.styled(BOLD, title);
    }

    /// Says what is going on.
    pub(crate) fn note(&mut self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// Shows a command that is run.
    pub(crate) fn command(&mut self, command: &str) {
        self.styled(DIM, &format!("   $ {command}"));
    }

    /// Shows a command to copy, however long it is.
    pub(crate) fn paste(&mut self, command: &str) {
        self.raw(&format!("   {command}"));
    }

    /// Says that something was seen in the API server, and when.
    pub(crate) fn seen(&mut self, what: &str, after: Duration) {
        let dots = TIME_COLUMN.saturating_sub(5 + what.chars().count() + 1);
        let line = format!("   {GOOD}✓{GOOD:#} {what} {DIM}{}{DIM:#} ", ".".repeat(dots));
        self.raw(&format!("{line}{BOLD}{}{BOLD:#}", millis(after)));
    }

    /// Says that something was verified that has no time.
    pub(crate) fn verified(&mut self, what: &str) {
        self.raw(&format!("   {GOOD}✓{GOOD:#} {what}"));
    }

    /// Says in greffier's words what it noticed.
    pub(crate) fn alert(&mut self, text: &str) {
        self.styled(ALERT, &format!("   {text}"));
    }

    /// Says why it ends, on one line or more.
    pub(crate) fn error(&mut self, text: &str) {
        let _ = self.out.flush();
        let mut err = anstream::stderr();
        let _ = writeln!(err, "{BAD}error:{BAD:#} {text}");
    }

    /// Shows another program's output, indented.
    pub(crate) fn quote(&mut self, text: &str) {
        for line in text.lines() {
            self.line(&format!("   {DIM}│{DIM:#} {line}"));
        }
    }

    /// Shows ledger events.
    pub(crate) fn rows(&mut self, rows: &[Value]) {
        if rows.is_empty() {
            return;
        }
        self.styled(DIM, "   ledger:");
        for row in rows.iter().take(ROWS_MAX) {
            self.row(row);
        }
        if let Some(more) = rows.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            self.styled(DIM, &format!("     … and {more} more"));
        }
    }

    /// Shows one ledger event.
    pub(crate) fn row(&mut self, row: &Value) {
        let kind = row["kind"].as_str().unwrap_or("?");
        let summary = row["summary"].as_str().unwrap_or_default();
        let seq = format!("#{}", row["seq"]);
        let text = clip(&format!("{seq:>6} {kind:<18} {summary}"), COLUMNS_MAX - 3);
        if kind == "drift.detected" || kind == "plan.gated" {
            self.styled(ALERT, &format!("   {text}"));
        } else {
            self.line(&format!("   {text}"));
        }
    }

    fn styled(&mut self, style: Style, text: &str) {
        self.raw(&format!("{style}{}{style:#}", clip(text, COLUMNS_MAX)));
    }

    fn line(&mut self, text: &str) {
        self.raw(&clip(text, COLUMNS_MAX));
    }

    fn raw(&mut self, text: &str) {
        // A reader that went away is no reason to leave a control plane behind.
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }
}

/// Shortens a text to `columns` characters. Escape sequences count little and are kept whole.
fn clip(text: &str, columns: usize) -> String {
    if text.contains('\x1b') || text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns - 1).collect();
    short.push('…');
    short
}

fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 9_950.0 { format!("{ms:>5.0} ms") } else { format!("{:>6.1} s", ms / 1000.0) }
}
