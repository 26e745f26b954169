//! A folder of YAML and JSON to documents: which files are read, and what is wrong in which line.
//!
//! As in Argo CD: files ending in `.yaml`, `.yml`, `.json` and `.jsonnet`, in folders below only
//! when asked, `include` and `exclude` as globs over the path relative to the source in which `*`
//! also matches `/`, and a file with the marker `+argocd:skip-file-rendering` is passed over.
//! Jsonnet is not rendered, and what Argo CD would render of it must not seem to have left Git: it
//! is refused. So is a submodule that may hold files to be read. A file in which nothing looks like a
//! Kubernetes object is passed over with a warning; one in which something does must be right from
//! end to end, because half a file would prune the other half.

use globset::{GlobBuilder, GlobMatcher};

use super::engine::{Error, Limits};
use super::files::{self, FileKind, Files, FilesError, Target};
use super::manifest::{self, Item};
use super::yaml::{Budget, Document, Duplicates};
use super::{json, overrides, yaml};
use crate::model::DirectorySource;

/// A file that holds this text is not read (Argo CD's convention).
const SKIP_MARKER: &[u8] = b"+argocd:skip-file-rendering";

/// How a file ends that is Jsonnet.
const JSONNET: &str = ".jsonnet";
/// How the files end that Argo CD reads.
const ENDINGS: [&str; 4] = [".yaml", ".yml", ".json", JSONNET];

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) items: Vec<Item>,
    pub(super) warnings: Vec<String>,
}

/// Reads the manifests of the folder `path`.
///
/// # Errors
/// A bad glob, an unreadable or escaping file, a file that is no valid YAML or JSON, Jsonnet, a
/// submodule.
pub(super) fn read(
    files: &dyn Files,
    path: &str,
    source: &DirectorySource,
    limits: &Limits,
) -> Result<Documents, Error> {
    let folder = folder(files, path)?;
    let include = glob(&source.include)?;
    let exclude = glob(&source.exclude)?;
    let mut listed = files.list(&folder, source.recurse)?;
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    let mut documents = Documents::default();
    let mut budget = Budget::new(limits.memory_bytes_max, limits.documents_max);
    let mut bytes_left = limits.source_bytes_max;
    for file in listed {
        if file.kind == FileKind::Submodule {
            // Without folders below it is not looked into.
            if source.recurse && may_hold_wanted(&file.path, &source.include, exclude.as_ref()) {
                let path = files::join(&folder, &file.path)?;
                return Err(Error::Submodule { path, below: file.path });
            }
            continue;
        }
        let wanted = is_manifest(&file.path)
            && exclude.as_ref().is_none_or(|exclude| !exclude.is_match(&file.path))
            && include.as_ref().is_none_or(|include| include.is_match(&file.path));
        if !wanted {
            continue;
        }
        let path = files::join(&folder, &file.path)?;
        let Some(bytes) = content(files, &path, &mut documents.warnings)? else {
            continue;
        };
        let left = bytes_left.checked_sub(bytes.len() as u64);
        bytes_left = left.ok_or(Error::SourceTooLarge { max: limits.source_bytes_max })?;
        parse(&path, &bytes, &mut budget, &mut documents)?;
    }
    Ok(documents)
}

/// The folder itself, when its path leads through links.
pub(super) fn folder(files: &dyn Files, path: &str) -> Result<String, Error> {
    match files::follow(files, path)? {
        Target::Folder(folder) => Ok(folder),
        Target::File(_) => Err(Error::NotAFolder { path: path.to_owned() }),
        Target::Absent => Err(FilesError::Absent { path: path.to_owned() }.into()),
    }
}

fn is_manifest(path: &str) -> bool {
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

fn glob(pattern: &str) -> Result<Option<GlobMatcher>, Error> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    let glob = glob.map_err(|source| Error::Glob { pattern: pattern.to_owned(), source })?;
    Ok(Some(glob.compile_matcher()))
}

/// Whether the folder `path`, in which nobody knows what there is, may hold a file to be read. In
/// doubt it may.
fn may_hold_wanted(path: &str, include: &str, exclude: Option<&GlobMatcher>) -> bool {
    // What stands before the first wildcard is the same in every path that matches.
    let fixed = include.find(['*', '?', '[', '{', '\\']).map_or(include, |end| &include[..end]);
    let below = format!("{path}/");
    let included = below.starts_with(fixed) || fixed.starts_with(&below);
    // What leaves out names that nobody would choose leaves out every name.
    let names = ["0", "_/Z~z", "-.x/y/0"];
    let names = || names.iter().flat_map(|n| ENDINGS.iter().map(move |e| format!("{n}{e}")));
    let excluded = exclude
        .is_some_and(|exclude| names().all(|name| exclude.is_match(format!("{below}{name}"))));
    included && !excluded
}

/// The bytes of a file, or of the file that a link leads to; `None` with a warning for a link
/// that leads to no file, as Argo CD has it.
fn content(
    files: &dyn Files,
    path: &str,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, Error> {
    let ignored = match files::follow(files, path)? {
        Target::File(bytes) => return Ok(Some(bytes)),
        Target::Folder(_) => "a link to a folder",
        Target::Absent => "a link to nothing",
    };
    warnings.push(format!("{path}: {ignored}, ignored"));
    Ok(None)
}

fn parse(path: &str, bytes: &[u8], budget: &mut Budget, into: &mut Documents) -> Result<(), Error> {
    if contains(bytes, SKIP_MARKER) {
        return Ok(());
    }
    if path.ends_with(JSONNET) {
        return Err(Error::Jsonnet { file: path.to_owned() });
    }
    let at = |error: yaml::Error| Error::Syntax {
        file: path.to_owned(),
        line: error.line,
        column: error.column,
        problem: error.problem,
    };
    let documents: Vec<Document> = if path.ends_with(".json") {
        json::parse(bytes, budget).map_err(at)?.into_iter().collect()
    } else {
        yaml::parse(bytes, Duplicates::Refuse, budget).map_err(at)?.documents
    };
    if !documents.is_empty() && !documents.iter().any(|d| manifest::looks_like_manifest(&d.value)) {
        if overrides::is_override(path) {
            return Ok(());
        }
        into.warnings.push(format!("{path}: holds no Kubernetes object, ignored"));
        return Ok(());
    }
    into.items.extend(documents.into_iter().map(|document| Item {
        origin: format!("{path}:{}", document.line),
        value: document.value,
    }));
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::super::files::{Content, MemoryFiles};
    use super::*;

    fn config_map(name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
    }

    fn repository(entries: &[(&str, &str)]) -> MemoryFiles {
        let content = |text: &str| match text.strip_prefix("-> ") {
            Some(target) => Content::Symlink(target.to_owned()),
            None => Content::Bytes(text.as_bytes().to_vec()),
        };
        MemoryFiles(
            entries.iter().map(|(path, text)| ((*path).to_owned(), content(text))).collect(),
        )
    }

    fn origins(files: &MemoryFiles, source: &DirectorySource) -> Vec<String> {
        let documents = read(files, "apps", source, &Limits::default()).unwrap();
        documents.items.into_iter().map(|item| item.origin).collect()
    }

    #[test]
    fn the_files_that_are_read_are_those_that_argo_reads() {
        let one = config_map("one");
        let files = repository(&[
            ("apps/a.yaml", &one),
            ("apps/b.yml", &one),
            ("apps/c.json", r#"{"apiVersion": "v1", "kind": "ConfigMap"}"#),
            ("apps/d.txt", &one),
            ("apps/sub/e.yaml", &one),
            ("apps/sub/deep/f.yaml", &one),
            ("apps/skip.yaml", "# +argocd:skip-file-rendering\nkind: {{ broken"),
            ("other/g.yaml", &one),
        ]);
        let source = |recurse, include: &str, exclude: &str| DirectorySource {
            recurse,
            include: include.into(),
            exclude: exclude.into(),
        };
        let all = ["apps/a.yaml:1", "apps/b.yml:1", "apps/c.json:1"];
        for (recurse, include, exclude, expected) in [
            (false, "", "", all.to_vec()),
            (true, "", "*.{yml,json}", vec![all[0], "apps/sub/deep/f.yaml:1", "apps/sub/e.yaml:1"]),
            (true, "*e.yaml", "", vec!["apps/sub/e.yaml:1"]),
            (true, "sub/**", "sub/deep/*", vec!["apps/sub/e.yaml:1"]),
            (true, "*.yaml", "*", vec![]),
            (false, "[ab].y*ml", "", all[..2].to_vec()),
        ] {
            let found = origins(&files, &source(recurse, include, exclude));
            assert_eq!(found, expected, "{recurse} {include} {exclude}");
        }
        let error = read(&files, "apps", &source(true, "{a", ""), &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Glob { .. }));
    }

    /// Goal: Jsonnet is refused where Argo CD renders it, and nowhere else.
    #[test]
    fn jsonnet_is_refused_by_name_where_it_would_be_rendered() {
        let one = config_map("one");
        let files = repository(&[
            ("apps/a.yaml", &one),
            ("apps/lib.libsonnet", "{}"),
            ("apps/skip.jsonnet", "// +argocd:skip-file-rendering\n{}"),
            ("apps/sub/b.jsonnet", "{}"),
        ]);
        let check = |files: &MemoryFiles, recurse, include: &str, exclude: &str| {
            let source =
                DirectorySource { recurse, include: include.into(), exclude: exclude.into() };
            let read = read(files, "apps", &source, &Limits::default());
            read.map(|documents| documents.items.len()).map_err(|error| error.to_string())
        };
        let refused = Err("`apps/sub/b.jsonnet` is Jsonnet, which is not rendered: leave it out \
                           with `directory.exclude`, or commit what it renders to as YAML"
            .to_owned());
        assert_eq!(check(&files, false, "", ""), Ok(1), "it is in a folder below");
        assert_eq!(check(&files, true, "", ""), refused);
        assert_eq!(check(&files, true, "*.yaml", ""), Ok(1));
        assert_eq!(check(&files, true, "{*.yaml,sub/*}", ""), refused);
        assert_eq!(check(&files, true, "", "*.jsonnet"), Ok(1));
        assert_eq!(check(&files, true, "", "sub/*"), Ok(1));
        let link = repository(&[("apps/l.jsonnet", "-> ../lib.txt"), ("lib.txt", "{}")]);
        let refused = check(&link, false, "", "").unwrap_err();
        assert!(refused.starts_with("`apps/l.jsonnet` is Jsonnet"), "{refused}");
    }

    /// Goal: a submodule is refused where Argo CD would read its files, and nowhere else.
    #[test]
    fn a_submodule_is_refused_where_its_files_would_be_read() {
        let mut files = repository(&[("apps/a.yaml", &config_map("one"))]);
        files.0.insert("apps/lib/sub".to_owned(), Content::Submodule);
        let check = |recurse, include: &str, exclude: &str| {
            let source =
                DirectorySource { recurse, include: include.into(), exclude: exclude.into() };
            let read = read(&files, "apps", &source, &Limits::default());
            read.map(|documents| documents.warnings.len()).map_err(|error| error.to_string())
        };
        let refused = check(true, "", "").unwrap_err();
        assert!(refused.starts_with("`apps/lib/sub` is a submodule"), "{refused}");
        assert!(refused.contains("`directory.exclude: 'lib/sub/*'`"), "{refused}");
        for (recurse, include, exclude, reads) in [
            (false, "", "", false),
            (true, "*.yaml", "", true),
            (true, "lib/*", "", true),
            (true, "lib/sub/x/*.yaml", "", true),
            (true, "library/*", "", false),
            (true, "a.yaml", "", false),
            (true, "", "lib/sub/*", false),
            (true, "", "lib/**", false),
            (true, "", "{lib/sub/*,x}", false),
            (true, "", "lib/sub", true),
            (true, "", "lib/sub/*.yaml", true),
            (true, "", "*.yaml", true),
        ] {
            let found = check(recurse, include, exclude);
            assert_eq!(found.is_err(), reads, "{recurse} {include} {exclude}");
            assert!(found.is_err() || found == Ok(0), "nothing is said of what is not read");
        }
    }

    #[test]
    fn every_document_is_named_by_file_and_line() {
        let text = format!(
            "# note\n---\n{}---\n---\n# nothing\n---\n\n{}",
            config_map("a"),
            config_map("b")
        );
        let files = repository(&[("apps/a.yaml", &text)]);
        assert_eq!(
            origins(&files, &DirectorySource::default()),
            ["apps/a.yaml:3", "apps/a.yaml:12"]
        );
    }

    #[test]
    fn links_are_read_where_they_stay_inside() {
        let one = config_map("one");
        let linked = |target: &str| {
            let files = repository(&[
                ("apps/link.yaml", &format!("-> {target}")),
                ("shared/one.yaml", &one),
            ]);
            read(&files, "apps", &DirectorySource::default(), &Limits::default())
        };
        assert_eq!(linked("../shared/one.yaml").unwrap().items.len(), 1);
        assert_eq!(linked("../nothing.yaml").unwrap().warnings.len(), 1);
        assert_eq!(linked("../shared").unwrap().warnings.len(), 1);
        let escape = linked("../../etc/one.yaml").unwrap_err();
        assert_eq!(escape.to_string(), "`apps/link.yaml` leads out of the repository");
    }

    #[test]
    fn a_source_path_may_be_a_link_and_must_be_a_folder() {
        let one = config_map("one");
        let files = repository(&[("apps", "-> real"), ("real/a.yaml", &one), ("file.yaml", &one)]);
        assert_eq!(origins(&files, &DirectorySource::default()), ["real/a.yaml:1"]);
        let missing = |path| read(&files, path, &DirectorySource::default(), &Limits::default());
        let error = missing("nowhere").unwrap_err().to_string();
        assert_eq!(error, "`nowhere` does not exist in the repository at this commit");
        assert_eq!(missing("file.yaml").unwrap_err().to_string(), "`file.yaml` is not a folder");
    }

    #[test]
    fn other_yaml_files_are_passed_over_and_broken_manifests_are_not() {
        let check = |text: &str| {
            let files = repository(&[("apps/a.yaml", text)]);
            read(&files, "apps", &DirectorySource::default(), &Limits::default())
        };
        let unrelated = check("replicas: 3\nimage: web\n").unwrap();
        assert!(unrelated.items.is_empty());
        assert_eq!(unrelated.warnings, ["apps/a.yaml: holds no Kubernetes object, ignored"]);
        let error = check("kind: ConfigMap\nkind: Secret\n").unwrap_err();
        assert_eq!(error.to_string(), "apps/a.yaml:2:1: duplicate key `kind`");
        // A document that lost its kind is handed on, and refused there.
        assert_eq!(check("metadata: {name: a}\n").unwrap().items.len(), 1);
    }

    #[test]
    fn what_one_application_may_read_is_bounded() {
        let files =
            repository(&[("apps/a.yaml", &config_map("a")), ("apps/b.yaml", &config_map("b"))]);
        let limits = |source_bytes_max, documents_max| Limits {
            source_bytes_max,
            documents_max,
            ..Limits::default()
        };
        let check = |limits| read(&files, "apps", &DirectorySource::default(), &limits);
        assert!(check(limits(1000, 2)).is_ok());
        assert!(matches!(check(limits(60, 2)), Err(Error::SourceTooLarge { max: 60 })));
        assert!(matches!(check(limits(1000, 1)), Err(Error::Syntax { .. })));
    }
}
