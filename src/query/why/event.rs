//! An event: what it follows from, down to its roots, and what it brought about.

use super::super::book::Book;
use super::super::who;
use super::chain::{Walk, consequences};
use super::subject::SubjectError;
use super::{Error, HEADLINE_CHARS_MAX, Pending, Why};
use crate::model::Seq;
use crate::query::text::clip;
use crate::replay::World;

/// The question about an event that there is.
pub(super) fn asked(world: &World, seq: Seq) -> Pending {
    let why = Why { subject: format!("#{seq}"), seq: world.seq.0, ..Why::default() };
    Pending { why, event: Some(seq), ..Pending::default() }
}

/// The answer.
pub(super) fn read(mut why: Why, seq: Seq, book: &dyn Book) -> Result<Why, Error> {
    let Some(recorded) = book.get(seq)? else {
        return Err(SubjectError::NoEvent { wanted: seq, last: book.head() }.into());
    };
    let described = who::described(book, &recorded);
    why.headline = format!("#{seq}: {}", clip(&described.summary, HEADLINE_CHARS_MAX));
    why.app = described.app;
    let mut walk = Walk::new(book);
    walk.event(seq, None, 0)?;
    (why.chain, why.bounds) = walk.ends();
    let (consequences, bounds) = consequences(book, &recorded)?;
    why.consequences = consequences;
    why.bounds.extend(bounds);
    Ok(why)
}
