//! Exit codes: the interface for programs that run paydeploy.

use std::process::ExitCode;

use crate::step::{Class, Phase, StepId, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Success, or nothing to do.
    Ok = 0,
    /// A step failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Not in the configured state: missing, drifted, degraded or orphaned.
    Differs = 3,
    /// Preflight failed, or an earlier phase is missing.
    Preflight = 4,
    /// Another run holds the folder or a region.
    Locked = 5,
    /// It would destroy protected resources, or is older than what is deployed.
    Refused = 6,
    /// AWS or a cluster did not answer, so the state is unknown.
    Unknown = 7,
    /// Interrupted; the same command continues.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code of a run that changes or deletes. Of several codes the one comes first that decides what the
/// operator does next: an interruption, then a refusal, then a gate that failed before any step.
pub fn of_changes<'a>(verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)> + Clone) -> Exit {
    let failed = |wanted: fn(Class) -> bool| {
        verdicts
            .clone()
            .any(|(_, verdict)| matches!(verdict, Verdict::Failed { class, .. } if wanted(*class)))
    };
    let gate = preflight_failed(verdicts.clone()) || failed(|class| class == Class::Prerequisite);
    let missing = verdicts.clone().any(|(_, verdict)| matches!(verdict, Verdict::Missing { .. }));
    if verdicts.clone().any(|(_, verdict)| *verdict == Verdict::Cancelled) {
        Exit::Interrupted
    } else if failed(|class| class == Class::Refused) {
        Exit::Refused
    } else if gate {
        Exit::Preflight
    } else if failed(|_| true) {
        Exit::Failed
    } else if missing {
        Exit::Preflight
    } else {
        Exit::Ok
    }
}

/// Whether nothing could be read, because account, tools or commit are unfit.
pub fn preflight_failed<'a>(mut verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)>) -> bool {
    verdicts
        .any(|(step, verdict)| step.phase == Phase::Preflight && matches!(verdict, Verdict::Failed { .. }))
}

/// The exit code of a command that only reads and is limited to some steps. A step outside that failed counts too:
/// chosen steps that need it could not be read.
pub fn of_read_chosen<'a>(
    verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)> + Clone,
    is_chosen: impl Fn(&StepId) -> bool + Clone,
) -> Exit {
    if verdicts.clone().any(|(_, verdict)| matches!(verdict, Verdict::Failed { .. })) {
        of_read(verdicts)
    } else {
        of_read(verdicts.filter(move |(step, _)| is_chosen(step)))
    }
}

/// The exit code of a command that only reads.
pub fn of_read<'a>(verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)> + Clone) -> Exit {
    let any = |wanted: fn(&Verdict) -> bool| verdicts.clone().any(|(_, verdict)| wanted(verdict));
    if any(|verdict| *verdict == Verdict::Cancelled) {
        Exit::Interrupted
    } else if preflight_failed(verdicts.clone())
        && !any(|verdict| matches!(verdict, Verdict::Failed { class: Class::Transient, .. }))
    {
        // AWS did respond, and rejected the credentials or the account.
        Exit::Preflight
    } else if any(|verdict| matches!(verdict, Verdict::Failed { .. })) {
        Exit::Unknown
    } else if any(|verdict| !matches!(verdict, Verdict::Unchanged { .. })) {
        Exit::Differs
    } else {
        Exit::Ok
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn failed(class: Class) -> Verdict {
        Verdict::Failed { class, chain: Vec::new(), fix: None, attempts: 1 }
    }

    fn done() -> Verdict {
        Verdict::Changed { summary: String::new() }
    }

    fn code(verdicts: &[Verdict]) -> Exit {
        let named: BTreeMap<StepId, Verdict> = verdicts
            .iter()
            .enumerate()
            .map(|(number, verdict)| (StepId::global(Phase::Apps, number.to_string()), verdict.clone()))
            .collect();
        of_changes(named.iter())
    }

    #[test]
    fn one_failure_among_many_successes_is_never_exit_zero() {
        assert_eq!(code(&[done(), done()]), Exit::Ok);
        for place in 0..3 {
            let mut verdicts = vec![done(), done(), done()];
            verdicts[place] = failed(Class::Permanent);
            assert_eq!(code(&verdicts), Exit::Failed);
        }
    }

    #[test]
    fn a_refusal_and_an_interruption_have_their_own_codes() {
        assert_eq!(code(&[failed(Class::Permanent), failed(Class::Refused)]), Exit::Refused);
        assert_eq!(code(&[failed(Class::Permanent), Verdict::Cancelled]), Exit::Interrupted);
    }

    #[test]
    fn different_is_not_unknown() {
        let step = StepId::global(Phase::Apps, "x");
        let read = |verdict: Verdict| of_read([(&step, &verdict)].into_iter());
        assert_eq!(read(Verdict::Unchanged { summary: String::new() }), Exit::Ok);
        assert_eq!(read(Verdict::Missing { summary: String::new() }), Exit::Differs);
        assert_eq!(read(failed(Class::Transient)), Exit::Unknown);
    }

    #[test]
    fn a_hub_that_does_not_answer_is_unknown_also_for_a_chosen_spoke() {
        let (hub, spoke) = (StepId::global(Phase::Terraform, "hub"), StepId::global(Phase::Apps, "spoke"));
        let skipped = Verdict::Skipped { because: hub.clone() };
        let code = |verdict: Verdict| {
            of_read_chosen([(&hub, &verdict), (&spoke, &skipped)].into_iter(), |step| *step == spoke)
        };
        assert_eq!(code(failed(Class::Transient)), Exit::Unknown);
        assert_eq!(code(done()), Exit::Differs);
    }

    #[test]
    fn refused_credentials_are_not_an_account_that_does_not_answer() {
        let step = StepId::global(Phase::Preflight, "account");
        let read = |class| of_read([(&step, &failed(class))].into_iter());
        assert_eq!(read(Class::Permanent), Exit::Preflight);
        assert_eq!(read(Class::Transient), Exit::Unknown);
    }
}
