//! Checks that the credentials are valid for long enough. Those of a profile are renewed; those in the environment
//! expire, and then every running step fails.

use std::env;

use jiff::{SignedDuration, Timestamp};

use crate::step::Context;

/// The duration of a first `up`: a cluster and a database in parallel, 15 minutes each, and the steps after them
/// with retries.
const NEEDED: SignedDuration = SignedDuration::from_mins(45);

/// Warns if the credentials expire too early according to `AWS_CREDENTIAL_EXPIRATION`, which `aws configure
/// export-credentials --format env` and similar tools set together with the session token.
pub fn warn(cx: &Context) {
    let session = env::var_os("AWS_SESSION_TOKEN").is_some();
    let Some(ends) = env::var("AWS_CREDENTIAL_EXPIRATION").ok().filter(|_| session) else { return };
    if let Some(warning) = judge(&ends, Timestamp::now()) {
        cx.warn(
            warning,
            "get fresh AWS credentials first, or use a profile whose credentials are renewed (AWS_PROFILE)",
        );
    }
}

fn judge(ends: &str, now: Timestamp) -> Option<String> {
    let remaining = ends.parse::<Timestamp>().ok()?.duration_since(now);
    let (remaining, needed) = (remaining.as_mins().max(0), NEEDED.as_mins());
    (remaining < needed).then(|| {
        format!(
            "the AWS credentials in the environment expire in {remaining} min; a first `up` may take {needed}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn a_session_must_last_for_a_first_up() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(judge("2026-11-23T13:00:00+00:00", now), None);
        assert_eq!(
            judge("2026-11-23T12:10:30Z", now).unwrap(),
            "the AWS credentials in the environment expire in 10 min; a first `up` may take 45"
        );
        assert!(judge("2026-11-23T11:00:00Z", now).unwrap().contains("expire in 0 min"));
        assert_eq!(judge("tomorrow", now), None);
    }
}
