//! How many go, in words. What is left behind counts like what is deleted, and is not called so:
//! whoever reads the reason has to know which of both it is.

use crate::model::AppName;
use crate::replay::GoingCount;

/// Of the objects of an application, `total`.
pub(super) fn of_share(going: GoingCount, total: usize, name: &AppName) -> String {
    let of = format!("of {total} objects of {name}");
    match going.apps {
        0 => format!("would delete {} {of}", going.deletes),
        _ => format!("would {}: {} {of}", each(going), going.total()),
    }
}

/// Of everything that one thing asked for, `cause`.
pub(super) fn of_cause(going: GoingCount, cause: &str) -> String {
    match going.apps {
        0 => format!("would delete {} objects {cause}", going.deletes),
        _ => format!("would {}: {} objects {cause}", each(going), going.total()),
    }
}

/// What becomes of how many.
fn each(GoingCount { deletes, apps, leaves }: GoingCount) -> String {
    let parts = [
        ("delete", deletes, "object"),
        ("remove", apps, "application"),
        ("leave behind", leaves, "object"),
    ];
    let parts = parts.into_iter().filter(|(_, n, _)| *n > 0);
    let parts = parts.map(|(verb, n, noun)| {
        let plural = if n == 1 { "" } else { "s" };
        format!("{verb} {n} {noun}{plural}")
    });
    let parts: Vec<String> = parts.collect();
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
