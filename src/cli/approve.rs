//! `approve`: lets a plan that waits go on, after it was shown as a whole.

use std::io::IsTerminal as _;

use serde::Serialize;

use super::args::{ApproveArgs, Format};
use super::asker::Context;
use super::change::{accepted, accepted_with};
use super::error::{Error, Exit};
use super::output;
use super::plan::waits_whole;
use super::read::short;
use crate::http::{Client, dto, query_string};
use crate::query::planned::Waits;

/// What was approved, for programs.
#[derive(Serialize)]
struct Approved<'a> {
    #[serde(flatten)]
    accepted: &'a dto::Accepted,
    /// What waited until then.
    waited: &'a Waits,
}

/// Runs `approve`.
pub(super) async fn run(context: &Context, args: ApproveArgs) -> Result<(), Error> {
    let client = context.daemon().await?;
    let query = query_string(&[("plan", args.plan.as_deref().unwrap_or_default())]);
    let waits: Waits = client.get(&Client::app_path(&args.app, "gate"), &query).await?;
    let what = format!("plan {} of {} is approved", short(&waits.plan), args.app);
    if let Some(seq) = waits.approved {
        let done = dto::Accepted { seq, already: true, undo: String::new(), next: Vec::new() };
        return accepted(context, &done, &what);
    }
    let asks = !args.yes && std::io::stdin().is_terminal();
    let people = context.global.output == Format::Table;
    // Whoever is asked has to see it, also where the answer is for a program.
    if asks || (people && (!context.global.quiet || !args.yes)) {
        output::say(waits_whole(&waits).trim_end());
    }
    if !args.yes {
        confirm(&args, &waits).or_else(|refused| {
            if !people {
                output::print(&for_programs(context.global.output, &waits))?;
            }
            Err(refused)
        })?;
    }
    // What was shown, and nothing else.
    let body = dto::ApproveBody { plan: waits.plan.clone(), reason: args.reason };
    let done: dto::Accepted = client.post(&Client::app_path(&args.app, "approve"), &body).await?;
    accepted_with(context, &Approved { accepted: &done, waited: &waits }, &done, &what)
}

/// What waits, where nobody has approved it.
fn for_programs(format: Format, waits: &Waits) -> String {
    output::one(waits, format, waits_whole, |waits| waits.plan.clone())
}

fn confirm(args: &ApproveArgs, waits: &Waits) -> Result<(), Error> {
    let refused = |why: &str| Error::new(Exit::Refused, why.to_owned());
    if !std::io::stdin().is_terminal() {
        // Whoever names the plan has seen it.
        if args.plan.is_some() {
            return Ok(());
        }
        return Err(refused("not approved: nobody is there to be asked").hint(format!(
            "greffier approve {} {}",
            args.app,
            short(&waits.plan)
        )));
    }
    output::say("type `yes` to approve:");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_err() || answer.trim() != "yes" {
        return Err(refused("not approved"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::children::{Gone, Passes};
    use crate::query::planned::Item;

    fn waits() -> Waits {
        let passes = Passes { object: "ConfigMap/prod/x5".into(), to: "x2".into() };
        let gone = Gone {
            app: "x".into(),
            deletes: (0..60).map(|n| format!("Secret/prod/x{n}")).collect(),
            leaves: vec!["ConfigMap/prod/kept".into()],
            passes: vec![passes],
        };
        let item = Item { verb: "remove".into(), name: "x".into(), ..Item::default() };
        let (app, plan) = ("root".into(), "abab".into());
        Waits { app, plan, items: vec![item], gone: vec![gone], ..Waits::default() }
    }

    /// Goal: whoever approves is shown every object that goes, however many, and each that stays.
    #[test]
    fn every_object_that_goes_is_shown_before_the_approval() {
        let text = waits_whole(&waits());
        for line in [
            "with applications that are removed:",
            "Secret/prod/x0",
            "Secret/prod/x59",
            "ConfigMap/prod/x5 (passes to x2)",
            "ConfigMap/prod/kept (left behind)",
        ] {
            assert!(text.lines().any(|told| told.trim() == line), "{line}: {text}");
        }
    }

    /// Goal: programs are told the same, of what waits and of what was approved.
    #[test]
    fn every_object_that_goes_is_told_to_programs() {
        let waits = waits();
        let told: serde_json::Value =
            serde_json::from_str(&for_programs(Format::Json, &waits)).unwrap();
        assert_eq!(told["gone"][0]["deletes"][59], "Secret/prod/x59");
        let accepted = dto::Accepted { seq: 7, already: false, undo: String::new(), next: vec![] };
        let approved = Approved { accepted: &accepted, waited: &waits };
        let approved = serde_json::to_value(&approved).unwrap();
        assert_eq!((&approved["seq"], &approved["waited"]), (&7.into(), &told));
    }
}
