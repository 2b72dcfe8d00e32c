//! The end of a run in words: failures with their fix, what is there now, how long it took.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::text;
use crate::task::{StepId, Verdict};

/// What a failure points to.
pub struct Links<'a> {
    /// The run's folder, as the user would type it.
    pub logs: &'a str,
    /// The command that goes on from here.
    pub again: &'a str,
}

/// Every failure: what, where, why, what to do.
pub fn failures(
    verdicts: &BTreeMap<StepId, Verdict>,
    elapsed: &BTreeMap<StepId, Duration>,
    links: &Links<'_>,
) -> String {
    let mut out = String::new();
    for (step, verdict) in verdicts {
        let Verdict::Failed { chain, hint, attempts, .. } = verdict else { continue };
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
            let _ = writeln!(out, "  skipped: {}", skipped.join(", "));
        }
        if let Some(hint) = hint {
            let _ = writeln!(out, "  fix: {hint}");
        }
        let _ = writeln!(out, "  log: {}/{}", links.logs, step.log_name());
        let _ = writeln!(out, "  then: {}     (finished steps are looked at, not repeated)", links.again);
    }
    out
}

/// One line: how many steps ended how, and how long it took.
pub fn summary(verdicts: &BTreeMap<StepId, Verdict>, elapsed: Duration) -> String {
    let count = |wanted: fn(&Verdict) -> bool| verdicts.values().filter(|verdict| wanted(verdict)).count();
    let kinds: [(&str, usize); 8] = [
        ("changed", count(|verdict| matches!(verdict, Verdict::Changed { .. }))),
        ("deleted", count(|verdict| matches!(verdict, Verdict::Deleted { .. }))),
        ("unchanged", count(|verdict| matches!(verdict, Verdict::Unchanged { .. }))),
        ("different", count(|verdict| matches!(verdict, Verdict::Differs { .. }))),
        ("missing", count(|verdict| matches!(verdict, Verdict::Missing { .. }))),
        ("failed", count(|verdict| matches!(verdict, Verdict::Failed { .. }))),
        ("skipped", count(|verdict| matches!(verdict, Verdict::Skipped { .. }))),
        ("interrupted", count(|verdict| matches!(verdict, Verdict::Cancelled))),
    ];
    let told: Vec<String> = kinds
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    format!("{} steps: {} · {}", verdicts.len(), told.join(", "), text::duration(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Class, Phase};

    #[test]
    fn a_failure_says_what_why_what_was_skipped_and_what_to_do() {
        let build = StepId::global(Phase::Docker, "build");
        let region = "spain".parse().unwrap();
        let failed = Verdict::Failed {
            class: Class::Permanent,
            chain: vec!["failed to build the image".into(), "no engine answers".into()],
            hint: Some("start it".into()),
            attempts: 1,
        };
        let verdicts = BTreeMap::from([
            (build.clone(), failed),
            (StepId::of(Phase::Docker, &region), Verdict::Skipped { because: build.clone() }),
        ]);
        let elapsed = BTreeMap::from([(build, Duration::from_secs(3))]);
        let links = Links { logs: ".paydeploy/runs/1", again: "paydeploy up" };
        insta::assert_snapshot!(failures(&verdicts, &elapsed, &links), @r"
        ✗ docker/build   3s
          failed to build the image
            because no engine answers
          skipped: docker/spain
          fix: start it
          log: .paydeploy/runs/1/docker.build.log
          then: paydeploy up     (finished steps are looked at, not repeated)
        ");
        assert_eq!(summary(&verdicts, Duration::from_secs(61)), "2 steps: 1 failed, 1 skipped · 1m 01s");
    }
}
