//! Columns for people.

use comfy_table::{ContentArrangement, Table, presets};

use crate::query::text::clean;

/// Lays out rows below a header. Cells are made safe for a terminal; lines are never wrapped, so
/// that `grep` and `awk` find whole rows.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| {
            let cell = clean(cell);
            if cell.is_empty() { "-".to_owned() } else { cell.into_owned() }
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// A size for people: `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes;
    let mut rest = 0;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024 {
            return if unit == "B" {
                format!("{value} B")
            } else {
                format!("{value}.{} {unit}", rest * 10 / 1024)
            };
        }
        (value, rest) = (value / 1024, value % 1024);
    }
    format!("{value} TiB")
}

/// A recorded time (RFC 3339 in UTC) in the user's time zone, to the second.
pub(super) fn local_time(recorded: &str) -> String {
    match recorded.parse::<jiff::Timestamp>() {
        Ok(time) => {
            time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => recorded.to_owned(),
    }
}

/// How long ago a recorded time was: `3d`, `5h`, `2m`; empty when there is none.
pub(super) fn age(recorded: &str) -> String {
    let Ok(time) = recorded.parse::<jiff::Timestamp>() else { return String::new() };
    let seconds = jiff::Timestamp::now().duration_since(time).as_secs().max(0);
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_cells_show() {
        let text = table(
            &["NAME", "X"],
            [vec!["long-name".into(), "1".into()], vec!["b".into(), String::new()]],
        );
        assert_eq!(text, "NAME       X\nlong-name  1\nb          -\n");
    }

    #[test]
    fn cells_cannot_drive_the_terminal() {
        assert!(!table(&["A"], [vec!["\u{1b}[2J".into()]]).contains('\u{1b}'));
    }

    #[test]
    fn ages_are_whole_units() {
        let ago = |seconds: i64| {
            let now = jiff::Timestamp::now();
            age(&(now - jiff::SignedDuration::from_secs(seconds)).to_string())
        };
        assert_eq!([ago(180_000), ago(7_300), ago(150)], ["2d", "2h", "2m"]);
        assert_eq!((age(""), age("x")), (String::new(), String::new()));
        assert!(ago(-5).starts_with('0'), "clocks differ");
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!((size(5).as_str(), size(1536).as_str()), ("5 B", "1.5 KiB"));
        assert_eq!(size(64 * 1024 * 1024), "64.0 MiB");
    }
}
