//! Where the configuration comes from on this machine: files, variables, flags.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use super::args::{Global, ServeArgs};
use super::error::{Error, Exit};
use crate::config::{Layers, Loaded, Places};

/// Bound: how long a configuration file may be, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads every layer.
///
/// # Errors
/// A file that cannot be read, or a wrong value with where it came from.
pub(super) fn load(global: &Global, serve: Option<&ServeArgs>) -> Result<Loaded, Error> {
    let places = places();
    let mut layers = Layers::new(&places);
    match &global.config {
        Some(path) => {
            let path = absolute(path)?;
            let text = read(&path).map_err(|source| {
                Error::usage(format!("cannot read the configuration file {}", path.display()))
                    .because(&source)
            })?;
            layers = layers.file(&path, &text)?;
        }
        None => {
            for path in places.files() {
                match read(&path) {
                    Ok(text) => layers = layers.file(&path, &text)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => {
                        let text = format!("cannot read the configuration file {}", path.display());
                        return Err(Error::new(Exit::Forbidden, text).because(&source));
                    }
                }
            }
        }
    }
    layers =
        layers.variables(env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))?;
    layers = path_flag(layers, "--socket", "socket", global.socket.as_deref())?;
    layers = path_flag(layers, "--data-dir", "data_dir", global.data_dir.as_deref())?;
    if let Some(serve) = serve {
        layers =
            path_flag(layers, "--kubeconfig", "cluster.kubeconfig", serve.kubeconfig.as_deref())?;
        if let Some(context) = &serve.context {
            layers = layers.flag("--context", "cluster.context", context)?;
        }
        for app in &serve.apps {
            layers = layers.app_file("--app", &absolute(app)?);
        }
    }
    Ok(layers.finish()?)
}

fn path_flag(layers: Layers, flag: &str, key: &str, path: Option<&Path>) -> Result<Layers, Error> {
    let Some(path) = path else { return Ok(layers) };
    Ok(layers.flag(flag, key, &absolute(path)?.to_string_lossy())?)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path)
        .map_err(|source| Error::usage(format!("{} is no path", path.display())).because(&source))
}

fn read(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn places() -> Places {
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/".into()));
    // A relative directory is invalid by the XDG specification and is ignored.
    let dir = |name: &str| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    Places {
        root: rustix::process::geteuid().is_root(),
        config_home: dir("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        state_home: dir("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")),
        runtime_dir: dir("XDG_RUNTIME_DIR"),
    }
}
