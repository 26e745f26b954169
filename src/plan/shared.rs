//! Objects that other applications have: `FailOnSharedResource=true` stops the sync because of
//! them, as in Argo CD. Without it they are reported, and everything else goes on.

use super::Plan;
use super::assess::{Assessment, Status};
use crate::replay::App;

/// Takes everything out of the plan that a sync would do, where the sync has to fail.
pub(super) fn stop(app: &App, plan: &mut Plan) {
    let Some(message) = found(app, plan) else { return };
    for write in std::mem::take(&mut plan.writes) {
        let object = plan.objects.iter_mut().find(|object| object.key == write.key);
        if let Some(object) = object {
            object.block(format!("{}; not written: {message}", write.reason), false);
        }
    }
    plan.declare.clear();
    plan.remove.clear();
    plan.gate = None;
}

/// Why the sync has to fail, if it has to.
pub(super) fn found(app: &App, plan: &Plan) -> Option<String> {
    if !app.spec.fail_on_shared || app.removing {
        return None;
    }
    let foreign = |object: &&Assessment| object.status == Status::Foreign;
    let shared = plan.objects.iter().find(foreign)?;
    Some(format!("syncOption FailOnSharedResource: {}: {}", shared.key, shared.why))
}
