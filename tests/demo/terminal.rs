//! What the demo prints: at most 100 columns, colour only where a terminal shows it.

use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

/// The width that nothing exceeds, in characters.
const COLUMNS_MAX: usize = 100;
/// How many ledger events of one step are shown.
const ROWS_MAX: usize = 18;
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

    /// Shows another program's output, indented; long lines are cut.
    pub(crate) fn quote(&mut self, text: &str) {
        for line in text.lines() {
            self.raw(&format!("   {DIM}│{DIM:#} {}", clip(line, COLUMNS_MAX - 5)));
        }
    }

    /// Shows another program's output, indented; long lines are broken.
    pub(crate) fn quote_whole(&mut self, text: &str) {
        let whole: Vec<String> = text.lines().map(wrap).collect();
        self.quote(&whole.join("\n"));
    }

    /// Shows ledger events: what says the same of several applications is one line.
    pub(crate) fn rows(&mut self, rows: &[Value]) {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in rows {
            let group = Group::of(row);
            match groups.iter_mut().find(|other| other.says_as(&group)) {
                Some(other) => other.add(&group),
                None => groups.push(group),
            }
        }
        // Health on its way to where it ends is of no use to a reader of a story.
        groups.retain(|group| group.kind != "app.health" || group.summary.ends_with("→ Healthy"));
        if groups.is_empty() {
            return;
        }
        let hidden = groups.len().saturating_sub(ROWS_MAX);
        self.styled(DIM, &format!("   ledger ({} events):", rows.len()));
        for group in groups.iter().take(ROWS_MAX) {
            self.group(group);
        }
        if hidden > 0 {
            self.styled(DIM, &format!("     … and {hidden} more lines"));
        }
    }

    /// Shows one ledger event.
    pub(crate) fn row(&mut self, row: &Value) {
        self.group(&Group::of(row));
    }

    fn group(&mut self, group: &Group<'_>) {
        let apps = group.apps.join(", ");
        let apps = if apps.is_empty() { apps } else { format!("{apps}: ") };
        let seq = format!("#{}", group.seq);
        let text = format!("{seq:>6} {:<16} {apps}{}", group.kind, group.summary);
        let text = clip(&text, COLUMNS_MAX - 3);
        if group.kind == "drift.detected" || group.kind == "plan.gated" {
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

/// Events that say the same.
struct Group<'a> {
    seq: u64,
    kind: &'a str,
    summary: &'a str,
    apps: Vec<&'a str>,
}

impl<'a> Group<'a> {
    fn of(row: &'a Value) -> Self {
        let text = |field: &str| row[field].as_str().unwrap_or_default();
        let apps = Some(text("app")).filter(|app| !app.is_empty()).into_iter().collect();
        let seq = row["seq"].as_u64().unwrap_or_default();
        Self { seq, kind: text("kind"), summary: text("summary"), apps }
    }

    fn add(&mut self, other: &Self) {
        let new = other.apps.iter().filter(|app| !self.apps.contains(app)).copied();
        self.apps.extend(new.collect::<Vec<_>>());
    }

    fn says_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.summary == other.summary && !self.apps.is_empty()
    }
}

/// Breaks a line at spaces so that it fits; what follows is indented as the first text is.
fn wrap(line: &str) -> String {
    let indent =
        line.find("  ").map_or(0, |at| at + line[at..].len() - line[at..].trim_start().len());
    let (mut wrapped, mut column) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = word.chars().count();
        if column + length > COLUMNS_MAX - 5 && column > indent {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            column = indent;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

/// Shortens a text to `columns` characters.
fn clip(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
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
