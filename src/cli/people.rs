//! `get people`: who is behind which credential, and when.

use super::args::Format;
use super::asker::Context;
use super::error::Error;
use super::output;
use super::table::table;
use crate::query::people::Person;

/// Runs `get people`.
pub(super) async fn list(context: &Context) -> Result<(), Error> {
    let found = context.asker().await?.people().await?;
    if found.is_empty() && !context.global.quiet && context.global.output == Format::Table {
        output::say(
            "note: nobody is written down: answers name credentials (docs/config.md, person)",
        );
    }
    let rows = |people: &[Person], _: bool| table(&HEADER, people.iter().map(row));
    output::print(&output::list(&found, context.global.output, rows, |person| person.name.clone()))
}

const HEADER: [&str; 8] = ["NAME", "FROM", "UNTIL", "KUBERNETES", "GIT", "SIGNERS", "OS", "FORGE"];

fn row(person: &Person) -> Vec<String> {
    let bound = |text: &str, open: &str| if text.is_empty() { open } else { text }.to_owned();
    let names = |names: &[String]| names.join(", ");
    vec![
        person.name.clone(),
        bound(&person.from, "always"),
        bound(&person.until, "for ever"),
        names(&person.kubernetes),
        names(&person.git),
        names(&person.signers),
        names(&person.os),
        names(&person.forge),
    ]
}
