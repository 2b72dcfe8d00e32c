//! What a user reads, as reviewed snapshots: README shows parts of these very texts.
//!
//! 1. A command runs and its output is kept, standard error before standard output.
//! 2. What differs between two runs is removed: progress, retries and heartbeats, which depend on timing, and the
//!    clock in front of each line. Durations, ids, commits and digests become words in brackets.
//! 3. Steps run side by side, so consecutive lines about finished steps are sorted.
//! 4. All snapshots are compared at the end of the journey: a changed word does not cost the rest of it.

use std::process::{Command, Output};

use regex_lite::Regex;

use crate::world::printed;

/// The transcripts of one journey, in the order in which they were recorded.
#[derive(Default)]
pub struct Transcripts(Vec<(&'static str, String)>);

impl Transcripts {
    /// Runs a command that must end with `code`, and keeps what it printed under a name.
    pub fn record(&mut self, name: &'static str, code: i32, command: &mut Command) -> String {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = printed(&output);
        println!("$ {command:?}\n{printed}");
        assert_eq!(output.status.code(), Some(code), "{command:?}");
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        self.0.push((name, format!("$ paydeploy {}\n{}", args.join(" "), redacted(&output))));
        printed
    }

    /// Compares all of them with their reviewed snapshots.
    pub fn compare(self) {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("../snapshots/transcripts");
        settings.set_omit_expression(true);
        let _bound = settings.bind_to_scope();
        for (name, text) in self.0 {
            insta::assert_snapshot!(name, text);
        }
    }
}

fn redacted(output: &Output) -> String {
    let progress = String::from_utf8_lossy(&output.stderr);
    let results = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> =
        progress.lines().filter(|line| !depends_on_timing(line)).chain(results.lines()).collect();
    let mut text = String::new();
    for run in lines.chunk_by(|one, next| is_finished_step(one) && is_finished_step(next)) {
        let mut run: Vec<&str> = run.to_vec();
        if is_finished_step(run[0]) {
            // By the step's name: the mark in front of it must not decide the order.
            run.sort_by_key(|line| line.split_whitespace().nth(2).unwrap_or_default().to_owned());
        }
        text.extend(run.iter().map(|line| redact(line) + "\n"));
    }
    text
}

const MARKS: [&str; 4] = ["✓ ", "~ ", "✗ ", "- "];

/// The rest of a line of progress behind its clock.
fn behind_clock(line: &str) -> Option<&str> {
    pattern(r"^\d\d:\d\d:\d\d ").find(line).map(|clock| &line[clock.end()..])
}

fn is_finished_step(line: &str) -> bool {
    behind_clock(line).is_some_and(|rest| MARKS.iter().any(|mark| rest.starts_with(mark)))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Progress, retries and heartbeats: lines with a clock that neither open the run nor end a step nor warn.
fn depends_on_timing(line: &str) -> bool {
    behind_clock(line).is_some_and(|rest| {
        !is_finished_step(line) && !rest.starts_with("! ") && !rest.starts_with("paydeploy ")
    })
}

fn redact(line: &str) -> String {
    [
        (r"^\d\d:\d\d:\d\d ", ""),
        (r"sha256:[0-9a-f]{12,64}", "sha256:[digest]"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[id]"),
        (r"\b[0-9a-f]{40}\b", "[commit]"),
        (r"\b[0-9a-f]{32}\b", "[run]"),
        (r"\b\d+h \d\dm\b|\b\d+m \d\ds\b|\b\d+s\b", "[time]"),
        // A step that two missing steps keep from running names the one that was read first.
        (r"unknown until terraform/[a-z]+/state", "unknown until terraform/[region]/state"),
        (r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?", "[date]"),
    ]
    .iter()
    .fold(line.trim_end().to_owned(), |line, (what, word)| {
        pattern(what).replace_all(&line, *word).into_owned()
    })
}

#[test]
fn a_transcript_holds_nothing_that_differs_between_two_runs() {
    use std::os::unix::process::ExitStatusExt;
    let progress = "\
12:00:00 paydeploy up · payments · spain (hub) · run 01a20f98e17177129bbf00e533863b8a · 2 steps
12:00:03 terraform/spain/cluster  2/9 aws_eks_cluster.this: creating
12:00:09 ✓ terraform/spain/cluster  31 resources  6s
12:00:09 docker/build  connection refused; attempt 2 in 1s, giving up in 10m 00s
12:00:20 ✗ docker/build  failed: no engine answers  1m 20s
✗ docker/build   1m 20s
  failed to build the image
";
    let output = Output {
        status: std::process::ExitStatus::from_raw(0),
        stdout: b"2 steps: 1 changed, 1 failed in 1m 21s\n".to_vec(),
        stderr: progress.as_bytes().to_vec(),
    };
    insta::assert_snapshot!(redacted(&output), @"
    paydeploy up · payments · spain (hub) · run [run] · 2 steps
    ✗ docker/build  failed: no engine answers  [time]
    ✓ terraform/spain/cluster  31 resources  [time]
    ✗ docker/build   [time]
      failed to build the image
    2 steps: 1 changed, 1 failed in [time]
    ");
}
