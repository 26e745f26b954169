//! What an application renders to, and what another revision or a working tree would change.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::args::{ExitCodeRule, Format};
use super::asker::Context;
use super::error::{Error, Exit};
use super::output;
use super::read::{diff_against, told};
use super::table::table;
use super::yaml::to_yaml;
use crate::http::{Client, dto, query_string};
use crate::query::instant::About;
use crate::query::text::clean;
use crate::reconcile::Definition;
use crate::render::{FolderFiles, RenderedObject, Tools};

/// Runs `render`.
pub(super) async fn render(context: &Context, app: &str, rev: Option<&str>) -> Result<(), Error> {
    let rendered = if context.global.at.is_some() {
        context.asker_about(About::app(app)).await?.desired(app).await?
    } else {
        let client = context.daemon().await?;
        let query = query_string(&[("rev", rev.unwrap_or_default())]);
        client.get::<dto::Rendered>(&Client::app_path(app, "render"), &query).await?
    };
    let format = context.global.output;
    let text = match format {
        // What `kubectl apply -f -` would read.
        Format::Yaml => {
            let objects = rendered.objects.iter();
            objects.map(|object| format!("---\n{}", to_yaml(&object.manifest))).collect()
        }
        Format::Name => {
            rendered.objects.iter().map(|object| format!("{}\n", object.object)).collect()
        }
        _ => output::one(&rendered, format, rendered_table, |rendered| rendered.app.clone()),
    };
    output::print(&text)?;
    if !context.global.quiet {
        for warning in &rendered.warnings {
            output::say(&format!("warning: {}", clean(warning)));
        }
        let commits: Vec<&str> =
            rendered.commits.iter().map(|commit| commit.get(..10).unwrap_or(commit)).collect();
        output::say(&format!("note: {} at {}", rendered.tool, commits.join(", ")));
    }
    Ok(())
}

fn rendered_table(rendered: &dto::Rendered) -> String {
    let rows = rendered
        .objects
        .iter()
        .map(|object| vec![object.object.clone(), object.wave.to_string(), object.origin.clone()]);
    table(&["OBJECT", "WAVE", "FROM"], rows)
}

/// Runs `diff --rev`.
pub(super) async fn diff_revision(
    context: &Context,
    app: &str,
    rev: &str,
    rule: ExitCodeRule,
) -> Result<(), Error> {
    let client = context.daemon().await?;
    let query = query_string(&[("rev", rev)]);
    let diff: dto::Diff = client.get(&Client::app_path(app, "diff"), &query).await?;
    told(context, &diff, rule, |diff| diff_against(diff, &format!("at {rev}"), "git"))
}

/// Runs `diff --local`.
pub(super) async fn diff_local(
    context: &Context,
    app: &str,
    folder: &Path,
    rule: ExitCodeRule,
) -> Result<(), Error> {
    let client = context.daemon().await?;
    let definition: Definition = client.get(&Client::app_path(app, "definition"), "").await?;
    let objects = render_local(context, &definition, folder)?;
    let objects = objects
        .into_iter()
        .map(|object| dto::Manifest { object: object.key.to_string(), manifest: object.manifest });
    let body = dto::DiffBody { objects: objects.collect() };
    let diff: dto::Diff = client.post(&Client::app_path(app, "diff"), &body).await?;
    let at = format!("in {}", folder.display());
    told(context, &diff, rule, |diff| diff_against(diff, &at, "local"))
}

/// Renders a working tree in this process, with the daemon's code and sandbox.
fn render_local(
    context: &Context,
    definition: &Definition,
    folder: &Path,
) -> Result<Vec<RenderedObject>, Error> {
    let unusable = |error: &std::io::Error| {
        Error::usage(format!("cannot read the folder {}", folder.display())).because(error)
    };
    let folder = folder.canonicalize().map_err(|error| unusable(&error))?;
    if !folder.is_dir() {
        return Err(Error::usage(format!("{} is not a folder", folder.display())));
    }
    let path = definition.spec.sources.first().map(|source| source.path.as_str());
    let (top, path) = working_tree(&folder, path.unwrap_or("."));
    let scratch = OwnFolder::new(&std::env::temp_dir(), &uuid::Uuid::now_v7().to_string());
    let scratch = scratch.map_err(|error| {
        Error::new(Exit::Usage, "cannot make a temporary folder".to_owned()).because(&error)
    })?;
    let tools = Tools::configured(&context.config().tools);
    let rendered = definition.render_local(&FolderFiles::new(top), &path, &tools, &scratch.0);
    rendered.map_err(|error| Error::new(Exit::Usage, error.to_string()))
}

/// A folder that nobody else can have made or look into; removed when dropped.
///
/// Security: value files are laid out in it, and others may write into the folder around it.
struct OwnFolder(PathBuf);

impl OwnFolder {
    /// # Errors
    /// When something of the name is there already, or the folder cannot be made.
    fn new(parent: &Path, name: &str) -> std::io::Result<Self> {
        let folder = parent.join(format!("greffier-local-{name}"));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The top of the working tree that `folder` is in, and the folder's path from there. The folder
/// is the application's, so above its path is the top; a folder of another name has its top
/// where its `.git` is, and a folder without one is all there is.
fn working_tree(folder: &Path, path: &str) -> (PathBuf, String) {
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut top = folder;
    let matches = parts.iter().rev().all(|part| {
        let same = top.file_name().is_some_and(|name| name == *part);
        match top.parent() {
            Some(parent) if same => {
                top = parent;
                true
            }
            _ => false,
        }
    });
    if matches {
        return (top.to_owned(), parts.join("/"));
    }
    let top = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(folder);
    let below = folder.strip_prefix(top).unwrap_or(Path::new(""));
    (top.to_owned(), below.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn values_are_laid_out_in_a_folder_that_nobody_else_can_have_made() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("greffier-local-known");
        std::fs::create_dir(&theirs).unwrap();
        let refused = OwnFolder::new(dir.path(), "known").map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        let own = OwnFolder::new(dir.path(), "fresh").unwrap();
        let path = own.0.clone();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("left"), "over").unwrap();
        drop(own);
        assert!(!path.exists() && theirs.exists());
    }

    #[test]
    fn the_top_of_a_working_tree_is_above_the_applications_path() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("work/apps/web");
        std::fs::create_dir_all(&folder).unwrap();
        let top = dir.path().join("work");
        assert_eq!(working_tree(&folder, "apps/web"), (top.clone(), "apps/web".into()));
        assert_eq!(working_tree(&folder, "./apps/web/"), (top.clone(), "apps/web".into()));
        assert_eq!(working_tree(&top, "."), (top.clone(), String::new()));
        // Named otherwise: the working tree is where its .git is, or the folder alone.
        assert_eq!(working_tree(&folder, "other"), (folder.clone(), String::new()));
        std::fs::create_dir(top.join(".git")).unwrap();
        assert_eq!(working_tree(&folder, "other"), (top, "apps/web".into()));
    }
}
