//! Value files, inline values and parameters, as arguments in the order of their precedence.
//!
//! A value file is named relative to the chart, or with a leading `/` relative to the top of the
//! repository; it may be anywhere in the repository and nowhere else. A glob stands for the files
//! that it matches, in the order of their names, without those that are listed already.

use std::ffi::OsString;

use globset::GlobBuilder;

use super::scratch::Scratch;
use super::{Error, files as files_error};
use crate::model::Helm;
use crate::render::engine::Error as RenderError;
use crate::render::files::{self, Files, FilesError, Target};

/// The most value files of one application, globs resolved.
const VALUE_FILES_MAX: usize = 1000;

/// The arguments that give a chart its values.
///
/// # Errors
/// A file that is missing, leads out of the repository, or would have to be fetched.
pub(super) fn arguments(
    files: &dyn Files,
    chart: &str,
    helm: &Helm,
    scratch: &mut Scratch,
) -> Result<Vec<OsString>, RenderError> {
    let mut arguments = Vec::new();
    for path in value_files(files, chart, helm)? {
        let Target::File(bytes) = files::follow(files, &path)? else {
            return Err(Error::MissingValueFile { file: path }.into());
        };
        arguments.push(option("--values=", scratch.write_named(&bytes, &path)?.into()));
    }
    if let Some(values) = &helm.values {
        let file = scratch.write_named(values.as_bytes(), "the Application's helm values")?;
        arguments.push(option("--values=", file.into()));
    }
    for parameter in &helm.parameters {
        let kind = if parameter.force_string { "--set-string" } else { "--set" };
        let value = escape_commas(&parameter.value);
        arguments.push(format!("{kind}={}={value}", parameter.name).into());
    }
    for (name, written) in &helm.file_parameters {
        let path = locate(chart, written)?;
        let Target::File(bytes) = files::follow(files, &path)? else {
            return Err(Error::MissingValueFile { file: written.clone() }.into());
        };
        let file = scratch.write_named(&bytes, &path)?;
        arguments.push(option(&format!("--set-file={name}="), file.into()));
    }
    Ok(arguments)
}

fn option(name: &str, value: OsString) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// The value files by their paths in the repository, in order.
fn value_files(files: &dyn Files, chart: &str, helm: &Helm) -> Result<Vec<String>, RenderError> {
    let mut paths: Vec<String> = Vec::new();
    for written in &helm.value_files {
        let path = locate(chart, written)?;
        let (found, is_glob) = match path.find(['*', '?', '[', '{']) {
            Some(wildcard) => (matches(files, &path, wildcard, written)?, true),
            None => match files::follow(files, &path)? {
                Target::File(_) => (vec![path], false),
                Target::Folder(_) | Target::Absent => (Vec::new(), false),
            },
        };
        if found.is_empty() && !helm.ignore_missing_value_files {
            return Err(Error::MissingValueFile { file: written.clone() }.into());
        }
        for path in found {
            // A file that is named twice wins where it is named last; a glob names it only once.
            if !is_glob || !paths.contains(&path) {
                paths.push(path);
            }
        }
        if paths.len() > VALUE_FILES_MAX {
            let reason = format!("more than {VALUE_FILES_MAX} value files");
            return Err(Error::BadValueFile { file: written.clone(), reason }.into());
        }
    }
    Ok(paths)
}

/// The path in the repository of a file as written in the Application.
fn locate(chart: &str, written: &str) -> Result<String, RenderError> {
    let bad = |reason: &str| {
        RenderError::from(Error::BadValueFile { file: written.into(), reason: reason.into() })
    };
    if written.is_empty() {
        return Err(bad("an empty name"));
    }
    if written.contains("://") {
        return Err(bad("values by URL are not fetched yet"));
    }
    if written.starts_with('$') {
        return Err(bad("references to other sources are not rendered yet"));
    }
    files::join(chart, written).map_err(files_error)
}

/// The files that a glob matches, sorted. `wildcard` is where its first wildcard stands; what is
/// before it names the folder to look in.
fn matches(
    files: &dyn Files,
    pattern: &str,
    wildcard: usize,
    written: &str,
) -> Result<Vec<String>, RenderError> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|source| RenderError::Glob { pattern: written.into(), source })?;
    let glob = glob.compile_matcher();
    let folder = files::parent(&pattern[..wildcard]);
    let listed = match files.list(folder, true) {
        Ok(listed) => listed,
        Err(FilesError::Absent { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut paths = Vec::new();
    for file in listed {
        let path = files::join(folder, &file.path)?;
        if glob.is_match(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A comma would begin another parameter. As in Argo CD it is escaped, unless it is escaped
/// already or the value is a list `{a,b}`.
fn escape_commas(value: &str) -> String {
    if value.starts_with('{') && value.ends_with('}') {
        return value.to_owned();
    }
    let mut escaped = String::with_capacity(value.len());
    let mut before = None;
    for character in value.chars() {
        if character == ',' && before != Some('\\') {
            escaped.push('\\');
        }
        escaped.push(character);
        before = Some(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::super::files::{Content, MemoryFiles};
    use super::*;

    fn repository(paths: &[&str]) -> MemoryFiles {
        let entry = |path: &&str| ((*path).to_owned(), Content::Bytes(b"a: 1".to_vec()));
        MemoryFiles(paths.iter().map(entry).collect())
    }

    #[test]
    fn value_files_are_found_in_the_repository_only() {
        let files = repository(&[
            "apps/web/values.yaml",
            "apps/web/env/b.yaml",
            "apps/web/env/a.yaml",
            "apps/web/env/deep/c.yaml",
            "apps/common.yaml",
            "values/top.yaml",
        ]);
        let check = |written: &[&str], expected: Result<&[&str], &str>| {
            let value_files = written.iter().map(|file| (*file).to_owned()).collect();
            let helm = Helm { value_files, ..Helm::default() };
            let found = value_files_of(&files, &helm);
            match expected {
                Ok(expected) => assert_eq!(found.unwrap(), expected, "{written:?}"),
                Err(text) => {
                    let error = found.unwrap_err();
                    assert!(error.contains(text), "{written:?}: {error}");
                }
            }
        };
        check(&["values.yaml"], Ok(&["apps/web/values.yaml"]));
        check(
            &["../common.yaml", "/values/top.yaml"],
            Ok(&["apps/common.yaml", "values/top.yaml"]),
        );
        check(&["env/*.yaml"], Ok(&["apps/web/env/a.yaml", "apps/web/env/b.yaml"]));
        check(
            &["env/b.yaml", "env/**/*.yaml", "env/b.yaml"],
            Ok(&[
                "apps/web/env/b.yaml",
                "apps/web/env/a.yaml",
                "apps/web/env/deep/c.yaml",
                "apps/web/env/b.yaml",
            ]),
        );
        check(&["missing.yaml"], Err("the value file `missing.yaml` does not exist"));
        check(&["env"], Err("the value file `env` does not exist"));
        check(&["none/*.yaml"], Err("the value file `none/*.yaml` does not exist"));
        check(&["../../../etc/passwd"], Err("leads out of the repository"));
        check(&["https://example.org/values.yaml"], Err("not fetched yet"));
        check(&["$other/values.yaml"], Err("other sources"));
    }

    fn value_files_of(files: &MemoryFiles, helm: &Helm) -> Result<Vec<String>, String> {
        value_files(files, "apps/web", helm).map_err(|error| error.to_string())
    }

    #[test]
    fn missing_value_files_may_be_passed_over() {
        let files = repository(&["apps/web/values.yaml"]);
        let helm = Helm {
            value_files: vec!["missing.yaml".into(), "x/*.yaml".into(), "values.yaml".into()],
            ignore_missing_value_files: true,
            ..Helm::default()
        };
        assert_eq!(value_files_of(&files, &helm).unwrap(), ["apps/web/values.yaml"]);
    }

    #[test]
    fn commas_in_parameters_are_escaped_as_argo_does_it() {
        for (value, expected) in
            [("a,b", "a\\,b"), ("a\\,b", "a\\,b"), ("{a,b}", "{a,b}"), ("a", "a"), (",", "\\,")]
        {
            assert_eq!(escape_commas(value), expected);
        }
    }
}
