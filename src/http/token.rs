//! The token that clients over the network must show.

use axum::http::{HeaderMap, header};

use crate::model::Digest;

/// A token, as its digest.
#[derive(Debug, Clone)]
pub struct Token(Digest);

/// Why a client is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It shows no token.
    Missing,
    /// It shows another one.
    Wrong,
}

impl Token {
    /// The token that is written so.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Digest::of(text.as_bytes()))
    }

    /// Whether the client shows it (`Authorization: Bearer …`, RFC 6750 §2.1).
    ///
    /// # Errors
    /// Why it is not known.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Unknown> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            shown.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Unknown::Missing)?;
        // Digests are compared whole: how long that takes tells nothing of the token.
        let shown = Digest::of(token.trim().as_bytes());
        let differs = shown.0.iter().zip(self.0.0).fold(0, |all, (own, other)| all | (own ^ other));
        if differs == 0 { Ok(()) } else { Err(Unknown::Wrong) }
    }
}
