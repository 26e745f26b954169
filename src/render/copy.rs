//! Folders of a repository to the temporary folder of a render.
//!
//! Links are followed inside the repository and become copies: programs see regular files only.

use super::engine::Error;
use super::files::{self, FileKind, Files, FilesError, Target};
use super::scratch::Scratch;

/// How deep linked folders may lead to linked folders.
const LINKED_FOLDERS_MAX: usize = 8;

/// Copies the repository's folder `from` to `to` below the folder of inputs.
///
/// # Errors
/// A link that leads out of the repository or in a circle, an unreadable file, a limit.
pub(super) fn folder(
    files: &dyn Files,
    scratch: &mut Scratch,
    from: &str,
    to: &str,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let mut copier = Copier { files, scratch, warnings };
    copier.folder(from, to, 0)
}

struct Copier<'a, 's> {
    files: &'a dyn Files,
    scratch: &'s mut Scratch,
    warnings: &'s mut Vec<String>,
}

impl Copier<'_, '_> {
    fn folder(&mut self, from: &str, to: &str, links: usize) -> Result<(), Error> {
        for file in self.files.list(from, true)? {
            let source = files::join(from, &file.path)?;
            let target = files::join(to, &file.path)?;
            if file.kind == FileKind::Submodule {
                self.warnings.push(format!("{source}: a submodule, ignored"));
                continue;
            }
            match files::follow(self.files, &source)? {
                Target::File(bytes) => self.scratch.write_input(&target, &bytes)?,
                Target::Folder(_) if links >= LINKED_FOLDERS_MAX => {
                    return Err(FilesError::LinkLoop { path: source }.into());
                }
                Target::Folder(folder) => self.folder(&folder, &target, links + 1)?,
                Target::Absent => {
                    self.warnings.push(format!("{source}: a link to nothing, ignored"));
                }
            }
        }
        Ok(())
    }
}
