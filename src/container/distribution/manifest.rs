//! An image's manifest, or an index of several. The bytes are kept as received, because their digest is the
//! name.

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    container::parse_digest,
    fact::ImageDigest,
    task::{Error, ErrorExt, Result},
};

/// The media types that are requested and can be copied.
pub(super) const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A part of an image: a layer, a configuration, another manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub digest: ImageDigest,
    pub size: u64,
}

#[derive(Debug, Clone)]
pub struct Manifest {
    pub digest: ImageDigest,
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
    /// The configuration first, then the layers.
    pub(super) blobs: Vec<Part>,
    /// The manifests of an index.
    pub(super) children: Vec<Part>,
    config: Option<ImageDigest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

impl Descriptor {
    /// Whether this is a layer that only its publisher distributes, and that registries do not store.
    fn is_foreign(&self) -> bool {
        self.media_type.contains("foreign") || self.media_type.contains("nondistributable")
    }

    fn part(&self) -> Result<Part> {
        let digest = parse_digest(&self.digest).ok_or_else(|| {
            Error::permanent(format!("the manifest names `{}`, which is not a valid digest", self.digest))
        })?;
        Ok(Part { digest, size: self.size })
    }
}

impl Manifest {
    /// Parses a manifest. `content_type` is the response's header, for documents without a `mediaType` of
    /// their own.
    pub(super) fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self> {
        let document: Document = serde_json::from_slice(&bytes).doing("parse the image's manifest")?;
        let media_type = document.media_type.as_deref().or(content_type).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        if document.schema_version != 2 || !MEDIA_TYPES.contains(&media_type.as_str()) {
            return Err(Error::permanent(format!("cannot copy a manifest of type `{media_type}`")));
        }
        let parts = |descriptors: &[Descriptor]| -> Result<Vec<Part>> {
            descriptors.iter().filter(|descriptor| !descriptor.is_foreign()).map(Descriptor::part).collect()
        };
        let config = document.config.as_ref().map(Descriptor::part).transpose()?;
        let mut blobs: Vec<Part> = config.iter().cloned().collect();
        blobs.extend(parts(&document.layers)?);
        let children = parts(&document.manifests)?;
        let digest = sha256(&bytes);
        Ok(Self { digest, media_type, bytes, blobs, children, config: config.map(|config| config.digest) })
    }

    /// Whether this is the engine's image `id`. Engines identify an image by its configuration or, with
    /// containerd's store, by its manifest.
    pub fn is(&self, id: &str) -> bool {
        self.digest.0 == id || self.config.as_ref().is_some_and(|config| config.0 == id)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> ImageDigest {
    named(Sha256::new_with_prefix(bytes))
}

pub(super) fn named(hash: Sha256) -> ImageDigest {
    ImageDigest(format!("sha256:{}", hex::encode(hash.finalize())))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{MEDIA_TYPES, Manifest, sha256};

    fn digest(byte: &str) -> String {
        format!("sha256:{}", byte.repeat(32))
    }

    fn image() -> Bytes {
        let (config, layer, foreign) = (digest("c0"), digest("1a"), digest("f0"));
        format!(
            r#"{{"schemaVersion": 2, "mediaType": "{}",
                "config": {{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7, "digest": "{config}"}},
                "layers": [{{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 9, "digest": "{layer}"}},
                           {{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 1, "digest": "{foreign}"}}]}}"#,
            MEDIA_TYPES[2]
        )
        .into()
    }

    #[test]
    fn a_manifest_is_named_by_the_digest_of_its_bytes() {
        assert_eq!(sha256(b"").0, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let bytes = image();
        assert_eq!(Manifest::parse(bytes.clone(), None).unwrap().digest, sha256(&bytes));
    }

    #[test]
    fn an_image_is_its_configuration_and_the_layers_that_registries_store() {
        let manifest = Manifest::parse(image(), None).unwrap();
        let blobs: Vec<(&str, u64)> =
            manifest.blobs.iter().map(|blob| (blob.digest.0.as_str(), blob.size)).collect();
        assert_eq!(blobs, [(digest("c0").as_str(), 7), (digest("1a").as_str(), 9)]);
        assert!(manifest.children.is_empty());
        assert!(manifest.is(&digest("c0")) && manifest.is(&manifest.digest.0.clone()));
        assert!(!manifest.is(&digest("1a")));
    }

    #[test]
    fn an_index_leads_to_manifests_and_may_be_recognised_by_its_header_alone() {
        let child = digest("aa");
        let text = format!(r#"{{"schemaVersion": 2, "manifests": [{{"size": 5, "digest": "{child}"}}]}}"#);
        let index = Manifest::parse(
            text.clone().into(),
            Some("application/vnd.oci.image.index.v1+json; charset=utf-8"),
        );
        let index = index.unwrap();
        assert_eq!((index.children.len(), index.media_type.as_str()), (1, MEDIA_TYPES[1]));
        assert!(Manifest::parse(text.into(), None).is_err());
    }

    #[test]
    fn a_manifest_that_cannot_be_copied_is_refused() {
        let old = r#"{"schemaVersion": 1, "name": "x"}"#;
        assert!(
            Manifest::parse(old.into(), Some("application/vnd.docker.distribution.manifest.v1+json"))
                .is_err()
        );
        let path = r#"{"schemaVersion": 2, "config": {"size": 1, "digest": "sha256:../../x"}}"#;
        let error = Manifest::parse(path.into(), Some(MEDIA_TYPES[0])).unwrap_err();
        assert!(error.to_string().contains("`sha256:../../x`"), "{error}");
    }
}
