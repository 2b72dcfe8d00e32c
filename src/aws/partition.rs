//! The partitions that AWS regions belong to.

/// The partition of a region, as ARNs name it.
pub fn partition(aws_region: &str) -> &'static str {
    match aws_region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// A region of the same partition that is enabled in every account.
pub fn always_enabled(aws_region: &str) -> &'static str {
    match partition(aws_region) {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}
