//! Fetching: which events follow from what happened in the repository.

use std::time::Duration;

use super::*;
use crate::model::Timestamp;

#[test]
fn an_empty_repository_has_no_refs_and_is_no_error() {
    let fixture = Fixture::new();
    let mirror = fixture.mirror();
    let fetched = fetch(&mirror, &Known::new());
    assert_eq!(fetched, Fetched { refs: Known::new(), events: Vec::new() });
    let error = mirror.resolve("HEAD").unwrap_err();
    assert!(matches!(error, Error::UnknownRevision { .. }), "{error}");
}

#[test]
fn the_first_fetch_imports_history_parents_first() {
    let (fixture, first) = Fixture::with_commit();
    let second = fixture.commit("b/c.yaml", "c: 1\n", "second");
    fixture.push(["main"]);
    let fetched = fetch(&fixture.mirror(), &Known::new());
    let expected = [
        "commit first".to_owned(),
        "commit second".to_owned(),
        "imported HEAD 2 0".to_owned(),
        format!("moved HEAD none {}", second.short()),
        format!("moved refs/heads/main none {}", second.short()),
    ];
    assert_eq!(outline(&fetched), expected);
    let commit = commits(&fetched)[1];
    assert_eq!(commit.repo, fixture.url());
    assert_eq!((&commit.commit, &commit.parents), (&second, &vec![first]));
    assert_eq!(commit.tree.as_str(), fixture.git(["rev-parse", "HEAD^{tree}"]));
    assert_eq!((commit.author.name.as_str(), commit.committer.name.as_str()), ("Alice Ä", "Bob"));
    assert_eq!(commit.author.email, "alice@example.org");
    assert_eq!(commit.author.time, Timestamp::from_seconds(1_700_000_000));
    assert_eq!((&commit.changed, commit.changed_total), (&vec!["b/c.yaml".to_owned()], 1));
    assert_eq!(commit.signature, None);
}

#[test]
fn nothing_moved_means_no_events_and_a_plain_path_is_the_same() {
    let (fixture, head) = Fixture::with_commit();
    let path = fixture.bare().display().to_string();
    let mirror = Mirror::open(&fixture.options(), &path).unwrap();
    let known = fetch(&mirror, &Known::new()).refs;
    assert_eq!(known, [("HEAD", &head), ("refs/heads/main", &head)].map(owned).into());
    assert_eq!(outline(&fetch(&mirror, &known)), [""; 0]);
}

fn owned((name, id): (&str, &CommitId)) -> (String, CommitId) {
    (name.to_owned(), id.clone())
}

#[test]
fn a_push_records_its_commits_and_the_move() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    fixture.commit("a.yaml", "a: 2\n", "second");
    let third = fixture.commit("a.yaml", "a: 3\n", "third");
    fixture.push(["main"]);
    let fetched = fetch(&mirror, &known);
    let moved = format!("{} {}", first.short(), third.short());
    let expected = [
        "commit second".to_owned(),
        "commit third".to_owned(),
        format!("moved HEAD {moved}"),
        format!("moved refs/heads/main {moved}"),
    ];
    assert_eq!(outline(&fetched), expected);
    assert_eq!(mirror.resolve("main").unwrap(), third);
}

#[test]
fn a_fetch_that_was_not_recorded_gives_the_same_events_again() {
    let (fixture, _) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.git(["checkout", "-q", "-b", "side"]);
    fixture.commit("b.yaml", "b: 2\n", "third");
    fixture.push(["main", "side"]);
    let once = fetch(&mirror, &known);
    assert_eq!(fetch(&mirror, &known), once);
    // And with a mirror that was lost meanwhile.
    std::fs::remove_dir_all(mirror.dir()).unwrap();
    assert_eq!(fetch(&fixture.mirror(), &known), once);
    assert_eq!(outline(&fetch(&mirror, &once.refs)), [""; 0]);
}

#[test]
fn the_import_is_bounded_and_says_where_it_begins() {
    let (fixture, _) = Fixture::with_commit();
    for n in 0..5 {
        fixture.commit("a.yaml", &format!("n: {n}\n"), &format!("n{n}"));
    }
    fixture.push(["main"]);
    let options = Options { history_commits_max: 3, ..fixture.options() };
    let mirror = Mirror::open(&options, &fixture.url()).unwrap();
    let fetched = fetch(&mirror, &Known::new());
    let lines = outline(&fetched);
    assert_eq!(lines[..4], ["commit n2", "commit n3", "commit n4", "imported HEAD 3 1"]);
    let begins = fixture.git(["rev-parse", "HEAD~2"]);
    let Event::HistoryImported(import) = &fetched.events[3] else { panic!("{lines:?}") };
    assert_eq!(import.begins_at[0].as_str(), begins);
}

#[test]
fn a_force_push_is_a_rewrite_and_the_old_commits_stay_readable() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.commit("a.yaml", "a: 2\n", "second");
    let dropped = fixture.commit("a.yaml", "a: 3\n", "third");
    fixture.push(["main"]);
    let known = fetch(&mirror, &Known::new()).refs;
    fixture.git(["reset", "-q", "--hard", first.as_str()]);
    let new = fixture.commit("a.yaml", "a: 4\n", "other");
    fixture.push(["--force", "main"]);
    let fetched = fetch(&mirror, &known);
    let lines = outline(&fetched);
    assert_eq!(lines[..2], ["commit other", "rewritten refs/heads/main 2 false"]);
    assert_eq!(lines.len(), 4);
    // The mirror keeps what the original no longer has.
    git(&fixture.bare(), ["reflog", "expire", "--expire=now", "--all"]);
    git(&fixture.bare(), ["gc", "-q", "--prune=now"]);
    git(mirror.dir(), ["gc", "-q", "--prune=now"]);
    assert!(mirror.tree(&dropped, ".").is_ok());
    assert_eq!(mirror.resolve("main").unwrap(), new);
    // Put back, it is a rewrite again, but no commit is recorded twice.
    fixture.git(["reset", "-q", "--hard", dropped.as_str()]);
    fixture.push(["--force", "main"]);
    let back = outline(&fetch(&mirror, &fetched.refs));
    assert_eq!(back[0], "rewritten refs/heads/main 1 false");
    assert_eq!(back.len(), 3);
}

#[test]
fn a_rewrite_to_the_same_content_says_so() {
    let (fixture, _) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    fixture.git(["commit", "-q", "--amend", "-m", "first, reworded"]);
    fixture.push(["--force", "main"]);
    let lines = outline(&fetch(&mirror, &known));
    assert_eq!(lines[..2], ["commit first, reworded", "rewritten refs/heads/main 1 true"]);
}

#[test]
fn a_deleted_branch_moves_to_nothing_and_its_commits_stay() {
    let (fixture, main) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.git(["checkout", "-q", "-b", "topic"]);
    let topic = fixture.commit("t.yaml", "t: 1\n", "topic");
    fixture.push(["topic"]);
    let known = fetch(&mirror, &Known::new()).refs;
    fixture.push([":topic"]);
    let fetched = fetch(&mirror, &known);
    assert_eq!(outline(&fetched), [format!("moved refs/heads/topic {} none", topic.short())]);
    assert!(!fetched.refs.contains_key("refs/heads/topic"));
    git(mirror.dir(), ["gc", "-q", "--prune=now"]);
    assert!(mirror.tree(&topic, ".").is_ok());
    let error = mirror.resolve("topic").unwrap_err();
    assert!(matches!(error, Error::UnknownRevision { .. }), "{error}");
    assert_eq!(mirror.resolve("main").unwrap(), main);
}

#[test]
fn a_branch_may_make_room_for_a_folder_of_branches() {
    let (fixture, main) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.push(["main:refs/heads/release"]);
    let known = fetch(&mirror, &Known::new()).refs;
    fixture.push([":release"]);
    fixture.push(["main:refs/heads/release/1"]);
    let fetched = fetch(&mirror, &known);
    assert_eq!(mirror.resolve("release/1").unwrap(), main);
    assert!(mirror.resolve("release").is_err());
    assert_eq!(outline(&fetched).len(), 2);
}

#[test]
fn a_moved_tag_is_followed_and_tags_are_peeled() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.git(["tag", "-a", "-m", "one", "v1"]);
    fixture.git(["tag", "light"]);
    fixture.push(["v1", "light"]);
    let known = fetch(&mirror, &Known::new()).refs;
    assert_eq!(known["refs/tags/v1"], first);
    assert_eq!(mirror.resolve("v1").unwrap(), first);
    let second = fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.git(["tag", "-f", "-a", "-m", "two", "v1"]);
    fixture.push(["main"]);
    fixture.push(["--force", "v1"]);
    let fetched = fetch(&mirror, &known);
    assert_eq!(fetched.refs["refs/tags/v1"], second);
    let moved = format!("moved refs/tags/v1 {} {}", first.short(), second.short());
    assert!(outline(&fetched).contains(&moved), "{:?}", outline(&fetched));
    assert_eq!(mirror.resolve("refs/tags/v1").unwrap(), second);
    assert_eq!(mirror.resolve("light").unwrap(), first);
}

#[test]
fn a_tag_of_something_else_than_a_commit_is_left_out() {
    let (fixture, _) = Fixture::with_commit();
    fixture.git(["tag", "blob", "HEAD:a.yaml"]);
    fixture.push(["blob"]);
    let fetched = fetch(&fixture.mirror(), &Known::new());
    assert!(!fetched.refs.contains_key("refs/tags/blob"));
}

#[test]
fn merges_and_changed_paths_are_as_git_shows_them() {
    let (fixture, _) = Fixture::with_commit();
    fixture.git(["checkout", "-q", "-b", "topic"]);
    fixture.commit("topic/t.yaml", "t: 1\n", "topic");
    fixture.git(["checkout", "-q", "main"]);
    fixture.git(["rm", "-q", "a.yaml"]);
    fixture.commit("b.yaml", "b: 1\n", "main");
    fixture.git(["merge", "-q", "--no-ff", "-m", "merge", "topic"]);
    fixture.push(["main"]);
    let fetched = fetch(&fixture.mirror(), &Known::new());
    let commits = commits(&fetched);
    let of = |message: &str| {
        commits.iter().find(|commit| commit.message.trim() == message).unwrap().changed.clone()
    };
    assert_eq!(commits.last().unwrap().parents.len(), 2);
    assert_eq!(of("merge"), ["topic/t.yaml"]);
    assert_eq!(of("main"), ["a.yaml", "b.yaml"]);
}

#[test]
fn many_changed_paths_are_counted_but_not_all_listed() {
    let fixture = Fixture::new();
    for n in 0..250 {
        fixture.write(&format!("f{n:03}"), "x");
    }
    fixture.commit_all("many");
    fixture.push(["main"]);
    let fetched = fetch(&fixture.mirror(), &Known::new());
    let commit = commits(&fetched)[0];
    assert_eq!((commit.changed.len(), commit.changed_total), (200, 250));
}

#[test]
fn head_follows_the_default_branch_of_the_remote() {
    let (fixture, main) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.git(["checkout", "-q", "-b", "stable"]);
    let stable = fixture.commit("a.yaml", "a: 2\n", "stable");
    fixture.push(["stable"]);
    let known = fetch(&mirror, &Known::new()).refs;
    assert_eq!(mirror.resolve("").unwrap(), main);
    git(&fixture.bare(), ["symbolic-ref", "HEAD", "refs/heads/stable"]);
    let fetched = fetch(&mirror, &known);
    let moved = format!("moved HEAD {} {}", main.short(), stable.short());
    assert_eq!(outline(&fetched), [moved]);
    assert_eq!(mirror.resolve("HEAD").unwrap(), stable);
}

#[test]
fn a_repository_with_a_work_tree_is_a_source_too() {
    let (fixture, head) = Fixture::with_commit();
    let mirror = Mirror::open(&fixture.options(), &fixture.work().display().to_string()).unwrap();
    assert_eq!(fetch(&mirror, &Known::new()).refs["refs/heads/main"], head);
}

#[test]
fn an_unreachable_repository_is_named_and_may_come_back() {
    let (fixture, _) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    std::fs::rename(fixture.bare(), fixture.root.path().join("gone")).unwrap();
    let error = fetch_error(&mirror, &known);
    assert!(matches!(error, Error::NotARepository { .. }), "{error:?}");
    assert!(error.to_string().contains(&fixture.url()) && error.is_transient(), "{error}");
    // What is recorded stays readable meanwhile.
    assert!(mirror.tree(&known["HEAD"], ".").is_ok());
    std::fs::rename(fixture.root.path().join("gone"), fixture.bare()).unwrap();
    assert_eq!(outline(&fetch(&mirror, &known)), [""; 0]);
}

#[test]
fn a_folder_that_is_no_repository_says_what_git_says() {
    let fixture = Fixture::new();
    let url = fixture.root.path().join("empty").display().to_string();
    std::fs::create_dir(&url).unwrap();
    let mirror = Mirror::open(&fixture.options(), &url).unwrap();
    let error = fetch_error(&mirror, &Known::new());
    assert!(matches!(error, Error::Fetch { .. }), "{error:?}");
    assert!(error.to_string().contains("does not appear to be a git repository"), "{error}");
    assert_eq!(error.with_causes().lines().count(), 1, "{}", error.with_causes());
}

#[test]
fn a_corrupt_repository_is_an_error_and_moves_nothing() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    let second = fixture.commit("a.yaml", "a: 2\n", "second");
    let blob = fixture.git(["rev-parse", "HEAD:a.yaml"]);
    fixture.push(["main"]);
    let object = fixture.bare().join("objects").join(&blob[..2]).join(&blob[2..]);
    let intact = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, b"garbage").unwrap();
    let error = fetch_error(&mirror, &known);
    assert!(matches!(&error, Error::Fetch { said, .. } if !said.is_empty()), "{error:?}");
    assert_eq!(mirror.resolve("main").unwrap(), first);
    std::fs::write(&object, intact).unwrap();
    assert_eq!(fetch(&mirror, &known).refs["HEAD"], second);
}

#[test]
fn a_damaged_mirror_is_set_aside_and_made_anew() {
    let (fixture, head) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    let packs = mirror.dir().join("objects/pack");
    let ruin = |bytes: Option<u8>| {
        for entry in std::fs::read_dir(&packs).unwrap() {
            let path = entry.unwrap().path();
            let length = std::fs::metadata(&path).unwrap().len() as usize;
            std::fs::remove_file(&path).unwrap();
            if let Some(byte) = bytes {
                std::fs::write(&path, vec![byte; length]).unwrap();
            }
        }
    };
    for bytes in [None, Some(0xff), Some(0)] {
        ruin(bytes);
        let read = mirror.read(&head, ".", &super::super::Limits::default());
        assert!(read.is_err(), "{bytes:?}");
        assert_eq!(outline(&fetch(&mirror, &known)), [""; 0], "{bytes:?}");
        assert!(mirror.tree(&head, ".").is_ok(), "{bytes:?}");
        assert!(mirror.dir().with_extension("damaged").is_dir(), "{bytes:?}");
    }
}

#[test]
fn what_a_killed_fetch_left_behind_is_no_obstacle() {
    let (fixture, _) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let known = fetch(&mirror, &Known::new()).refs;
    for leftover in ["HEAD.lock", "packed-refs.lock", "refs/heads/main.lock"] {
        std::fs::write(mirror.dir().join(leftover), b"").unwrap();
    }
    std::fs::write(mirror.dir().join("objects/pack/.tmp1234"), b"half").unwrap();
    let second = fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.push(["main"]);
    assert_eq!(fetch(&mirror, &known).refs["HEAD"], second);
    assert!(!mirror.dir().join("objects/pack/.tmp1234").exists());
}

#[test]
fn a_second_fetch_at_the_same_time_is_told_to_wait() {
    let (fixture, _) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let lock = std::fs::File::open(mirror.dir().with_extension("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = fetch_error(&mirror, &Known::new());
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    drop(lock);
    assert_eq!(fetch(&mirror, &Known::new()).refs.len(), 2);
}

#[test]
fn a_fetch_that_hangs_ends_at_its_deadline_and_when_cancelled() {
    let (fixture, _) = Fixture::with_commit();
    // Opening a pipe that nobody writes to blocks git for ever.
    std::fs::remove_file(fixture.bare().join("HEAD")).unwrap();
    let pipe = fixture.bare().join("HEAD");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let request = |timeout, cancel: &AtomicBool| {
        let mirror = fixture.mirror();
        let gix = super::super::layout::open_isolated(mirror.dir()).unwrap();
        let location = super::super::location::Location::parse(&fixture.url()).unwrap();
        super::super::transport::fetch(&super::super::transport::Request {
            repo: "r",
            location: &location,
            mirror: &gix,
            timeout,
            cancel,
        })
        .unwrap_err()
    };
    let error = request(Duration::from_millis(1), &AtomicBool::new(false));
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let error = request(Duration::from_secs(3600), &AtomicBool::new(true));
    assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
}

#[test]
fn a_shallow_original_is_imported_as_far_as_it_goes() {
    let (fixture, _) = Fixture::with_commit();
    let head = fixture.commit("b.yaml", "b: 1\n", "second");
    fixture.push(["main"]);
    let shallow = fixture.root.path().join("shallow");
    let url = fixture.url();
    git(fixture.root.path(), ["clone", "-q", "--bare", "--depth", "1", url.as_str(), "shallow"]);
    let mirror = Mirror::open(&fixture.options(), &shallow.display().to_string()).unwrap();
    let fetched = fetch(&mirror, &Known::new());
    assert_eq!(outline(&fetched)[..2], ["commit second", "imported HEAD 1 1"]);
    assert_eq!(commits(&fetched)[0].changed, ["a.yaml", "b.yaml"]);
    assert_eq!(outline(&fetch(&mirror, &fetched.refs)), [""; 0]);
    assert_eq!(mirror.resolve("main").unwrap(), head);
}

/// Histories of any shape, with clocks that go anywhere: the commits that are recorded are those
/// that `git rev-list new ^old` lists, parents before children.
#[test]
fn new_commits_are_those_that_git_lists() {
    let fixture = Fixture::new();
    let mut seed = 7u64;
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let count = 120;
    let mut stream = String::new();
    for n in 1..=count {
        let time = 1_000_000 + random(1_000);
        stream += &format!("commit refs/heads/c{n}\nmark :{n}\ncommitter B <b@x> {time} +0000\n");
        stream += &format!("data <<.\nc{n}\n.\n");
        for parent in 0..random(3).min(n - 1) {
            let link = if parent == 0 { "from" } else { "merge" };
            stream += &format!("{link} :{}\n", n - 1 - random((n - 1).min(6)));
        }
        stream += &format!("M 100644 inline f{n}\ndata <<.\n{n}\n.\n\n");
    }
    let input = fixture.root.path().join("stream");
    std::fs::write(&input, stream).unwrap();
    let mut import = Command::new("git");
    import.current_dir(fixture.work()).args(["fast-import", "--quiet"]);
    let status = import.stdin(std::fs::File::open(&input).unwrap()).status().unwrap();
    assert!(status.success());
    let mirror = fixture.mirror();
    let mut known = Known::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..25 {
        let tip = format!("c{}", 1 + random(count));
        fixture.push([&format!("+{tip}:refs/heads/main")]);
        let fetched = fetch(&mirror, &known);
        let old = known.get("refs/heads/main").map(|old| format!("^{old}"));
        let mut expected = Vec::new();
        for line in
            git(&fixture.work(), ["rev-list", &tip].into_iter().chain(old.as_deref())).lines()
        {
            // What was recorded for an earlier tip is not recorded again.
            expected.extend(seen.insert(line.to_owned()).then(|| line.to_owned()));
        }
        let recorded = commits(&fetched);
        let mut listed: Vec<_> = recorded.iter().map(|c| c.commit.to_string()).collect();
        for (index, commit) in recorded.iter().enumerate() {
            for parent in &commit.parents {
                assert!(!listed[index..].contains(&parent.to_string()), "{parent} comes late");
            }
        }
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
        known = fetched.refs;
    }
}

#[test]
fn many_small_packs_become_one_and_nothing_is_lost() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    let mut known = fetch(&mirror, &Known::new()).refs;
    let dropped = fixture.commit("a.yaml", "a: 2\n", "dropped");
    fixture.push(["main"]);
    known = fetch(&mirror, &known).refs;
    fixture.git(["reset", "-q", "--hard", first.as_str()]);
    fixture.push(["--force", "main"]);
    known = fetch(&mirror, &known).refs;
    mirror.maintain().unwrap();
    let packs = || {
        let entries = std::fs::read_dir(mirror.dir().join("objects/pack")).unwrap();
        let pack = |e: &std::fs::DirEntry| e.path().extension().is_some_and(|x| x == "pack");
        entries.flatten().filter(pack).count()
    };
    assert_eq!(packs(), 2, "too few to be worth it");
    let pack = |n: u32| {
        // Packs of one object each stand for many small fetches.
        let blob = mirror.dir().join("blob");
        std::fs::write(&blob, n.to_string()).unwrap();
        let id = git(mirror.dir(), ["hash-object", "-w", "blob"]);
        std::fs::write(&blob, format!("{id}\n")).unwrap();
        let list = std::fs::File::open(&blob).unwrap();
        let mut command = Command::new("git");
        command.current_dir(mirror.dir()).args(["pack-objects", "-q", "objects/pack/pack"]);
        assert!(command.stdin(list).output().unwrap().status.success());
    };
    (0..50).for_each(pack);
    assert_eq!(packs(), 52);
    mirror.maintain().unwrap();
    assert_eq!(packs(), 1);
    assert!(mirror.tree(&dropped, ".").is_ok());
    assert_eq!(outline(&fetch(&mirror, &known)), [""; 0]);
}

#[test]
fn revisions_resolve_by_branch_tag_ref_and_id() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.git(["tag", "both"]);
    let second = fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.git(["branch", "both"]);
    fixture.push(["main", "refs/tags/both", "refs/heads/both"]);
    fetch(&mirror, &Known::new());
    for (revision, expected) in [
        ("", &second),
        ("HEAD", &second),
        ("main", &second),
        ("both", &second),
        ("refs/tags/both", &first),
        (first.as_str(), &first),
        (first.short(), &first),
        (&first.as_str().to_uppercase(), &first),
    ] {
        assert_eq!(&mirror.resolve(revision).unwrap(), expected, "{revision}");
    }
    let error = mirror.resolve("mian").unwrap_err();
    assert!(error.to_string().contains("unknown revision `mian` (there is `main`)"), "{error}");
    let blob = fixture.git(["rev-parse", "HEAD:a.yaml"]);
    for unknown in ["", "nothing", "abc", "ffffffffff", &"0".repeat(64), blob.as_str(), "a..b"] {
        if !unknown.is_empty() {
            let error = mirror.resolve(unknown).unwrap_err();
            assert!(matches!(error, Error::UnknownRevision { .. }), "{unknown}: {error}");
        }
    }
}

#[test]
fn a_branch_that_comes_back_somewhere_else_is_a_rewrite() {
    let (fixture, first) = Fixture::with_commit();
    let mirror = fixture.mirror();
    fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.push(["main"]);
    fixture.push(["main:other"]);
    let known = fetch(&mirror, &Known::new()).refs;
    git(&fixture.bare(), ["update-ref", "-d", "refs/heads/main"]);
    let gone = fetch(&mirror, &known);
    assert!(outline(&gone).iter().all(|line| !line.starts_with("rewritten")));
    let left: Known = known.into_iter().filter(|(name, _)| !gone.refs.contains_key(name)).collect();
    let again = |gone_refs: &Known| {
        let fetched = mirror.fetch(&gone.refs, gone_refs, &AtomicBool::new(false)).unwrap();
        let lines = outline(&fetched).into_iter();
        lines.filter(|line| line.starts_with("rewritten")).collect::<Vec<_>>()
    };
    // Where it was, and further on, is no rewrite.
    fixture.push(["main"]);
    assert_eq!(again(&left), Vec::<String>::new());
    fixture.git(["reset", "-q", "--hard", first.as_str()]);
    fixture.commit("a.yaml", "a: 4\n", "instead");
    fixture.push(["--force", "main"]);
    assert_eq!(again(&left), ["rewritten refs/heads/main 1 false"]);
    assert_eq!(again(&Known::new()), Vec::<String>::new(), "a new branch rewrites nothing");
}
