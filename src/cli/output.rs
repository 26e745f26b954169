//! Printing.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::args::Format;
use super::error::{Error, Exit};
use super::yaml::to_yaml;

/// Writes data. A closed pipe is no error: whoever reads has read enough.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(Exit::Usage, "cannot write to standard output").because(&error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether standard output was closed by whoever reads it.
pub(super) fn print_open(text: &str) -> bool {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Says something to the person in front of the terminal.
pub(super) fn say(text: &str) {
    // Nobody there to hear it: nothing to be done.
    let _ = writeln!(anstream::stderr(), "{text}");
}

fn value_of(item: &impl Serialize) -> Value {
    // Wire structs have string keys and no foreign types: they always have a JSON form.
    serde_json::to_value(item).unwrap_or_default()
}

/// A list in `format`; `table` makes the columns (wide or not), `name` the name of an entry.
pub(super) fn list<T: Serialize>(
    items: &[T],
    format: Format,
    table: impl FnOnce(&[T], bool) -> String,
    name: impl Fn(&T) -> String,
) -> String {
    match format {
        // Refused before anything is asked: see `at::check_format`.
        Format::Table | Format::Csv | Format::Html => table(items, false),
        Format::Wide => table(items, true),
        Format::Json => pretty(&value_of(&items)),
        Format::Jsonl => items.iter().map(|item| format!("{}\n", value_of(item))).collect(),
        Format::Yaml => to_yaml(&value_of(&items)),
        Format::Name => items.iter().map(|item| format!("{}\n", name(item))).collect(),
    }
}

/// One thing in `format`; `text` makes what people read.
pub(super) fn one<T: Serialize>(
    item: &T,
    format: Format,
    text: impl FnOnce(&T) -> String,
    name: impl FnOnce(&T) -> String,
) -> String {
    match format {
        Format::Table | Format::Wide | Format::Csv | Format::Html => text(item),
        Format::Json => pretty(&value_of(item)),
        Format::Jsonl => format!("{}\n", value_of(item)),
        Format::Yaml => to_yaml(&value_of(item)),
        Format::Name => format!("{}\n", name(item)),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
