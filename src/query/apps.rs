//! Applications with what is decided about them.

use super::text::near_names;
use crate::config::GateConfig;
use crate::model::{AppName, ObjectKey, PlanHash, Seq};
use crate::plan::{Compared, Limits, Plan, plan};
use crate::replay::{App, Approval, Gate, SyncRequest, World};

/// The fewest digits of a plan's hash that name it.
pub(super) const HASH_PREFIX_MIN: usize = 4;

/// The planner's limits as the configuration states them.
#[must_use]
pub fn limits(gate: &GateConfig) -> Limits {
    Limits {
        app_percent_max: gate.app_percent_max,
        app_objects_min: gate.app_objects_min,
        all_objects_max: gate.all_objects_max,
        kinds: gate.kinds.clone(),
    }
}

/// An application and what is decided about it.
#[derive(Debug, Clone)]
pub struct AppView<'a> {
    /// Its name.
    pub name: &'a AppName,
    /// What is known of it.
    pub app: &'a App,
    /// What would be done about it.
    pub plan: Plan,
}

/// No application has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no application `{name}`")]
pub struct UnknownApp {
    /// What was asked for.
    pub name: String,
    /// Names that look like it.
    pub near: Vec<String>,
}

/// Every application, by name.
#[must_use]
pub fn apps<'a>(world: &'a World, compared: &Compared, limits: &Limits) -> Vec<AppView<'a>> {
    let views = world.apps.iter();
    views
        .filter_map(|(name, app)| {
            Some(AppView { name, app, plan: plan(world, name, limits, compared)? })
        })
        .collect()
}

/// The application `name`.
///
/// # Errors
/// [`UnknownApp`] with the names that look like it.
pub fn app<'a>(
    world: &'a World,
    compared: &Compared,
    limits: &Limits,
    name: &str,
) -> Result<AppView<'a>, UnknownApp> {
    let (name, app) = known(world, name)?;
    let plan = plan(world, name, limits, compared);
    plan.map(|plan| AppView { name, app, plan }).ok_or_else(|| unknown(world, name.as_str()))
}

/// The same without a plan.
///
/// # Errors
/// [`UnknownApp`] with the names that look like it.
pub fn known<'a>(world: &'a World, name: &str) -> Result<(&'a AppName, &'a App), UnknownApp> {
    let found = name.parse::<AppName>().ok().and_then(|name| world.apps.get_key_value(&name));
    found.ok_or_else(|| unknown(world, name))
}

fn unknown(world: &World, name: &str) -> UnknownApp {
    let near = near_names(name, world.apps.keys().map(AppName::as_str));
    UnknownApp { name: name.to_owned(), near }
}

/// What would be done about `name` if somebody asked for a sync now. Nothing is changed.
///
/// # Errors
/// [`UnknownApp`] with the names that look like it.
pub fn dry_run(
    world: &World,
    compared: &Compared,
    limits: &Limits,
    name: &str,
    prune: bool,
    only: Vec<ObjectKey>,
) -> Result<Plan, UnknownApp> {
    let view = app(world, compared, limits, name)?;
    let mut asked = world.clone();
    if let Some(app) = asked.apps.get_mut(view.name) {
        app.attempts.clear();
        let seq = Seq(world.seq.0 + 1);
        app.request = Some(SyncRequest::new(seq, prune, only, world.now));
    }
    Ok(plan(&asked, view.name, limits, compared).unwrap_or(view.plan))
}

/// Why an approval names no plan that waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Nothing waits.
    #[error("nothing of `{app}` waits for approval")]
    Nothing {
        /// The application.
        app: String,
    },
    /// Nothing of it waits but what another application asks about that it is below.
    #[error("nothing of `{app}` waits for approval by itself: what waits is of `{of}`")]
    Above {
        /// The application.
        app: String,
        /// The one above it.
        of: String,
    },
    /// Another plan waits than the one that was named.
    #[error("the plan of `{app}` that waits is {waits}, not {given}")]
    Other {
        /// The application.
        app: String,
        /// The short hash of the plan that waits.
        waits: String,
        /// What was given.
        given: String,
    },
    /// The plan that was named has lapsed.
    #[error("plan {given} of `{app}` has lapsed")]
    Lapsed {
        /// The application.
        app: String,
        /// What was given.
        given: String,
        /// Whether another plan of the application waits now.
        another: bool,
    },
    /// The plan that was named is another application's.
    #[error("plan {given} is one of `{of}`, not of `{app}`")]
    OfOther {
        /// The application that was named.
        app: String,
        /// Whose plan it is.
        of: String,
        /// What was given.
        given: String,
    },
    /// What was given could name many plans.
    #[error("`{given}` is no plan hash: give at least {HASH_PREFIX_MIN} hexadecimal digits of it")]
    Prefix {
        /// What was given.
        given: String,
    },
    /// What was given names several plans.
    #[error("`{given}` is the beginning of several plan hashes of `{app}`")]
    Ambiguous {
        /// The application.
        app: String,
        /// What was given.
        given: String,
    },
}

impl GateError {
    /// Why, where that is more than what was asked for.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        let lapsed = matches!(self, Self::Lapsed { .. });
        lapsed.then_some("what it rests on changed, so that it is not what would be done now")
    }
}

/// The plan that an approval names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedPlan<'a> {
    /// It waits.
    Waits(&'a Gate),
    /// It was approved and is being carried out.
    Approved(Approval),
}

/// The nearest application above `app` of which something waits.
fn waits_above<'w>(world: &'w World, app: &'w App) -> Option<&'w AppName> {
    let above = |name: &&'w AppName| world.apps.get(*name)?.origin.parent();
    // Bound: no chain of parents is longer, unless it is a circle.
    let mut chain = std::iter::successors(app.origin.parent(), above).take(world.apps.len());
    chain.find(|name| world.apps.get(*name).is_some_and(|app| app.gate.is_some()))
}

/// The plan of `name` that the hash prefix names; whatever waits, when it is empty.
///
/// # Errors
/// When nothing waits, the prefix is too short or not hexadecimal, or names something else.
pub fn plan_named<'a>(
    world: &World,
    (name, app): (&AppName, &'a App),
    prefix: &str,
) -> Result<NamedPlan<'a>, GateError> {
    let (app_name, given) = (name.to_string(), prefix.to_owned());
    let digits = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !digits || (!prefix.is_empty() && prefix.len() < HASH_PREFIX_MIN) {
        return Err(GateError::Prefix { given });
    }
    let fits = |plan: &PlanHash| plan.to_string().starts_with(prefix);
    let waits = app.gate.as_ref().filter(|gate| fits(&gate.plan));
    let approved = app.approved.filter(|approval| fits(&approval.plan));
    let found = waits.map(NamedPlan::Waits).or(approved.map(NamedPlan::Approved));
    let lapsed = !prefix.is_empty() && app.lapsed.iter().any(fits);
    match found {
        Some(_) if lapsed => return Err(GateError::Ambiguous { app: app_name, given }),
        Some(found) => return Ok(found),
        None => {}
    }
    let another = app.gate.is_some();
    if lapsed {
        return Err(GateError::Lapsed { app: app_name, given, another });
    }
    if prefix.is_empty() {
        return Err(match waits_above(world, app) {
            Some(of) => GateError::Above { app: app_name, of: of.to_string() },
            None => GateError::Nothing { app: app_name },
        });
    }
    let theirs = |other: &App| {
        let waits = other.gate.as_ref().map(|gate| &gate.plan).into_iter();
        waits.chain(other.approved.iter().map(|approval| &approval.plan)).any(fits)
    };
    if let Some((of, _)) = world.apps.iter().find(|(_, other)| theirs(other)) {
        return Err(GateError::OfOther { app: app_name, of: of.to_string(), given });
    }
    match &app.gate {
        None => Err(GateError::Nothing { app: app_name }),
        Some(gate) => Err(GateError::Other { app: app_name, waits: gate.plan.short(), given }),
    }
}
