//! Folders of a repository to the temporary folder of a render.
//!
//! Links are followed inside the repository and become copies: programs see regular files only.

use super::engine::Error;
use super::files::{self, FileKind, Files, FilesError, Target};
use super::scratch::Scratch;

/// How deep linked folders may lead to linked folders.
const LINKED_FOLDERS_MAX: usize = 8;

/// What becomes of a submodule in a folder that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Submodules {
    /// It is an error: the program reads whatever is there.
    Refuse,
    /// It is left out with a warning: the program names what it misses.
    LeaveOut,
}

/// Copies the repository's folder `from` to `to` below the folder of inputs, and returns where
/// submodules would be that are left out.
///
/// # Errors
/// A link that leads out of the repository, into a submodule or in a circle, an unreadable file,
/// a limit, a submodule that is not to be left out.
pub(super) fn folder(
    files: &dyn Files,
    scratch: &mut Scratch,
    from: &str,
    to: &str,
    submodules: Submodules,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, Error> {
    let mut copier = Copier { files, scratch, submodules, left_out: Vec::new(), warnings };
    copier.folder(from, to, 0)?;
    Ok(copier.left_out)
}

struct Copier<'a, 's> {
    files: &'a dyn Files,
    scratch: &'s mut Scratch,
    submodules: Submodules,
    left_out: Vec<String>,
    warnings: &'s mut Vec<String>,
}

impl Copier<'_, '_> {
    fn folder(&mut self, from: &str, to: &str, links: usize) -> Result<(), Error> {
        for file in self.files.list(from, true)? {
            let source = files::join(from, &file.path)?;
            let target = files::join(to, &file.path)?;
            if file.kind == FileKind::Submodule {
                if self.submodules == Submodules::Refuse {
                    let submodule = source.clone();
                    return Err(FilesError::Submodule { path: source, submodule }.into());
                }
                self.warnings.push(format!("{source}: a submodule, ignored"));
                self.left_out.push(target);
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
