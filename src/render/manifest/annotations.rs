//! What an object's annotations ask of a sync: its wave, and what they restrain. Pure.
//!
//! An annotation that restrains writes in a way that is not honoured yet becomes a hold on
//! exactly those writes. One that only relaxes a check, or asks for what greffier does anyway, is
//! passed over; one that is not known is a warning. What restrains removals is not read here but
//! from the object in the cluster ([`crate::model::Protection`]).

use serde_json::{Map, Value};

use super::Problem;
use crate::ledger::event::{ObjectHold, ObjectOptions};

const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";
const ARGO_OPTIONS: &str = "argocd.argoproj.io/sync-options";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
const HELM_POLICY: &str = "helm.sh/resource-policy";

/// What the annotations say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) wave: i32,
    pub(super) holds: Vec<ObjectHold>,
    pub(super) options: ObjectOptions,
    pub(super) warnings: Vec<String>,
    /// The phase of a hook.
    pub(super) phase: Option<String>,
    /// The object is no part of the application: a test or a rollback hook.
    pub(super) dropped: bool,
}

/// Reads the annotations of a manifest whose metadata was normalised.
///
/// # Errors
/// A wave that is no number.
pub(super) fn read(manifest: &Map<String, Value>) -> Result<Notes, Problem> {
    let metadata = manifest.get("metadata");
    let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
    let annotation = |name: &str| annotations?.get(name)?.as_str();
    let mut notes = Notes { wave: wave(annotation)?, ..Notes::default() };
    if let Some(hook) = annotation(ARGO_HOOK) {
        notes.hook(&hook.split(',').map(str::trim).collect::<Vec<_>>().join(","));
    } else if let Some(hook) = annotation(HELM_HOOK) {
        notes.helm_hook(hook);
    }
    for option in annotation(ARGO_OPTIONS).unwrap_or_default().split(',').map(str::trim) {
        notes.option(option);
    }
    if let Some(policy) = annotation(HELM_POLICY) {
        notes.resource_policy(policy.trim());
    }
    Ok(notes)
}

fn wave<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Result<i32, Problem> {
    for name in [ARGO_WAVE, HELM_WEIGHT] {
        if let Some(text) = annotation(name) {
            return text.trim().parse().map_err(|_| Problem::Invalid {
                field: format!("metadata.annotations[{name}]"),
                reason: format!("is `{}`, not a whole number", text.escape_debug()),
            });
        }
    }
    Ok(0)
}

impl Notes {
    fn hook(&mut self, phase: &str) {
        self.phase = Some(phase.to_owned());
        let what = format!("hook {phase}");
        self.holds.push(ObjectHold { what, create: true, update: true, prune: true });
    }

    fn helm_hook(&mut self, hook: &str) {
        let mut phases: Vec<&str> = Vec::new();
        let mut left_out = Vec::new();
        for event in hook.split(',').map(str::trim).filter(|event| !event.is_empty()) {
            let phase = match event {
                // Helm 2: an ordinary definition that had to come first.
                "crd-install" => return,
                "pre-install" | "pre-upgrade" => "PreSync",
                "post-install" | "post-upgrade" => "PostSync",
                "pre-delete" => "PreDelete",
                "post-delete" => "PostDelete",
                other => {
                    left_out.push(other);
                    continue;
                }
            };
            if !phases.contains(&phase) {
                phases.push(phase);
            }
        }
        if phases.is_empty() {
            self.dropped = true;
            self.warnings.push(format!("helm hook {} is left out", left_out.join(",")));
        } else {
            self.hook(&phases.join(","));
        }
    }

    fn option(&mut self, option: &str) {
        match option {
            "Replace=true" | "Replace=false" => {
                self.options.replace = Some(option == "Replace=true");
            }
            "Force=true" | "Force=false" => {
                self.options.force = Some(option == "Force=true");
            }
            "Validate=true" | "Validate=false" => {
                self.options.validate = Some(option == "Validate=true");
            }
            // What is said about removals is read from the object in the cluster. What the others
            // ask for is what greffier does, or they only relax a check.
            ""
            | "Prune=true"
            | "Prune=false"
            | "Prune=confirm"
            | "Delete=true"
            | "Delete=false"
            | "Delete=confirm"
            | "ServerSideApply=true"
            | "SkipDryRunOnMissingResource=true"
            | "PruneLast=false"
            | "SkipDryRunOnMissingResource=false"
            | "ClientSideApplyMigration=true"
            | "ClientSideApplyMigration=false" => {}
            "PruneLast=true" => {
                let warning = "sync option `PruneLast=true` of one object: not honoured; that of the \
                               application is";
                self.warnings.push(warning.to_owned());
            }
            "ServerSideApply=false" => {
                let warning = "sync option `ServerSideApply=false`: server-side apply is used";
                self.warnings.push(warning.to_owned());
            }
            other => {
                self.warnings.push(format!("sync option `{other}` is not known: ignored"));
            }
        }
    }

    fn resource_policy(&mut self, policy: &str) {
        if !["", "keep"].contains(&policy) {
            self.warnings.push(format!("{HELM_POLICY} `{policy}` is not known: ignored"));
        }
    }
}
