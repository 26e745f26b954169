//! The chain of a live field: from its value through `blame`.

use super::super::super::blame::{Blame, Deed, Field, FromGit, Removed, UNKNOWN, Who};
use super::super::super::text::clip;
use super::causes::FromCommit;
use super::{Cause, ChainLink, Claim, Walk};
use crate::ledger;
use crate::model::{ObjectKey, Seq};

/// How many fields are told: a path may cover many.
const FIELDS_MAX: usize = 5;
/// How long a value may be, in characters.
const VALUE_CHARS_MAX: usize = 80;

/// Tells of the fields that `blame` found, the newest first.
pub(in crate::query::why) fn of_field(
    walk: &mut Walk<'_>,
    key: &ObjectKey,
    blame: &Blame,
) -> Result<(), ledger::Error> {
    let mut fields: Vec<&Field> = blame.fields.iter().collect();
    fields.sort_by_key(|field| std::cmp::Reverse(field.introduced.seq));
    let all = fields.len() + blame.removed.len();
    if all > FIELDS_MAX {
        walk.bounds.insert(format!("{FIELDS_MAX} of {all} fields are told, the newest first"));
    }
    for field in fields.into_iter().take(FIELDS_MAX) {
        present(walk, key, field)?;
    }
    let left = FIELDS_MAX.saturating_sub(blame.fields.len());
    for removed in blame.removed.iter().take(left) {
        gone(walk, key, removed)?;
    }
    Ok(())
}

/// The first line about a field, for a headline.
pub(in crate::query::why) fn value(field: &Field) -> String {
    format!("{} is {}", field.path, short(&field.value))
}

fn short(value: &serde_json::Value) -> String {
    clip(&value.to_string(), VALUE_CHARS_MAX)
}

fn present(walk: &mut Walk<'_>, key: &ObjectKey, field: &Field) -> Result<(), ledger::Error> {
    let mut what = value(field);
    if let Some(was) = &field.was {
        what.push_str(&format!(", was {}", short(was)));
    }
    let from = field.introduced.git.as_ref();
    if let Some(from) = from.filter(|from| !from.file.is_empty()) {
        let line = from.line.map_or_else(String::new, |line| format!(":{line}"));
        what.push_str(&format!(" ({}{line} in Git)", from.file));
    }
    if !field.conflict.is_empty() {
        what.push_str(&format!("; {}", field.conflict));
    }
    head(walk, what, &field.introduced);
    chain(walk, key, &field.introduced)?;
    if field.set.seq != field.introduced.seq {
        // The same value was written again since.
        chain(walk, key, &field.set)?;
    }
    Ok(())
}

fn gone(walk: &mut Walk<'_>, key: &ObjectKey, field: &Removed) -> Result<(), ledger::Error> {
    let what = format!("{} is no longer there, was {}", field.path, short(&field.was));
    head(walk, what, &field.removed);
    chain(walk, key, &field.removed)
}

fn head(walk: &mut Walk<'_>, mut what: String, deed: &Deed) {
    if let Some(after) = deed.after {
        let since = if after == 0 {
            "nothing is known before".to_owned()
        } else {
            format!("after #{after}")
        };
        what.push_str(&format!("; it was not seen as it happened ({since})"));
    }
    walk.links.push(ChainLink {
        seq: (deed.seq > 0).then_some(deed.seq),
        time: deed.time.clone(),
        who: claims(&deed.who),
        ..ChainLink::told("field", what, &deed.who.strength)
    });
}

fn chain(walk: &mut Walk<'_>, key: &ObjectKey, deed: &Deed) -> Result<(), ledger::Error> {
    let commit = deed.git.as_ref().map(from_commit);
    walk.causes_of(Cause::from_commit(Seq(deed.seq), key, commit), 1)
}

fn from_commit(from: &FromGit) -> FromCommit {
    FromCommit { commit: from.commit.parse().ok(), note: from.note.clone() }
}

fn claims(who: &Who) -> Vec<Claim> {
    if let Some(write) = &who.write {
        return vec![Claim { evidence: vec![write.intent], ..Claim::greffier() }];
    }
    if who.strength == UNKNOWN {
        return vec![Claim::unknown("user", &who.note)];
    }
    let claim = |role: &str, name: &str| Claim {
        evidence: who.attribution.into_iter().collect(),
        note: who.note.clone(),
        ..Claim::new(role, name, &who.strength)
    };
    if who.attribution.is_some() {
        return vec![claim("user", &who.name)];
    }
    who.managers.iter().map(|manager| claim("field manager", manager)).collect()
}
