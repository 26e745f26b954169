//! Who did something: a list of claims, each with its evidence and strength.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of identity a claim names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scheme {
    /// The daemon itself.
    Greffier,
    /// An operating-system user, from the peer credentials of a local socket.
    OsUser,
    /// A Kubernetes field manager: free text that any client may set.
    FieldManager,
    /// The author a Git commit states.
    GitAuthor,
    /// The committer a Git commit states.
    GitCommitter,
    /// A user of the API server, as it authenticated the request.
    Kubernetes,
}

impl Scheme {
    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greffier => "greffier",
            Self::OsUser => "os-user",
            Self::FieldManager => "field-manager",
            Self::GitAuthor => "git-author",
            Self::GitCommitter => "git-committer",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// One claim about who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The kind of identity.
    pub scheme: Scheme,
    /// The identity in that scheme.
    pub value: String,
    /// 0 (unattributed) to 5 (authenticated by the API server and exactly joined).
    pub strength: u8,
}

/// Who did something. Empty when nothing is known: "unknown" is an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The claims, strongest first.
    pub claims: Vec<Claim>,
}

impl Actor {
    /// The daemon itself.
    #[must_use]
    pub fn greffier() -> Self {
        Self::one(Scheme::Greffier, "greffier", 5)
    }

    /// A single claim.
    #[must_use]
    pub fn one(scheme: Scheme, value: impl Into<String>, strength: u8) -> Self {
        Self { claims: vec![Claim { scheme, value: value.into(), strength }] }
    }

    /// A user of this machine, as the kernel states it for the other end of a local socket.
    #[must_use]
    pub fn os_user(name: impl Into<String>) -> Self {
        Self::one(Scheme::OsUser, name, 5)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.claims.is_empty() {
            return f.write_str("unknown");
        }
        for (index, claim) in self.claims.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match claim.scheme {
                Scheme::Greffier => f.write_str("greffier")?,
                scheme => write!(f, "{}:{}", scheme.as_str(), claim.value)?,
            }
        }
        Ok(())
    }
}
