//! A rollback that is put back into Git: the commit, the push, and what goes wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::daemon::{Greffier, KEPT, application, config_map, git, run, until};
use crate::keep::{live, namespace};
use crate::rollback::{THEN, moved_on, values};

const REST: &str = "kind: List\n";

/// What git says in the bare repository.
pub(crate) fn bare(greffier: &Greffier, args: &[&str]) -> String {
    run(git(&greffier.repo.bare).args(args)).trim().to_owned()
}

/// Puts a hook into the bare repository.
pub(crate) fn hook(greffier: &Greffier, name: &str, script: &str) {
    let path = greffier.repo.bare.join("hooks").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    script_at(&path, script);
}

pub(crate) fn script_at(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn unhook(greffier: &Greffier, name: &str) {
    fs::remove_file(greffier.repo.bare.join("hooks").join(name)).unwrap();
}

/// As [`moved_on`], with something beside the application's folder that is not its own.
pub(crate) fn moved_on_beside(name: &str) -> (Greffier, String, String, String) {
    let (greffier, app, ns, then) = moved_on(name);
    greffier.repo.write("other/rest.yaml", REST);
    let beside = greffier.repo.push("beside");
    greffier.wait("the commit", |event| {
        event["kind"] == "git.commit" && event["detail"]["commit"] == *beside
    });
    (greffier, app, ns, format!("#{then}"))
}

/// `NAME-web`, whose repository is reached by ssh: the other machine is this one, after it did what
/// `first` says. Returns its namespace, an instant at which its value was "one", and the commit that
/// is synced since.
pub(crate) fn over_ssh(
    name: &str,
    first: impl FnOnce(&Greffier) -> String,
) -> (Greffier, String, String, String) {
    let (app, ns) = (format!("{name}-web"), namespace(name));
    let greffier = Greffier::new();
    let shims = greffier.path("bin");
    fs::create_dir_all(&shims).unwrap();
    let shim = format!("for last; do :; done\n{}\nexec sh -c \"$last\"", first(&greffier));
    script_at(&shims.join("ssh"), &shim);
    let path = format!("{}:{}", shims.display(), std::env::var("PATH").unwrap());
    *greffier.environment.borrow_mut() = vec![("PATH".to_owned(), path)];
    greffier.repo.write("web/a.yaml", &config_map("a", "one"));
    let one = greffier.repo.push("first");
    let url = format!("ssh://git@example.test{}", greffier.repo.url());
    let greffier = greffier.root(&application(&app, &url, "web", &ns, KEPT));
    greffier.start();
    greffier.wait_synced(&app, &one);
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let two = greffier.repo.push("second");
    greffier.cli_ends(0, &["refresh"]);
    greffier.wait_synced(&app, &two);
    (greffier, ns, to, two)
}

pub(crate) fn ended_as_git(greffier: &Greffier, app: &str) -> Value {
    let ended = greffier.wait_kind("hold.app-ended", app);
    assert_eq!(ended["detail"]["end"], "SameAsGit", "{ended}");
    ended
}

pub(crate) fn events(greffier: &Greffier, kind: &str) -> Vec<Value> {
    let log = greffier.json(&["log", "--all", "--kind", kind, "-n", "1000", "-o", "json"]);
    let mut events = log.as_array().unwrap().clone();
    events.sort_by_key(|event| event["seq"].as_u64());
    events
}

/// How every push ended, in order.
fn ends(greffier: &Greffier) -> Vec<Value> {
    let ended = events(greffier, "git.push-ended");
    ended.iter().map(|event| event["detail"]["result"].clone()).collect()
}

#[test]
fn a_rollback_is_committed_with_who_and_why_and_the_hold_ends_by_itself() {
    let (greffier, app, ns, to) = moved_on_beside("gitback");
    let before = greffier.repo.head();
    // Shown first, and nothing is done.
    let plan = ["rollback", &app, "--to", &to, "--git", "--reason", "incident 7"];
    let shown = greffier.json(&[&plan[..], &["--plan", "-o", "json"]].concat());
    let commit = &shown["commits"][0];
    assert_eq!((&commit["branch"], &commit["parent"]), (&"main".into(), &(*before).into()));
    let files =
        serde_json::json!(["M web/a.yaml | +1 -1", "A web/b.yaml | +6 -0", "D web/c.yaml | +0 -6"]);
    assert_eq!(commit["files"], files, "{commit:#}");
    assert!(commit["message"].as_str().unwrap().contains("Reason: incident 7"), "{commit:#}");
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), before);
    assert!(events(&greffier, "hold").is_empty());

    greffier.cli_ends(0, &[&plan[..], &["--yes"]].concat());
    assert_eq!(values(&ns), THEN);
    ended_as_git(&greffier, &app);
    assert_eq!(values(&ns), THEN);
    // One commit on top of what was there, and nothing else of it moved.
    assert_eq!(bare(&greffier, &["rev-parse", "main^"]), before);
    let first = bare(&greffier, &["rev-list", "--max-parents=0", "main"]);
    let tree = |of: &str| bare(&greffier, &["rev-parse", of]);
    assert_eq!(tree("main:web"), tree(&format!("{first}:web")));
    assert_eq!(tree("main:other"), tree("main^:other"));
    assert_eq!(bare(&greffier, &["show", "main:other/rest.yaml"]), REST.trim());
    let trailers = bare(&greffier, &["log", "-1", "--format=%(trailers:only,unfold)", "main"]);
    let begun = greffier.wait_kind("hold.app-begun", &app);
    let event = greffier.json(&["show", &format!("#{}", begun["seq"]), "-o", "json"]);
    let hash = event["hash"].as_str().unwrap_or_else(|| panic!("{event:#}"));
    let ledger = greffier.json(&["ledger", "info", "-o", "json"])["ledger_id"].clone();
    for line in [
        format!("Greffier-App: {app}"),
        format!("Greffier-Ledger: {}@{} {hash}", ledger.as_str().unwrap(), begun["seq"]),
        "Reason: incident 7".to_owned(),
    ] {
        assert!(trailers.lines().any(|found| found == line), "{line}\n{trailers}");
    }
    let by = bare(&greffier, &["log", "-1", "--format=%cn", "main"]);
    assert_eq!(by, "greffier");
    // The answers lead from the value to the person.
    let made = bare(&greffier, &["rev-parse", "main"]);
    let recorded = greffier.wait("the commit", |event| {
        event["kind"] == "git.commit" && event["detail"]["commit"] == *made
    });
    assert!(recorded["summary"].as_str().unwrap().contains("made by greffier"), "{recorded}");
    let why = greffier.json(&["why", &format!("#{}", recorded["seq"]), "-o", "json"]);
    let chain = why["chain"].as_array().unwrap();
    let asked = chain.iter().find(|link| link["kind"] == "git.push-intended");
    let asked = asked.unwrap_or_else(|| panic!("{why:#}"));
    assert_eq!(asked["who"][0]["role"], "operator", "{asked:#}");
    assert!(chain.iter().any(|link| link["kind"] == "hold.app-begun"), "{why:#}");
}

#[test]
fn a_commit_on_a_branch_of_its_own_waits_for_the_merge() {
    let (greffier, app, ns, to) = moved_on_beside("gitbranch");
    let before = greffier.repo.head();
    let author = "Alice M. <am@example.org>";
    let args = ["rollback", &app, "--to", &to, "--git", "--branch", "back/web", "--author", author];
    greffier.cli_ends(0, &[&args[..], &["--yes"]].concat());
    assert_eq!(values(&ns), THEN);
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), before);
    assert_eq!(bare(&greffier, &["log", "-1", "--format=%an <%ae>", "back/web"]), author);
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("waits until it is merged"), "{status}");
    greffier.repo.git(&["fetch", "-q", "origin"]);
    greffier.repo.git(&["merge", "-q", "--ff-only", "origin/back/web"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    ended_as_git(&greffier, &app);
    assert_eq!(values(&ns), THEN);
}

#[test]
fn it_is_pushed_over_ssh_with_the_credentials_that_fetches_have() {
    let log = |greffier: &Greffier| {
        let asked = greffier.path("bin/asked");
        format!("echo \"$last\" >> {}", asked.display())
    };
    let (greffier, ns, to, second) = over_ssh("gitssh", log);
    let (app, asked) = ("gitssh-web", greffier.path("bin/asked"));
    greffier.cli_ends(0, &["rollback", app, "--to", &to, "--git", "--yes"]);
    ended_as_git(&greffier, app);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    assert_eq!(bare(&greffier, &["rev-parse", "main^"]), second);
    let asked = fs::read_to_string(asked).unwrap();
    assert!(asked.lines().any(|line| line.starts_with("git-receive-pack")), "{asked}");
}

/// A hook that moves `main` to `commit` while a push is received, the first time.
pub(crate) fn racing(greffier: &Greffier, commit: &str) {
    let done = greffier.path("raced");
    let script = format!(
        "[ -e {done} ] && exit 0\ntouch {done}\n\
         env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES \
         git update-ref refs/heads/main {commit}",
        done = done.display()
    );
    hook(greffier, "pre-receive", &script);
}

/// A commit on top of `main` that only a branch has.
fn aside(greffier: &Greffier, path: &str) -> String {
    greffier.repo.git(&["checkout", "-q", "-b", "aside"]);
    greffier.repo.write(path, &config_map("d", "theirs"));
    let commit = greffier.repo.commit("theirs");
    greffier.repo.git(&["push", "-q", "origin", "aside"]);
    commit
}

#[test]
fn a_push_that_somebody_overtook_is_made_again_on_top_of_theirs() {
    let (greffier, app, ns, to) = moved_on_beside("gitrace");
    let theirs = aside(&greffier, "other/theirs.yaml");
    racing(&greffier, &theirs);
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--git", "--yes"]);
    ended_as_git(&greffier, &app);
    assert_eq!(values(&ns), THEN);
    assert_eq!(bare(&greffier, &["rev-parse", "main^"]), theirs);
    let ended = ends(&greffier);
    assert!(ended[0]["Overtaken"].is_string() && ended[1] == "Pushed", "{ended:?}");
    let intended = events(&greffier, "git.push-intended");
    assert_eq!(intended[1]["detail"]["attempt"], 2);
    assert_eq!(intended[0]["actor"], intended[1]["actor"], "it is what the same person asked for");
}

#[test]
fn what_somebody_else_changed_meanwhile_is_not_written_over() {
    let (greffier, app, ns, to) = moved_on_beside("gitlost");
    let theirs = aside(&greffier, "web/d.yaml");
    racing(&greffier, &theirs);
    let (_, said) = greffier.cli_ends(8, &["rollback", &app, "--to", &to, "--git", "--yes"]);
    assert!(said.contains("somebody changed web meanwhile"), "{said}");
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), theirs);
    assert_eq!(values(&ns), THEN, "the rollback is held all the same");
}

#[test]
fn a_refusal_is_told_with_the_words_of_the_repository_and_tried_again_by_hand() {
    let (greffier, app, ns, to) = moved_on_beside("gitrefused");
    let before = greffier.repo.head();
    hook(&greffier, "pre-receive", "printf '\\033[31mmain is protected\\033[0m\\n' >&2; exit 1");
    let args = ["rollback", &app, "--to", &to, "--git", "--yes"];
    let (_, said) = greffier.cli_ends(8, &args);
    for words in ["main is protected", "--branch NAME", "is held; NOT PUSHED to main"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), before);
    let ended = greffier.wait_kind("git.push-ended", &app);
    let refused = ended["detail"]["result"]["Refused"].as_str().unwrap();
    assert_eq!(refused, "pre-receive hook declined: main is protected");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("NOT PUSHED"), "{status}");
    assert_eq!(values(&ns), THEN);
    // The hold is there already: the commit alone is made.
    unhook(&greffier, "pre-receive");
    greffier.cli_ends(0, &args);
    ended_as_git(&greffier, &app);
    assert_eq!(events(&greffier, "hold.app-begun").len(), 1);
}

/// A daemon that dies at a point of the push that a person asks for, and is started again.
fn dies(name: &str, point: &str) -> (Greffier, String, String) {
    let (app, ns) = (format!("{name}-web"), namespace(name));
    let greffier =
        Greffier::new().configure("[git]\npoll_interval = \"1h\"\nfetch_timeout = \"6s\"");
    greffier.repo.write("web/a.yaml", &config_map("a", "one"));
    let first = greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    let variable = ("GREFFIER_FAILPOINT".to_owned(), format!("{point}:1"));
    *greffier.environment.borrow_mut() = vec![variable];
    greffier.start();
    greffier.wait_synced(&app, &first);
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    let (_, said) = greffier.cli_ends(3, &["rollback", &app, "--to", &to, "--git", "--yes"]);
    // Whether it was recorded can be seen, also now that no daemon runs.
    let log = ["log", &app, "--kind", "hold"];
    assert!(said.contains("whether it was recorded is not known"), "{said}");
    assert!(said.contains(&format!("`greffier {}`", log.join(" "))), "{said}");
    greffier.kill();
    let (log, _) = greffier.cli_ends(0, &log);
    assert!(log.contains("HELD as at #"), "{log}");
    greffier.environment.borrow_mut().clear();
    greffier.start();
    (greffier, app, second)
}

#[test]
fn a_kill_after_the_push_is_settled_by_what_the_repository_has() {
    let (greffier, app, second) = dies("gitkill", "pushed");
    let ended = greffier.wait_kind("git.push-ended", &app);
    assert_eq!(ended["detail"]["result"], "Pushed", "{ended}");
    assert_eq!(ended["detail"]["settled"], true);
    ended_as_git(&greffier, &app);
    assert_eq!(bare(&greffier, &["rev-parse", "main^"]), second);
}

#[test]
fn a_kill_before_the_push_leaves_the_repository_as_it_is_and_says_so() {
    let (greffier, app, second) = dies("gitdead", "pushing");
    let ended = greffier.wait_kind("git.push-ended", &app);
    assert!(ended["detail"]["result"]["NotPushed"].is_string(), "{ended}");
    assert_eq!(ended["detail"]["settled"], true);
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), second, "it is not sent again");
}

#[test]
fn what_cannot_be_committed_is_refused_before_anything_is_done() {
    let (greffier, app, ns, to) = moved_on_beside("gitrefusals");
    let refused = |code: i32, more: &[&str], words: &str| {
        let args = [&["rollback", &app, "--to", &to, "--git", "--yes"], more].concat();
        let (_, said) = greffier.cli_ends(code, &args);
        assert!(said.contains(words), "{more:?}: {said}");
    };
    refused(2, &["--author", "nobody"], "is no author");
    refused(2, &["--branch", "a..b"], "no branch can be called");
    refused(2, &["--tree"], "cannot be used with");
    let (_, said) = greffier.cli_ends(2, &["rollback", &app, "--to", &to, "--branch", "x"]);
    assert!(said.contains("--git"), "{said}");
    // Another application reads the same folder.
    let other = application("gitrefusals-other", &greffier.repo.url(), "web", &ns, "{}");
    fs::write(greffier.path("other.yaml"), other).unwrap();
    let file = greffier.path("other.yaml");
    greffier.cli_ends(0, &["app", "add", "--file", file.to_str().unwrap()]);
    greffier.wait_kind("render.succeeded", "gitrefusals-other");
    refused(6, &[], "application gitrefusals-other reads web/");
    assert!(events(&greffier, "hold").is_empty());
    assert!(events(&greffier, "git.push-intended").is_empty());
    assert_eq!(values(&ns), ["two", "", "two"]);
}

/// An Application that follows `revision`, with more of its source.
fn following(app: &str, url: &str, ns: &str, revision: &str, more: &str) -> String {
    let text = application(app, url, "web", ns, KEPT);
    let text = text.replace("targetRevision: main", &format!("targetRevision: {revision}"));
    text.replace("    path: web\n", &format!("    path: web\n{more}"))
}

#[test]
fn a_tag_has_no_branch_to_commit_to_unless_one_is_made() {
    let (app, ns) = ("gittag-web", namespace("gittag"));
    let greffier = Greffier::new();
    greffier.repo.write("web/a.yaml", &config_map("a", "one"));
    let first = greffier.repo.push("first");
    greffier.repo.git(&["tag", "v1"]);
    greffier.repo.git(&["push", "-q", "origin", "v1"]);
    let greffier_url = greffier.repo.url();
    let greffier = greffier.root(&following(app, &greffier_url, &ns, "v1", ""));
    greffier.start();
    greffier.wait_synced(app, &first);
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let second = greffier.repo.push("second");
    greffier.repo.git(&["tag", "-f", "v1"]);
    greffier.repo.git(&["push", "-q", "-f", "origin", "v1"]);
    greffier.wait_synced(app, &second);
    let (_, said) = greffier.cli_ends(6, &["rollback", app, "--to", &to, "--git", "--yes"]);
    assert!(said.contains("at tag `v1`") && said.contains("--branch NAME"), "{said}");
    assert_eq!(live(&ns, "cm/a", ".data.key"), "two");
    let args = ["rollback", app, "--to", &to, "--git", "--branch", "back", "--yes"];
    greffier.cli_ends(0, &args);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    let tree = |of: &str| bare(&greffier, &["rev-parse", of]);
    assert_eq!(tree("back:web"), tree(&format!("{first}:web")));
}

#[test]
fn value_files_outside_the_folder_go_back_and_a_changed_definition_is_named() {
    let (app, ns) = ("gitvalues-web", namespace("gitvalues"));
    let greffier = Greffier::new();
    greffier.repo.write("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    let template = config_map("a", "{{ .Values.key }}").replace("\"{{", "{{").replace("}}\"", "}}");
    greffier.repo.write("web/templates/a.yaml", &template);
    greffier.repo.write("values/web.yaml", "key: one\n");
    let first = greffier.repo.push("first");
    let more = "    helm: {valueFiles: [../values/web.yaml]}\n";
    let url = greffier.repo.url();
    let greffier = greffier.root(&following(app, &url, &ns, "main", more));
    greffier.start();
    greffier.wait_synced(app, &first);
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("values/web.yaml", "key: two\n");
    greffier.repo.write("values/other.yaml", "key: other\n");
    let second = greffier.repo.push("second");
    greffier.wait_synced(app, &second);
    let shown = greffier.json(&["rollback", app, "--to", &to, "--git", "--plan", "-o", "json"]);
    let files = serde_json::json!(["M values/web.yaml | +1 -1"]);
    assert_eq!(shown["commits"][0]["files"], files, "{shown:#}");
    // The Application says something of its own now, and no commit to the source changes that.
    let more =
        "    helm: {valueFiles: [../values/web.yaml], parameters: [{name: key, value: three}]}\n";
    let changed = following(app, &url, &ns, "main", more);
    greffier.stop();
    fs::write(greffier.path("root-0.yaml"), changed).unwrap();
    greffier.start();
    until("the new definition is applied", || {
        (live(&ns, "cm/a", ".data.key") == "three").then_some(())
    });
    let args = ["rollback", app, "--to", &to, "--git", "--yes"];
    let (_, said) = greffier.cli_ends(6, &args);
    for words in ["ConfigMap/", "would be another than was in force then", "rendered otherwise"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), second);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "three");
    greffier.cli_ends(0, &[&args[..], &["--partial"]].concat());
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    assert_eq!(bare(&greffier, &["show", "main:values/web.yaml"]), "key: one");
    assert_eq!(bare(&greffier, &["show", "main:values/other.yaml"]), "key: other");
    let held = greffier.json(&["status", "-o", "json"]);
    assert_eq!(held["held"][0]["app"], app, "Git does not say what is held: {held}");
}
