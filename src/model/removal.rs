//! What people say about the removal of objects and applications, in annotations and options, as
//! Argo CD reads it.
//!
//! An object's own annotation is read from the object *in the cluster*: what was removed from Git
//! has no other, and a delete is bound to the resource version that was read. It wins over the
//! option of its application.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::time::Timestamp;

/// Several of Argo CD's options about one object, with commas between them.
const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
/// Options about the comparison of one object.
const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
/// Helm's own way to say that an object stays.
const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
/// The sync wave of an object.
const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
/// Helm's word for it.
const HOOK_WEIGHT: &str = "helm.sh/hook-weight";
/// On an Application: since when removals that ask for it are confirmed.
pub const DELETION_APPROVED: &str = "argocd.argoproj.io/deletion-approved";

/// The finalizer that makes removal of an Application remove its objects.
const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";
/// Finalizers that stand for hooks, which are not run yet.
const HOOK_FINALIZERS: [&str; 2] =
    ["pre-delete-finalizer.argocd.argoproj.io", "post-delete-finalizer.argocd.argoproj.io"];

/// Why an object would be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Removal {
    /// It left Git.
    Prune,
    /// Its application is removed, and its objects with it.
    Delete,
}

impl Removal {
    /// The word of the options.
    fn word(self) -> &'static str {
        match self {
            Self::Prune => "Prune",
            Self::Delete => "Delete",
        }
    }
}

/// What an annotation or option says about a removal, the more careful the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stance {
    /// Nothing.
    #[default]
    Unsaid,
    /// `=true`: the object goes.
    Goes,
    /// `=confirm`: it goes when somebody has confirmed it.
    Asks,
    /// `=false`: it stays.
    Stays,
}

impl Stance {
    /// Reads the options of one kind; where several are given, the most careful one counts.
    fn read<'a>(options: impl Iterator<Item = &'a str>, removal: Removal) -> Self {
        let said = options.filter_map(|option| {
            match option.strip_prefix(removal.word())?.strip_prefix('=')? {
                "true" => Some(Self::Goes),
                "confirm" => Some(Self::Asks),
                "false" => Some(Self::Stays),
                _ => None,
            }
        });
        said.max().unwrap_or_default()
    }

    fn ruling(self, wording: &str, removal: Removal) -> Option<Ruling> {
        let word = removal.word();
        match self {
            Self::Unsaid => None,
            Self::Goes => Some(Ruling::Goes),
            Self::Asks => Some(Ruling::Asks(format!("{wording} {word}=confirm"))),
            Self::Stays => Some(Ruling::Stays(format!("{wording} {word}=false"))),
        }
    }
}

/// What follows for one object, with the annotation or option that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing is against its removal.
    Goes,
    /// Somebody has to confirm it.
    Asks(String),
    /// It stays.
    Stays(String),
}

/// What an object's own annotations say about its removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// When it leaves Git.
    pub prune: Stance,
    /// When its application is removed.
    pub delete: Stance,
    /// `helm.sh/resource-policy: keep`: it stays in either case.
    pub keep: bool,
    /// `IgnoreExtraneous`: that it is not in Git does not make its application differ from Git.
    pub extraneous: bool,
    /// Its sync wave: the highest goes first.
    pub wave: i32,
}

impl Protection {
    /// Reads the annotations of an object. What is not understood says nothing.
    #[must_use]
    pub fn of(annotations: Option<&Value>) -> Self {
        let Some(annotations) = annotations.and_then(Value::as_object) else {
            return Self::default();
        };
        let text = |name: &str| annotations.get(name).and_then(Value::as_str);
        let options = || text(SYNC_OPTIONS).into_iter().flat_map(entries);
        let compare = text(COMPARE_OPTIONS).into_iter().flat_map(entries);
        let wave =
            [SYNC_WAVE, HOOK_WEIGHT].into_iter().find_map(|name| text(name)?.trim().parse().ok());
        Self {
            prune: Stance::read(options(), Removal::Prune),
            delete: Stance::read(options(), Removal::Delete),
            keep: text(RESOURCE_POLICY).is_some_and(|policy| policy.trim() == "keep"),
            extraneous: compare.into_iter().any(|option| option == "IgnoreExtraneous"),
            wave: wave.unwrap_or(0),
        }
    }

    /// What follows for the object, where its application says `of_app`.
    #[must_use]
    pub fn ruling(&self, removal: Removal, of_app: Stance) -> Ruling {
        let own = match removal {
            Removal::Prune => self.prune,
            Removal::Delete => self.delete,
        };
        let own = own.ruling("annotation sync-options", removal);
        if self.keep && !matches!(own, Some(Ruling::Stays(_))) {
            return Ruling::Stays(format!("annotation {RESOURCE_POLICY}: keep"));
        }
        own.or_else(|| of_app.ruling("the application's syncOption", removal))
            .unwrap_or(Ruling::Goes)
    }
}

/// How the dependents of deleted objects go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cascade {
    /// Before the object itself.
    Foreground,
    /// After it, whenever the cluster gets to it.
    Background,
}

/// What an Application says about removals: of its objects, and of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removals {
    /// Its finalizer: its objects go with it, and how; `None` = they are left.
    pub cascade: Option<Cascade>,
    /// What its options say about objects that leave Git.
    pub prune: Stance,
    /// What its options say about its objects when it is removed.
    pub delete: Stance,
    /// What its own annotations say about its removal by the application that defines it.
    pub own: Protection,
    /// Since when removals that ask for it are confirmed.
    pub approved: Option<Timestamp>,
    /// Finalizers that are not honoured yet: they suspend its removal with its objects.
    pub hooks: Vec<String>,
}

impl Removals {
    /// Reads an Application manifest; also returns what was not understood.
    #[must_use]
    pub fn read(manifest: &Value) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let annotations = manifest.pointer("/metadata/annotations");
        let options = || texts(manifest.pointer("/spec/syncPolicy/syncOptions")).map(str::trim);
        let approved =
            annotations.and_then(|annotations| annotations.get(DELETION_APPROVED)?.as_str());
        let mut removals = Self {
            cascade: None,
            prune: Stance::read(options(), Removal::Prune),
            delete: Stance::read(options(), Removal::Delete),
            own: Protection::of(annotations),
            approved: approved.and_then(Timestamp::parse_rfc3339),
            hooks: Vec::new(),
        };
        if let (Some(text), None) = (approved, removals.approved) {
            let text = text.escape_debug();
            warnings.push(format!("annotation {DELETION_APPROVED} `{text}` is no RFC 3339 time"));
        }
        for finalizer in texts(manifest.pointer("/metadata/finalizers")) {
            removals.finalizer(finalizer, &mut warnings);
        }
        (removals, warnings)
    }

    fn finalizer(&mut self, finalizer: &str, warnings: &mut Vec<String>) {
        let hook = HOOK_FINALIZERS.iter().any(|hook| {
            let rest = finalizer.strip_prefix(hook);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        match finalizer.strip_prefix(CASCADE) {
            // As in Argo CD, background wins where both are given.
            Some("/background") => self.cascade = Some(Cascade::Background),
            Some("" | "/foreground") => {
                self.cascade.get_or_insert(Cascade::Foreground);
            }
            _ if hook => self.hooks.push(format!("finalizer {finalizer}")),
            _ => warnings
                .push(format!("finalizer `{}` is not known: ignored", finalizer.escape_debug())),
        }
    }

    /// What the application's options say.
    #[must_use]
    pub fn stance(&self, removal: Removal) -> Stance {
        match removal {
            Removal::Prune => self.prune,
            Removal::Delete => self.delete,
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn protection(annotations: &[(&str, &str)]) -> Protection {
        let map: serde_json::Map<String, Value> =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        Protection::of(Some(&Value::Object(map)))
    }

    #[test]
    fn the_annotation_wins_over_the_option_and_the_most_careful_over_the_rest() {
        let own = |options: &str| protection(&[(SYNC_OPTIONS, options)]);
        let ruling = |options: &str, of_app| match own(options).ruling(Removal::Prune, of_app) {
            Ruling::Goes => "goes".to_owned(),
            Ruling::Asks(what) => format!("asks: {what}"),
            Ruling::Stays(what) => format!("stays: {what}"),
        };
        let stays = "stays: annotation sync-options Prune=false";
        for (options, of_app, expected) in [
            ("", Stance::Unsaid, "goes"),
            ("Validate=false", Stance::Unsaid, "goes"),
            ("", Stance::Stays, "stays: the application's syncOption Prune=false"),
            ("", Stance::Asks, "asks: the application's syncOption Prune=confirm"),
            ("Prune=true", Stance::Stays, "goes"),
            ("Prune=true", Stance::Asks, "goes"),
            ("Prune=confirm", Stance::Stays, "asks: annotation sync-options Prune=confirm"),
            (" Replace=true , Prune=false", Stance::Goes, stays),
            ("Prune=confirm,Prune=false,Prune=true", Stance::Unsaid, stays),
            ("Prune=False,prune=false,Prune=,Prune=no", Stance::Unsaid, "goes"),
            ("Delete=false", Stance::Unsaid, "goes"),
        ] {
            assert_eq!(ruling(options, of_app), expected, "{options} {of_app:?}");
        }
    }

    #[test]
    fn pruning_and_deletion_are_two_things_and_keep_is_both() {
        let own = protection(&[(SYNC_OPTIONS, "Delete=false")]);
        assert_eq!(own.ruling(Removal::Prune, Stance::Unsaid), Ruling::Goes);
        assert!(matches!(own.ruling(Removal::Delete, Stance::Unsaid), Ruling::Stays(_)));
        let kept =
            protection(&[(RESOURCE_POLICY, "keep"), (SYNC_OPTIONS, "Prune=true,Delete=confirm")]);
        for removal in [Removal::Prune, Removal::Delete] {
            let what = "annotation helm.sh/resource-policy: keep".to_owned();
            assert_eq!(kept.ruling(removal, Stance::Unsaid), Ruling::Stays(what));
        }
        assert!(!protection(&[(RESOURCE_POLICY, "delete")]).keep);
    }

    #[test]
    fn waves_and_compare_options_are_read() {
        assert_eq!(protection(&[(SYNC_WAVE, " -3 ")]).wave, -3);
        assert_eq!(protection(&[(SYNC_WAVE, "x"), (HOOK_WEIGHT, "2")]).wave, 2);
        let options = "IncludeMutationWebhook=true, IgnoreExtraneous";
        assert!(protection(&[(COMPARE_OPTIONS, options)]).extraneous);
        assert!(!protection(&[(COMPARE_OPTIONS, "IgnoreExtraneous=false")]).extraneous);
    }

    fn application(finalizers: &[&str], annotations: Value, options: &[&str]) -> Value {
        json!({"metadata": {"name": "web", "finalizers": finalizers, "annotations": annotations},
               "spec": {"syncPolicy": {"syncOptions": options}}})
    }

    #[test]
    fn finalizers_say_whether_and_how_objects_go_with_their_application() {
        let plain = "resources-finalizer.argocd.argoproj.io";
        let read = |finalizers: &[&str]| {
            Removals::read(&application(finalizers, json!({}), &[])).0.cascade
        };
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[plain]), Some(Cascade::Foreground));
        let (fore, back) = (format!("{plain}/foreground"), format!("{plain}/background"));
        assert_eq!(read(&[&fore]), Some(Cascade::Foreground));
        assert_eq!(read(&[&back]), Some(Cascade::Background));
        assert_eq!(read(&[&back, plain]), Some(Cascade::Background));
        let (other, warnings) =
            Removals::read(&application(&[&format!("{plain}/x"), "a.io/b"], json!({}), &[]));
        assert_eq!((other.cascade, warnings.len()), (None, 2));
        let hooks = [
            "pre-delete-finalizer.argocd.argoproj.io",
            "post-delete-finalizer.argocd.argoproj.io/cleanup",
        ];
        let (held, warnings) = Removals::read(&application(&hooks, json!({}), &[]));
        assert_eq!((held.hooks.len(), warnings.len(), held.cascade), (2, 0, None));
    }

    #[test]
    fn options_and_the_approval_of_deletions_are_read() {
        let (removals, warnings) = Removals::read(&application(
            &[],
            json!({DELETION_APPROVED: "2026-11-25T20:00:00Z", SYNC_OPTIONS: "Prune=confirm"}),
            &["Delete=false", "Prune=confirm"],
        ));
        assert_eq!((removals.prune, removals.delete), (Stance::Asks, Stance::Stays));
        assert_eq!((removals.own.prune, warnings.len()), (Stance::Asks, 0));
        assert_eq!(removals.approved, Timestamp::parse_rfc3339("2026-11-25T20:00:00Z"));
        let (removals, warnings) =
            Removals::read(&application(&[], json!({DELETION_APPROVED: "yes"}), &[]));
        assert_eq!((removals.approved, warnings.len()), (None, 1));
    }
}
