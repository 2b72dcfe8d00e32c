//! The statements of a bucket's policy that deny plain HTTP and any other encryption than the bucket's own.
//!
//! A request without encryption headers is encrypted with the bucket's default, which is its key. S3 evaluates the
//! policy before it applies that default, so such a request has none of the condition keys below. A request that names
//! `aws:kms` without a key would get the account's `aws/s3` key; it lacks the key's header and is denied as well.

use serde_json::{Value, json};

use crate::task::Result;

const ENCRYPTION: &str = "s3:x-amz-server-side-encryption";
const ENCRYPTION_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const CUSTOMER_KEY: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

fn ours(arn: &str, key: &str) -> [Value; 3] {
    let objects = format!("{arn}/*");
    let deny_put = |sid: &str, condition: Value| {
        json!({
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": objects,
            "Condition": condition,
        })
    };
    [
        json!({
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, objects],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }),
        deny_put(
            "BucketKeyOnly",
            json!({ "Null": { ENCRYPTION: "false" }, "StringNotEquals": { ENCRYPTION_KEY: key } }),
        ),
        deny_put("NoCustomerKeys", json!({ "Null": { CUSTOMER_KEY: "false" } })),
    ]
}

/// A bucket's policy with our statements, in place of those with the same ids; `None` if it has them already.
pub(super) fn with_our_statements(policy: Option<&str>, arn: &str, key: &str) -> Result<Option<String>> {
    let mut policy: Value = match policy {
        Some(text) => serde_json::from_str(text)?,
        None => json!({ "Version": "2012-10-17", "Statement": [] }),
    };
    let statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        // IAM's grammar allows a single statement without a list.
        one => vec![one],
    };
    let ours = ours(arn, key);
    if ours.iter().all(|statement| statements.contains(statement)) {
        return Ok(None);
    }
    let is_old = |statement: &Value| ours.iter().any(|new| new["Sid"] == statement["Sid"]);
    let kept: Vec<Value> = statements.into_iter().filter(|statement| !is_old(statement)).collect();
    policy["Statement"] = kept.into_iter().chain(ours.iter().cloned()).collect();
    Ok(Some(policy.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:s3:::state";
    const KEY: &str = "arn:aws:kms:eu-south-2:123456789012:key/0";

    fn statements(policy: Option<&str>) -> Vec<Value> {
        let policy = with_our_statements(policy, ARN, KEY).unwrap().unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    fn ids(statements: &[Value]) -> Vec<&str> {
        statements.iter().map(|statement| statement["Sid"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_bucket_without_a_policy_gets_one_that_denies_plain_http() {
        let statements = statements(None);
        assert_eq!(statements[0]["Resource"], json!([ARN, format!("{ARN}/*")]));
        assert_eq!(statements[0]["Effect"], "Deny");
        assert_eq!(statements[0]["Condition"]["Bool"]["aws:SecureTransport"], "false");
    }

    #[test]
    fn an_upload_that_names_another_encryption_than_the_buckets_key_is_denied() {
        let statements = statements(None);
        let condition = &statements[1]["Condition"];
        assert_eq!(statements[1]["Action"], "s3:PutObject");
        assert_eq!(condition["StringNotEquals"][ENCRYPTION_KEY], KEY);
        assert_eq!(
            condition["Null"][ENCRYPTION], "false",
            "an upload that names none gets the bucket's default"
        );
        assert_eq!(statements[2]["Condition"]["Null"][CUSTOMER_KEY], "false");
    }

    #[test]
    fn the_statements_of_others_are_kept_and_ours_are_not_repeated() {
        let old = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Backup", "Effect": "Allow"}}"#;
        let new = with_our_statements(Some(old), ARN, KEY).unwrap().unwrap();
        let policy: Value = serde_json::from_str(&new).unwrap();
        let all = ["Backup", "TlsOnly", "BucketKeyOnly", "NoCustomerKeys"];
        assert_eq!(ids(policy["Statement"].as_array().unwrap()), all);
        assert_eq!(with_our_statements(Some(&new), ARN, KEY).unwrap(), None);
    }

    #[test]
    fn statements_for_another_key_are_replaced() {
        let old =
            with_our_statements(None, ARN, "arn:aws:kms:eu-south-2:123456789012:key/old").unwrap().unwrap();
        let statements = statements(Some(&old));
        assert_eq!(ids(&statements), ["TlsOnly", "BucketKeyOnly", "NoCustomerKeys"]);
        assert_eq!(statements[1]["Condition"]["StringNotEquals"][ENCRYPTION_KEY], KEY);
    }
}
