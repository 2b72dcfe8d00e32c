//! Names of repositories and digests of images.

use std::{fmt, str::FromStr};

use crate::{fact::ImageDigest, task::Error};

/// A repository in a registry: `HOST[:PORT]/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub host: String,
    pub name: String,
}

impl FromStr for Repository {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let good_host = |host: &str| {
            let (name, port) = host.split_once(':').unwrap_or((host, "443"));
            // Docker takes a first part without any of these for a namespace on Docker Hub.
            (host.contains(['.', ':']) || host == "localhost")
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
                && port.parse::<u16>().is_ok()
        };
        let good_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
                && part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        };
        match text.split_once('/') {
            Some((host, name)) if good_host(host) && name.split('/').all(good_part) => {
                Ok(Self { host: host.to_owned(), name: name.to_owned() })
            }
            _ => Err(Error::permanent(format!(
                "`{text}` is not a valid image repository: expected `HOST/NAME`"
            ))),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

/// Parses `sha256:` and 64 lower-case hexadecimal digits. No registry uses another algorithm for images.
pub fn parse_digest(text: &str) -> Option<ImageDigest> {
    let hex = text.strip_prefix("sha256:")?;
    let good = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    good.then(|| ImageDigest(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Repository, parse_digest};

    #[test]
    fn a_repository_is_a_host_and_a_name() {
        let ecr = "123456789012.dkr.ecr.eu-south-2.amazonaws.com/team/payment-latency-api";
        let repository: Repository = ecr.parse().unwrap();
        assert_eq!(repository.host, "123456789012.dkr.ecr.eu-south-2.amazonaws.com");
        assert_eq!(repository.name, "team/payment-latency-api");
        assert_eq!(repository.to_string(), ecr);
        assert_eq!("10.0.0.1:5601/api".parse::<Repository>().unwrap().host, "10.0.0.1:5601");
    }

    #[test]
    fn a_repository_without_a_registry_is_refused() {
        for bad in [
            "api",
            "team/api",
            "r.example/",
            "r.example/API",
            "r.example/a//b",
            "r.example:x/a",
            "r.ex/../a",
            ":5/a",
        ] {
            let error = bad.parse::<Repository>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn a_digest_is_sha256_in_lower_case_hexadecimal() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(parse_digest(&good).unwrap().0, good);
        for bad in
            [good.to_uppercase(), good.replace("0a0", "0g0"), good[..70].to_owned(), good[7..].to_owned()]
        {
            assert_eq!(parse_digest(&bad), None, "{bad}");
        }
    }
}
