//! The refs of a repository: as the remote states them, as the mirror holds them, and moving the
//! second to the first.
//!
//! Only branches, tags and `HEAD` count. The mirror additionally has `refs/greffier/kept/<id>`
//! for every commit that the ledger knew as the tip of a ref and that the ref then left, so that
//! nothing recorded becomes unreachable.
//!
//! Ordering: kept refs are written before the refs that would lose those commits are moved.

use std::collections::BTreeMap;

use gix::bstr::{BString, ByteSlice as _};
use gix::protocol::handshake::Ref;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};
use gix::{ObjectId, Repository};

use crate::model::CommitId;

/// How many refs one repository may have. Every poll compares all of them; 50 000 take about
/// 50 ms.
pub(super) const REFS_MAX: usize = 50_000;
/// What is fetched, and the staging area that gix moves as it receives it. Readers never look
/// there: the refs they see move when the events are derived.
pub(super) const STAGED_SPECS: [&str; 2] =
    ["+refs/heads/*:refs/greffier/staged/heads/*", "+refs/tags/*:refs/greffier/staged/tags/*"];
/// The staging area.
const STAGED_PREFIX: &str = "refs/greffier/staged/";
/// Where commits are kept that a ref has left.
pub(super) const KEPT_PREFIX: &str = "refs/greffier/kept/";

/// The repository has more refs than this limit.
#[derive(Debug)]
pub(super) struct TooMany(pub(super) usize);

/// Where `HEAD` points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// To a branch, which need not exist.
    Branch(String),
    /// To a commit.
    Detached(ObjectId),
}

/// Branches and tags with what they point to (a tag object where there is one), and `HEAD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refs {
    /// By full name.
    pub(super) targets: BTreeMap<String, ObjectId>,
    /// `None` when the remote does not say.
    pub(super) head: Option<Head>,
}

impl Refs {
    /// What the remote advertised.
    ///
    /// # Errors
    /// [`TooMany`] for more than [`REFS_MAX`].
    pub(super) fn from_remote(advertised: &[Ref]) -> Result<Self, TooMany> {
        if advertised.len() > REFS_MAX {
            return Err(TooMany(REFS_MAX));
        }
        let mut refs = Self::default();
        for reference in advertised {
            let (name, id, branch) = match reference {
                Ref::Peeled { full_ref_name, tag, .. } => (full_ref_name, Some(*tag), None),
                Ref::Direct { full_ref_name, object } => (full_ref_name, Some(*object), None),
                Ref::Symbolic { full_ref_name, target, tag, object } => {
                    (full_ref_name, Some(tag.unwrap_or(*object)), Some(target))
                }
                Ref::Unborn { full_ref_name, target } => (full_ref_name, None, Some(target)),
            };
            refs.insert(name, id, branch);
        }
        Ok(refs)
    }

    fn insert(&mut self, name: &BString, id: Option<ObjectId>, branch: Option<&BString>) {
        let Ok(name) = name.to_str() else {
            tracing::debug!(%name, "ref whose name is not UTF-8 is left out");
            return;
        };
        if name == "HEAD" {
            self.head = match branch.map(|branch| branch.to_str()) {
                Some(Ok(branch)) => Some(Head::Branch(branch.to_owned())),
                Some(Err(_)) | None => id.map(Head::Detached),
            };
        } else if let Some(id) = id
            && is_followed(name)
        {
            self.targets.insert(name.to_owned(), id);
        }
    }

    /// What `repository` itself holds: for the mirror, and for a local source, where it saves
    /// starting a process to find that nothing moved.
    ///
    /// # Errors
    /// When a ref cannot be read.
    pub(super) fn of_repository(repository: &Repository) -> Result<Self, gix::Error> {
        let mut refs = Self::default();
        for prefix in ["refs/heads/", "refs/tags/"] {
            for reference in repository.references()?.prefixed(prefix)? {
                let mut reference = reference?;
                let name = reference.name().as_bstr().to_owned();
                let Ok(id) = reference.follow_to_object() else { continue };
                refs.insert(&name, Some(id.detach()), None);
            }
        }
        let head = repository.head()?;
        refs.head = match head.kind {
            gix::head::Kind::Detached { target, .. } => Some(Head::Detached(target)),
            gix::head::Kind::Symbolic(reference) => branch_head(&reference.name),
            gix::head::Kind::Unborn(name) => branch_head(&name),
        };
        Ok(refs)
    }

    /// Every object that is pointed to.
    pub(super) fn targets(&self) -> impl Iterator<Item = &ObjectId> {
        let detached = match &self.head {
            Some(Head::Detached(id)) => Some(id),
            Some(Head::Branch(_)) | None => None,
        };
        self.targets.values().chain(detached)
    }

    /// The commit of every ref, tags peeled, with `HEAD` where it leads to one. Refs that lead to
    /// something else (a tagged blob) are left out.
    ///
    /// # Errors
    /// When an object is missing from the mirror or damaged.
    pub(super) fn commits(
        &self,
        mirror: &Repository,
    ) -> Result<BTreeMap<String, CommitId>, gix::Error> {
        let mut commits = BTreeMap::new();
        for (name, id) in &self.targets {
            if let Some(commit) = peel(mirror, *id)? {
                commits.insert(name.clone(), commit_id(commit));
            }
        }
        if let Some(head) = self.commit(mirror, "HEAD")? {
            commits.insert("HEAD".to_owned(), head);
        }
        Ok(commits)
    }

    /// The commit that the ref of exactly that name leads to, if there is one.
    ///
    /// # Errors
    /// When an object is missing from the mirror or damaged.
    pub(super) fn commit(
        &self,
        mirror: &Repository,
        name: &str,
    ) -> Result<Option<CommitId>, gix::Error> {
        let id = match (name, &self.head) {
            ("HEAD", Some(Head::Detached(id))) => Some(id),
            ("HEAD", Some(Head::Branch(branch))) => self.targets.get(branch),
            _ => self.targets.get(name),
        };
        Ok(match id {
            Some(id) => peel(mirror, *id)?.map(commit_id),
            None => None,
        })
    }

    /// Removes from the staging area what is not among these, so that a branch `a` that is gone
    /// does not stand in the way of a new `a/b`.
    ///
    /// # Errors
    /// When a ref cannot be read or removed.
    pub(super) fn clear_stage(&self, mirror: &Repository) -> Result<(), gix::Error> {
        let mut gone = Vec::new();
        for reference in mirror.references()?.prefixed(STAGED_PREFIX)? {
            let name = reference?.name().as_bstr().to_string();
            let original = name.replacen(STAGED_PREFIX, "refs/", 1);
            if !self.targets.contains_key(&original) {
                gone.extend(delete(&name));
            }
        }
        edit(mirror, gone)
    }

    /// Moves the mirror's refs to these, after keeping `kept`.
    ///
    /// # Errors
    /// When a ref cannot be written.
    pub(super) fn write_to(
        &self,
        mirror: &Repository,
        kept: &[ObjectId],
    ) -> Result<(), gix::Error> {
        let present = Self::of_repository(mirror)?;
        let mut first = Vec::new();
        for id in kept {
            first.extend(update(&format!("{KEPT_PREFIX}{id}"), Target::Object(*id)));
        }
        edit(mirror, first)?;
        // Deletions go first by themselves: `a` may have to make room for `a/b`.
        let vanished = present.targets.keys().filter(|name| !self.targets.contains_key(*name));
        edit(mirror, vanished.filter_map(|name| delete(name)).collect())?;
        let mut moved: Vec<_> = self
            .targets
            .iter()
            .filter(|(name, id)| present.targets.get(*name) != Some(*id))
            .filter_map(|(name, id)| update(name, Target::Object(*id)))
            .collect();
        if self.head != present.head {
            moved.extend(self.head.as_ref().and_then(head_edit));
        }
        edit(mirror, moved)
    }
}

/// Reads every object that a ref of the mirror points to.
///
/// # Errors
/// When one is missing or damaged.
pub(super) fn read_all(mirror: &Repository) -> Result<(), gix::Error> {
    for reference in mirror.references()?.all()? {
        if let Some(id) = reference?.try_id() {
            mirror.find_object(id)?;
        }
    }
    Ok(())
}

/// The tips that were kept for the ledger.
///
/// # Errors
/// When a ref cannot be read.
pub(super) fn kept(mirror: &Repository) -> Result<Vec<ObjectId>, gix::Error> {
    let mut ids = Vec::new();
    for reference in mirror.references()?.prefixed(KEPT_PREFIX)? {
        ids.extend(reference?.try_id().map(gix::Id::detach));
    }
    Ok(ids)
}

/// A commit's id as the model has it.
pub(super) fn commit_id(id: ObjectId) -> CommitId {
    id.to_string().parse().expect("gix writes object ids as 40 or 64 lower-case hexadecimal digits")
}

/// A commit's id as gix has it; `None` when it is of a hash that this mirror cannot hold.
pub(super) fn object_id(id: &CommitId) -> Option<ObjectId> {
    ObjectId::from_hex(id.as_str().as_bytes()).ok()
}

/// Whether a ref of that name is mirrored.
fn is_followed(name: &str) -> bool {
    (name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
        && FullName::try_from(name).is_ok()
}

fn branch_head(name: &FullName) -> Option<Head> {
    name.as_bstr().to_str().ok().map(|name| Head::Branch(name.to_owned()))
}

/// Follows tags to a commit; `None` when they lead to something else.
fn peel(mirror: &Repository, id: ObjectId) -> Result<Option<ObjectId>, gix::Error> {
    match mirror.find_header(id)?.kind() {
        gix::object::Kind::Commit => Ok(Some(id)),
        gix::object::Kind::Tree | gix::object::Kind::Blob => Ok(None),
        gix::object::Kind::Tag => {
            let end = mirror.find_object(id)?.peel_tags_to_end()?;
            Ok((end.kind == gix::object::Kind::Commit).then_some(end.id))
        }
    }
}

fn update(name: &str, new: Target) -> Option<RefEdit> {
    Some(RefEdit {
        change: Change::Update { log: no_log(), expected: PreviousValue::Any, new },
        name: FullName::try_from(name).ok()?,
        deref: false,
    })
}

fn delete(name: &str) -> Option<RefEdit> {
    let change = Change::Delete { expected: PreviousValue::Any, log: RefLog::AndReference };
    Some(RefEdit { change, name: FullName::try_from(name).ok()?, deref: false })
}

/// `HEAD` of the mirror. What it points to is checked again when it is read.
fn head_edit(head: &Head) -> Option<RefEdit> {
    match head {
        Head::Branch(branch) => {
            update("HEAD", Target::Symbolic(FullName::try_from(branch.as_str()).ok()?))
        }
        Head::Detached(id) => update("HEAD", Target::Object(*id)),
    }
}

/// Mirrors keep no reflog: the ledger is the log.
fn no_log() -> LogChange {
    LogChange { mode: RefLog::AndReference, force_create_reflog: false, message: "".into() }
}

fn edit(mirror: &Repository, edits: Vec<RefEdit>) -> Result<(), gix::Error> {
    if !edits.is_empty() {
        mirror.edit_references(edits)?;
    }
    Ok(())
}
