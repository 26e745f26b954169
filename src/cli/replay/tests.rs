use super::*;
use crate::recovery::LossKind;

fn shown(missing: Vec<Loss>) -> Shown {
    Shown { missing, objects: 3, source: "desired".into(), ..Shown::default() }
}

#[test]
fn a_refusal_lists_exactly_what_is_missing_unless_it_is_left() {
    restorable(&shown(Vec::new()), false).unwrap();
    let missing = vec![
        Loss::new(LossKind::BlobMissing, "ConfigMap/prod/a", "its manifest is not in the ledger"),
        Loss::new(LossKind::NotServed, "Widget.example.org/prod/w", "nothing replayed defines it"),
    ];
    let refused = restorable(&shown(missing.clone()), false).unwrap_err();
    assert_eq!(refused.exit, Exit::Refused);
    let lines: Vec<&str> = refused.message.lines().skip(1).collect();
    let expected = [
        "ConfigMap/prod/a: its manifest is not in the ledger",
        "Widget.example.org/prod/w: nothing replayed defines it",
    ];
    assert_eq!(lines, expected);
    restorable(&shown(missing), true).unwrap();
}

#[test]
fn a_plan_names_what_is_in_the_way_and_what_does_not_come_back() {
    let lost = vec![Loss::new(LossKind::VolumeData, "PersistentVolumeClaim/prod/data", "gone")];
    let planned = Planned {
        server: "https://10.0.0.2:6443".into(),
        version: "v1.36.3".into(),
        uid: "c-2".into(),
        in_the_way: vec!["Namespace/prod".into()],
        plan: Shown { lost, ..shown(Vec::new()) },
    };
    let text = text::plan(&planned);
    for part in ["3 objects as wanted", "IN THE WAY", "Namespace/prod", "DOES NOT COME BACK: 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

fn report(now: u32, again: &[&str]) -> Report {
    Report {
        recovery: 41,
        server: "https://10.0.0.2:6443".into(),
        version: "v1.36.3".into(),
        uid: "c-2".into(),
        written: 600,
        found: 0,
        now,
        written_milliseconds: 12_345,
        again: again.iter().map(|again| (*again).to_owned()).collect(),
        failed: Vec::new(),
        differs: Vec::new(),
        verified: true,
        missing: Vec::new(),
        lost: Vec::new(),
        later: Vec::new(),
        notes: Vec::new(),
        milliseconds: 14_000,
    }
}

/// Goal: nobody is told to do again what cannot help.
#[test]
fn a_way_on_is_one_that_helps() {
    let ways = |failed: &[bool], differs: &[bool]| {
        let named = |resumable: &bool| Named {
            object: "ConfigMap/prod/f".into(),
            why: "why".into(),
            resumable: *resumable,
        };
        let differing = |resumable: &bool| Differing {
            object: "ConfigMap/prod/d".into(),
            why: ".data.key one \u{2192} edited".into(),
            resumable: *resumable,
            key: ObjectKey::new("", "ConfigMap", "prod", "d"),
        };
        let (failed, differs) =
            (failed.iter().map(named).collect(), differs.iter().map(differing).collect());
        text::ways_on(&Report { failed, differs, verified: false, ..report(0, &[]) })
    };
    let gone = ways(&[true], &[true]);
    assert_eq!(gone[0], "--resume writes what is not there");
    assert!(gone.len() == 2 && gone[1].starts_with("or --abandon 41 ends it"), "{gone:?}");
    // Somebody changed one, and another was somebody's before.
    let stuck = ways(&[false], &[false]);
    assert!(stuck[0].contains("does not change ConfigMap/prod/f, ConfigMap/prod/d"), "{stuck:?}");
    assert!(stuck[0].contains("delete it on the target; then --resume"), "{stuck:?}");
    assert!(stuck.len() == 2, "{stuck:?}");
    assert_eq!(ways(&[true], &[false]).len(), 3);
}

#[test]
fn a_report_says_how_long_the_last_object_took_and_what_was_gone() {
    let onto = "replay #41 onto https://10.0.0.2:6443: 600 objects";
    let whole = text::report(&report(600, &[]));
    assert!(whole.starts_with(&format!("{onto} in 12.3 s; VERIFIED: ")), "{whole}");
    assert!(whole.ends_with("(14.0 s in all)\n"), "{whole}");
    let rest = text::report(&report(7, &["Secret/prod/a"]));
    assert!(rest.starts_with(&format!("{onto}, 7 of them now in 12.3 s; VERIFIED: ")), "{rest}");
    assert!(rest.ends_with("WRITTEN AGAIN, gone since it was written: 1\n  Secret/prod/a\n"));
    let compared = text::report(&report(0, &[]));
    assert!(compared.starts_with(&format!("{onto}; VERIFIED: ")), "{compared}");
}
