//! The statement in a bucket's policy that denies plain HTTP.

use serde_json::{Value, json};

use crate::task::Result;

/// The id of our statement in a bucket's policy.
const TLS_ONLY: &str = "TlsOnly";

/// A bucket's policy with our statement added; `None` if it already has it.
pub(super) fn with_tls_only(policy: Option<&str>, arn: &str) -> Result<Option<String>> {
    let ours = json!({
        "Sid": TLS_ONLY,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, format!("{arn}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    });
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
    if statements.iter().any(|statement| statement["Sid"] == TLS_ONLY) {
        return Ok(None);
    }
    policy["Statement"] = statements.into_iter().chain([ours]).collect();
    Ok(Some(policy.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_without_a_policy_gets_one_that_denies_plain_http() {
        let policy = with_tls_only(None, "arn:aws:s3:::state").unwrap().unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        assert_eq!(policy["Statement"][0]["Resource"], json!(["arn:aws:s3:::state", "arn:aws:s3:::state/*"]));
        assert_eq!(policy["Statement"][0]["Effect"], "Deny");
    }

    #[test]
    fn the_statements_of_a_policy_are_kept() {
        let old = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Backup", "Effect": "Allow"}}"#;
        let new = with_tls_only(Some(old), "arn:aws:s3:::state").unwrap().unwrap();
        let policy: Value = serde_json::from_str(&new).unwrap();
        assert_eq!(policy["Statement"][0]["Sid"], "Backup");
        assert_eq!(policy["Statement"][1]["Sid"], "TlsOnly");
        assert_eq!(with_tls_only(Some(&new), "arn:aws:s3:::state").unwrap(), None);
    }
}
