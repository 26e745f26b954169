//! What a person writes as a revision, and the commit it names.

use std::collections::HashSet;

use gix::{ObjectId, Repository};

use super::Error;
use super::refs::{Refs, commit_id};
use crate::model::CommitId;

/// The shortest commit id that is looked up, as in git.
const PREFIX_DIGITS_MIN: usize = 4;
/// How many similar names an error lists.
const NEAR_MAX: usize = 3;
/// How similar a name has to be to be suggested, from 0 to 1.
const NEAR_CUTOFF: f32 = 0.6;
/// How many names are compared for a suggestion; the comparison costs more than the lookup.
const NEAR_COMPARED_MAX: usize = 1_000;

/// Finds the commit that `revision` names in `mirror`.
///
/// # Errors
/// The outer error is damage of the mirror, the inner one the answer to the person.
pub(super) fn resolve(
    mirror: &Repository,
    repo: &str,
    revision: &str,
) -> Result<Result<CommitId, Error>, gix::Error> {
    let name = if revision.is_empty() { "HEAD" } else { revision };
    let candidates = [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")];
    let refs = Refs::of_repository(mirror)?;
    for candidate in &candidates {
        if let Some(commit) = refs.commit(mirror, candidate)? {
            return Ok(Ok(commit));
        }
    }
    match by_id(mirror, name)? {
        Found::One(id) => Ok(Ok(commit_id(id))),
        Found::Many => {
            Ok(Err(Error::AmbiguousRevision { repo: repo.to_owned(), revision: name.to_owned() }))
        }
        Found::None => Ok(Err(Error::UnknownRevision {
            repo: repo.to_owned(),
            revision: name.to_owned(),
            near: near(&refs, name),
        })),
    }
}

enum Found {
    None,
    One(ObjectId),
    Many,
}

/// The commits whose id begins with `digits`.
fn by_id(mirror: &Repository, digits: &str) -> Result<Found, gix::Error> {
    let is_id = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_id
        || digits.len() < PREFIX_DIGITS_MIN
        || digits.len() > mirror.object_hash().len_in_hex()
    {
        return Ok(Found::None);
    }
    let prefix = gix::hash::Prefix::from_hex(digits)?;
    let mut ids = HashSet::new();
    mirror.objects.lookup_prefix(prefix, Some(&mut ids))?;
    let mut commits = Vec::new();
    for id in ids {
        if mirror.find_header(id)?.kind() == gix::object::Kind::Commit {
            commits.push(id);
        }
    }
    Ok(match commits.as_slice() {
        [] => Found::None,
        [id] => Found::One(*id),
        _ => Found::Many,
    })
}

/// The names of branches and tags that are most like `name`.
fn near(refs: &Refs, name: &str) -> Vec<String> {
    let names: Vec<&str> = refs
        .targets
        .keys()
        .filter_map(|full| full.strip_prefix("refs/heads/").or(full.strip_prefix("refs/tags/")))
        .take(NEAR_COMPARED_MAX)
        .collect();
    let close = similar::get_close_matches(name, &names, NEAR_MAX, NEAR_CUTOFF);
    close.into_iter().map(str::to_owned).collect()
}
