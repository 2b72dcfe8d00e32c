//! Waits until the certificate that the stack `foundation` requested is issued.

use std::time::Duration;

use aws_sdk_acm::{
    Client,
    types::{CertificateDetail, CertificateStatus},
};

use crate::{
    aws::{classify, is_missing},
    config::Region,
    fact,
    step::{Check, Class, Context, Error, ErrorExt, Phase, Poll, Result, Seen, State, Step, StepId},
};

/// Between two reads of the certificate's status.
const INTERVAL: Duration = Duration::from_secs(5);
/// ACM usually takes two to five minutes once the validation record can be resolved.
const DEADLINE: Duration = Duration::from_mins(20);

pub struct Certificate {
    region: Region,
}

impl Certificate {
    pub(super) fn new(region: &Region) -> Self {
        Self { region: region.clone() }
    }

    async fn describe(&self, cx: &Context, arn: &str) -> Result<Option<CertificateDetail>> {
        let client = Client::new(&cx.world.aws.in_region(&self.region.aws_region));
        match client.describe_certificate().certificate_arn(arn).send().await {
            Ok(described) => Ok(described.certificate),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(classify(error)).doing(format!("read certificate `{arn}`")),
        }
    }
}

/// Ready when the certificate is issued, pending while it still can be; otherwise an error.
fn judge(arn: &str, status: Option<&CertificateStatus>, reason: Option<&str>) -> Result<Poll<()>> {
    match status {
        Some(CertificateStatus::Issued) => Ok(Poll::Ready(())),
        Some(CertificateStatus::PendingValidation) => Ok(Poll::Pending("pending validation".to_owned())),
        status => {
            let status = status.map_or("unknown", CertificateStatus::as_str);
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let message = format!("certificate `{arn}` will not be issued: {status}{reason}");
            Err(Error::permanent(message).with_hint(
                "fix the cause (is the hosted zone delegated? does a CAA record forbid amazon.com?), delete \
                 the certificate, then run the same command again",
            ))
        }
    }
}

fn missing(arn: &str) -> Error {
    Error::msg(Class::Prerequisite, format!("certificate `{arn}` is missing"))
        .with_hint("run `paydeploy phase terraform`: its stack `foundation` requests the certificate")
}

impl Step for Certificate {
    type Input = fact::Foundation;
    type Fact = fact::Certificate;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.region.name, "certificate")
    }

    fn estimate(&self) -> Duration {
        Duration::from_mins(3)
    }

    async fn read(&self, cx: &Context, input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let arn = &input.certificate_arn;
        let Some(found) = self.describe(cx, arn).await? else {
            return Ok(Seen::missing("not requested"));
        };
        let status = found.status();
        if status == Some(&CertificateStatus::Issued) {
            return Ok(Seen::ok(fact::Certificate { arn: arn.clone() }, "issued"));
        }
        let detail = status.map_or("unknown", CertificateStatus::as_str).to_lowercase().replace('_', " ");
        Ok(Seen { fact: None, state: State::Differs, detail })
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<Self::Change>> {
        let arn = &input.certificate_arn;
        let found = self.describe(cx, arn).await?.ok_or_else(|| missing(arn))?;
        let reason = found.failure_reason().map(aws_sdk_acm::types::FailureReason::as_str);
        Ok(match judge(arn, found.status(), reason)? {
            Poll::Ready(()) => Check::Clean("issued".to_owned()),
            Poll::Pending(_) => {
                Check::Change { lines: vec!["wait for the certificate to be issued".to_owned()], change: () }
            }
        })
    }

    async fn apply(&self, cx: &Context, input: &Self::Input, _change: Self::Change) -> Result<()> {
        let arn = &input.certificate_arn;
        let issued = cx.wait("the certificate", INTERVAL, DEADLINE, || async {
            let found = self.describe(cx, arn).await?.ok_or_else(|| missing(arn))?;
            let reason = found.failure_reason().map(aws_sdk_acm::types::FailureReason::as_str);
            judge(arn, found.status(), reason)
        });
        issued.await.map_err(|error| match &error.hint {
            None if error.class == Class::Permanent => error.with_hint(format!(
                "check that the hosted zone `{}` is delegated: the registrar must list its name \
                 servers",
                input.hosted_zone_name
            )),
            _ => error,
        })
    }

    /// Nothing to delete: the stack that requested it deletes it.
    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_acm::types::CertificateStatus;

    use super::judge;
    use crate::step::{Class, Poll};

    #[test]
    fn only_a_certificate_that_can_still_be_issued_is_waited_for() {
        assert!(matches!(judge("arn", Some(&CertificateStatus::Issued), None), Ok(Poll::Ready(()))));
        let pending = judge("arn", Some(&CertificateStatus::PendingValidation), None);
        assert!(matches!(pending, Ok(Poll::Pending(_))));
        let failed = judge("arn", Some(&CertificateStatus::Failed), Some("CAA_ERROR"));
        let Err(error) = failed else { panic!("a failed certificate was waited for") };
        assert_eq!(error.class, Class::Permanent);
        assert_eq!(error.to_string(), "certificate `arn` will not be issued: FAILED (CAA_ERROR)");
    }
}
