//! The exit code of several steps, as a property of every combination of their verdicts. Programs that aggregate the
//! results of many units have reported success although one of them failed.

use proptest::prelude::*;

use super::{Exit, of_changes, of_read, of_read_chosen};
use crate::step::{Class, Phase, StepId, Verdict};

type Code = fn(&[(StepId, Verdict)]) -> Exit;

fn changes(steps: &[(StepId, Verdict)]) -> Exit {
    of_changes(steps.iter().map(|(step, verdict)| (step, verdict)))
}

fn reads(steps: &[(StepId, Verdict)]) -> Exit {
    of_read(steps.iter().map(|(step, verdict)| (step, verdict)))
}

/// Every verdict that a step can have.
fn verdicts() -> Vec<Verdict> {
    let text = String::new;
    let failed = |class| Verdict::Failed { class, chain: Vec::new(), fix: None, attempts: 1 };
    let classes = [
        Class::Transient,
        Class::Conflict,
        Class::Permanent,
        Class::Refused,
        Class::Prerequisite,
        Class::Cancelled,
    ];
    let mut all = vec![
        Verdict::Changed { summary: text() },
        Verdict::Deleted { summary: text() },
        Verdict::Unchanged { summary: text() },
        Verdict::Missing { summary: text() },
        Verdict::Differs { summary: text(), changes: Vec::new() },
        Verdict::Skipped { because: StepId::global(Phase::Apps, "another") },
        Verdict::Cancelled,
    ];
    all.extend(classes.map(failed));
    all
}

fn step(number: usize, is_preflight: bool, verdict: Verdict) -> (StepId, Verdict) {
    let phase = if is_preflight { Phase::Preflight } else { Phase::Apps };
    (StepId::global(phase, number.to_string()), verdict)
}

/// Any number of steps with any verdicts, of the preflight or of a later phase.
fn steps() -> impl Strategy<Value = Vec<(StepId, Verdict)>> {
    let one = (any::<bool>(), prop::sample::select(verdicts()));
    prop::collection::vec(one, 0..10).prop_map(|drawn| {
        let numbered = drawn.into_iter().enumerate();
        numbered.map(|(number, (is_preflight, verdict))| step(number, is_preflight, verdict)).collect()
    })
}

fn is_failure(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Failed { .. } | Verdict::Cancelled | Verdict::Missing { .. })
}

#[test]
fn every_verdict_alone_has_the_documented_code() {
    let code = |of: Code, verdict: &Verdict| of(&[step(0, false, verdict.clone())]);
    for verdict in verdicts() {
        let (changed, read) = match &verdict {
            Verdict::Unchanged { .. } => (Exit::Ok, Exit::Ok),
            // In a run that changes, steps of other regions are only read, and a skip follows a failure.
            Verdict::Changed { .. }
            | Verdict::Deleted { .. }
            | Verdict::Differs { .. }
            | Verdict::Skipped { .. } => (Exit::Ok, Exit::Differs),
            Verdict::Missing { .. } => (Exit::Preflight, Exit::Differs),
            Verdict::Failed { class: Class::Refused, .. } => (Exit::Refused, Exit::Unknown),
            Verdict::Failed { class: Class::Prerequisite, .. } => (Exit::Preflight, Exit::Unknown),
            Verdict::Failed { .. } => (Exit::Failed, Exit::Unknown),
            Verdict::Cancelled => (Exit::Interrupted, Exit::Interrupted),
        };
        assert_eq!((code(changes, &verdict), code(reads, &verdict)), (changed, read), "{verdict:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn several_steps_succeed_only_if_each_of_them_does(steps in steps()) {
        for of in [changes as Code, reads as Code] {
            let alone: Vec<Exit> = steps.iter().map(|one| of(std::slice::from_ref(one))).collect();
            let code = of(&steps);
            prop_assert_eq!(code == Exit::Ok, alone.iter().all(|code| *code == Exit::Ok), "{:?}", alone);
            // The code is that of one of the steps, never one that none of them has.
            prop_assert!(code == Exit::Ok || alone.contains(&code), "{:?} of {:?}", code, alone);
        }
        let failed = steps.iter().any(|(_, verdict)| is_failure(verdict));
        prop_assert!(!failed || changes(&steps) != Exit::Ok);
    }

    #[test]
    fn the_order_of_the_steps_and_more_successes_change_no_code(steps in steps(), at in any::<prop::sample::Index>()) {
        for of in [changes as Code, reads as Code] {
            let mut other = steps.clone();
            other.reverse();
            prop_assert_eq!(of(&other), of(&steps));
            other.insert(at.index(steps.len() + 1), step(99, false, Verdict::Unchanged { summary: String::new() }));
            prop_assert_eq!(of(&other), of(&steps));
        }
    }

    #[test]
    fn limiting_a_command_to_some_steps_hides_no_failure(steps in steps(), chosen in prop::collection::vec(any::<bool>(), 10)) {
        let is_chosen = |id: &StepId| {
            let number = id.part.as_deref().and_then(|part| part.parse::<usize>().ok());
            number.is_some_and(|number| chosen[number])
        };
        let code = of_read_chosen(steps.iter().map(|(step, verdict)| (step, verdict)), is_chosen);
        let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed { .. });
        if steps.iter().any(|(_, verdict)| failed(verdict)) {
            prop_assert_eq!(code, reads(&steps));
        } else {
            let chosen: Vec<_> = steps.iter().filter(|(step, _)| is_chosen(step)).cloned().collect();
            prop_assert_eq!(code, reads(&chosen));
        }
    }
}
