//! Finds the regions whose registries have a commit's image.

use std::time::Duration;

use futures::future::join_all;

use super::short;
use crate::{
    aws::{Aws, registry::Registry},
    fact::ImageDigest,
    step::{Error, Result},
    task::retry,
};

/// Each attempt includes the AWS SDK's own retries, so a region that fails all of them counts as unreachable.
const LOOKUP: retry::Policy = retry::Policy {
    patience: Duration::from_secs(10),
    first_delay: Duration::from_millis(500),
    longest_delay: Duration::from_secs(4),
};

/// An image in a region's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub aws_region: String,
    pub digest: ImageDigest,
}

/// What all regions reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Locations {
    pub found: Vec<Location>,
    /// Regions that could not be read, with the cause. Only their own steps fail because of it.
    pub unreachable: Vec<String>,
}

/// Reads all regions' registries in parallel.
///
/// # Errors
/// When regions have different images under the tag, or when no region could be read.
pub(super) async fn find_image(
    aws: &Aws,
    aws_regions: &[String],
    repository: &str,
    tag: &str,
) -> Result<Locations> {
    let results = aws_regions.iter().map(|aws_region| async move {
        let registry = Registry::new(aws, aws_region);
        // Retried before the region counts as unreachable, because an image that is not found is built again.
        let result = LOOKUP.run(|| registry.digest(repository, tag)).await;
        (aws_region.clone(), result)
    });
    combine(&format!("{repository}:{tag}"), join_all(results).await)
}

fn combine(image: &str, results: Vec<(String, Result<Option<ImageDigest>>)>) -> Result<Locations> {
    let mut locations = Locations::default();
    let mut failed = None;
    let regions = results.len();
    for (aws_region, result) in results {
        match result {
            Ok(Some(digest)) => locations.found.push(Location { aws_region, digest }),
            Ok(None) => {}
            Err(error) => {
                locations.unreachable.push(format!("`{aws_region}`: {error}"));
                failed.get_or_insert(error);
            }
        }
    }
    if let Some(error) = failed.filter(|_| locations.unreachable.len() == regions) {
        return Err(error);
    }
    if let Some((one, other)) = disagreement(&locations.found) {
        return Err(conflict(image, one, other));
    }
    Ok(locations)
}

fn disagreement(found: &[Location]) -> Option<(&Location, &Location)> {
    let first = found.first()?;
    found.iter().find(|place| place.digest != first.digest).map(|other| (first, other))
}

/// The error of a `repository:tag` that names two images. Only the user knows which one is right.
pub(super) fn conflict(image: &str, one: &Location, other: &Location) -> Error {
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, ""));
    let (region, other_region) = (&one.aws_region, &other.aws_region);
    let (digest, other_digest) = (short(&one.digest), short(&other.digest));
    let message = format!("`{image}` is {digest} in `{region}` and {other_digest} in `{other_region}`");
    Error::permanent(message).with_hint(format!(
        "delete the wrong one, then run the same command again: `aws ecr batch-delete-image --region {other_region} \
         --repository-name {name} --image-ids imageTag={tag}`, or the same for {region}"
    ))
}

#[cfg(test)]
mod tests {
    use super::combine;
    use crate::{
        fact::ImageDigest,
        step::{Class, Error, Result},
    };

    fn digest(byte: &str) -> ImageDigest {
        ImageDigest(format!("sha256:{}", byte.repeat(32)))
    }

    fn results<const N: usize>(
        all: [(&str, Result<Option<ImageDigest>>); N],
    ) -> Vec<(String, Result<Option<ImageDigest>>)> {
        all.into_iter().map(|(region, result)| (region.to_owned(), result)).collect()
    }

    #[test]
    fn the_regions_that_have_the_image_are_returned() {
        let locations = results([("eu-south-2", Ok(None)), ("us-east-1", Ok(Some(digest("aa"))))]);
        let locations = combine("api:t", locations).unwrap();
        assert_eq!((locations.found.len(), locations.found[0].aws_region.as_str()), (1, "us-east-1"));
        assert!(locations.unreachable.is_empty());
    }

    #[test]
    fn two_images_under_one_tag_are_reported_with_the_fix() {
        let locations =
            results([("eu-south-2", Ok(Some(digest("aa")))), ("us-east-1", Ok(Some(digest("bb"))))]);
        let error = combine("api:0123", locations).unwrap_err();
        assert_eq!(error.class, Class::Permanent);
        assert_eq!(
            error.to_string(),
            "`api:0123` is sha256:aaaaaaaaaaaa in `eu-south-2` and sha256:bbbbbbbbbbbb in `us-east-1`"
        );
        assert!(
            error
                .hint
                .unwrap()
                .contains("--region us-east-1 --repository-name api --image-ids imageTag=0123")
        );
    }

    #[test]
    fn an_unreachable_region_does_not_stop_the_others() {
        let down = || Err(Error::transient("dispatch failure"));
        let locations = combine("api:t", results([("eu-south-2", Ok(None)), ("us-east-1", down())])).unwrap();
        assert_eq!(
            (locations.found.len(), locations.unreachable),
            (0, vec!["`us-east-1`: dispatch failure".to_owned()])
        );
        let locations =
            combine("api:t", results([("eu-south-2", Ok(Some(digest("aa")))), ("us-east-1", down())]))
                .unwrap();
        assert_eq!(locations.found.len(), 1);
        let error = combine("api:t", results([("eu-south-2", down()), ("us-east-1", down())])).unwrap_err();
        assert_eq!(error.class, Class::Transient);
    }
}
