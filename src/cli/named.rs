//! Objects that are named in short, found by whoever answers.

use super::asker::Asker;
use super::error::Error;
use super::files::Files;
use crate::http::{dto, query_string};
use crate::ledger::Archive;
use crate::model::{Instant, ObjectKey};
use crate::query::instant::About;
use crate::query::why::{SubjectError, naming};
use crate::replay::World;

impl From<SubjectError> for Error {
    fn from(error: SubjectError) -> Self {
        Self::usage(error.to_string()).hint(error.hint())
    }
}

/// The object that a name means.
pub(super) struct Meant {
    /// Its whole key.
    pub(super) key: ObjectKey,
    /// That nothing is recorded of it.
    pub(super) unknown: Option<Error>,
}

impl Meant {
    /// The object, where something is recorded of it.
    pub(super) fn known(self) -> Result<ObjectKey, Error> {
        self.unknown.map_or(Ok(self.key), Err)
    }

    fn of(object: &str, unknown: Option<Error>) -> Result<Self, Error> {
        let key = object.parse().map_err(|error| Error::usage(format!("{error}")))?;
        Ok(Self { key, unknown })
    }
}

impl Asker {
    /// The object that a key names that may be written in short.
    pub(super) async fn named(&self, key: &ObjectKey) -> Result<Meant, Error> {
        match self {
            Self::Daemon(client, _) => {
                let query = query_string(&[("object", &key.to_string())]);
                let dto::Named { object, unknown, hint } = client.get("named", &query).await?;
                Meant::of(&object, unknown.map(|text| Error::usage(text).hint(hint)))
            }
            Self::Files(files) => files.named(key),
        }
    }
}

impl Files {
    fn named(&self, key: &ObjectKey) -> Result<Meant, Error> {
        let (world, archive) = self.known();
        match naming(world, key).read(archive) {
            Ok(key) => Ok(Meant { key, unknown: None }),
            Err(SubjectError::Unknown { wanted, near, excluded }) => {
                let object = wanted.clone();
                Meant::of(&object, Some(SubjectError::Unknown { wanted, near, excluded }.into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an instant depends on what is asked about.
pub(super) fn is_about(at: &Instant) -> bool {
    matches!(at, Instant::Back(_) | Instant::Commit(_))
}

/// What is asked about, with its object by its whole key. What names nothing now is left as it is:
/// it may be known from then.
pub(super) fn whole(about: &About, world: &World, archive: &Archive) -> About {
    let Some(key) = &about.object else { return about.clone() };
    naming(world, key).read(archive).map_or_else(|_| about.clone(), |key| About::object(&key))
}
