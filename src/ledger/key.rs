//! The ledger's key: where it comes from and how its file looks.
//!
//! The file has one line: `greffier-key-1` and 64 hexadecimal digits. It is made once, at the
//! first start, readable by its owner only; a ledger that exists never gets a new one, because
//! what is sealed would be lost.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::disk::{create_directories, sync_directory};
use super::error::Error;
use super::seal::KeyBytes;

/// The word before the digits.
const KEY_WORD: &str = "greffier-key-1";
/// How much of a key file is read, in bytes: far more than a key takes.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// Where the ledger's key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A key file outside the ledger's directory, made when the ledger is new and it is missing.
    File(PathBuf),
    /// A key file that somebody else provides, e.g. a systemd credential: never made.
    Provided(PathBuf),
}

impl KeySource {
    /// The key file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Provided(path) => path,
        }
    }
}

/// A key, and whether it was made just now.
pub(super) struct Loaded {
    pub(super) key: KeyBytes,
    pub(super) made: bool,
}

/// Reads the key, or makes it for a ledger that `is_new`.
pub(super) fn load(source: &KeySource, is_new: bool) -> Result<Loaded, Error> {
    match (read(source.path()), source) {
        (Ok(key), _) => Ok(Loaded { key, made: false }),
        (Err(Error::KeyMissing(_)), KeySource::File(path)) if is_new => {
            Ok(Loaded { key: make(path)?, made: true })
        }
        (Err(error), _) => Err(error),
    }
}

/// A key that is kept nowhere.
pub(super) fn random() -> Result<KeyBytes, Error> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(Error::Random)?;
    Ok(key)
}

/// Reads a key file.
pub(super) fn read(path: &Path) -> Result<KeyBytes, Error> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::KeyMissing(path.to_owned()));
        }
        Err(error) => return Err(Error::io("open", path.display().to_string(), error)),
    };
    let mut text = Zeroizing::new(Vec::new());
    file.take(KEY_FILE_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| Error::io("read", path.display().to_string(), error))?;
    parse(&text).ok_or_else(|| Error::KeyFormat(path.to_owned()))
}

fn parse(text: &[u8]) -> Option<KeyBytes> {
    let digits = text.trim_ascii().strip_prefix(KEY_WORD.as_bytes())?.trim_ascii();
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, key.as_mut_slice()).ok()?;
    Some(key)
}

fn make(path: &Path) -> Result<KeyBytes, Error> {
    let key = random()?;
    let digits = Zeroizing::new(hex::encode(key.as_slice()));
    let text = Zeroizing::new(format!("{KEY_WORD} {}\n", digits.as_str()));
    let shown = path.display().to_string();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    create_directories(directory)
        .map_err(|error| Error::io("create", directory.display().to_string(), error))?;
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| sync_directory(directory));
    written.map_err(|error| Error::io("create", shown, error))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource::File(dir.path().join("keys/ledger.key"));
        let made = load(&source, true).unwrap();
        assert!(made.made);
        let mode = fs::metadata(source.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = load(&source, true).unwrap();
        assert!(!again.made && *again.key == *made.key);
    }

    #[test]
    fn an_existing_ledger_never_gets_a_new_key() {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource::File(dir.path().join("ledger.key"));
        assert!(matches!(load(&source, false), Err(Error::KeyMissing(_))));
        assert!(!source.path().exists());
        let provided = KeySource::Provided(dir.path().join("credential"));
        assert!(matches!(load(&provided, true), Err(Error::KeyMissing(_))));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.key");
        for text in ["", "greffier-key-1", "greffier-key-1 abc", "-----BEGIN KEY-----"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(Error::KeyFormat(_))), "{text:?}");
        }
    }
}
