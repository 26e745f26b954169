use serde_json::json;

use super::*;

fn budget() -> Budget {
    Budget::new(64 << 20, 1000)
}

fn parse_with(text: &[u8], duplicates: Duplicates) -> Result<Parsed, Error> {
    parse(text, duplicates, &mut budget())
}

#[track_caller]
fn check(text: &str, expected: Value) {
    let parsed = parse_with(text.as_bytes(), Duplicates::Refuse);
    let documents = parsed.unwrap_or_else(|error| panic!("{text:?}: {error}")).documents;
    assert_eq!(documents.len(), 1, "{text:?}");
    assert_eq!(documents[0].value, expected, "{text:?}");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = parse_with(text.as_bytes(), Duplicates::Refuse).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text:?}");
}

#[test]
fn yaml_means_what_kubernetes_makes_of_it() {
    // Each was compared with sigs.k8s.io/yaml 1.6.0.
    for (text, expected) in [
        ("a: 1\t\nb: x\t# c\n", json!({"a": 1, "b": "x"})),
        ("a:\t1\n", json!({"a": 1})),
        ("a: {\tb: 1,\n\tc: 2\t}\n", json!({"a": {"b": 1, "c": 2}})),
        ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", json!({"a": 1, "b": "x\ny\n"})),
        ("\u{feff}a: 1\n", json!({"a": 1})),
        (
            "a: [yes, no, 'yes', \"no\", 1.0, \"1.0\"]",
            json!({"a": [true, false, "yes", "no", 1, "1.0"]}),
        ),
        ("on: 1\n2: b\n1.5: c\n", json!({"true": 1, "2": "b", "1.5": "c"})),
        ("a: 0644\nb: 0o644\n", json!({"a": 420, "b": 420})),
        ("a: |\n  text", json!({"a": "text"})),
        ("a: |+\n  text\n\n\nb: 1\n", json!({"a": "text\n\n\n", "b": 1})),
        ("a: >-\n  x\n  y\n\n  z\n", json!({"a": "x y\nz"})),
        ("a: {\nb: 1\n}\n", json!({"a": {"b": 1}})),
        ("a:\n- b\n# c\n- d\n", json!({"a": ["b", "d"]})),
        ("a:\nb: {}\nc: []\n", json!({"a": null, "b": {}, "c": []})),
        ("a: http://x:80/y#z\nb: x#y # z\n", json!({"a": "http://x:80/y#z", "b": "x#y"})),
        ("? a\n: 1\n", json!({"a": 1})),
        (
            "a: !!str 12\nb: !!int '3'\nc: ! 12\nd: !!map {}\n",
            json!({"a": "12", "b": 3, "c": "12", "d": {}}),
        ),
        ("%YAML 1.1\n---\na: 1\n...\n", json!({"a": 1})),
        ("{\"a\": \"\\u00e9\\n\",\n\t\"b\": [1,\n\t2]}", json!({"a": "é\n", "b": [1, 2]})),
    ] {
        check(text, expected);
    }
}

#[test]
fn anchors_and_merge_keys_work_as_in_go_yaml() {
    for (text, expected) in [
        ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
        ("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", json!({"a": 1, "b": 1, "c": 2, "d": 2})),
        (
            "x: &x {a: 1, b: 2}\nz: {<<: *x, b: 3}\n",
            json!({"x": {"a": 1, "b": 2}, "z": {"a": 1, "b": 3}}),
        ),
        (
            "x: &x {a: 1, b: 2}\nz: {b: 3, <<: *x}\n",
            json!({"x": {"a": 1, "b": 2}, "z": {"a": 1, "b": 2}}),
        ),
        (
            "- &p {a: 1}\n- &q {a: 2, b: 2}\n- {<<: [*p, *q]}\n",
            json!([{"a": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 2}]),
        ),
        ("{\"<<\": 1}", json!({"<<": 1})),
    ] {
        check(text, expected);
    }
    check_error("a: {<<: 1}\n", "1:9: the value of `<<` must be a mapping or a list of mappings");
    check_error("a: &x [*x]\n", "1:8: an alias refers to the node that it is part of");
    // Anchors end with their document.
    let error = parse_with(b"a: &x 1\n---\nb: *x\n", Duplicates::Refuse).unwrap_err();
    assert_eq!(error.line, 3);
}

#[test]
fn documents_are_found_with_the_line_where_they_begin() {
    let text = "# a\n\n---\na: 1\n---\n---\n# only a comment\n---\n\n\nb: 2\n...\n---\n~\n--- c\n";
    let parsed = parse_with(text.as_bytes(), Duplicates::Refuse).unwrap();
    let lines: Vec<u64> = parsed.documents.iter().map(|document| document.line).collect();
    assert_eq!(lines, [4, 11, 15]);
    for text in ["", "\n", "# x\n", "---\n", "---\n---\n...\n", "\u{feff}"] {
        assert_eq!(parse_with(text.as_bytes(), Duplicates::Refuse).unwrap().documents, []);
    }
}

#[test]
fn what_is_wrong_is_placed_by_line_and_column() {
    check_error("a: 1\na: 2\n", "2:1: duplicate key `a`");
    check_error("x:\n  - a: 1\n    b: 1\n    a: 2\n", "4:5: duplicate key `a`");
    check_error("a: 1\n1: b\n'1': c\n", "3:1: duplicate key `1`");
    check_error("a: !Ref x\n", "1:9: the tag `!Ref` is not supported");
    check_error("a: !!binary aGk=\n", "1:13: the tag `!!binary` is not supported");
    check_error("a: !!set {x}\n", "1:10: the tag `!!set` is not supported");
    check_error("a: !!int hunter2\n", "1:10: the value does not fit its tag !!int");
    check_error("~: 1\n", "1:1: a key must be text, a number or a boolean");
    check_error("? [a]\n: 1\n", "1:5: a key must be text, a number or a boolean");
    check_error("a: {{ .Values.x }}\n", "1:17: a key must be text, a number or a boolean");
    check_error("a: .inf\n", "1:4: infinity and not-a-number cannot be written as JSON");
    let syntax = |text: &str, line| {
        let error = parse_with(text.as_bytes(), Duplicates::Refuse).unwrap_err();
        assert!(matches!(error.problem, Problem::Syntax(_)), "{text:?}: {error}");
        assert_eq!(error.line, line, "{text:?}: {error}");
    };
    syntax("a: 1\nb:\n\tc: 1\n", 3);
    syntax("a: b: c\n", 1);
    syntax("a: 1\n  b: 2\n", 2);
    syntax("a: *.x\n", 1);
    syntax("b: 1\na: 'x\n", 2);
    syntax("a: `x`\n", 1);
}

#[test]
fn what_is_no_text_is_refused() {
    let error = parse_with(b"a: 1\nb: \xff\n", Duplicates::Refuse).unwrap_err();
    assert_eq!(error.to_string(), "2:4: is not UTF-8 text");
    let error = parse_with(b"a: 1\n\0\n", Duplicates::Refuse).unwrap_err();
    assert_eq!(error.to_string(), "2:1: holds a NUL byte: is it a binary file?");
    let utf16: Vec<u8> = "a: 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse_with(&utf16, Duplicates::Refuse).is_err());
}

#[test]
fn duplicate_keys_may_be_accepted_with_a_warning() {
    let text = "a: {x: 1, z: 2, x: 3}\n---\nb: 1\n";
    let parsed = parse_with(text.as_bytes(), Duplicates::LastWins).unwrap();
    assert_eq!(parsed.documents[0].value, json!({"a": {"x": 3, "z": 2}}));
    assert_eq!(parsed.warnings, [(1, "duplicate key `x`: the last one wins".to_owned())]);
    let many = "a: 1\n".repeat(1000);
    let parsed = parse_with(many.as_bytes(), Duplicates::LastWins).unwrap();
    assert_eq!(parsed.warnings.len(), WARNINGS_MAX);
}

#[test]
fn alias_bombs_are_refused_before_they_take_memory() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let mut budget = budget();
    let error = parse(bomb.as_bytes(), Duplicates::Refuse, &mut budget).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyCopies);
    assert!(budget.bytes_max - budget.bytes_left <= 2 * COPIES_BYTES_MAX);
    // One long text, many times.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(","));
    let error = parse_with(long.as_bytes(), Duplicates::Refuse).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyCopies);
    // Merge keys are copies too.
    let merges =
        format!("a: &a {{x: {}}}\nb: {{{}}}\n", "x".repeat(1 << 20), "<<: *a, ".repeat(100));
    let error = parse_with(merges.as_bytes(), Duplicates::Refuse).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyCopies);
}

#[test]
fn nesting_is_bounded_also_through_aliases() {
    let flow = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse_with(flow(DEPTH_MAX).as_bytes(), Duplicates::Refuse).is_ok());
    let block: String = (0..DEPTH_MAX + 1).map(|level| " ".repeat(level) + "a:\n").collect();
    let half = DEPTH_MAX / 2 + 1;
    let aliased = format!("a: &a {}\nb: {}*a{}\n", flow(half), "[".repeat(half), "]".repeat(half));
    for text in [flow(DEPTH_MAX + 1), flow(1_000_000), block, "- ".repeat(100_000), aliased] {
        let error = parse_with(text.as_bytes(), Duplicates::Refuse).unwrap_err();
        assert_eq!(error.problem, Problem::TooDeep, "{}...", &text[..20]);
    }
}

#[test]
fn documents_and_memory_are_bounded() {
    for text in ["---\n".repeat(1_000_000), "--- a\n".repeat(1_000_000)] {
        let error = parse_with(text.as_bytes(), Duplicates::Refuse).unwrap_err();
        assert_eq!(error.problem, Problem::TooManyDocuments { max: 1000 });
    }
    let wide = format!("[{}]", ",".repeat(10).replace(',', "a,").repeat(1000));
    let mut small = Budget::new(1 << 10, 10);
    let error = parse(wide.as_bytes(), Duplicates::Refuse, &mut small).unwrap_err();
    assert_eq!(error.problem, Problem::TooLarge { max: 1 << 10 });
}

proptest::proptest! {
    #[test]
    fn no_input_makes_the_parser_panic(text in "[a-c0-9:&*!|>'\"{}\\[\\],<?% \n\t#~.-]{0,80}") {
        let _ = parse_with(text.as_bytes(), Duplicates::Refuse);
        let _ = parse_with(text.as_bytes(), Duplicates::LastWins);
    }

    #[test]
    fn json_reads_the_same_as_yaml(text in "[a-zA-Z0-9 :#'\\[{-]{0,20}", number: i64) {
        let value = json!({"text": text, "list": [number, null, true, {"": text}]});
        let parsed = parse_with(value.to_string().as_bytes(), Duplicates::Refuse).unwrap();
        proptest::prop_assert_eq!(&parsed.documents[0].value, &value);
    }
}
