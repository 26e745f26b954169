//! Waiting for a sync to finish, saying what happens meanwhile.

use std::time::Duration;

use super::args::Format;
use super::error::{Error, Exit};
use super::{log, output};
use crate::http::{Client, dto, query_string};
use crate::query::text::clean;

/// How long a sync may take when nobody says.
pub(super) const SYNC_WAIT: Duration = Duration::from_secs(300);

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Complete,
    Partial,
    Gated,
}

/// Waits for the sync that event `seq` asked for.
pub(super) async fn sync(
    client: &Client,
    app: &str,
    seq: u64,
    wait: Duration,
    quiet: bool,
) -> Result<Ended, Error> {
    restrained(client, app).await?;
    let after = seq.to_string();
    let mut stream = client.stream(&query_string(&[("app", app), ("after", &after)])).await?;
    let finished = async {
        if waits_at_gate(client, app).await? {
            return Ok(None);
        }
        while let Some(row) = stream.next().await? {
            if !quiet {
                output::say(log::rows(std::slice::from_ref(&row), Format::Table).trim_end());
            }
            match row.kind.as_str() {
                // One that was decided before the request names it not as its cause.
                "sync.finished" if row.causes.contains(&seq) => return Ok(Some(row)),
                // What is gated waits for a person, and so would the sync.
                "plan.gated" => return Ok(None),
                "app.removed" => {
                    return Err(Error::new(Exit::Partial, format!("{app} was removed meanwhile")));
                }
                _ => {}
            }
        }
        Err(Error::new(Exit::Unreachable, "the daemon stopped before the sync had finished")
            .hint(format!("`greffier log {app} -f` follows it when the daemon runs again")))
    };
    let row = tokio::time::timeout(wait, finished).await.map_err(|_| {
        let seconds = wait.as_secs();
        Error::new(Exit::Timeout, format!("the sync of {app} has not finished within {seconds} s"))
            .hint(format!("it goes on: `greffier log {app} -f` follows it, `greffier show {app}` says what it waits for"))
    })??;
    match row {
        None => Ok(Ended::Gated),
        Some(row) if row.tone == "good" => Ok(Ended::Complete),
        Some(_) if waits_at_gate(client, app).await? => Ok(Ended::Gated),
        Some(_) => Ok(Ended::Partial),
    }
}

/// Refuses to wait where it is known that nothing is written for now, and says why.
async fn restrained(client: &Client, app: &str) -> Result<(), Error> {
    let status: dto::Status = client.get("status", "").await?;
    let later = format!("it is recorded, and done when that is over: `greffier log {app} -f`");
    if let Some(doubt) = &status.cluster.doubt {
        let text = format!("{app}: nothing is written now: {}", clean(doubt));
        return Err(Error::new(Exit::Refused, text)
            .hint(later)
            .hint("`greffier cluster accept --plan` shows what would follow from keeping it"));
    }
    if let Some(lost) = &status.cluster.lost {
        let text = format!(
            "{app}: nothing is written now: the API server cannot be reached: {}",
            clean(lost)
        );
        return Err(Error::new(Exit::Unreachable, text).hint(later));
    }
    Ok(())
}

async fn waits_at_gate(client: &Client, app: &str) -> Result<bool, Error> {
    let app: dto::App = client.get(&Client::app_path(app, ""), "").await?;
    Ok(app.gate.is_some_and(|gate| !gate.approved))
}
