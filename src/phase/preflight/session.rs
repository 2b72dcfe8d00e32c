//! Checks that the credentials are valid for long enough. Most sources renew them (`aws::credentials`). Those in the
//! environment expire, and so does the session of a job whose token ended before it: then every running step fails.

use std::{env, fs};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use crate::step::Context;

/// The duration of a first `up`: a cluster and a database in parallel, 15 minutes each, and the steps after them
/// with retries.
const NEEDED: SignedDuration = SignedDuration::from_mins(45);

/// Warns if the credentials expire too early and cannot be renewed.
///
/// - Those in the environment end at `AWS_CREDENTIAL_EXPIRATION`, which `aws configure export-credentials --format env` and
///   similar tools set together with the session token.
/// - A session of a role that was assumed with a token in a file (web identity) is renewed with that token, which a forge
///   issues once per job, for a few minutes.
pub async fn warn(cx: &Context) {
    let now = Timestamp::now();
    let session = env::var_os("AWS_SESSION_TOKEN").is_some();
    let found = match env::var("AWS_CREDENTIAL_EXPIRATION").ok().filter(|_| session) {
        Some(ends) => judge(&ends, now).map(|warning| {
            (warning, "get fresh AWS credentials first, or use a profile whose credentials are renewed (AWS_PROFILE)")
        }),
        None => {
            let Some(token) = env::var_os("AWS_WEB_IDENTITY_TOKEN_FILE") else { return };
            let ends = cx.world.aws.credentials_end().await;
            let token = fs::read_to_string(token).ok().and_then(|token| end_of_token(&token));
            let (Some(ends), Some(token)) = (ends, token) else { return };
            judge_role(ends, token, now).map(|warning| {
                (warning, "give the role a longer session, or let the job write a new token into the same file")
            })
        }
    };
    if let Some((warning, fix)) = found {
        cx.warn(warning, fix);
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

/// `ends` is when the role's session ends, and `token` when the token that it is renewed with.
fn judge_role(ends: Timestamp, token: Timestamp, now: Timestamp) -> Option<String> {
    let remaining = ends.duration_since(now);
    (token < ends && remaining < NEEDED).then(|| {
        format!(
            "the session of the role ends in {} min and cannot be renewed, because the token in \
             AWS_WEB_IDENTITY_TOKEN_FILE ends before it; a first `up` may take {}",
            remaining.as_mins().max(0),
            NEEDED.as_mins()
        )
    })
}

/// The end of a JSON Web Token, from its claim `exp` (RFC 7519, section 4.1.4).
fn end_of_token(token: &str) -> Option<Timestamp> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims["exp"].as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_roles_session_must_last_for_a_first_up_or_be_renewable() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-23T12:00:00Z");
        let warned = |ends, token| judge_role(at(ends), at(token), now);
        assert_eq!(warned("2026-11-23T13:00:00Z", "2026-11-23T12:05:00Z"), None, "it lasts");
        assert_eq!(warned("2026-11-23T12:15:00Z", "2026-11-24T12:00:00Z"), None, "it is renewed");
        let warning = warned("2026-11-23T12:15:00Z", "2026-11-23T12:05:00Z").unwrap();
        assert!(
            warning.starts_with("the session of the role ends in 15 min and cannot be renewed"),
            "{warning}"
        );
    }

    #[test]
    fn the_end_of_a_token_is_read_from_its_claims() {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"repo:payments","exp":1763899500}"#);
        let end = end_of_token(&format!("eyJhbGciOiJSUzI1NiJ9.{claims}.c2lnbmF0dXJl\n")).unwrap();
        assert_eq!(end.as_second(), 1_763_899_500);
        assert_eq!(end_of_token("opaque"), None);
    }
}
