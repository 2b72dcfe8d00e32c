//! Small objects of one S3 bucket, written and deleted under conditions.

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client, error::SdkError, operation::put_object::builders::PutObjectFluentBuilder, primitives::ByteStream,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{
    bucket::{JOURNAL, PASSING},
    classify, is_missing,
};
use crate::task::{Error, ErrorExt, Result};

/// The objects of one bucket.
#[derive(Debug, Clone)]
pub struct Objects {
    client: Client,
    bucket: String,
}

/// An object, and the mark of its content that conditions compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub etag: String,
    pub body: Vec<u8>,
}

/// What must be true of an object when it is written.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    Missing,
    /// It has the content with this mark.
    Is(&'a str),
}

/// What became of a write under a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The mark of the new content.
    Done(String),
    /// The condition did not hold. It may be an earlier attempt whose answer was lost that broke it.
    Refused,
    NoBucket,
}

impl Objects {
    pub fn new(aws: &SdkConfig, bucket: &str) -> Self {
        Self { client: Client::new(aws), bucket: bucket.to_owned() }
    }

    fn named(&self, key: &str) -> String {
        format!("`s3://{}/{key}`", self.bucket)
    }

    /// Whether the bucket exists.
    pub async fn exists(&self) -> Result<bool> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(classify(error)).doing(format!("look for bucket `{}`", self.bucket)),
        }
    }

    /// The keys below a prefix; none if the bucket does not exist.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut pages =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    keys.extend(page.contents().iter().filter_map(|one| one.key().map(str::to_owned)));
                }
                Err(error) if is_missing(&error) => return Ok(keys),
                Err(error) => return Err(classify(error)).doing(format!("list {}", self.named(prefix))),
            }
        }
        Ok(keys)
    }

    /// An object; `None` if it or the bucket does not exist.
    pub async fn get(&self, key: &str) -> Result<Option<Object>> {
        let got = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(got) => got,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(classify(error)).doing(format!("read {}", self.named(key))),
        };
        let etag = got.e_tag().unwrap_or_default().to_owned();
        let body = got.body.collect().await.map_err(|error| Error::transient(error.to_string()));
        let body = body.doing(format!("read {}", self.named(key)))?.into_bytes().to_vec();
        Ok(Some(Object { etag, body }))
    }

    /// Writes an object whose old versions are kept.
    pub async fn keep(&self, key: &str, body: Vec<u8>) -> Result<()> {
        let written = self.writing(key, body).send().await.map_err(classify);
        written.doing(format!("write {}", self.named(key))).map(drop)
    }

    fn writing(&self, key: &str, body: Vec<u8>) -> PutObjectFluentBuilder {
        self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(body))
    }

    /// A write of what only passes through the bucket: its old versions are deleted (`bucket::PASSING`).
    fn passing(&self, key: &str, body: Vec<u8>) -> PutObjectFluentBuilder {
        self.tagged(key, body, PASSING)
    }

    fn tagged(&self, key: &str, body: Vec<u8>, (name, value): (&str, &str)) -> PutObjectFluentBuilder {
        self.writing(key, body).tagging(format!("{name}={value}"))
    }

    /// Writes an object that is deleted after a month (`bucket::JOURNAL`).
    pub async fn put_for_a_month(&self, key: &str, body: Vec<u8>) -> Result<()> {
        let written = self.tagged(key, body, JOURNAL).send().await.map_err(classify);
        written.doing(format!("write {}", self.named(key))).map(drop)
    }

    /// Writes an object that is not kept, and returns its mark; `None` if the bucket does not exist.
    pub async fn put(&self, key: &str, body: Vec<u8>) -> Result<Option<String>> {
        match self.passing(key, body).send().await {
            Ok(written) => Ok(Some(written.e_tag().unwrap_or_default().to_owned())),
            Err(error) if error.code() == Some("NoSuchBucket") => Ok(None),
            Err(error) => Err(classify(error)).doing(format!("write {}", self.named(key))),
        }
    }

    /// Creates an object that is not kept. Returns false if one exists already, which may be the one of an earlier attempt
    /// whose answer was lost.
    pub async fn create(&self, key: &str, body: Vec<u8>) -> Result<bool> {
        match self.write(key, body, Condition::Missing).await? {
            Written::Done(_) => Ok(true),
            Written::Refused => Ok(false),
            Written::NoBucket => {
                Err(Error::permanent("the bucket does not exist")).doing(format!("write {}", self.named(key)))
            }
        }
    }

    /// Writes an object that is not kept, under a condition.
    ///
    /// # Errors
    /// Transient also while another process is writing it: S3 answers 409 then, and says nothing about the condition.
    pub async fn write(&self, key: &str, body: Vec<u8>, condition: Condition<'_>) -> Result<Written> {
        let put = self.passing(key, body);
        let put = match condition {
            Condition::Missing => put.if_none_match("*"),
            Condition::Is(etag) => put.if_match(etag),
        };
        match put.send().await {
            Ok(written) => Ok(Written::Done(written.e_tag().unwrap_or_default().to_owned())),
            Err(error) if error.code() == Some("NoSuchBucket") => Ok(Written::NoBucket),
            // An object that must have a content and is missing is reported as missing.
            Err(error) if is_missing(&error) || status(&error) == Some(412) => Ok(Written::Refused),
            Err(error) if status(&error) == Some(409) => {
                let error = Error::transient("another process is writing it");
                Err(error).doing(format!("write {}", self.named(key)))
            }
            Err(error) => Err(classify(error)).doing(format!("write {}", self.named(key))),
        }
    }

    /// Deletes an object if it still has this content. One that is missing or was replaced is left alone.
    pub async fn delete(&self, key: &str, etag: &str) -> Result<()> {
        match self.client.delete_object().bucket(&self.bucket).key(key).if_match(etag).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) || status(&error) == Some(412) => Ok(()),
            Err(error) => Err(classify(error)).doing(format!("delete {}", self.named(key))),
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
