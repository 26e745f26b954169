//! What a question is about: an application, an object that may be named in short, or an event.

use super::super::UnknownApp;
use super::super::text::near_names;
use crate::model::{AppName, ObjectKey, Seq};
use crate::replay::World;

/// How many candidates an ambiguous name lists.
pub(super) const CANDIDATES_MAX: usize = 5;
/// Bound: with how many objects an unknown name is compared.
const NEAR_LOOKED_AT_MAX: usize = 5_000;

/// kubectl's short names of Kubernetes' own kinds.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("cj", "CronJob"),
    ("cm", "ConfigMap"),
    ("crd", "CustomResourceDefinition"),
    ("deploy", "Deployment"),
    ("ds", "DaemonSet"),
    ("ep", "Endpoints"),
    ("hpa", "HorizontalPodAutoscaler"),
    ("ing", "Ingress"),
    ("limits", "LimitRange"),
    ("netpol", "NetworkPolicy"),
    ("no", "Node"),
    ("ns", "Namespace"),
    ("pc", "PriorityClass"),
    ("pdb", "PodDisruptionBudget"),
    ("po", "Pod"),
    ("pv", "PersistentVolume"),
    ("pvc", "PersistentVolumeClaim"),
    ("quota", "ResourceQuota"),
    ("rc", "ReplicationController"),
    ("rs", "ReplicaSet"),
    ("sa", "ServiceAccount"),
    ("sc", "StorageClass"),
    ("sts", "StatefulSet"),
    ("svc", "Service"),
];

/// kubectl's short names of a kind.
pub(crate) fn short_names(kind: &str) -> impl Iterator<Item = &'static str> {
    SHORT_NAMES.iter().filter(move |(_, long)| *long == kind).map(|(short, _)| *short)
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An application, by its name.
    App(String),
    /// An object, as far as it was named.
    Object(Wanted),
    /// An event.
    Event(Seq),
}

/// An object as people name it: the kind by any of its names, group and namespace where needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The kind, its plural or kubectl's short name of it, in any case of letters.
    kind: String,
    /// The API group; `None` = any.
    group: Option<String>,
    /// The namespace; `None` = any, empty = none.
    namespace: Option<String>,
    name: String,
}

/// What is said of an object whose kind is not watched…
const EXCLUDED: &str = ": its kind is excluded, so greffier does not watch it";
/// …and what can be done about it.
const EXCLUDED_HINT: &str = "docs/config.md tells which kinds are excluded (`cluster.exclude`); objects of them that an \
     application has are watched by name";

/// Why a name names nothing, or too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// No application has the name.
    #[error(transparent)]
    App(#[from] UnknownApp),
    /// It is no name at all.
    #[error(
        "`{0}` is neither an application, nor an object (Kind[.group]/[namespace/]name), nor an \
         event (#number)"
    )]
    Malformed(String),
    /// Nothing is known of the object.
    #[error("nothing is known of {wanted}{}", if *.excluded { EXCLUDED } else { "" })]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// Objects that look like it.
        near: Vec<String>,
        /// Whether its kind is excluded from watching.
        excluded: bool,
    },
    /// No kind has such a name, and nothing is recorded of an object of it.
    #[error("nothing is known of {wanted}: the cluster serves no kind `{kind}`")]
    UnknownKind {
        /// What was asked for.
        wanted: String,
        /// The kind as it was named.
        kind: String,
        /// Kinds that look like it.
        near: Vec<String>,
    },
    /// Several objects have the name.
    #[error("`{wanted}` could be {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Some of them.
        candidates: Vec<String>,
    },
    /// There is no such event.
    #[error("there is no event #{wanted}")]
    NoEvent {
        /// What was asked for.
        wanted: Seq,
        /// The last event that is known.
        last: Seq,
    },
}

impl SubjectError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let (near, otherwise) = match self {
            Self::App(error) => (&error.near, "`greffier get apps` lists them"),
            Self::Unknown { excluded: true, .. } => return EXCLUDED_HINT.to_owned(),
            Self::Unknown { near, .. } | Self::UnknownKind { near, .. } => {
                (near, "`greffier get resources` lists what is known")
            }
            Self::Ambiguous { .. } => return "name its namespace with -n, or its group".to_owned(),
            Self::Malformed(_) => {
                return "e.g. `web`, `Deployment/web -n prod`, or `#1234`".to_owned();
            }
            Self::NoEvent { last, .. } => return format!("the last is #{last}"),
        };
        if near.is_empty() {
            otherwise.to_owned()
        } else {
            format!("did you mean {}?", near.join(", "))
        }
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// An application.
    App(AppName),
    /// An object, and the application that speaks for it.
    Object(ObjectKey, Option<AppName>),
    /// An event that there is.
    Event(Seq),
}

impl Subject {
    /// Reads `APP`, `KIND[.group]/[NAMESPACE/]NAME` or `#EVENT`; `namespace` is a namespace that was
    /// given apart from it.
    ///
    /// # Errors
    /// [`SubjectError::Malformed`].
    pub fn parse(text: &str, namespace: Option<&str>) -> Result<Self, SubjectError> {
        let malformed = || SubjectError::Malformed(text.to_owned());
        if text.starts_with('#') {
            return text.parse().map(Self::Event).map_err(|_| malformed());
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, inside, name) = match parts.as_slice() {
            [app] => {
                return match app.parse::<AppName>() {
                    Ok(_) => Ok(Self::App((*app).to_owned())),
                    Err(_) => Err(malformed()),
                };
            }
            [kind, name] => (*kind, None, *name),
            [kind, inside, name] => (*kind, Some((*inside).to_owned()), *name),
            _ => return Err(malformed()),
        };
        let namespace = inside.or_else(|| namespace.map(str::to_owned));
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group.to_owned())),
            None => (kind, None),
        };
        if kind.is_empty() || name.is_empty() {
            return Err(malformed());
        }
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Ok(Self::Object(Wanted { kind, group, namespace, name }))
    }

    /// Finds what is named.
    ///
    /// # Errors
    /// When it names nothing that is known, or several things.
    pub fn find(&self, world: &World) -> Result<Found, SubjectError> {
        match self {
            Self::App(name) => {
                let named = name.parse::<AppName>().ok();
                let known = named.filter(|name| world.apps.contains_key(name));
                known.map(Found::App).ok_or_else(|| {
                    let near = near_names(name, world.apps.keys().map(AppName::as_str));
                    UnknownApp { name: name.clone(), near }.into()
                })
            }
            Self::Object(wanted) => wanted.find(world),
            Self::Event(seq) if *seq > Seq::ZERO && *seq <= world.seq => Ok(Found::Event(*seq)),
            Self::Event(seq) => Err(SubjectError::NoEvent { wanted: *seq, last: world.seq }),
        }
    }
}

impl Wanted {
    /// What a key says that may be written in short: what it leaves out may be anything.
    pub(super) fn of(key: &ObjectKey) -> Self {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            kind: key.kind().to_owned(),
            group: given(key.group()),
            namespace: given(key.namespace()),
            name: key.name().to_owned(),
        }
    }

    /// The objects that are there, wanted or applied and have the name.
    pub(super) fn all<'w>(&self, world: &'w World) -> Vec<&'w ObjectKey> {
        let kinds = self.kinds(world);
        let fits = |key: &&ObjectKey| {
            key.name() == self.name
                && kinds.iter().any(|kind| key.kind().eq_ignore_ascii_case(kind))
                && self.group.as_ref().is_none_or(|group| key.group().eq_ignore_ascii_case(group))
                && self.namespace.as_ref().is_none_or(|wanted| *wanted == key.namespace())
        };
        let keys = world.live.keys().chain(world.wanted_by.keys()).chain(world.owned.keys());
        let mut found: Vec<&ObjectKey> = keys.filter(fits).collect();
        found.sort();
        found.dedup();
        found
    }

    /// The first of `keys` whose kind may be meant.
    pub(super) fn of_kind<'k>(
        &self,
        world: &World,
        mut keys: impl Iterator<Item = &'k ObjectKey>,
    ) -> Option<&'k ObjectKey> {
        let kinds = self.kinds(world);
        keys.find(|key| {
            kinds.iter().any(|kind| key.kind().eq_ignore_ascii_case(kind))
                && self.group.as_ref().is_none_or(|group| key.group().eq_ignore_ascii_case(group))
        })
    }

    /// What an object of the name is called, of every kind that is served and may be meant.
    pub(super) fn keys(&self, world: &World) -> Vec<ObjectKey> {
        let kinds = self.kinds(world);
        let served = world.cluster.kinds.keys().filter(|kind| {
            kinds.iter().any(|known| kind.kind.eq_ignore_ascii_case(known))
                && self.group.as_ref().is_none_or(|group| kind.group.eq_ignore_ascii_case(group))
        });
        let namespace = self.namespace.clone().unwrap_or_default();
        served.map(|kind| ObjectKey::new(&kind.group, &kind.kind, &namespace, &self.name)).collect()
    }

    fn find(&self, world: &World) -> Result<Found, SubjectError> {
        match self.all(world).as_slice() {
            [key] => Ok(Found::Object((*key).clone(), spokesman(world, key))),
            // What is gone is named by its whole key: the ledger may know it.
            [] => Ok(Found::Object(self.key(world), None)),
            several => Err(SubjectError::Ambiguous {
                wanted: self.to_string(),
                candidates: several.iter().take(CANDIDATES_MAX).map(ToString::to_string).collect(),
            }),
        }
    }

    /// The kinds that may be meant: of the name, of the plural, of the short name.
    fn kinds<'w>(&'w self, world: &'w World) -> Vec<&'w str> {
        let is = |name: &str| name.eq_ignore_ascii_case(&self.kind);
        let mut served = world.cluster.kinds.values();
        let plural = served.find(|served| is(&served.plural));
        let short = SHORT_NAMES.iter().find(|(short, _)| is(short));
        let plural = plural.map(|served| served.kind.kind.as_str());
        let short = short.map(|(_, kind)| *kind);
        [Some(self.kind.as_str()), plural, short].into_iter().flatten().collect()
    }

    /// The key as far as it can be told without an object: the kind is written as it is served.
    pub(super) fn key(&self, world: &World) -> ObjectKey {
        self.keys(world).into_iter().next().unwrap_or_else(|| {
            let group = self.group.clone().unwrap_or_default();
            let namespace = self.namespace.clone().unwrap_or_default();
            ObjectKey::new(group, &self.kind, namespace, &self.name)
        })
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(group) = self.group.as_ref().filter(|group| !group.is_empty()) {
            write!(f, ".{group}")?;
        }
        match self.namespace.as_deref() {
            None | Some("") => write!(f, "/{}", self.name),
            Some(namespace) => write!(f, "/{namespace}/{}", self.name),
        }
    }
}

/// The application that speaks for an object: its owner, or else the first that wants it.
pub(super) fn spokesman(world: &World, key: &ObjectKey) -> Option<AppName> {
    let owner = world.owned.get(key).map(|owned| &owned.app);
    let owner = owner.filter(|owner| world.apps.contains_key(owner));
    let rivals = world.wanted_by.get(key).into_iter().flatten();
    let declared = |app: &&AppName| world.apps.get(app).map(|app| app.declared);
    owner.or_else(|| rivals.min_by_key(declared)).cloned()
}

/// Objects of the same kind whose names look like `key`'s.
pub(in crate::query) fn near(world: &World, key: &ObjectKey) -> Vec<String> {
    let same_kind = |known: &&ObjectKey| known.kind().eq_ignore_ascii_case(key.kind());
    let known = world.live.keys().filter(same_kind).take(NEAR_LOOKED_AT_MAX);
    let names: Vec<String> = known.map(ToString::to_string).collect();
    near_names(&key.to_string(), names.iter().map(String::as_str))
}

/// Whether the kind of `key` is excluded from watching.
pub(in crate::query) fn is_excluded(world: &World, key: &ObjectKey) -> bool {
    world.cluster.kinds.get(&key.group_kind()).is_some_and(|served| !served.watched)
}
