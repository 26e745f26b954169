//! Applications that go or come with a plan, for people: every object on a line of its own.

use crate::query::children::{Come, Gone};

/// The applications that are removed: what becomes of each, and its objects below it.
pub(super) fn removed(remove: &[String], gone: &[Gone]) -> Vec<String> {
    let untold = remove.iter().filter(|app| gone.iter().all(|gone| gone.app != **app));
    let mut lines: Vec<String> = untold.cloned().collect();
    for gone in gone {
        lines.push(gone.text());
        let both = !gone.deletes.is_empty() && !gone.leaves.is_empty();
        lines.extend(gone.deletes.iter().map(|object| format!("  {object}")));
        let left = if both { " (left behind)" } else { "" };
        let passes = gone.passes.iter();
        lines.extend(passes.map(|object| format!("  {} (passes to {})", object.object, object.to)));
        lines.extend(gone.leaves.iter().map(|object| format!("  {object}{left}")));
    }
    lines
}

/// The applications that are defined: what is known of each that was not there, and of those below
/// it, with the objects.
pub(super) fn defined(define: &[String], come: &[Come]) -> Vec<String> {
    let untold = define.iter().filter(|app| come.iter().all(|come| come.app != **app));
    let mut lines: Vec<String> = untold.cloned().collect();
    for come in come {
        lines.push(come.text());
        lines.extend(come.objects.iter().map(|object| format!("  {object}")));
    }
    lines
}

/// Both, of the applications of which more is known than their names.
pub(super) fn objects_of(come: &[Come], gone: &[Gone]) -> Vec<String> {
    let mut lines = defined(&[], come);
    lines.extend(removed(&[], gone));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_a_line_of_its_own() {
        let objects = |n: usize| (0..n).map(|n| format!("ConfigMap/prod/{n}")).collect::<Vec<_>>();
        let gone =
            Gone { app: "web".into(), deletes: objects(60), leaves: objects(1), ..Gone::default() };
        let lines = removed(&["web".into(), "api".into()], &[gone]);
        assert_eq!(lines.len(), 1 + 1 + 61, "{lines:#?}");
        assert_eq!((&*lines[0], &*lines[2]), ("api", "  ConfigMap/prod/0"));
        assert_eq!(lines[62], "  ConfigMap/prod/0 (left behind)");
        let come = Come { app: "web".into(), render: 3, objects: objects(2), ..Come::default() };
        let lines = defined(&["web".into(), "api".into()], &[come]);
        assert_eq!((lines.len(), &*lines[3]), (4, "  ConfigMap/prod/1"), "{lines:#?}");
    }
}
