//! While it is not known whether the cluster that answers is the one to be kept: nothing is written,
//! and nothing is said about what is there.
//!
//! What is wanted and not there is not missing: in another cluster it never was. What was applied
//! stays known, and is neither extra nor gone.

use super::{Assessment, Permission, Plan, Status, Sync, deadline};
use crate::ledger::event::Health;
use crate::model::{AppName, ObjectKey};
use crate::replay::{App, World};

/// How a doubt ends.
const ACCEPT: &str = "until a person has said which cluster is kept (greffier cluster)";

/// Why nothing is written; `None` = the cluster that answers is the one that is kept.
pub(super) fn why(world: &World) -> Option<String> {
    Some(format!("{}; nothing is written {ACCEPT}", world.cluster.doubt_text()?))
}

/// A plan that does nothing and knows nothing; `None` = the cluster that answers is the one that
/// is kept.
pub(super) fn plan(
    world: &World,
    name: &AppName,
    app: &App,
    permission: &Permission,
) -> Option<Plan> {
    let doubt = world.cluster.doubt_text()?;
    let mut plan = Plan::nothing(world, name, app, permission.clone());
    let desired = app.desired.as_ref().filter(|_| !app.removing);
    let wanted = desired.into_iter().flat_map(|desired| desired.objects.keys());
    let extras = world.owned_by(name).map(|(key, _)| key).filter(|key| !app.wants(key));
    plan.objects = wanted.chain(extras).map(|key| unknown(key, &doubt)).collect();
    plan.objects.sort_by(|a, b| a.key.cmp(&b.key));
    plan.suspended.clone_from(&app.suspended);
    plan.awaits = app.awaits.keys().cloned().collect();
    plan.sync = Sync::Unknown;
    (plan.health, plan.health_message) = (Health::Unknown, doubt);
    plan.deadline = deadline(world, app);
    Some(plan)
}

fn unknown(key: &ObjectKey, doubt: &str) -> Assessment {
    Assessment {
        key: key.clone(),
        status: Status::Unknown,
        why: doubt.to_owned(),
        health: Health::Unknown,
        health_message: String::new(),
        blocked: true,
        waits_for_progress: true,
        counted: true,
    }
}
