//! How long the credentials last. Those of a profile are renewed on the way; those in the environment end when they
//! end, and what is under way then is left half done.

use std::env;

use jiff::{SignedDuration, Timestamp};

use crate::step::Context;

/// What a first `up` may take: a cluster and a database of a quarter of an hour each, side by side, and what comes
/// after them.
const NEEDED: SignedDuration = SignedDuration::from_mins(45);

/// Warns where they end too soon, as far as that is told: by `AWS_CREDENTIAL_EXPIRATION`, which
/// `aws configure export-credentials --format env` and its like set beside the session token.
pub fn look(cx: &Context) {
    let session = env::var_os("AWS_SESSION_TOKEN").is_some();
    let Some(ends) = env::var("AWS_CREDENTIAL_EXPIRATION").ok().filter(|_| session) else { return };
    if let Some(warning) = judge(&ends, Timestamp::now()) {
        cx.warn(warning, "get fresh ones first, or name a profile that renews its own (AWS_PROFILE)");
    }
}

fn judge(ends: &str, now: Timestamp) -> Option<String> {
    let left = ends.parse::<Timestamp>().ok()?.duration_since(now);
    let (left, needed) = (left.as_mins().max(0), NEEDED.as_mins());
    (left < needed).then(|| {
        format!("the AWS credentials in the environment end in {left} min; a first `up` may take {needed}")
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
            "the AWS credentials in the environment end in 10 min; a first `up` may take 45"
        );
        assert!(judge("2026-11-23T11:00:00Z", now).unwrap().contains("end in 0 min"));
        assert_eq!(judge("tomorrow", now), None);
    }
}
