//! The command line: what it prints, how it ends, and that `docs/cli.md` says so.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use tokio::runtime::Runtime;

use super::args::Cli;
use super::error::{Error, Exit};
use super::plan::{text as plan_text, waits_text};
use super::read::{diff_text, status_text, tree_text};
use super::run::execute;
use super::why::text as why_text;
use crate::config::Config;
use crate::http::tests::Daemon;
use crate::http::{ClientError, diff_dto, status_dto, tree_dto};
use crate::ledger::event::{ClusterLostV1, FrozenV1, KindsServedV1, ObjectGoneV1, ServedKind};
use crate::ledger::{Draft, Ledger, Options};
use crate::model::{GroupKind, Seq};
use crate::query::fixture::{Story, app_manifest, canonical, name};
use crate::query::planned::{gather as planned, waiting};
use crate::query::why::{Subject, gather};
use crate::query::{app, apps, diff, plan_named, tree};

const ESCAPE: char = '\u{1b}';

/// Runs a command line whose files lie in `dir`.
fn run_in(dir: &Path, args: &[&str]) -> Result<(), Error> {
    let config = dir.join("greffier.toml");
    if !config.exists() {
        let text = "data_dir = \"data\"\nsocket = \"greffier.sock\"\nkey_file = \"key\"\n";
        std::fs::write(&config, text).unwrap();
    }
    run_with(&["--config", config.to_str().unwrap()], args)
}

fn run_with(global: &[&str], args: &[&str]) -> Result<(), Error> {
    let all = ["greffier", "--quiet"].iter().chain(global).chain(args);
    let cli = Cli::try_parse_from(all).unwrap();
    execute(cli, |_: Config, _| unreachable!("no daemon is started here"))
}

/// A daemon of a story, and a runtime that keeps it answering.
fn daemon(story: Story) -> (Runtime, Daemon) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let daemon = runtime.block_on(Daemon::start(story));
    (runtime, daemon)
}

fn ask(daemon: &Daemon, args: &[&str]) -> Result<(), Error> {
    let dir = tempfile::tempdir().unwrap();
    let socket = ["--socket", daemon.socket.to_str().unwrap()];
    let args: Vec<&str> = socket.iter().chain(args).copied().collect();
    run_in(dir.path(), &args)
}

#[test]
fn verbs_and_flags_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_says_what_it_does_and_shows_an_example() {
    fn check(command: &clap::Command) {
        for verb in command.get_subcommands() {
            assert!(verb.get_about().is_some(), "{} has no about", verb.get_name());
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.starts_with("Example"), "{} has no example", verb.get_name());
            check(verb);
        }
    }
    check(&Cli::command());
}

#[test]
fn the_reference_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let reference = reference();
    if std::env::var_os("GREFFIER_BLESS").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "docs/cli.md is out of date: GREFFIER_BLESS=1 cargo test --lib cli::tests writes it anew"
    );
}

fn reference() -> String {
    let mut text = String::from(
        "# Command line\n\nWritten by a test from the program itself; see `greffier help`.\n\n\
         Data goes to standard output, everything else to standard error. Exit codes: 0 same or \
         done, 1 differs,\n2 usage or configuration, 3 unreachable, 4 forbidden, 5 timeout, 6 \
         refused by a guard, 7 ledger damaged,\n8 partial failure, 130 interrupted.\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    section(&mut root, "greffier", &mut text);
    text
}

fn section(command: &mut clap::Command, path: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    // The options of every verb are shown once, at the top.
    let help = match (path == "greffier", help.find("\nGlobal options:")) {
        (false, Some(start)) => {
            let end = help[start..].find("\n\nExample").map_or(help.len(), |at| start + at + 1);
            format!("{}{}", &help[..start], &help[end..])
        }
        _ => help,
    };
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let path = format!("{path} {}", verb.get_name());
        section(verb, &path, text);
    }
}

#[test]
fn the_status_says_what_waits_and_how_to_approve_it() {
    let mut story = Story::told();
    let plan = story.gated();
    let views = apps(&story.world, &story.compared, &story.limits);
    let text = status_text(&status_dto(&story.world, &views));
    assert!(text.contains("not running"), "{text}");
    assert!(text.contains("https://127.0.0.1:6443 Kubernetes v1.36.3"), "{text}");
    assert!(text.contains(&format!("greffier approve web {}", plan.short())), "{text}");
    assert!(text.contains("2: 1 OutOfSync, 1 Synced"), "{text}");
}

/// Goal: while the API server is away, counts are said to be as last seen, and who asks for a sync
/// is told at once that nothing is written.
#[test]
fn what_is_not_known_now_is_said_to_be_so_and_is_not_waited_for() {
    let mut story = Story::told();
    let text = |story: &Story| {
        let views = apps(&story.world, &story.compared, &story.limits);
        let status = status_dto(&story.world, &views);
        status_text(&crate::http::completed(status, &story.ledger).unwrap())
    };
    assert!(!text(&story).contains("as last seen"));
    story.event(ClusterLostV1 { error: "connection refused".into() });
    assert!(text(&story).contains("(as last seen before "), "{}", text(&story));
    let (_runtime, daemon) = daemon(story);
    let error = ask(&daemon, &["sync", "web"]).unwrap_err();
    assert_eq!(error.exit, Exit::Unreachable);
    assert!(error.message.contains("connection refused"), "{}", error.message);
}

#[test]
fn a_freeze_is_loud_in_the_status_and_in_every_tree() {
    let mut story = Story::told();
    story.event(FrozenV1 { until: None, reason: "upgrade".into() });
    let views = apps(&story.world, &story.compared, &story.limits);
    let text = status_text(&status_dto(&story.world, &views));
    assert!(text.contains("FROZEN    nothing is written, since #"), "{text}");
    assert!(text.contains(": upgrade (greffier unfreeze)"), "{text}");
    let view = app(&story.world, &story.compared, &story.limits, "root").unwrap();
    let text = tree_text(&tree_dto(&tree(&story.world, &story.compared, &story.limits, &view)));
    assert!(text.contains("└── web  [Unknown, Healthy]  frozen"), "{text}");
}

#[test]
fn the_tree_is_drawn_with_states() {
    let story = Story::told();
    let view = app(&story.world, &story.compared, &story.limits, "root").unwrap();
    let text = tree_text(&tree_dto(&tree(&story.world, &story.compared, &story.limits, &view)));
    assert!(text.starts_with("root  [Synced, "), "{text}");
    assert!(text.contains("\n└── web  [OutOfSync, "), "{text}");
    assert!(text.contains("        └── ReplicaSet.apps/prod/web-1  [Healthy]"), "{text}");
}

#[test]
fn the_diff_shows_the_cluster_with_minus_and_git_with_plus() {
    let story = Story::told();
    let view = app(&story.world, &story.compared, &story.limits, "web").unwrap();
    let diff = diff::gather(&story.world, &view)
        .read(&story.ledger, &crate::render::Sandbox::Off)
        .unwrap();
    let mut held = diff.clone();
    held.objects.iter_mut().for_each(|object| object.hold = Some((Seq(30), Seq(12))));
    let text = diff_text(&diff_dto("web", "a".repeat(40), held));
    let text = anstream::adapter::strip_str(&text).to_string();
    assert!(text.contains("+++ held/Deployment.apps/prod/web as at #12 by hold #30\n"), "{text}");
    assert!(text.contains("+++ (not in what hold #30 holds)"), "{text}");
    assert!(!text.contains("git/"), "{text}");
    let text = diff_text(&diff_dto("web", "a".repeat(40), diff));
    let text = anstream::adapter::strip_str(&text).to_string();
    assert!(text.contains("+++ git/Deployment.apps/prod/web at aaaaaaaaaa"), "{text}");
    assert!(text.contains("@@ .spec.replicas @@\n-5\n+2\n"), "{text}");
    assert!(text.contains("--- (not in the cluster)\n+++ git/ConfigMap/prod/web"), "{text}");
    assert!(text.contains("--- live/ConfigMap/prod/old\n+++ (not in Git)"), "{text}");
}

#[test]
fn the_whole_gate_is_shown_before_it_is_approved() {
    let mut story = Story::told();
    story.gated();
    let view = app(&story.world, &story.compared, &story.limits, "web").unwrap();
    let named = plan_named(&story.world, (view.name, view.app), "").unwrap();
    let waits = waiting(&story.world, view.name, view.app, named).read(&story.ledger).unwrap();
    let text = waits_text(&waits);
    assert!(text.contains("would delete 3 of 3 objects of web"), "{text}");
    assert!(text.contains("\"Scale web to two\" by Alice <alice@example.org>"), "{text}");
    let row = text.lines().find(|line| line.contains("old")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().take(4).collect();
    assert_eq!(cells, ["prune", "ConfigMap", "prod", "old"], "{text}");
}

#[test]
fn a_plan_says_what_is_done_and_what_is_not_and_ends_with_one_while_there_is_something() {
    let story = Story::told();
    let names = ["web".to_owned()];
    let gathered = planned(&story.world, &story.compared, &story.limits, &names).unwrap();
    let plan = gathered.read(&story.ledger).unwrap().remove(0);
    let text = anstream::adapter::strip_str(&plan_text(&plan)).to_string();
    assert!(plan.to_do, "{text}");
    assert!(text.starts_with("web is OutOfSync and "), "{text}");
    assert!(text.contains("    create ConfigMap/prod/web: it is in Git and not"), "{text}");
    let (_runtime, daemon) = daemon(Story::told());
    let ended = |args: &[&str]| ask(&daemon, args).map_or_else(|error| Some(error.exit), |()| None);
    assert_eq!(ended(&["plan", "web"]), Some(Exit::Differs));
    assert_eq!(ended(&["plan", "root"]), None);
    assert_eq!(ended(&["plan", "wbe"]), Some(Exit::Usage));
}

#[test]
fn errors_are_safe_lines_with_cause_and_hint() {
    let error = Error::usage(format!("bad {ESCAPE}[2J name"))
        .because(&std::io::Error::other("why"))
        .hint("do this");
    let text = anstream::adapter::strip_str(&error.render()).to_string();
    assert_eq!(text, "error: bad \\u{1b}[2J name\ncaused by: why\nhint: do this\n");
}

#[test]
fn an_unknown_application_ends_with_2_and_near_names() {
    let (_runtime, daemon) = daemon(Story::told());
    for args in
        [["tree", "wbe"], ["pause", "wbe"], ["show", "wbe"], ["sync", "wbe"], ["why", "wbe"]]
    {
        let error = ask(&daemon, &args).unwrap_err();
        assert_eq!(error.exit, Exit::Usage, "{args:?}");
        assert_eq!(error.hints, ["did you mean web?"], "{args:?}");
    }
}

#[test]
fn an_unknown_or_ambiguous_object_ends_with_2() {
    let (_runtime, daemon) = daemon(Story::told());
    for (args, hint) in [
        (["why", "Deployment.apps/prod/wbe"], "did you mean Deployment.apps/prod/web?"),
        (["why", "no/such/thing/here"], "e.g. `web`, `Deployment/web -n prod`, or `#1234`"),
        (["why", "Strange/x"], "`greffier get resources` lists what is known"),
    ] {
        let error = ask(&daemon, &args).unwrap_err();
        assert_eq!((error.exit, error.hints[0].as_str()), (Exit::Usage, hint), "{args:?}");
    }
    ask(&daemon, &["why", "deployment/web", "-n", "prod"]).unwrap();
}

/// Goal: an object is found by any name of its kind, also where `@-` is about it and where it is
/// gone; of what was never recorded no verb says nothing.
#[test]
fn objects_are_found_by_their_names_in_short() {
    let mut story = Story::told();
    let set = crate::query::fixture::key("ReplicaSet.apps/prod/web-1");
    let learned = crate::ledger::event::Learned::Watched;
    let gone = ObjectGoneV1 { key: set, uid: "rs-1".into(), learned };
    story.event(gone);
    let (_runtime, daemon) = daemon(story);
    for args in [
        &["show", "deploy/web"][..],
        &["show", "deploy/web", "--at", "@-"],
        &["show", "rs/prod/web-1"],
        &["log", "deploy/web"],
        &["why", "deploy/web", "--at", "@-"],
        &["blame", "deployments/web", "-n", "prod", "--at", "@-"],
    ] {
        ask(&daemon, args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
    }
    let differs = ask(&daemon, &["diff", "deploy/web", "-n", "prod", "--from", "@-"]).unwrap_err();
    assert_eq!((differs.exit, differs.message.as_str()), (Exit::Differs, ""));
    let restore = ["restore", "deploy/web", "-n", "prod", "--to", "@-", "--plan"];
    if let Err(error) = ask(&daemon, &restore) {
        assert!(!error.message.contains("changed 0 times"), "{}", error.message);
    }
    for verb in ["show", "log"] {
        let error = ask(&daemon, &[verb, "cm/prod/none"]).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert_eq!(error.message, "nothing is known of ConfigMap/prod/none");
        let error = ask(&daemon, &[verb, "deplo/web"]).unwrap_err();
        assert!(error.message.contains("no kind `deplo`"), "{}", error.message);
    }
}

/// Goal: that nothing is known of an object says so where its kind is excluded from watching.
#[test]
fn an_object_of_an_excluded_kind_is_told_from_an_unknown_one() {
    let mut story = Story::told();
    let lease = GroupKind::new("coordination.k8s.io", "Lease");
    let lease = ServedKind { watched: false, ..ServedKind::plain(lease, "leases") };
    let kinds = story.world.cluster.kinds.values().cloned().chain([lease]).collect();
    story.event(KindsServedV1 { kinds, broken_groups: Vec::new() });
    let (_runtime, daemon) = daemon(story);
    for (object, excluded) in [("Lease.coordination.k8s.io/prod/x", true), ("Job/prod/x", false)] {
        for verb in ["show", "why", "blame"] {
            let error = ask(&daemon, &[verb, object]).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.message.starts_with("nothing is known of "), "{}", error.message);
            assert_eq!(error.message.contains("its kind is excluded"), excluded, "{verb} {object}");
        }
    }
}

#[test]
fn the_answer_to_why_has_its_sections_in_order() {
    let story = Story::told();
    let subject = Subject::parse("Deployment/web", None).unwrap();
    let pending = gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
    let mirrors = crate::source::Options::new(std::path::Path::new("/nonexistent"));
    let mut why = pending.read(&story.ledger, &mirrors).unwrap();
    why.reasons[0].text.push(ESCAPE);
    let text = anstream::adapter::strip_str(&why_text(&why)).to_string();
    assert!(text.starts_with("Deployment.apps/prod/web is Drifted and Healthy: "), "{text}");
    assert!(text.contains("\"Scale web to two\" by Alice <alice@example.org>, 2023-"), "{text}");
    let sections = ["because", "last write", "next", "what you can do", "how it came to this"];
    let found = sections.map(|section| text.find(&format!("\n{section}")));
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{text}");
    assert!(
        text.contains("  .spec.replicas 2 → 5 by kubectl-scale (field manager, claimed) (#"),
        "{text}"
    );
    assert!(!text.contains(ESCAPE), "{text}");
}

#[test]
fn approvals_name_the_plan_that_waits() {
    let (_runtime, daemon) = daemon(Story::told());
    let nothing = ask(&daemon, &["approve", "web", "--yes"]).unwrap_err();
    assert_eq!(nothing.exit, Exit::Refused);
    daemon.told.0.lock().unwrap().gated();
    let other = ask(&daemon, &["approve", "web", "ffff", "--yes"]).unwrap_err();
    assert_eq!(other.exit, Exit::Refused);
    assert!(other.message.contains("that waits is abababababab"), "{}", other.message);
    let ambiguous = ask(&daemon, &["approve", "web", "ab", "--yes"]).unwrap_err();
    assert_eq!(ambiguous.exit, Exit::Usage);
    assert!(ambiguous.message.contains("at least 4"), "{}", ambiguous.message);
    ask(&daemon, &["approve", "web", "abab", "--yes"]).unwrap();
    // It is so already, which is no error; and nobody has to be asked about what is named.
    ask(&daemon, &["approve", "web", "--yes"]).unwrap();
    ask(&daemon, &["approve", "web", "abab"]).unwrap();
    let of_other = ask(&daemon, &["approve", "root", "abab", "--yes"]).unwrap_err();
    assert_eq!(of_other.exit, Exit::Refused);
    assert!(of_other.message.contains("is one of `web`"), "{}", of_other.message);
}

#[test]
fn a_difference_ends_with_1_unless_told_otherwise() {
    let (_runtime, daemon) = daemon(Story::told());
    let differs = ask(&daemon, &["diff", "web", "-o", "name"]).unwrap_err();
    assert_eq!((differs.exit, differs.message.as_str()), (Exit::Differs, ""));
    ask(&daemon, &["diff", "web", "-o", "name", "--exit-code", "never"]).unwrap();
    ask(&daemon, &["diff", "root"]).unwrap();
}

#[test]
fn commands_reach_the_daemon() {
    let (_runtime, daemon) = daemon(Story::told());
    ask(&daemon, &["pause", "web", "--for", "2h", "--reason", "incident"]).unwrap();
    ask(&daemon, &["resume", "web"]).unwrap();
    let not_paused = ask(&daemon, &["resume", "web"]).unwrap_err();
    assert_eq!(not_paused.exit, Exit::Refused);
    ask(&daemon, &["freeze", "--for", "2h", "--reason", "upgrade"]).unwrap();
    ask(&daemon, &["unfreeze"]).unwrap();
    let not_frozen = ask(&daemon, &["unfreeze"]).unwrap_err();
    assert_eq!(not_frozen.exit, Exit::Refused);
    ask(&daemon, &["sync", "web", "--no-wait", "--only", "ConfigMap/prod/web"]).unwrap();
    ask(&daemon, &["sync", "web", "--no-wait", "--only", "cm/web"]).unwrap();
    ask(&daemon, &["sync", "web", "--dry-run", "--only", "deployments/web"]).unwrap();
    let unknown = ask(&daemon, &["sync", "web", "--no-wait", "--only", "cm/wbe"]).unwrap_err();
    assert!(unknown.message.contains("ConfigMap/wbe"), "{}", unknown.message);
    ask(&daemon, &["sync", "web", "--dry-run"]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.yaml");
    std::fs::write(&file, app_manifest("extra").to_string()).unwrap();
    ask(&daemon, &["app", "add", "-f", file.to_str().unwrap()]).unwrap();
    ask(&daemon, &["app", "remove", "extra"]).unwrap();
    std::fs::write(&file, "kind: Pod\n").unwrap();
    let wrong = ask(&daemon, &["app", "add", "-f", file.to_str().unwrap()]).unwrap_err();
    assert_eq!(wrong.exit, Exit::Usage);
}

#[test]
fn an_event_is_shown_as_it_was_known() {
    let (_runtime, daemon) = daemon(Story::told());
    ask(&daemon, &["show", "#3", "--as-known-at", "#3"]).unwrap();
    for flag in ["--as-known-at", "--at"] {
        let early = ask(&daemon, &["show", "#3", flag, "#2"]).unwrap_err();
        assert_eq!(early.exit, Exit::Usage);
        assert!(early.message.contains("was not recorded by then"), "{}", early.message);
    }
    let app = ask(&daemon, &["show", "web", "--as-known-at", "#3"]).unwrap_err();
    assert!(app.message.contains("for objects and events"), "{}", app.message);
    assert_eq!(app.hints, ["--at shows an application as it was at an instant"]);
}

#[test]
fn a_sync_that_takes_too_long_ends_with_5() {
    let (_runtime, daemon) = daemon(Story::told());
    let error = ask(&daemon, &["sync", "web", "--timeout", "20ms"]).unwrap_err();
    assert_eq!(error.exit, Exit::Timeout, "{error:?}");
}

#[test]
fn a_bad_duration_is_refused_with_an_example() {
    let parsed = Cli::try_parse_from(["greffier", "pause", "web", "--for", "soon"]);
    let error = parsed.unwrap_err();
    assert!(error.use_stderr() && error.to_string().contains("1h30m"), "{error}");
}

#[test]
fn a_corrupt_configuration_ends_with_2_and_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("greffier.toml");
    std::fs::write(&config, "data_dir = \"d\"\n[gate]\nlimit = 3\n").unwrap();
    let error = run_in(dir.path(), &["status"]).unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.message.contains("greffier.toml:3: `gate.limit`"), "{}", error.message);
    let missing = run_with(&["--config", "/nowhere/greffier.toml"], &["status"]).unwrap_err();
    assert_eq!(missing.exit, Exit::Usage);
}

#[test]
fn without_a_daemon_or_a_ledger_everything_ends_with_3() {
    let dir = tempfile::tempdir().unwrap();
    for args in [["status"].as_slice(), &["pause", "web"], &["log"], &["get", "apps"]] {
        let error = run_in(dir.path(), args).unwrap_err();
        assert_eq!(error.exit, Exit::Unreachable, "{args:?}");
        assert!(error.hints[0].contains("greffier serve"), "{args:?}");
    }
}

#[test]
fn a_socket_of_others_ends_with_4_and_says_who_may() {
    let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let denied = ClientError::Denied { path: "/run/greffier.sock".into(), source };
    let error = Error::from(denied);
    assert_eq!(error.exit, Exit::Forbidden);
    assert!(error.hints[0].contains("member of its group"));
}

/// A ledger in `dir/data/ledger` with a story of its own.
fn ledger_in(dir: &Path) {
    let options = Options::new(dir.join("data/ledger"), dir.join("key"));
    let options = Options { free_bytes_reserve: 0, ..options };
    let (ledger, _) = Ledger::open(options).unwrap();
    let body = crate::ledger::event::AppDeclaredV1 {
        app: name("web"),
        manifest: canonical(&app_manifest("web")),
        origin: crate::ledger::event::Origin::Operator,
    };
    for _ in 0..20 {
        ledger.append_blocking(Draft::new(body.clone())).unwrap();
    }
    ledger.shutdown();
}

#[test]
fn without_a_daemon_questions_are_answered_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    ledger_in(dir.path());
    let questions = [
        ["status"].as_slice(),
        &["get", "apps", "-o", "wide"],
        &["get", "resources"],
        &["tree", "web"],
        &["diff", "web"],
        &["show", "web"],
        &["why", "web"],
        &["why", "web", "-o", "json"],
        &["show", "#2"],
        &["show", "#2", "--as-known-at", "#2"],
        &["log", "--all", "-o", "jsonl"],
        &["ledger", "info"],
        &["ledger", "verify"],
    ];
    for args in questions {
        run_in(dir.path(), args).unwrap_or_else(|error| panic!("{args:?}: {error:?}"));
    }
    let follow = run_in(dir.path(), &["log", "-f"]).unwrap_err();
    assert_eq!(follow.exit, Exit::Unreachable);
    let write = run_in(dir.path(), &["sync", "web"]).unwrap_err();
    assert_eq!(write.exit, Exit::Unreachable);
    for flag in ["--as-known-at", "--at"] {
        let early = run_in(dir.path(), &["show", "#3", flag, "#2"]).unwrap_err();
        assert!(early.message.contains("was not recorded by then"), "{}", early.message);
    }
    let unknown = run_in(dir.path(), &["tree", "wbe"]).unwrap_err();
    assert_eq!((unknown.exit, unknown.hints[0].as_str()), (Exit::Usage, "did you mean web?"));
}

#[test]
fn damage_ends_with_7_and_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    ledger_in(dir.path());
    let segments = dir.path().join("data/ledger/segments");
    let segment = std::fs::read_dir(segments).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let error = run_in(dir.path(), &["ledger", "verify"]).unwrap_err();
    assert_eq!(error.exit, Exit::Ledger, "{error:?}");
    let text = error.render();
    assert!(text.contains(".seg") && text.contains("offset"), "{text}");
    let source = serde_json::from_str::<u8>("{").unwrap_err();
    let unreadable = crate::ledger::Error::Unreadable {
        addr: crate::model::BlobAddr::default(),
        source: std::sync::Arc::new(source),
    };
    assert_eq!(Error::from(unreadable).exit, Exit::Ledger);
}

#[test]
fn the_doctor_says_what_would_not_return_with_a_daemon_and_without() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    ledger_in(dir.path());
    // Nothing of `web` was rendered.
    let files = run_in(dir.path(), &["doctor", "--recovery"]).unwrap_err();
    assert_eq!((files.exit, files.message.as_str()), (Exit::Differs, ""));
    let unknown = run_in(dir.path(), &["doctor", "--recovery", "--app", "wbe"]).unwrap_err();
    assert_eq!((unknown.exit, unknown.hints[0].as_str()), (Exit::Usage, "did you mean web?"));
    let (_runtime, daemon) = daemon(Story::told());
    // What left Git and is still there would not; the key of this daemon is in memory only.
    let key = dir.path().join("key");
    let config = dir.path().join("greffier.toml");
    let asked = |args: &[&str]| {
        let socket = daemon.socket.to_str().unwrap();
        run_with(&["--config", config.to_str().unwrap(), "--socket", socket], args)
    };
    assert_eq!(asked(&["doctor", "--recovery"]).unwrap_err().exit, Exit::Differs);
    let all = ["doctor", "--recovery", "--live", "--include-unowned", "-o", "json"];
    asked(&all).unwrap();
    let unknown = asked(&["doctor", "--recovery", "--app", "wbe"]).unwrap_err();
    assert_eq!((unknown.exit, unknown.hints[0].as_str()), (Exit::Usage, "did you mean web?"));
    std::fs::remove_file(&key).unwrap();
    let keyless = asked(&all).unwrap_err();
    assert_eq!(keyless.exit, Exit::Differs);
}
