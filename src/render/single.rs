//! One manifest from a file that somebody names: an Application for `app add` or the
//! configuration. Strict, because a person wrote it.

use serde_json::Value;

use super::yaml::{self, Budget, Duplicates};

/// The largest such file: an Application is a few kilobytes.
const BYTES_MAX: usize = 1 << 20;

/// Why a file is no single manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is too large.
    #[error("{origin}: {bytes} bytes, more than the {BYTES_MAX} that a manifest may have")]
    TooLarge {
        /// The file.
        origin: String,
        /// Its size.
        bytes: usize,
    },
    /// It is no valid YAML.
    #[error("{origin}: cannot be read as YAML")]
    Syntax {
        /// The file.
        origin: String,
        /// What and where.
        #[source]
        source: yaml::Error,
    },
    /// It holds no document, or several.
    #[error("{origin}: holds {documents} documents, not one")]
    NotOne {
        /// The file.
        origin: String,
        /// How many.
        documents: usize,
    },
}

/// Reads the one document of `bytes`; `origin` names the file in errors.
///
/// # Errors
/// It is too large, no valid YAML or JSON, or not exactly one document.
pub fn parse_one(bytes: &[u8], origin: &str) -> Result<Value, Error> {
    let origin = origin.to_owned();
    if bytes.len() > BYTES_MAX {
        return Err(Error::TooLarge { origin, bytes: bytes.len() });
    }
    let mut budget = Budget::new(64 * BYTES_MAX as u64, 16);
    let parsed = yaml::parse(bytes, Duplicates::Refuse, &mut budget);
    let parsed = parsed.map_err(|source| Error::Syntax { origin: origin.clone(), source })?;
    let mut documents = parsed.documents;
    match documents.pop() {
        Some(document) if documents.is_empty() => Ok(document.value),
        last => {
            let documents = documents.len() + usize::from(last.is_some());
            Err(Error::NotOne { origin, documents })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_document_is_read() {
        assert_eq!(parse_one(b"a: 1\n", "f").unwrap(), serde_json::json!({"a": 1}));
        assert_eq!(parse_one(b"---\n# empty\n---\na: 1\n", "f").unwrap()["a"], 1);
        for (text, expected) in [
            ("", "f: holds 0 documents, not one"),
            ("a: 1\n---\nb: 2\n", "f: holds 2 documents, not one"),
            ("a: [1\n", "f: cannot be read as YAML"),
        ] {
            assert_eq!(parse_one(text.as_bytes(), "f").unwrap_err().to_string(), expected);
        }
    }
}
