//! `mark` and `get marks`: names of instants.

use serde_json::json;

use super::asker::Context;
use super::change::accepted;
use super::error::Error;
use super::table::table;
use super::{at, output};
use crate::http::dto;

/// Runs `mark`.
pub(super) async fn run(
    context: &Context,
    name: &str,
    instant: Option<&str>,
    reason: &str,
) -> Result<(), Error> {
    let instant = instant.map(at::parse).transpose()?;
    let instant = instant.map(|instant| instant.or_end().to_string()).unwrap_or_default();
    let client = context.daemon().await?;
    let body = json!({"name": name, "at": instant, "reason": reason});
    let done: dto::Accepted = client.post("marks", &body).await?;
    accepted(context, &done, &format!("mark:{name} names the instant"))
}

/// Runs `get marks`.
pub(super) async fn list(context: &Context) -> Result<(), Error> {
    let marks = context.asker().await?.marks().await?;
    let text = |marks: &[dto::Mark], _: bool| {
        let rows = marks.iter().map(|mark| {
            let event = format!("#{}", mark.seq);
            let time = at::zoned(&mark.time);
            vec![mark.name.clone(), event, time, mark.by.clone(), mark.reason.clone()]
        });
        table(&["NAME", "EVENT", "TIME", "BY", "REASON"], rows)
    };
    output::print(&output::list(&marks, context.global.output, text, |mark| mark.name.clone()))
}
