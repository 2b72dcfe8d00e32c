//! One line per event, and a heartbeat every 30 seconds while nothing happens: CI systems kill silent jobs.

use std::{collections::BTreeMap, io::Write, time::Duration};

use jiff::Timestamp;

use super::{Report, text};
use crate::task::{Event, StepId, Verdict};

/// Well below the shortest silence after which a common CI system ends a job (10 minutes), and short enough for a
/// person who watches.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The shortest time between two progress lines of a step: Terraform can report a hundred resources in a minute.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

struct Running {
    since: Timestamp,
    /// Its latest progress, printed or not.
    text: String,
    printed: Option<Timestamp>,
    /// The error of its last retry.
    error: Option<String>,
}

pub struct Lines<W> {
    out: W,
    running: BTreeMap<StepId, Running>,
    /// When the last line was printed.
    printed: Timestamp,
}

impl<W: Write + Send> Lines<W> {
    pub fn new(out: W) -> Self {
        Self { out, running: BTreeMap::new(), printed: Timestamp::now() }
    }

    fn print(&mut self, at: Timestamp, line: &str) {
        self.printed = at;
        // A reader that closed the pipe must not stop the run.
        drop(writeln!(self.out, "{} {line}", at.strftime("%H:%M:%S")));
    }
}

impl<W: Write + Send> Report for Lines<W> {
    fn event(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::RunStarted { run, headline, steps, .. } => {
                self.print(at, &format!("{headline} · run {run} · {}", text::steps(steps.len())));
            }
            Event::StepStarted { step } => {
                let running = Running { since: at, text: String::new(), printed: None, error: None };
                self.running.insert(step.clone(), running);
            }
            Event::StepProgress { step, text, done, total } => {
                let Some(running) = self.running.get_mut(step) else { return };
                let of =
                    done.zip(*total).map_or_else(String::new, |(done, total)| format!("{done}/{total} "));
                let text = format!("{of}{text}");
                let recently = running
                    .printed
                    .is_some_and(|printed| at.duration_since(printed).unsigned_abs() < PROGRESS_INTERVAL);
                let changed = running.text != text;
                running.text.clone_from(&text);
                if changed && !recently {
                    running.printed = Some(at);
                    self.print(at, &format!("{step}  {text}"));
                }
            }
            Event::StepRetry { step, attempt, delay, remaining, error } => {
                let retry = text::retry(*attempt, *delay, *remaining);
                let Some(running) = self.running.get_mut(step) else { return };
                running.text.clone_from(&retry);
                // An outage is one line; the heartbeat has the further attempts.
                if running.error.as_ref() != Some(error) {
                    running.error = Some(error.clone());
                    self.print(at, &format!("{step}  {error}; {retry}"));
                }
            }
            Event::StepWarned { step, warning, fix } => {
                self.print(at, &format!("! {step}  warning: {warning}; fix: {fix}"));
            }
            // Skipped steps are listed at the end, beside the failure that they were skipped for.
            Event::StepFinished { step, verdict, elapsed } if !matches!(verdict, Verdict::Skipped { .. }) => {
                self.running.remove(step);
                let (mark, words, took) =
                    (text::mark(verdict), text::words(verdict), text::duration(*elapsed));
                self.print(at, &format!("{mark} {step}  {words}  {took}"));
            }
            Event::Interrupted { forced: false } => {
                self.print(at, text::INTERRUPTED);
            }
            Event::Interrupted { forced: true } => self.print(at, text::FORCED),
            Event::LeaseLost { why } => self.print(at, &text::lost(why)),
            Event::StepFinished { .. }
            | Event::OrphanFound { .. }
            | Event::InventoryTaken { .. }
            | Event::EffectStarted { .. }
            | Event::EffectEnded { .. }
            | Event::ChildStarted { .. }
            | Event::ChildEnded { .. }
            | Event::Claimed { .. }
            | Event::Released { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    fn tick(&mut self, at: Timestamp) {
        if self.running.is_empty() || at.duration_since(self.printed).unsigned_abs() < HEARTBEAT {
            return;
        }
        let named: Vec<String> = self
            .running
            .iter()
            .map(|(step, Running { since, text, .. })| {
                let time = text::duration(at.duration_since(*since).unsigned_abs());
                if text.is_empty() { format!("{step} {time}") } else { format!("{step} {time} ({text})") }
            })
            .collect();
        self.print(at, &format!("running: {}", named.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Phase;

    #[test]
    fn a_heartbeat_names_the_running_steps_after_a_long_silence() {
        let mut lines = Lines::new(Vec::new());
        let start = Timestamp::UNIX_EPOCH;
        lines.printed = start;
        lines.event(start, &Event::StepStarted { step: StepId::global(Phase::Docker, "build") });
        let later = |seconds| start + jiff::SignedDuration::from_secs(seconds);
        lines.tick(later(29));
        assert!(lines.out.is_empty());
        lines.tick(later(31));
        lines.tick(later(32));
        assert_eq!(String::from_utf8(lines.out).unwrap(), "00:00:31 running: docker/build 31s\n");
    }

    #[test]
    fn an_outage_is_one_line_and_the_heartbeat_has_the_further_attempts() {
        let mut lines = Lines::new(Vec::new());
        lines.printed = Timestamp::UNIX_EPOCH;
        let step = StepId::global(Phase::Docker, "build");
        let at = |seconds| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
        lines.event(at(0), &Event::StepStarted { step: step.clone() });
        for (attempt, second) in [(2, 1), (3, 2), (4, 20)] {
            let (delay, remaining) = (Duration::from_secs(9), Duration::from_secs(600 - second));
            let error = "AWS answered with status 503".to_owned();
            let second = i64::try_from(second).unwrap();
            lines.event(
                at(second),
                &Event::StepRetry { step: step.clone(), attempt, delay, remaining, error },
            );
        }
        lines.tick(at(40));
        assert_eq!(
            String::from_utf8(lines.out).unwrap(),
            "00:00:01 docker/build  AWS answered with status 503; attempt 2 in 9s, giving up in 9m 59s\n\
             00:00:40 running: docker/build 40s (attempt 4 in 9s, giving up in 9m 40s)\n"
        );
    }

    #[test]
    fn a_busy_step_does_not_flood_the_log_and_the_heartbeat_has_its_latest_progress() {
        let mut lines = Lines::new(Vec::new());
        lines.printed = Timestamp::UNIX_EPOCH;
        let step = StepId::global(Phase::Docker, "build");
        let at = |seconds| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
        lines.event(at(0), &Event::StepStarted { step: step.clone() });
        for second in 1..6 {
            let text = format!("layer {second}");
            lines.event(
                at(second),
                &Event::StepProgress { step: step.clone(), text, done: None, total: None },
            );
        }
        lines.tick(at(40));
        let printed = String::from_utf8(lines.out).unwrap();
        assert_eq!(printed, "00:00:01 docker/build  layer 1\n00:00:40 running: docker/build 40s (layer 5)\n");
    }

    #[test]
    fn lines_of_steps_that_run_side_by_side_each_name_their_step() {
        let mut lines = Lines::new(Vec::new());
        lines.printed = Timestamp::UNIX_EPOCH;
        let now = Timestamp::UNIX_EPOCH;
        let steps = ["spain", "mexico"].map(|region| StepId::of(Phase::Docker, &region.parse().unwrap()));
        for step in &steps {
            lines.event(now, &Event::StepStarted { step: step.clone() });
        }
        let delay = Duration::from_secs(1);
        let failed = Verdict::Failed {
            class: crate::task::Class::Permanent,
            chain: vec!["broken".to_owned()],
            fix: None,
            attempts: 2,
        };
        let of_each: [fn(StepId, &Verdict, Duration) -> Event; 4] = [
            |step, _, _| Event::StepProgress {
                step,
                text: "pushing".to_owned(),
                done: Some(1),
                total: Some(3),
            },
            |step, _, delay| Event::StepRetry {
                step,
                attempt: 2,
                delay,
                remaining: delay,
                error: "throttled".to_owned(),
            },
            |step, _, _| Event::StepWarned { step, warning: "slow".to_owned(), fix: "wait".to_owned() },
            |step, failed, elapsed| Event::StepFinished { step, verdict: failed.clone(), elapsed },
        ];
        for event in of_each {
            for step in &steps {
                lines.event(now, &event(step.clone(), &failed, delay));
            }
        }
        let printed = String::from_utf8(lines.out).unwrap();
        let named: Vec<&str> = printed
            .lines()
            .map(|line| if line.contains("docker/spain") { "spain" } else { "mexico" })
            .collect();
        assert_eq!(named, ["spain", "mexico"].repeat(4), "{printed}");
        assert!(printed.lines().all(|line| line.contains("docker/")), "{printed}");
    }
}
