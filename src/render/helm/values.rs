//! Value files, inline values and parameters, as arguments in the order of their precedence.
//!
//! A value file is named relative to the chart, or with a leading `/` relative to the top of the
//! repository; it may be anywhere in the repository, with `$name/` in the repository that another
//! source lends under that name, and nowhere else. A glob stands for the files
//! that it matches, in the order of their names, without those that are listed already.
//! Variables in parameters and in the names of files are replaced first, but for the name of
//! another source.

use std::ffi::OsString;

use globset::GlobBuilder;

use super::{Error, unreadable as files_error};
use crate::model::{Digest, Helm};
use crate::render::engine::{Error as RenderError, Input};
use crate::render::files::{self, Files, FilesError, Target};
use crate::render::scratch::Scratch;
use crate::render::variables::Variables;

/// The most value files of one application, globs resolved.
const VALUE_FILES_MAX: usize = 1000;

/// A file of this repository or of one that another source lends.
struct Place<'a> {
    files: &'a dyn Files,
    path: String,
    /// The name under which the repository is lent.
    lent: Option<&'a str>,
}

impl Place<'_> {
    /// What messages call it.
    fn name(&self) -> String {
        match self.lent {
            Some(lent) => format!("${lent}/{}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The arguments that give a chart its values.
///
/// # Errors
/// A file that is missing, leads out of its repository, or would have to be fetched.
pub(super) fn arguments(
    input: &Input<'_>,
    chart: &str,
    helm: &Helm,
    scratch: &mut Scratch,
) -> Result<Vec<OsString>, RenderError> {
    let variables = Variables::of(input);
    let mut arguments = Vec::new();
    for place in value_files(input, chart, helm, &variables)? {
        let Target::File(bytes) = files::follow(place.files, &place.path)? else {
            return Err(Error::MissingValueFile { file: place.name() }.into());
        };
        arguments.push(option("--values=", scratch.write_named(&bytes, &place.name())?.into()));
    }
    if let Some(values) = &helm.values {
        let file = scratch.write_named(values.as_bytes(), "the Application's helm values")?;
        arguments.push(option("--values=", file.into()));
    }
    for parameter in &helm.parameters {
        let kind = if parameter.force_string { "--set-string" } else { "--set" };
        let value = escape_commas(&variables.replace(&parameter.value));
        arguments.push(format!("{kind}={}={value}", parameter.name).into());
    }
    for (name, written) in &helm.file_parameters {
        let place = locate(input, chart, written, &variables)?;
        let Target::File(bytes) = files::follow(place.files, &place.path)? else {
            return Err(Error::MissingValueFile { file: written.clone() }.into());
        };
        let file = scratch.write_named(&bytes, &place.name())?;
        arguments.push(option(&format!("--set-file={name}="), file.into()));
    }
    Ok(arguments)
}

/// Digests every file that the values come from: they may be anywhere in the repository, or in
/// another one, and change without the chart.
///
/// # Errors
/// As [`arguments`].
pub(super) fn digest(input: &Input<'_>, chart: &str, helm: &Helm) -> Result<Digest, RenderError> {
    let mut digests = Vec::new();
    for place in all(input, chart, helm)? {
        let digest = match files::follow(place.files, &place.path)? {
            Target::File(bytes) => Digest::of(&bytes).to_string(),
            Target::Folder(_) | Target::Absent => String::new(),
        };
        digests.push((place.name(), digest));
    }
    Ok(Digest::of(serde_json::json!(digests).to_string().as_bytes()))
}

/// The files that the values come from, each with the name under which its repository is lent.
///
/// # Errors
/// As [`arguments`].
pub(super) fn places(
    input: &Input<'_>,
    chart: &str,
    helm: &Helm,
) -> Result<Vec<(Option<String>, String)>, RenderError> {
    let places = all(input, chart, helm)?.into_iter();
    Ok(places.map(|place| (place.lent.map(str::to_owned), place.path)).collect())
}

/// The places of every file that the values come from.
fn all<'a>(input: &Input<'a>, chart: &str, helm: &Helm) -> Result<Vec<Place<'a>>, RenderError> {
    let variables = Variables::of(input);
    let mut places = value_files(input, chart, helm, &variables)?;
    for (_, written) in &helm.file_parameters {
        places.push(locate(input, chart, written, &variables)?);
    }
    Ok(places)
}

fn option(name: &str, value: OsString) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// The value files by their paths in their repositories, in order.
fn value_files<'a>(
    input: &Input<'a>,
    chart: &str,
    helm: &Helm,
    variables: &Variables,
) -> Result<Vec<Place<'a>>, RenderError> {
    let mut places: Vec<Place<'a>> = Vec::new();
    for written in &helm.value_files {
        let place = locate(input, chart, written, variables)?;
        let (files, lent) = (place.files, place.lent);
        let (found, is_glob) = match place.path.find(['*', '?', '[', '{']) {
            Some(wildcard) => (matches(files, &place.path, wildcard, written)?, true),
            None => match files::follow(files, &place.path)? {
                Target::File(_) => (vec![place.path], false),
                Target::Folder(_) | Target::Absent => (Vec::new(), false),
            },
        };
        if found.is_empty() && !helm.ignore_missing_value_files {
            return Err(Error::MissingValueFile { file: written.clone() }.into());
        }
        for path in found {
            // A file that is named twice wins where it is named last; a glob names it only once.
            let known = places.iter().any(|place| place.lent == lent && place.path == path);
            if !is_glob || !known {
                places.push(Place { files, path, lent });
            }
        }
        if places.len() > VALUE_FILES_MAX {
            let reason = format!("more than {VALUE_FILES_MAX} value files");
            return Err(Error::BadValueFile { file: written.clone(), reason }.into());
        }
    }
    Ok(places)
}

/// The place of a file as written in the Application. What begins with `$` is in another source,
/// where one has the name, and with a variable otherwise.
fn locate<'a>(
    input: &Input<'a>,
    chart: &str,
    written: &str,
    variables: &Variables,
) -> Result<Place<'a>, RenderError> {
    let bad =
        |reason: String| RenderError::from(Error::BadValueFile { file: written.into(), reason });
    let (name, path) = written.split_once('/').unwrap_or((written, ""));
    if let Some(name) = name.strip_prefix('$') {
        if let Some((lent, files)) = input.lent.get_key_value(name) {
            let path = files::join("", &variables.replace(path)).map_err(files_error)?;
            return Ok(Place { files: *files, path, lent: Some(lent) });
        }
        // Argo CD reads the file that is left without the name, which nobody meant.
        if !name.starts_with('{') && variables.unknown_first(written) {
            return Err(bad(format!("no source has the name `{name}` (`ref`)")));
        }
    }
    let replaced = variables.replace(written);
    if replaced.is_empty() {
        return Err(bad("an empty name".to_owned()));
    }
    if replaced.contains("://") {
        return Err(bad("values by URL are not fetched yet".to_owned()));
    }
    let path = files::join(chart, &replaced).map_err(files_error)?;
    Ok(Place { files: input.files, path, lent: None })
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
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::super::files::{Content, MemoryFiles};
    use super::*;
    use crate::model::AppSpec;

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
            "apps/web/$.yaml",
            "apps/web/env/web.yaml",
            "apps/web/web/values.yaml",
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
        check(
            &["env/*.yaml"],
            Ok(&["apps/web/env/a.yaml", "apps/web/env/b.yaml", "apps/web/env/web.yaml"]),
        );
        check(
            &["env/b.yaml", "env/**/*.yaml", "env/b.yaml"],
            Ok(&[
                "apps/web/env/b.yaml",
                "apps/web/env/a.yaml",
                "apps/web/env/deep/c.yaml",
                "apps/web/env/web.yaml",
                "apps/web/env/b.yaml",
            ]),
        );
        check(&["missing.yaml"], Err("the value file `missing.yaml` does not exist"));
        check(&["env"], Err("the value file `env` does not exist"));
        check(&["none/*.yaml"], Err("the value file `none/*.yaml` does not exist"));
        check(&["../../../etc/passwd"], Err("leads out of the repository"));
        check(&["https://example.org/values.yaml"], Err("not fetched yet"));
        check(&["$other/values.yaml"], Err("no source has the name `other`"));
        check(&["$env/prod/a.yaml"], Ok(&["$env/prod/a.yaml"]));
        check(
            &["$env/*/*.yaml"],
            Ok(&["$env/prod/a.yaml", "$env/prod/b.yaml", "$env/prod/web.yaml"]),
        );
        check(&["$env/../prod/a.yaml"], Err("leads out of the repository"));
        check(&["$env/none.yaml"], Err("the value file `$env/none.yaml` does not exist"));
        check(&["env/${ARGOCD_APP_NAME}.yaml"], Ok(&["apps/web/env/web.yaml"]));
        check(&["$ARGOCD_APP_NAME/values.yaml"], Ok(&["apps/web/web/values.yaml"]));
        check(&["$env/prod/${ARGOCD_APP_NAME}.yaml"], Ok(&["$env/prod/web.yaml"]));
        check(&["/$ARGOCD_APP_SOURCE_PATH/$$.yaml"], Ok(&["apps/web/$.yaml"]));
        check(&["$unknown"], Err("no source has the name `unknown`"));
        check(&["${unknown}"], Err("the value file `${unknown}`: an empty name"));
        check(&["env/$unknown"], Err("the value file `env/$unknown` does not exist"));
    }

    fn value_files_of(files: &MemoryFiles, helm: &Helm) -> Result<Vec<String>, String> {
        let app = serde_json::json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web"}, "spec": {"source": {"repoURL": "r", "path": "apps/web"}}});
        let app = AppSpec::parse(&app).unwrap();
        let lent = repository(&["prod/a.yaml", "prod/b.yaml", "prod/web.yaml"]);
        let input = Input {
            app: &app,
            source: &app.sources[0],
            files,
            lent: &BTreeMap::from([("env".to_owned(), &lent as &dyn Files)]),
            commit: &"0123456789012345678901234567890123456789".parse().unwrap(),
            scopes: &BTreeMap::new(),
            kube_version: "",
            api_versions: &[],
            scratch: Path::new("/nonexistent"),
        };
        let variables = Variables::of(&input);
        let places = value_files(&input, "apps/web", helm, &variables);
        let places = places.map_err(|error| error.to_string())?;
        Ok(places.iter().map(Place::name).collect())
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
