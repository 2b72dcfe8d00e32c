//! The end of a run: its failures with their fixes, and one line that counts the steps.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::text;
use crate::task::{StepId, Verdict};

/// Where a failure leads the operator.
pub struct Links<'a> {
    /// The path of a step's log, as the operator would type it; `None` for a step that wrote none.
    pub log: &'a dyn Fn(&StepId) -> Option<String>,
    /// The command that continues the run.
    pub again: &'a str,
    /// Whether that command continues changes, rather than only reading again.
    pub resumes: bool,
}

/// How many skipped steps a failure names. A failed preflight skips all of them, and a list of 37 hides the fix below.
const NAMED_SKIPS: usize = 6;

/// Every failure: the step, its causes, what was skipped, the fix, the log, the next command.
pub fn failures(
    verdicts: &BTreeMap<StepId, Verdict>,
    elapsed: &BTreeMap<StepId, Duration>,
    links: &Links<'_>,
) -> String {
    let mut out = String::new();
    for (step, verdict) in verdicts {
        let Verdict::Failed { chain, fix, attempts, .. } = verdict else { continue };
        let took = text::duration(elapsed.get(step).copied().unwrap_or_default());
        let tries = if *attempts > 1 { format!("after {attempts} attempts, ") } else { String::new() };
        let _ = writeln!(out, "✗ {step}   {tries}{took}");
        for (depth, cause) in chain.iter().enumerate() {
            let because = if depth == 0 { "  " } else { "    because " };
            let _ = writeln!(out, "{because}{}", cause.replace('\n', "\n      "));
        }
        let skipped: Vec<String> = verdicts
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Skipped { because } if because == step))
            .map(|(step, _)| step.to_string())
            .collect();
        if !skipped.is_empty() {
            let named = skipped.len().min(NAMED_SKIPS);
            let more = match skipped.len() - named {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let _ = writeln!(out, "  skipped: {}{more}", skipped[..named].join(", "));
        }
        if let Some(fix) = fix {
            let _ = writeln!(out, "  fix: {fix}");
        }
        if let Some(log) = (links.log)(step) {
            let _ = writeln!(out, "  log: {log}");
        }
        let note = if links.resumes { "     (finished steps are checked, not repeated)" } else { "" };
        let _ = writeln!(out, "  then: {}{note}", links.again);
    }
    out
}

/// One line, for instance `38 steps: 35 changed, 3 unchanged in 3m 24s`.
pub fn summary(verdicts: &BTreeMap<StepId, Verdict>, elapsed: Duration) -> String {
    let count = |wanted: fn(&Verdict) -> bool| verdicts.values().filter(|verdict| wanted(verdict)).count();
    let kinds: [(&str, usize); 8] = [
        ("changed", count(|verdict| matches!(verdict, Verdict::Changed { .. }))),
        ("deleted", count(|verdict| matches!(verdict, Verdict::Deleted { .. }))),
        ("unchanged", count(|verdict| matches!(verdict, Verdict::Unchanged { .. }))),
        ("differs", count(|verdict| matches!(verdict, Verdict::Differs { .. }))),
        ("missing", count(|verdict| matches!(verdict, Verdict::Missing { .. }))),
        ("failed", count(|verdict| matches!(verdict, Verdict::Failed { .. }))),
        ("skipped", count(|verdict| matches!(verdict, Verdict::Skipped { .. }))),
        ("cancelled", count(|verdict| matches!(verdict, Verdict::Cancelled))),
    ];
    let counted: Vec<String> = kinds
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    format!("{}: {} in {}", text::steps(verdicts.len()), counted.join(", "), text::duration(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Class, Phase};

    #[test]
    fn a_failure_has_its_causes_what_was_skipped_and_a_fix() {
        let build = StepId::global(Phase::Docker, "build");
        let region = "spain".parse().unwrap();
        let failed = Verdict::Failed {
            class: Class::Permanent,
            chain: vec!["failed to build the image".into(), "no engine answers".into()],
            fix: Some("start it".into()),
            attempts: 1,
        };
        let verdicts = BTreeMap::from([
            (build.clone(), failed),
            (StepId::of(Phase::Docker, &region), Verdict::Skipped { because: build.clone() }),
        ]);
        let elapsed = BTreeMap::from([(build, Duration::from_secs(3))]);
        let log = |step: &StepId| Some(format!(".paydeploy/runs/1/{}", step.log_name()));
        let links = Links { log: &log, again: "paydeploy up", resumes: true };
        insta::assert_snapshot!(failures(&verdicts, &elapsed, &links), @r"
        ✗ docker/build   3s
          failed to build the image
            because no engine answers
          skipped: docker/spain
          fix: start it
          log: .paydeploy/runs/1/docker.build.log
          then: paydeploy up     (finished steps are checked, not repeated)
        ");
        assert_eq!(summary(&verdicts, Duration::from_secs(61)), "2 steps: 1 failed, 1 skipped in 1m 01s");
    }

    #[test]
    fn a_failure_that_skips_everything_names_the_first_steps_and_counts_the_others() {
        let account = StepId::global(Phase::Preflight, "account");
        let failed = Verdict::Failed { class: Class::Permanent, chain: vec![], fix: None, attempts: 1 };
        let regions: Vec<_> = (0..9).map(|number| format!("region{number}").parse().unwrap()).collect();
        let skipped = regions
            .iter()
            .map(|region| (StepId::of(Phase::Docker, region), Verdict::Skipped { because: account.clone() }));
        let verdicts: BTreeMap<_, _> = skipped.chain([(account.clone(), failed)]).collect();
        let links = Links { log: &|_| None, again: "", resumes: false };
        let printed = failures(&verdicts, &BTreeMap::new(), &links);
        assert!(printed.contains("docker/region4, docker/region5 and 3 more\n"), "{printed}");
        assert!(!printed.contains("docker/region6"), "{printed}");
        assert!(!printed.contains("log:"), "a step without a log: {printed}");
    }
}
