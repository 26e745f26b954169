//! Applications that applications define.

use crate::ledger::Draft;
use crate::ledger::event::{AppDeclaredV1, AppRefusedV1, AppRemovedV1, Origin};
use crate::model::{AppName, AppSpec};
use crate::plan::Plan;
use crate::replay::World;

/// Child applications that the plan defines or removes.
pub(super) fn children(world: &World, plan: &Plan, drafts: &mut Vec<Draft>) {
    let origin = Origin::Parent(plan.app.clone());
    for (child, manifest) in &plan.declare {
        drafts.push(declare(child, manifest, origin.clone()));
    }
    for (child, cascade) in &plan.remove {
        drafts.push(removed(world, child, &origin, *cascade));
    }
}

/// The event that removes an application, which follows from the rollback, or the release, of what is
/// above it where there is one.
pub(super) fn removed(world: &World, app: &AppName, origin: &Origin, cascade: bool) -> Draft {
    let orphans = if cascade { Vec::new() } else { world.orphans(app) };
    let declared = world.apps.get(app).map(|app| app.declared);
    let parent = origin.parent().and_then(|parent| world.apps.get(parent));
    let behind = parent.and_then(|parent| world.word_behind(parent));
    let (app, origin) = (app.clone(), origin.clone());
    let draft = Draft::new(AppRemovedV1 { app, cascade, origin, declared, orphans });
    behind.into_iter().fold(draft, Draft::caused_by)
}

/// The event that defines an application, or says why its manifest is refused.
#[must_use]
pub fn declare(app: &AppName, manifest: &[u8], origin: Origin) -> Draft {
    let parsed = serde_json::from_slice(manifest).map_err(|error| error.to_string());
    let spec = parsed.and_then(|value| AppSpec::parse(&value).map_err(|error| error.to_string()));
    match spec {
        Ok(_) => {
            Draft::new(AppDeclaredV1 { app: app.clone(), manifest: manifest.to_vec(), origin })
        }
        Err(error) => Draft::new(AppRefusedV1 { app: app.to_string(), error, origin }),
    }
}
