//! What the ledger's key does: keyed digests and sealed blobs.
//!
//! Three keys are derived from the one key of the ledger, so that a digest never tells anything
//! about an address or a ciphertext. A sealed blob's address is an HMAC of its plaintext: equal
//! secrets are stored once, and nobody without the key can confirm a guess.
//!
//! Security: key bytes are wiped when dropped and have no `Debug` form.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::draft::Blob;
use super::error::Error;
use crate::model::{BlobAddr, Digest};

/// The length of the nonce before a ciphertext, in bytes.
const NONCE_BYTES: usize = 24;
/// By how much sealing makes content longer, in bytes: nonce and tag.
pub(super) const SEAL_OVERHEAD_BYTES: usize = NONCE_BYTES + 16;

/// A 256-bit key.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// Computes keyed digests and seals blobs under the ledger's key.
pub struct Sealer {
    digests: KeyBytes,
    addresses: KeyBytes,
    contents: KeyBytes,
    fingerprint: [u8; 8],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", hex::encode(self.fingerprint))
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key)
        .expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl Sealer {
    /// The sealer of a ledger with this key.
    pub(super) fn new(key: &KeyBytes) -> Self {
        let derive = |label: &[u8]| Zeroizing::new(hmac(key, label));
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&derive(b"greffier fingerprint 1")[..8]);
        Self {
            digests: derive(b"greffier digest 1"),
            addresses: derive(b"greffier address 1"),
            contents: derive(b"greffier content 1"),
            fingerprint,
        }
    }

    /// Tells keys apart without telling a key.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    /// The keyed digest of `bytes`: equal for equal bytes under one ledger, worthless elsewhere.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> Digest {
        Digest(hmac(&self.digests, bytes))
    }

    /// A blob in clear. `base` is an earlier version of it, if there is one.
    #[must_use]
    pub fn blob_plain(&self, bytes: Vec<u8>, base: Option<BlobAddr>) -> Blob {
        Blob::plain(bytes, base)
    }

    /// A blob whose content nobody reads without the key.
    ///
    /// # Errors
    /// [`Error::Random`] when the system gives no nonce.
    pub fn blob_sealed(&self, bytes: &[u8]) -> Result<Blob, Error> {
        let addr = BlobAddr(hmac(&self.addresses, bytes));
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(Error::Random)?;
        let payload = Payload { msg: bytes, aad: &addr.0 };
        let ciphertext =
            self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::TooLarge {
                what: "a sealed blob",
                size: bytes.len() as u64,
                limit: super::record::BLOB_BYTES_MAX as u64,
            })?;
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&ciphertext);
        Ok(Blob::sealed(addr, sealed))
    }

    /// Opens what [`Sealer::blob_sealed`] made; `None` when it is not that, or not under this key.
    pub(super) fn open(&self, addr: BlobAddr, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: ciphertext, aad: &addr.0 };
        let bytes = self.cipher().decrypt(&XNonce::from(*nonce), payload).ok()?;
        (hmac(&self.addresses, &bytes) == addr.0).then_some(bytes)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_sealed_blob_opens_under_its_key_and_address_only() {
        let blob = sealer(1).blob_sealed(b"password: hunter2").unwrap();
        assert_eq!(sealer(1).open(blob.addr, blob.bytes()).unwrap(), b"password: hunter2");
        assert!(sealer(2).open(blob.addr, blob.bytes()).is_none());
        assert!(sealer(1).open(BlobAddr([9; 32]), blob.bytes()).is_none());
        for cut in 0..blob.bytes().len() {
            assert!(sealer(1).open(blob.addr, &blob.bytes()[..cut]).is_none());
        }
    }

    #[test]
    fn equal_secrets_have_one_address_and_different_ciphertexts() {
        let (one, two) =
            (sealer(1).blob_sealed(b"x").unwrap(), sealer(1).blob_sealed(b"x").unwrap());
        assert_eq!(one.addr, two.addr);
        assert_ne!(one.bytes(), two.bytes());
        assert_ne!(one.addr, sealer(2).blob_sealed(b"x").unwrap().addr);
    }

    #[test]
    fn sealed_bytes_do_not_contain_the_plaintext_or_its_plain_hash() {
        let secret = b"correct horse battery staple";
        let blob = sealer(1).blob_sealed(secret).unwrap();
        assert!(!blob.bytes().windows(secret.len()).any(|window| window == secret));
        assert_ne!(blob.addr, BlobAddr::of(secret));
        assert_ne!(sealer(1).digest(secret), Digest::of(secret));
        assert_ne!(sealer(1).digest(secret).0, blob.addr.0);
    }
}
