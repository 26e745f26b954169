//! Defining applications and letting go of them.

use serde_json::Value;

use super::{Decision, Error, find, writable};
use crate::ledger::event::{AppDeclaredV1, AppRemovedV1, Origin};
use crate::model::{AppName, AppSpec, Digest, canonical_json};
use crate::replay::{App, World};

pub(super) fn remove(world: &World, app: &str, cascade: Option<bool>) -> Result<Decision, Error> {
    let (name, app) = find(world, app)?;
    // What its parent does not define any more, a person may end.
    let parent = app.origin.parent().and_then(|parent| world.apps.get(parent));
    let left = matches!(&app.origin, Origin::Parent(_))
        && parent.is_none_or(|parent| !parent.defines(name));
    if !left {
        not_defined_elsewhere(name, app)?;
    }
    let cascade = match cascade {
        Some(cascade) => cascade,
        None if app.spec.removals.cascade.is_none() => false,
        None => {
            let objects = world.removal_keys(name).count();
            return Err(Error::SayWhich { app: name.clone(), objects });
        }
    };
    if cascade {
        writable(world)?;
        if app.removing {
            return Ok(Decision::AlreadySo(app.declared));
        }
    }
    let orphans = if cascade { Vec::new() } else { world.orphans(name) };
    let (app, origin) = (name.clone(), Origin::Operator);
    Ok(Decision::record(AppRemovedV1 { app, cascade, origin, declared: None, orphans }))
}

fn not_defined_elsewhere(name: &AppName, app: &App) -> Result<(), Error> {
    let by = match &app.origin {
        Origin::Operator | Origin::Unconfigured => return Ok(()),
        Origin::Config => "the configuration file".to_owned(),
        Origin::Parent(parent) => format!("application `{parent}` in Git"),
    };
    Err(Error::DefinedElsewhere { app: name.clone(), by })
}

pub(super) fn add(world: &World, manifest: &Value) -> Result<Decision, Error> {
    let spec = AppSpec::parse(manifest)?;
    let manifest = canonical_json(manifest);
    if let Some(app) = world.apps.get(&spec.name) {
        not_defined_elsewhere(&spec.name, app)?;
        if app.manifest == Digest::of(&manifest) && !app.removing {
            return Ok(Decision::AlreadySo(app.declared));
        }
    }
    Ok(Decision::record(AppDeclaredV1 { app: spec.name, manifest, origin: Origin::Operator }))
}
