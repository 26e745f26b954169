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
