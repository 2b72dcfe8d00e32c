//! Exit codes: what a program that runs paydeploy can rely on.

use std::process::ExitCode;

use crate::step::{Class, Phase, StepId, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Ok = 0,
    /// A step failed.
    Failed = 1,
    /// Wrong use or configuration.
    Usage = 2,
    /// Not as configured: missing, drifted, degraded or orphaned.
    Differs = 3,
    /// Preflight failed, or an earlier phase has not run.
    Preflight = 4,
    /// Another run holds the lock.
    Locked = 5,
    /// It would destroy what is protected.
    Refused = 6,
    /// Something did not answer, so its state is unknown.
    Unknown = 7,
    /// Interrupted; the same command goes on.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code of a run that makes or destroys.
pub fn of_changes<'a>(verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)> + Clone) -> Exit {
    let failed = |wanted: fn(Class) -> bool| {
        verdicts
            .clone()
            .any(|(_, verdict)| matches!(verdict, Verdict::Failed { class, .. } if wanted(*class)))
    };
    let early = preflight_failed(verdicts.clone()) || failed(|class| class == Class::Prerequisite);
    let absent = verdicts.clone().any(|(_, verdict)| matches!(verdict, Verdict::Missing { .. }));
    if verdicts.clone().any(|(_, verdict)| *verdict == Verdict::Cancelled) {
        Exit::Interrupted
    } else if failed(|class| class == Class::Refused) {
        Exit::Refused
    } else if early {
        Exit::Preflight
    } else if failed(|_| true) {
        Exit::Failed
    } else if absent {
        Exit::Preflight
    } else {
        Exit::Ok
    }
}

/// Whether nothing could be looked at, because account, tools or commit are not as they must be.
pub fn preflight_failed<'a>(mut verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)>) -> bool {
    verdicts
        .any(|(step, verdict)| step.phase == Phase::Preflight && matches!(verdict, Verdict::Failed { .. }))
}

/// The exit code of a run that only looks.
pub fn of_look<'a>(verdicts: impl Iterator<Item = (&'a StepId, &'a Verdict)> + Clone) -> Exit {
    let any = |wanted: fn(&Verdict) -> bool| verdicts.clone().any(|(_, verdict)| wanted(verdict));
    if any(|verdict| *verdict == Verdict::Cancelled) {
        Exit::Interrupted
    } else if preflight_failed(verdicts.clone())
        && !any(|verdict| matches!(verdict, Verdict::Failed { class: Class::Transient, .. }))
    {
        // what did answer, and did not like what it was asked with
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn failed(class: Class) -> Verdict {
        Verdict::Failed { class, chain: Vec::new(), hint: None, attempts: 1 }
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
    fn a_refusal_and_an_interruption_have_codes_of_their_own() {
        assert_eq!(code(&[failed(Class::Permanent), failed(Class::Refused)]), Exit::Refused);
        assert_eq!(code(&[failed(Class::Permanent), Verdict::Cancelled]), Exit::Interrupted);
    }

    #[test]
    fn a_look_tells_different_from_unknown() {
        let step = StepId::global(Phase::Apps, "x");
        let look = |verdict: Verdict| of_look([(&step, &verdict)].into_iter());
        assert_eq!(look(Verdict::Unchanged { summary: String::new() }), Exit::Ok);
        assert_eq!(look(Verdict::Missing { summary: String::new() }), Exit::Differs);
        assert_eq!(look(failed(Class::Transient)), Exit::Unknown);
    }

    #[test]
    fn a_look_with_unfit_credentials_is_told_from_an_account_that_does_not_answer() {
        let step = StepId::global(Phase::Preflight, "account");
        let look = |class| of_look([(&step, &failed(class))].into_iter());
        assert_eq!(look(Class::Permanent), Exit::Preflight);
        assert_eq!(look(Class::Transient), Exit::Unknown);
    }
}
