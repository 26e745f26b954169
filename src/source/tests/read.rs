//! Reading and exporting folders, hostile ones included.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Stdio;

use super::super::{Content, File, Limits, Tree};
use super::*;

/// Reads `path` of the one commit of `fixture`.
struct Read {
    mirror: Mirror,
    commit: CommitId,
}

impl Fixture {
    fn pushed(&self) -> Read {
        let commit = self.commit_all("all");
        self.push(["main"]);
        let mirror = self.mirror();
        fetch(&mirror, &Known::new());
        Read { mirror, commit }
    }

    fn link(&self, path: &str, target: &str) {
        let link = self.work().join(path);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }
}

impl Read {
    fn read(&self, path: &str) -> Result<Tree, Error> {
        self.mirror.read(&self.commit, path, &Limits::default())
    }

    fn resolved(&self, path: &str) -> Result<Tree, Error> {
        self.mirror.read_resolved(&self.commit, path, &Limits::default())
    }

    fn limited(&self, limits: Limits) -> Error {
        self.mirror.read(&self.commit, ".", &limits).unwrap_err()
    }
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn a_folder_is_read_as_it_is_in_the_commit() {
    let fixture = Fixture::new();
    fixture.write("app/b.yaml", "b");
    fixture.write("app/a/x.sh", "x");
    fixture.write("app.txt", "no");
    let script = fixture.work().join("app/a/x.sh");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.link("app/link", "b.yaml");
    let read = fixture.pushed();
    let tree = read.read("app").unwrap();
    let file = |path: &str, executable, content| File { path: path.into(), executable, content };
    let expected = [
        file("a/x.sh", true, Content::Bytes(b"x".into())),
        file("b.yaml", false, Content::Bytes(b"b".into())),
        file("link", false, Content::Symlink("b.yaml".into())),
    ];
    assert_eq!(tree.files, expected);
    for same in ["app/", "./app", "app/a/..", "app/./a/../../app"] {
        assert_eq!(read.read(same).unwrap(), tree, "{same}");
    }
    assert_eq!(paths(&read.read(".").unwrap()).len(), 4);
}

#[test]
fn the_tree_id_of_a_folder_changes_only_with_its_content() {
    let fixture = Fixture::new();
    fixture.write("app/a.yaml", "a");
    fixture.write("other/b.yaml", "b");
    let before = fixture.pushed();
    let id = |read: &Read, path: &str| read.mirror.tree(&read.commit, path).unwrap();
    assert_eq!(id(&before, "app").as_str(), fixture.git(["rev-parse", "HEAD:app"]));
    fixture.write("other/b.yaml", "c");
    let after = fixture.pushed();
    assert_eq!(id(&before, "app"), id(&after, "app"));
    assert_ne!(id(&before, "other"), id(&after, "other"));
    assert_ne!(id(&before, "."), id(&after, "."));
}

#[test]
fn a_path_that_is_no_folder_names_path_and_commit() {
    let fixture = Fixture::new();
    fixture.write("app/a.yaml", "a");
    let read = fixture.pushed();
    for path in ["nothing", "app/nothing", "app/a.yaml", "app/a.yaml/x"] {
        let error = read.read(path).unwrap_err();
        assert!(matches!(error, Error::NoSuchPath { .. }), "{path}: {error}");
        let text = error.to_string();
        assert!(text.contains(path) && text.contains(read.commit.as_str()), "{text}");
    }
    for path in ["..", "app/../..", "/app", "../bare.git"] {
        let error = read.read(path).unwrap_err();
        assert!(matches!(error, Error::PathEscape { .. }), "{path}: {error}");
    }
    let unknown: CommitId = "1".repeat(40).parse().unwrap();
    let error = read.mirror.tree(&unknown, ".").unwrap_err();
    assert!(matches!(error, Error::NoSuchCommit { .. }), "{error}");
}

#[test]
fn links_inside_the_repository_are_followed() {
    let fixture = Fixture::new();
    fixture.write("shared/v.yaml", "v");
    fixture.write("shared/deep/w.yaml", "w");
    fixture.link("app/v.yaml", "../shared/v.yaml");
    fixture.link("app/dir", "../shared");
    fixture.link("app/chain", "dir/deep/w.yaml");
    fixture.link("entry", "app");
    let read = fixture.pushed();
    let tree = read.resolved("entry").unwrap();
    assert_eq!(paths(&tree), ["chain", "dir/deep/w.yaml", "dir/v.yaml", "v.yaml"]);
    assert!(tree.files.iter().all(|file| matches!(file.content, Content::Bytes(_))));
    let outside: Vec<_> = tree.outside.iter().map(String::as_str).collect();
    assert_eq!(outside, ["shared", "shared/deep/w.yaml", "shared/v.yaml"]);
    assert_eq!(read.resolved(".").unwrap().outside.len(), 0);
}

#[test]
fn links_that_lead_out_in_a_circle_or_nowhere_are_refused_by_name() {
    let check = |target: &str, expected: fn(&Error) -> bool| {
        let fixture = Fixture::new();
        fixture.write("app/a.yaml", "a");
        fixture.link("app/sub/link", target);
        let read = fixture.pushed();
        assert!(read.read("app").is_ok(), "reading links as such is no danger");
        let error = read.resolved("app").unwrap_err();
        assert!(expected(&error), "{target}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("sub/link`") && text.contains(target), "{text}");
        let export = read.mirror.export(
            &read.commit,
            "app",
            &fixture.root.path().join("out"),
            &Limits::default(),
        );
        assert!(expected(&export.unwrap_err()), "{target}");
    };
    check("/etc/passwd", |e| matches!(e, Error::SymlinkEscape { .. }));
    check("../../../work/app/a.yaml", |e| matches!(e, Error::SymlinkEscape { .. }));
    check("../..", |e| matches!(e, Error::SymlinkLoop { .. }));
    check("..", |e| matches!(e, Error::SymlinkLoop { .. }));
    check("link", |e| matches!(e, Error::SymlinkLoop { .. }));
    check("../nothing", |e| matches!(e, Error::SymlinkDangling { .. }));
    check("../a.yaml/x", |e| matches!(e, Error::SymlinkDangling { .. }));
}

#[test]
fn links_that_multiply_folders_end_at_the_limit() {
    let fixture = Fixture::new();
    fixture.write("d0/file", "x");
    for n in 1..40 {
        fixture.link(&format!("d{n}/a"), &format!("../d{}", n - 1));
        fixture.link(&format!("d{n}/b"), &format!("../d{}", n - 1));
    }
    let read = fixture.pushed();
    let error = read.resolved("d39").unwrap_err();
    assert!(matches!(error, Error::TooManyFiles { .. }), "{error:?}");
}

#[test]
fn every_limit_is_an_error_that_names_it() {
    let fixture = Fixture::new();
    fixture.write("a/b/c/big.yaml", "0123456789");
    fixture.write("small", "0");
    let read = fixture.pushed();
    let usual = Limits::default();
    let error = read.limited(Limits { file_bytes_max: 9, ..usual });
    assert!(matches!(error, Error::FileTooLarge { bytes: 10, limit: 9, .. }), "{error:?}");
    assert!(error.to_string().contains("`a/b/c/big.yaml` has 10 bytes"), "{error}");
    let error = read.limited(Limits { total_bytes_max: 10, ..usual });
    assert!(matches!(error, Error::TreeTooLarge { limit: 10, .. }), "{error:?}");
    let error = read.limited(Limits { files_max: 4, ..usual });
    assert!(matches!(error, Error::TooManyFiles { limit: 4, .. }), "{error:?}");
    let error = read.limited(Limits { depth_max: 3, ..usual });
    assert!(matches!(error, Error::TooDeep { limit: 3, .. }), "{error:?}");
    let exact = Limits { file_bytes_max: 10, total_bytes_max: 11, files_max: 5, depth_max: 4 };
    assert_eq!(read.mirror.read(&read.commit, ".", &exact).unwrap().files.len(), 2);
}

#[test]
fn a_huge_file_is_refused_before_it_is_loaded() {
    let fixture = Fixture::new();
    let file = std::fs::File::create(fixture.work().join("huge.yaml")).unwrap();
    file.set_len(24 << 20).unwrap();
    let read = fixture.pushed();
    let error = read.read(".").unwrap_err();
    assert!(matches!(error, Error::FileTooLarge { bytes: 25_165_824, .. }), "{error:?}");
}

/// Makes a commit of one hand-made tree, as git itself would never make it.
fn hostile(fixture: &Fixture, entries: &[u8]) -> Read {
    let mut child = Command::new("git")
        .current_dir(fixture.work())
        .args(["hash-object", "-t", "tree", "-w", "--literally", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(entries).unwrap();
    let output = child.wait_with_output().unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let commit = fixture.git(["commit-tree", "-m", "hostile", tree.trim()]);
    fixture.push([&format!("+{commit}:refs/heads/main")]);
    let mirror = fixture.mirror();
    fetch(&mirror, &Known::new());
    Read { mirror, commit: commit.parse().unwrap() }
}

#[test]
fn names_that_no_file_may_have_are_refused() {
    let (fixture, _) = Fixture::with_commit();
    let blob = fixture.git(["rev-parse", "HEAD:a.yaml"]);
    let id = hex::decode(blob).unwrap();
    for (name, utf8) in [
        (&b".."[..], true),
        (b".git", true),
        (b".GIT", true),
        (b"a/b", true),
        (b"../x", true),
        (b"\xff\xfe", false),
    ] {
        let entry = [b"100644 ", name, b"\0", &id].concat();
        let read = hostile(&fixture, &entry);
        let error = read.read(".").unwrap_err();
        let expected = match utf8 {
            true => matches!(error, Error::UnsafeName { .. }),
            false => matches!(error, Error::PathNotUtf8 { .. }),
        };
        assert!(expected, "{}: {error:?}", String::from_utf8_lossy(name));
        assert!(!error.is_transient());
    }
}

#[test]
fn submodules_are_reported_and_exported_as_empty_folders() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", "a");
    let commit = "1".repeat(40);
    fixture.git(["update-index", "--add", "--cacheinfo", &format!("160000,{commit},mod")]);
    fixture.git(["add", "a.yaml"]);
    fixture.git(["commit", "-q", "-m", "submodule"]);
    fixture.push(["main"]);
    let mirror = fixture.mirror();
    fetch(&mirror, &Known::new());
    let tree = mirror.read(&fixture.head(), ".", &Limits::default()).unwrap();
    assert_eq!(tree.files[1].content, Content::Submodule);
    let to = fixture.root.path().join("out");
    mirror.export(&fixture.head(), ".", &to, &Limits::default()).unwrap();
    assert_eq!(std::fs::read_dir(to.join("mod")).unwrap().count(), 0);
    // What is in one is not only missing.
    for path in ["mod", "mod/base"] {
        let error = mirror.tree(&fixture.head(), path).unwrap_err();
        assert!(matches!(&error, Error::Submodule { submodule, .. } if submodule == "mod"));
        let expected = format!("the folder `{path}` is in the submodule `mod`, whose files");
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(!error.is_transient());
    }
}

#[test]
fn an_export_has_files_and_modes_and_no_links() {
    let fixture = Fixture::new();
    fixture.write("chart/Chart.yaml", "name: x");
    fixture.write("chart/run.sh", "x");
    let script = fixture.work().join("chart/run.sh");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.write("values.yaml", "a: 1");
    fixture.link("chart/values.yaml", "../values.yaml");
    let read = fixture.pushed();
    let to = fixture.root.path().join("a/out");
    read.mirror.export(&read.commit, "chart", &to, &Limits::default()).unwrap();
    assert_eq!(std::fs::read_to_string(to.join("values.yaml")).unwrap(), "a: 1");
    assert!(std::fs::symlink_metadata(to.join("values.yaml")).unwrap().is_file());
    let mode = |name: &str| to.join(name).metadata().unwrap().permissions().mode() & 0o111;
    assert_ne!(mode("run.sh"), 0);
    assert_eq!(mode("Chart.yaml"), 0);
    // What is already there is not overwritten, and a link there is not followed.
    let victim = fixture.root.path().join("victim");
    std::fs::write(&victim, "intact").unwrap();
    let trap = fixture.root.path().join("trap");
    std::fs::create_dir(&trap).unwrap();
    symlink(&victim, trap.join("values.yaml")).unwrap();
    let error = read.mirror.export(&read.commit, "chart", &trap, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "intact");
}
