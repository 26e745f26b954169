//! A rollback that is put back into Git: with the repository away, a second time on a branch of its
//! own, and where more than a plain folder was rendered.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::daemon::{Greffier, KEPT, Repo, application, config_map, git, run, until};
use crate::git_back::{bare, ended_as_git, events, hook, moved_on_beside, over_ssh, racing};
use crate::keep::{live, namespace};
use crate::render::{several, tools};
use crate::rollback::{THEN, values};

/// Takes the repository away; the returned path is where it is meanwhile.
fn away(greffier: &Greffier) -> PathBuf {
    let away = greffier.repo.bare.with_extension("away");
    fs::rename(&greffier.repo.bare, &away).unwrap();
    away
}

/// Goal: Git away is the very case a hold is for: it is begun, what is missing is said with the
/// command that makes up for it, and that makes one commit.
#[test]
fn with_the_repository_away_it_is_held_and_the_commit_is_made_later() {
    let (greffier, app, ns, to) = moved_on_beside("gitaway");
    let before = greffier.repo.head();
    let away = away(&greffier);
    let args = ["rollback", &app, "--to", &to, "--git"];
    let (shown, said) = greffier.cli_ends(8, &[&args[..], &["--plan"]].concat());
    assert!(shown.contains("NOT PUSHED") && shown.contains("is not a git repository"), "{shown}");
    assert!(said.contains("no commit can be made now"), "{said}");
    assert!(events(&greffier, "hold").is_empty());
    let held = [&args[..], &["--yes"]].concat();
    let (done, said) = greffier.cli_ends(8, &[&held[..], &["-o", "json"]].concat());
    let later = format!("greffier rollback {app} --git --to '{to}' --yes");
    for words in [format!("{app} is held; NOT PUSHED"), "is not a git repository".into(), later] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(done["pushed"][0]["result"], "not-made", "{done}");
    assert_eq!(values(&ns), THEN);
    // It is held already, and that is all that is said of it.
    let (_, said) = greffier.cli_ends(3, &held);
    assert!(said.contains("is held already (#") && said.contains("NOT PUSHED"), "{said}");
    assert!(events(&greffier, "git.push-intended").is_empty());

    fs::rename(away, &greffier.repo.bare).unwrap();
    greffier.cli_ends(0, &held);
    ended_as_git(&greffier, &app);
    assert_eq!(values(&ns), THEN);
    assert_eq!(bare(&greffier, &["rev-parse", "main^"]), before);
    assert_eq!(events(&greffier, "hold.app-begun").len(), 1);
    assert_eq!(events(&greffier, "git.push-intended").len(), 1);
}

/// Goal: a repository that does not answer at all keeps nobody from holding: it is not waited for
/// longer than whoever asks waits.
#[test]
fn with_a_repository_that_never_answers_it_is_held() {
    let hang = |greffier: &Greffier| {
        let hangs = greffier.path("hangs");
        format!("[ -e {} ] && exec sleep 60", hangs.display())
    };
    let (greffier, ns, to, second) = over_ssh("githangs", hang);
    let (app, hangs) = ("githangs-web", greffier.path("hangs"));
    fs::write(&hangs, "").unwrap();
    let (_, said) = greffier.cli_ends(8, &["rollback", app, "--to", &to, "--git", "--yes"]);
    for words in ["is held; NOT PUSHED", "does not answer", "push it later with"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), second);
}

/// Goal: however the instant is named, what is shown is what is made, but for the ids that nobody
/// knows before.
#[test]
fn what_is_shown_of_a_commit_is_what_it_says() {
    let (greffier, app, _, to) = moved_on_beside("gitshown");
    let next = to.trim_start_matches('#').parse::<u64>().unwrap() + 1;
    let next = greffier.json(&["show", &format!("#{next}"), "-o", "json"]);
    // In between the two events, so that it is neither's time.
    let time: jiff::Timestamp = next["time"].as_str().unwrap().parse().unwrap();
    let time = (time - jiff::SignedDuration::from_millis(1)).to_string();
    let args = ["rollback", &app, "--to", &time, "--git", "--reason", "incident 7"];
    let shown = greffier.json(&[&args[..], &["--plan", "-o", "json"]].concat());
    greffier.cli_ends(0, &[&args[..], &["--yes"]].concat());
    let known = |text: &str| -> Vec<String> {
        let unknown = ["Greffier-Rollback:", "Greffier-Ledger:"];
        let lines = text.trim_end().lines().map(str::to_owned);
        lines.filter(|line| !unknown.iter().any(|start| line.starts_with(start))).collect()
    };
    let made = bare(&greffier, &["log", "-1", "--format=%B", "main"]);
    let message = shown["commits"][0]["message"].as_str().unwrap();
    assert_eq!(known(&made), known(message));
    assert!(message.contains(&format!("Greffier-Instant: {to} ")), "{message}");
}

/// Goal: a second time the same says that it is there; something else goes on top of greffier's own
/// commit; what somebody else put there is neither built on nor written over.
#[test]
fn a_branch_of_greffiers_own_is_gone_on_with_and_another_persons_is_left() {
    let (greffier, app, ns, first) = moved_on_beside("gitagain");
    let second = format!("#{}", greffier.seq());
    greffier.repo.write("web/a.yaml", &config_map("a", "three"));
    let third = greffier.repo.push("third");
    greffier.wait_synced(&app, &third);
    let branch = ["--git", "--branch", "back/web", "--yes"];
    let back = |code: i32, to: &str| {
        greffier.cli_ends(code, &[&["rollback", &app, "--to", to][..], &branch].concat())
    };
    back(0, &first);
    let own = bare(&greffier, &["rev-parse", "back/web"]);
    assert_eq!(bare(&greffier, &["rev-parse", "back/web^"]), third);
    // The same again.
    let (_, said) = back(0, &first);
    let there = format!("commit {} is in back/web of", &own[..12]);
    assert!(said.contains(&there) && said.contains("when it is merged"), "{said}");
    assert_eq!(bare(&greffier, &["rev-parse", "back/web"]), own);
    assert_eq!(events(&greffier, "git.push-intended").len(), 1);
    // Another instant: on top of its own.
    back(0, &second);
    assert_eq!(values(&ns), ["two", "", "two"]);
    assert_eq!(bare(&greffier, &["rev-parse", "back/web^"]), own);
    let tree = |of: &str| bare(&greffier, &["rev-parse", of]);
    assert_eq!(tree("back/web:web"), tree(&format!("{third}^^:web")), "the second commit's");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("waits until it is merged"), "{status}");
    // Somebody went on with it.
    greffier.repo.git(&["fetch", "-q", "origin"]);
    greffier.repo.git(&["checkout", "-q", "-B", "back/web", "origin/back/web"]);
    greffier.repo.write("web/e.yaml", &config_map("e", "theirs"));
    let theirs = greffier.repo.commit("and one more");
    greffier.repo.git(&["push", "-q", "origin", "back/web"]);
    let (_, said) = back(6, &first);
    for words in ["\"and one more\" by Ada <ada@example.org>", "--delete back/web", "--branch"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(bare(&greffier, &["rev-parse", "back/web"]), theirs);
    assert_eq!(values(&ns), ["two", "", "two"], "nothing was done");
    // What is followed is no branch of its own.
    let args = ["rollback", &app, "--to", &first, "--git", "--branch", "main", "--yes"];
    let (_, said) = greffier.cli_ends(6, &args);
    assert!(said.contains("is the branch that is followed"), "{said}");
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), third);
}

/// Goal: a branch that somebody made while it is pushed is left, and the hold is there.
#[test]
fn a_branch_that_somebody_makes_meanwhile_is_left() {
    let (greffier, app, ns, to) = moved_on_beside("gitmeanwhile");
    let head = greffier.repo.head();
    // Whoever is told of the refs finds none of that name, and whoever pushes does.
    let script = format!(
        "env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES \
         git update-ref refs/heads/back/web {head}"
    );
    hook(&greffier, "pre-receive", &script);
    let args = ["rollback", &app, "--to", &to, "--git", "--branch", "back/web", "--yes"];
    let (_, said) = greffier.cli_ends(8, &args);
    for words in ["is held; NOT PUSHED to back/web", "somebody made a branch of that name"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(bare(&greffier, &["rev-parse", "back/web"]), head);
    assert_eq!(values(&ns), THEN);
}

/// Goal: what greffier itself put there, for another rollback, is not called somebody's: who asked
/// for it is named, wherever it is in the way.
#[test]
fn what_greffier_made_for_another_rollback_is_named_as_that() {
    let (greffier, app, ns, to) = moved_on_beside("gitself");
    let back = |code: i32, more: &[&str]| {
        let args = ["rollback", &app, "--to", &to, "--git", "--yes"];
        greffier.cli_ends(code, &[&args[..], more].concat()).1
    };
    back(0, &["--branch", "back/web"]);
    let own = bare(&greffier, &["rev-parse", "back/web"]);
    let push = events(&greffier, "git.push-intended")[0]["seq"].clone();
    let names = |said: &str, did: &str| {
        let told = format!("(rollback of {app}, #{push}), {did}");
        assert!(said.contains("greffier, for os-user:") && said.contains(&told), "{told}: {said}");
    };
    // On a branch that was not made for this.
    bare(&greffier, &["update-ref", "refs/heads/taken", &own]);
    names(&back(6, &["--branch", "taken"]), "made what is on it: it is at");
    // On one that is made while this is pushed.
    let script = format!(
        "env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES \
         git update-ref refs/heads/back/other {own}"
    );
    hook(&greffier, "pre-receive", &script);
    // For another reason, so that it is another commit also within the second.
    let other = ["--branch", "back/other", "--reason", "once more"];
    names(&back(8, &other), "made a branch of that name meanwhile");
    // And on the one that is followed.
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    until("Git is followed", || (values(&ns) == ["two", "", "two"]).then_some(()));
    racing(&greffier, &own);
    names(&back(8, &[]), "changed web meanwhile, in commit");
}

/// Goal: a chart in one repository and its values in another go back with a commit each, only where
/// something differs, and the hold ends once both say so.
#[test]
fn a_chart_and_its_values_in_two_repositories_get_a_commit_each() {
    let (app, ns) = ("gittwo-web", namespace("gittwo"));
    let greffier = Greffier::new();
    let values = Repo::new(greffier.dir.path(), "values");
    let template = |extra: &str| {
        let text = config_map("a", "{{ .Values.key }}");
        text.replace("\"{{", "{{").replace("}}\"", &format!("}}}}{extra}"))
    };
    greffier.repo.write("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    greffier.repo.write("chart/templates/a.yaml", &template(""));
    let chart_one = greffier.repo.push("chart one");
    values.write("web/prod.yaml", "key: one\n").write("other.yaml", REST);
    let values_one = values.push("values one");
    let sources = [
        format!(
            "{{repoURL: '{}', targetRevision: main, path: chart, helm: {{valueFiles: \
             ['$values/web/prod.yaml']}}}}",
            greffier.repo.url()
        ),
        format!("{{repoURL: '{}', targetRevision: main, ref: values}}", values.url()),
    ];
    let greffier = greffier.root(&several(app, &ns, &sources));
    greffier.start();
    greffier.wait_synced(app, &chart_one);
    let to = format!("#{}", greffier.seq());
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    // The values alone move: one commit, in their repository.
    values.write("web/prod.yaml", "key: two\n");
    let values_two = values.push("values two");
    let is = |value: &str| {
        until("the value", || (live(&ns, "cm/a", ".data.key") == value).then_some(()));
    };
    is("two");
    let args = ["rollback", app, "--to", &to, "--git"];
    let shown = greffier.json(&[&args[..], &["--plan", "-o", "json"]].concat());
    let repos = |shown: &Value| -> Vec<(String, Value)> {
        let commits = shown["commits"].as_array().unwrap().iter();
        commits.map(|c| (c["repo"].as_str().unwrap().to_owned(), c["files"].clone())).collect()
    };
    let values_only = (values.url(), serde_json::json!(["M web/prod.yaml | +1 -1"]));
    assert_eq!(repos(&shown), std::slice::from_ref(&values_only), "{shown:#}");
    // Both moved: two commits.
    greffier.repo.write("chart/templates/a.yaml", &template("-new"));
    let chart_two = greffier.repo.push("chart two");
    greffier.wait_synced(app, &chart_two);
    is("two-new");
    let shown = greffier.json(&[&args[..], &["--plan", "-o", "json"]].concat());
    let chart = (greffier.repo.url(), serde_json::json!(["M chart/templates/a.yaml | +1 -1"]));
    let mut both = vec![chart, values_only];
    both.sort_by(|a, b| a.0.cmp(&b.0));
    let mut found = repos(&shown);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, both, "{shown:#}");
    greffier.cli_ends(0, &[&args[..], &["--yes"]].concat());
    is("one");
    ended_as_git(&greffier, app);
    let at = |repo: &Repo, what: &str| run(git(&repo.bare).args(["rev-parse", what]));
    assert_eq!(at(&greffier.repo, "main^").trim(), chart_two);
    assert_eq!(at(&values, "main^").trim(), values_two);
    assert_eq!(at(&greffier.repo, "main:chart"), at(&greffier.repo, &format!("{chart_one}:chart")));
    assert_eq!(at(&values, "main:web"), at(&values, &format!("{values_one}:web")));
    is("one");
}

const REST: &str = "kind: List\n";

/// Goal: where one of two repositories refuses, the other's commit is made all the same, the
/// refusal is told in its words, and what makes up for it makes that one alone.
#[test]
fn one_of_two_repositories_that_refuses_is_told_and_made_up_for() {
    let (app, ns) = ("gittwono-web", namespace("gittwono"));
    let greffier = Greffier::new();
    let other = Repo::new(greffier.dir.path(), "other");
    greffier.repo.write("web/a.yaml", &config_map("a", "one"));
    other.write("web/b.yaml", &config_map("b", "one"));
    let (first, _) = (greffier.repo.push("first"), other.push("first"));
    let source =
        |repo: &Repo| format!("{{repoURL: '{}', targetRevision: main, path: web}}", repo.url());
    let sources = [source(&greffier.repo), source(&other)];
    let greffier = greffier.root(&several(app, &ns, &sources));
    greffier.start();
    greffier.wait_synced(app, &first);
    let to = format!("#{}", greffier.seq());
    other.write("web/b.yaml", &config_map("b", "two"));
    let other_two = other.push("second");
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(app, &second);
    let both = || [live(&ns, "cm/a", ".data.key"), live(&ns, "cm/b", ".data.key")];
    until("both are new", || (both() == ["two", "two"]).then_some(()));
    hook(&greffier, "pre-receive", "echo 'main is protected' >&2; exit 1");
    let args = ["rollback", app, "--to", &to, "--git", "--yes"];
    let (_, said) = greffier.cli_ends(8, &args);
    for words in ["NOT PUSHED to main of", "main is protected", "--branch NAME", "is in main of"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(both(), ["one", "one"]);
    assert_eq!(bare(&greffier, &["rev-parse", "main"]), second);
    assert_eq!(run(git(&other.bare).args(["rev-parse", "main^"])).trim(), other_two);
    fs::remove_file(greffier.repo.bare.join("hooks/pre-receive")).unwrap();
    greffier.cli_ends(0, &args);
    ended_as_git(&greffier, app);
    assert_eq!(bare(&greffier, &["rev-parse", "main^"]), second);
    assert_eq!(run(git(&other.bare).args(["rev-parse", "main^"])).trim(), other_two, "once");
}

/// Goal: of a kustomization the bases that it led to go back with it, and a base that others read is
/// asked about.
#[test]
fn a_kustomization_goes_back_with_its_base() {
    let (app, ns) = ("gitkust-web", namespace("gitkust"));
    let greffier = Greffier::new().configure(&tools(""));
    let overlay = |extra: &str| format!("resources: [../base]\nnamePrefix: prod-\n{extra}");
    greffier.repo.write("base/kustomization.yaml", "resources: [a.yaml]\n");
    greffier.repo.write("base/a.yaml", &config_map("a", "one"));
    greffier.repo.write("prod/kustomization.yaml", &overlay(""));
    let first = greffier.repo.push("first");
    let greffier = {
        let root = application(app, &greffier.repo.url(), "prod", &ns, KEPT);
        greffier.root(&root)
    };
    greffier.start();
    greffier.wait_synced(app, &first);
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("base/a.yaml", &config_map("a", "two"));
    greffier.repo.write("prod/kustomization.yaml", &overlay("nameSuffix: -x\n"));
    greffier.repo.write("beside/a.yaml", &config_map("beside", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(app, &second);
    assert_eq!(live(&ns, "cm/prod-a-x", ".data.key"), "two");
    let args = ["rollback", app, "--to", &to, "--git"];
    let shown = greffier.json(&[&args[..], &["--plan", "-o", "json"]].concat());
    let files = serde_json::json!(["M base/a.yaml | +1 -1", "M prod/kustomization.yaml | +0 -1"]);
    assert_eq!(shown["commits"][0]["files"], files, "{shown:#}");
    // Another overlay reads the base.
    greffier.repo.write("test/kustomization.yaml", "resources: [../base]\nnamePrefix: test-\n");
    let third = greffier.repo.push("third");
    let other = application("gitkust-test", &greffier.repo.url(), "test", &ns, "{}");
    let file = greffier.path("other.yaml");
    fs::write(&file, other).unwrap();
    greffier.cli_ends(0, &["app", "add", "--file", file.to_str().unwrap()]);
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded" && event["detail"]["app"] == "gitkust-test"
    });
    let (_, said) = greffier.cli_ends(6, &[&args[..], &["--yes"]].concat());
    assert!(said.contains("application gitkust-test reads base/a.yaml"), "{said}");
    assert_eq!(live(&ns, "cm/prod-a-x", ".data.key"), "two");
    let branch = ["--branch", "back/prod", "--yes"];
    greffier.cli_ends(0, &[&args[..], &branch].concat());
    assert_eq!(live(&ns, "cm/prod-a", ".data.key"), "one");
    let tree = |of: &str| bare(&greffier, &["rev-parse", of]);
    for folder in ["base", "prod"] {
        let (made, then) = (format!("back/prod:{folder}"), format!("{first}:{folder}"));
        assert_eq!(tree(&made), tree(&then), "{folder}");
    }
    assert_eq!(tree("back/prod:beside"), tree(&format!("{third}:beside")));
    greffier.repo.git(&["fetch", "-q", "origin"]);
    greffier.repo.git(&["merge", "-q", "--ff-only", "origin/back/prod"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    ended_as_git(&greffier, app);
    assert_eq!(live(&ns, "cm/prod-a", ".data.key"), "one");
}

/// Goal: one chart with a file of values for each environment beside it, the commonest of layouts:
/// a commit that puts one environment's values back changes nothing of the others, and is made;
/// where the chart itself went on, it would, and is not.
#[test]
fn values_beside_a_chart_go_back_for_the_one_environment_that_uses_them() {
    let ns = namespace("gitenvs");
    let greffier = Greffier::new();
    let template = config_map("{{ .Release.Name }}", "{{ .Values.key }}");
    let template = template.replace("\"{{", "{{").replace("}}\"", "}}");
    greffier.repo.write("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    greffier.repo.write("web/templates/a.yaml", &template);
    let values = |env: &str, key: &str| {
        greffier.repo.write(&format!("web/values-{env}.yaml"), &format!("key: {key}\n"));
    };
    values("dev", "one");
    values("prod", "one");
    let first = greffier.repo.push("first");
    let [dev, prod] = ["dev", "prod"].map(|env| format!("gitenvs-{env}"));
    let of = |app: &str, env: &str| {
        let text = application(app, &greffier.repo.url(), "web", &ns, KEPT);
        let helm = format!("    path: web\n    helm: {{valueFiles: [values-{env}.yaml]}}\n");
        text.replace("    path: web\n", &helm)
    };
    let roots = [of(&dev, "dev"), of(&prod, "prod")];
    let greffier = greffier.root(&roots[0]).root(&roots[1]);
    greffier.start();
    greffier.wait_synced(&dev, &first);
    greffier.wait_synced(&prod, &first);
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("web/values-prod.yaml", "key: two\n");
    let second = greffier.repo.push("a bad value");
    greffier.wait_synced(&prod, &second);
    greffier.wait_synced(&dev, &second);
    let rollback = ["rollback", &prod, "--to", &to, "--git", "--yes"];
    greffier.cli_ends(0, &rollback);
    let value = |app: &str| live(&ns, &format!("cm/{app}"), ".data.key");
    until("prod is back", || (value(&prod) == "one").then_some(()));
    assert_eq!(bare(&greffier, &["show", "main:web/values-prod.yaml"]), "key: one");
    ended_as_git(&greffier, &prod);

    greffier.repo.git(&["pull", "-q", "--rebase", "origin", "main"]);
    let changed = template.replace(".Values.key }}", ".Values.key }}\n  more: \"x\"");
    greffier.repo.write("web/templates/a.yaml", &changed);
    let third = greffier.repo.push("the chart goes on");
    greffier.wait_synced(&prod, &third);
    greffier.wait_synced(&dev, &third);
    let (_, said) = greffier.cli_ends(6, &rollback);
    let words = format!("application {dev} reads web/templates/a.yaml");
    assert!(said.contains(&words), "{said}");
}
