//! Deletes the content of a repository or a bucket, which AWS deletes only when it is empty.

use aws_config::SdkConfig;
use aws_sdk_ecr::types::ImageIdentifier;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{classify, is_missing};
use crate::task::{Class, Error, ErrorExt, Result};

/// The most images that one `BatchDeleteImage` call accepts.
const IMAGES: usize = 100;

/// Deletes all images of a repository, which may be missing.
pub async fn empty_repository(aws: &SdkConfig, name: &str) -> Result<()> {
    let ecr = aws_sdk_ecr::Client::new(aws);
    let doing = || format!("delete the images in repository `{name}`");
    let pages = ecr.list_images().repository_name(name).into_paginator().items().send();
    let images: Vec<ImageIdentifier> = match pages.collect::<Result<Vec<_>, _>>().await {
        Ok(images) => images,
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(classify(error)).doing(doing()),
    };
    // By digest: an image index is refused while a tag still refers to it.
    let mut digests: Vec<String> = images.into_iter().filter_map(|image| image.image_digest).collect();
    digests.sort();
    digests.dedup();
    for chunk in digests.chunks(IMAGES) {
        let ids = chunk.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build());
        let deleted = ecr.batch_delete_image().repository_name(name).set_image_ids(Some(ids.collect()));
        let deleted = deleted.send().await.map_err(classify).doing(doing())?;
        // An image that another image refers to is refused until that one is deleted, as the retry does.
        if let Some(failed) = deleted.failures().first() {
            let reason = failed.failure_reason().unwrap_or("no reason given");
            return Err(Error::transient(reason)).doing(doing());
        }
    }
    Ok(())
}

/// Deletes all versions of all objects in a bucket, which may be missing.
pub async fn empty_bucket(aws: &SdkConfig, name: &str) -> Result<()> {
    let s3 = aws_sdk_s3::Client::new(aws);
    let doing = || format!("delete the objects in bucket `{name}`");
    loop {
        // Always the first page: what it lists is deleted before the next one is read.
        let page = match s3.list_object_versions().bucket(name).send().await {
            Ok(page) => page,
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        let versions = page.versions().iter().map(|one| (one.key(), one.version_id()));
        let markers = page.delete_markers().iter().map(|one| (one.key(), one.version_id()));
        let mut objects = Vec::new();
        for (key, version) in versions.chain(markers) {
            let object = ObjectIdentifier::builder().key(key.unwrap_or_default());
            objects.push(object.set_version_id(version.map(str::to_owned)).build()?);
        }
        if objects.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build()?;
        let deleted = s3.delete_objects().bucket(name).delete(delete).send().await;
        let deleted = deleted.map_err(classify).doing(doing())?;
        // A retention rule (object lock) may forbid it: without this, the loop would never end. S3 also answers with its
        // own failures here, for each object.
        if let Some(failed) = deleted.errors().first() {
            let reason = failed.message().or(failed.code()).unwrap_or("no reason given");
            let key = failed.key().unwrap_or("?");
            let passes = matches!(failed.code(), Some("InternalError" | "ServiceUnavailable" | "SlowDown"));
            let class = if passes { Class::Transient } else { Class::Permanent };
            return Err(Error::msg(class, format!("`{key}`: {reason}"))).doing(doing());
        }
    }
}
