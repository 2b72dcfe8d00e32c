//! The lifecycle rules of a bucket: old versions of what only passes through it, such as leases, locks and records, are
//! deleted, and copies of journals after a month. They are written every few seconds, and the versions of everything else
//! are kept.

use aws_sdk_s3::types::{
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
    Tag,
};

use crate::task::Result;

/// The tag of an object that is not kept.
pub const PASSING: (&str, &str) = ("paydeploy", "passing");
/// The tag of a copy of a journal.
pub const JOURNAL: (&str, &str) = ("paydeploy", "journal");
/// The shortest time that S3 knows.
const DAYS: i32 = 1;
/// How long a copy of a journal is kept: until after the next release, where there is one every other week.
const JOURNAL_DAYS: i32 = 30;
/// What the ids of our rules start with. Others are left alone.
const OURS: &str = "paydeploy-";

/// The rules with ours among them; `None` if they are already as wanted.
pub(super) fn with_our_rules(found: &[LifecycleRule]) -> Result<Option<Vec<LifecycleRule>>> {
    let wanted = ours()?;
    let is_ours = |rule: &&LifecycleRule| rule.id().is_some_and(|id| id.starts_with(OURS));
    let present: Vec<&LifecycleRule> = found.iter().filter(is_ours).collect();
    let has = |rule: &LifecycleRule| present.iter().any(|one| does_the_same(one, rule));
    if present.len() == wanted.len() && wanted.iter().all(has) {
        return Ok(None);
    }
    Ok(Some(found.iter().filter(|rule| !is_ours(rule)).cloned().chain(wanted).collect()))
}

fn ours() -> Result<[LifecycleRule; 3]> {
    let tagged = |(key, value): (&str, &str)| -> Result<LifecycleRuleFilter> {
        Ok(LifecycleRuleFilter::builder().tag(Tag::builder().key(key).value(value).build()?).build())
    };
    let old = NoncurrentVersionExpiration::builder().noncurrent_days(DAYS).build();
    let versions =
        rule("versions").filter(tagged(PASSING)?).noncurrent_version_expiration(old.clone()).build()?;
    let month = LifecycleExpiration::builder().days(JOURNAL_DAYS).build();
    let journals = rule("journals").filter(tagged(JOURNAL)?).expiration(month);
    let journals = journals.noncurrent_version_expiration(old).build()?;
    // Each deletion leaves a marker, which S3 does not delete with the versions below it. A rule with a tag may not.
    let marker = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
    let all = LifecycleRuleFilter::builder().prefix("").build();
    let markers = rule("markers").filter(all).expiration(marker).build()?;
    Ok([versions, journals, markers])
}

fn rule(name: &str) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
    LifecycleRule::builder().id(format!("{OURS}{name}")).status(ExpirationStatus::Enabled)
}

/// S3 may report an empty prefix in more than one way, so rules are compared by what they do.
fn does_the_same(found: &LifecycleRule, wanted: &LifecycleRule) -> bool {
    let tag = |rule: &LifecycleRule| rule.filter().and_then(LifecycleRuleFilter::tag).cloned();
    let marker =
        |rule: &LifecycleRule| rule.expiration().and_then(LifecycleExpiration::expired_object_delete_marker);
    let days = |rule: &LifecycleRule| rule.expiration().and_then(LifecycleExpiration::days);
    found.id() == wanted.id()
        && found.status() == wanted.status()
        && tag(found) == tag(wanted)
        && found.noncurrent_version_expiration() == wanted.noncurrent_version_expiration()
        && marker(found) == marker(wanted)
        && days(found) == days(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rules_are_added_beside_those_of_others_and_then_left_alone() {
        let others = rule("x").id("backup").build().unwrap();
        let outdated =
            rule("versions").filter(LifecycleRuleFilter::builder().prefix("a").build()).build().unwrap();
        let all = with_our_rules(&[others.clone(), outdated]).unwrap().unwrap();
        let ids: Vec<&str> = all.iter().filter_map(LifecycleRule::id).collect();
        assert_eq!(ids, ["backup", "paydeploy-versions", "paydeploy-journals", "paydeploy-markers"]);
        assert_eq!(with_our_rules(&all).unwrap(), None);
    }
}
