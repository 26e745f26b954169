//! Names of images, and what nodes say that those stand for.

/// What a node says that an image is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pulled {
    /// A manifest in a repository, by its digest: what can be pulled again.
    Manifest {
        /// The repository, with the registry that is meant.
        repository: String,
        /// The digest.
        digest: String,
    },
    /// The digest of the image's configuration: nodes know it, registries do not serve by it.
    Local(String),
    /// Something else.
    Other(String),
}

impl Pulled {
    /// Reads an `imageID`.
    #[must_use]
    pub(super) fn parse(id: &str) -> Self {
        let plain = id.rsplit_once("://").map_or(id, |(_, plain)| plain);
        match plain.rsplit_once('@') {
            Some((name, digest)) if is_digest(digest) && !name.is_empty() => {
                Self::Manifest { repository: repository(name), digest: digest.to_owned() }
            }
            None if is_digest(plain) => Self::Local(plain.to_owned()),
            _ => Self::Other(id.to_owned()),
        }
    }

    /// The digest, or whatever the node said.
    #[must_use]
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Manifest { digest: text, .. } | Self::Local(text) | Self::Other(text) => text,
        }
    }

    /// Whether both are certainly the same, or certainly not; `None` = they cannot be compared.
    #[must_use]
    pub(super) fn is_same_as(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            // The digest of one image may differ from repository to repository.
            (
                Self::Manifest { repository, digest },
                Self::Manifest { repository: of, digest: is },
            ) => (digest == is || repository == of).then_some(digest == is),
            (Self::Local(digest), Self::Local(is)) => Some(digest == is),
            (Self::Other(text), Self::Other(is)) if text == is => Some(true),
            _ => None,
        }
    }

    /// An image by this digest.
    ///
    /// # Errors
    /// Why it cannot be named by it.
    pub(super) fn pin(&self, image: &str) -> Result<String, String> {
        match self {
            Self::Manifest { repository: of, digest } if *of == repository(image) => {
                Ok(format!("{image}@{digest}"))
            }
            Self::Manifest { repository, digest } => Err(format!(
                "its node named it by another repository ({repository}@{digest}), whose digests \
                 may differ"
            )),
            Self::Local(id) => {
                Err(format!("its node told an id of its own ({id}), by which nothing is pulled"))
            }
            Self::Other(id) => Err(format!("what its node told is no digest ({id})")),
        }
    }
}

/// Whether an image is named by a tag, or by nothing, which means `latest`: not by a digest.
#[must_use]
pub(super) fn is_by_tag(image: &str) -> bool {
    !image.is_empty() && !image.contains('@')
}

/// The repository of an image with its registry, as `docker pull` would read it.
fn repository(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let colon = name.get(path..).and_then(|last| last.find(':'));
    let name = colon.and_then(|colon| name.get(..path + colon)).unwrap_or(name);
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (HUB, name),
    };
    let registry = if registry == "index.docker.io" { HUB } else { registry };
    let library = if registry == HUB && !path.contains('/') { "library/" } else { "" };
    format!("{registry}/{library}{path}")
}

/// The registry that is meant where none is named.
const HUB: &str = "docker.io";

/// `sha256:` or `sha512:` with as many digits as it has.
fn is_digest(text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 => hex,
        Some(("sha512", hex)) if hex.len() == 128 => hex,
        _ => return false,
    };
    digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", String::from(digit).repeat(64))
    }

    #[test]
    fn what_a_node_says_is_a_digest_of_a_repository_or_an_id_of_its_own() {
        let (a, short) = (digest('a'), "sha256:aa");
        for id in [
            format!("docker-pullable://shop@{a}"),
            format!("docker.io/library/shop@{a}"),
            format!("shop@{a}"),
            format!("index.docker.io/library/shop@{a}"),
        ] {
            let pulled = Pulled::parse(&id);
            assert_eq!(pulled.text(), a, "{id}");
            assert_eq!(pulled.pin("shop:v1"), Ok(format!("shop:v1@{a}")), "{id}");
        }
        for id in [a.clone(), format!("docker://{a}"), format!("containerd://{a}")] {
            let pulled = Pulled::parse(&id);
            assert_eq!(pulled, Pulled::Local(a.clone()), "{id}");
            assert!(pulled.pin("shop:v1").unwrap_err().contains("an id of its own"));
        }
        for id in [format!("shop@{short}"), short.to_owned(), format!("@{a}"), format!("shop@{a}0")]
        {
            assert_eq!(Pulled::parse(&id), Pulled::Other(id.clone()));
            assert!(Pulled::parse(&id).pin("shop:v1").unwrap_err().contains("no digest"));
        }
    }

    #[test]
    fn a_digest_of_another_repository_is_not_taken() {
        let a = digest('a');
        let of = |repository: &str| Pulled::parse(&format!("{repository}@{a}"));
        for image in ["registry:5000/team/shop", "registry:5000/team/shop:v1"] {
            assert_eq!(of("registry:5000/team/shop").pin(image), Ok(format!("{image}@{a}")));
            let other = of("mirror.example.org/team/shop").pin(image).unwrap_err();
            assert!(other.contains("another repository (mirror.example.org/team/shop@"), "{other}");
        }
        assert_eq!(
            of("localhost/shop").pin("localhost/shop:1"),
            Ok(format!("localhost/shop:1@{a}"))
        );
        assert!(of("localhost/shop").pin("shop:1").is_err());
        assert!(of("team/shop").pin("docker.io/team/shop:1").is_ok());
    }

    #[test]
    fn only_what_can_be_compared_is() {
        let (a, b) = (digest('a'), digest('b'));
        let of = |id: String| Pulled::parse(&id);
        let shop = of(format!("shop@{a}"));
        assert_eq!(shop.is_same_as(&of(format!("shop@{b}"))), Some(false));
        assert_eq!(shop.is_same_as(&of(format!("mirror.example.org/shop@{a}"))), Some(true));
        assert_eq!(shop.is_same_as(&of(format!("mirror.example.org/shop@{b}"))), None);
        assert_eq!(shop.is_same_as(&of(a.clone())), None, "the digest of a configuration");
        assert_eq!(of(a.clone()).is_same_as(&of(b)), Some(false));
        assert!(is_by_tag("shop") && is_by_tag("shop:v1"));
        assert!(!is_by_tag(&format!("shop:v1@{a}")) && !is_by_tag(""));
    }
}
