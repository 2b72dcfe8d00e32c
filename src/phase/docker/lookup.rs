//! Which regions' registries have a commit's image.

use std::time::Duration;

use futures::future::join_all;

use super::short;
use crate::{
    aws::{Aws, registry::Registry},
    fact::ImageDigest,
    step::{Error, Result},
    task::retry,
};

/// A lookup answers within seconds or counts as unanswered; the AWS SDK has retried each call before.
const LOOKUP: retry::Policy = retry::Policy {
    attempts: 4,
    first_delay: Duration::from_millis(500),
    longest_delay: Duration::from_secs(4),
};

/// An image in a region's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub aws_region: String,
    pub digest: ImageDigest,
}

/// The answers of all regions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub found: Vec<Place>,
    /// Regions that did not answer, and why. Their own steps fail for it; those of other regions do not.
    pub silent: Vec<String>,
}

/// Asks all regions in parallel.
///
/// # Errors
/// When regions have different images under the tag; when no region could be asked.
pub(super) async fn everywhere(
    aws: &Aws,
    aws_regions: &[String],
    repository: &str,
    tag: &str,
) -> Result<Places> {
    let said = aws_regions.iter().map(|aws_region| async move {
        let registry = Registry::new(aws, aws_region);
        // Retried here, before the region counts as silent: an image that is overlooked would be built again.
        let said = LOOKUP.run(|| registry.digest(repository, tag)).await;
        (aws_region.clone(), said)
    });
    settle(&format!("{repository}:{tag}"), join_all(said).await)
}

fn settle(image: &str, said: Vec<(String, Result<Option<ImageDigest>>)>) -> Result<Places> {
    let mut places = Places::default();
    let mut failed = None;
    let regions = said.len();
    for (aws_region, said) in said {
        match said {
            Ok(Some(digest)) => places.found.push(Place { aws_region, digest }),
            Ok(None) => {}
            Err(error) => {
                places.silent.push(format!("`{aws_region}`: {error}"));
                failed.get_or_insert(error);
            }
        }
    }
    if let Some(error) = failed.filter(|_| places.silent.len() == regions) {
        return Err(error);
    }
    if let Some((one, other)) = disagreement(&places.found) {
        return Err(conflict(image, one, other));
    }
    Ok(places)
}

fn disagreement(found: &[Place]) -> Option<(&Place, &Place)> {
    let first = found.first()?;
    found.iter().find(|place| place.digest != first.digest).map(|other| (first, other))
}

/// A `repository:tag` that names two images: only the user knows which one is right.
pub(super) fn conflict(image: &str, one: &Place, other: &Place) -> Error {
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, ""));
    let (here, there) = (&one.aws_region, &other.aws_region);
    let (this, that) = (short(&one.digest), short(&other.digest));
    Error::permanent(format!("`{image}` is {this} in `{here}` and {that} in `{there}`")).with_hint(format!(
        "delete the wrong one, then run the same command again: `aws ecr batch-delete-image --region {there} \
         --repository-name {name} --image-ids imageTag={tag}`, or the same for {here}"
    ))
}

#[cfg(test)]
mod tests {
    use super::settle;
    use crate::{
        fact::ImageDigest,
        step::{Class, Error, Result},
    };

    fn digest(byte: &str) -> ImageDigest {
        ImageDigest(format!("sha256:{}", byte.repeat(32)))
    }

    fn said<const N: usize>(
        all: [(&str, Result<Option<ImageDigest>>); N],
    ) -> Vec<(String, Result<Option<ImageDigest>>)> {
        all.into_iter().map(|(region, said)| (region.to_owned(), said)).collect()
    }

    #[test]
    fn the_image_is_where_it_is_found() {
        let places = said([("eu-south-2", Ok(None)), ("us-east-1", Ok(Some(digest("aa"))))]);
        let places = settle("api:t", places).unwrap();
        assert_eq!((places.found.len(), places.found[0].aws_region.as_str()), (1, "us-east-1"));
        assert!(places.silent.is_empty());
    }

    #[test]
    fn two_images_under_one_tag_are_reported_with_the_fix() {
        let places = said([("eu-south-2", Ok(Some(digest("aa")))), ("us-east-1", Ok(Some(digest("bb"))))]);
        let error = settle("api:0123", places).unwrap_err();
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
    fn a_silent_region_does_not_stop_the_others() {
        let down = || Err(Error::transient("dispatch failure"));
        let places = settle("api:t", said([("eu-south-2", Ok(None)), ("us-east-1", down())])).unwrap();
        assert_eq!(
            (places.found.len(), places.silent),
            (0, vec!["`us-east-1`: dispatch failure".to_owned()])
        );
        let places =
            settle("api:t", said([("eu-south-2", Ok(Some(digest("aa")))), ("us-east-1", down())])).unwrap();
        assert_eq!(places.found.len(), 1);
        let error = settle("api:t", said([("eu-south-2", down()), ("us-east-1", down())])).unwrap_err();
        assert_eq!(error.class, Class::Transient);
    }
}
