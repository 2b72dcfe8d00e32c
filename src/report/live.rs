//! One line per running step, redrawn in place; the lines of finished steps scroll away above.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{Report, text};
use crate::task::{Action, Event, StepId, Verdict};

pub struct Live {
    screen: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<StepId, ProgressBar>,
    /// Steps that are only read: they leave no line if they are unchanged.
    quiet: BTreeSet<StepId>,
    /// The error of each step's last retry: an outage is one line, not one per attempt.
    retried: BTreeMap<StepId, String>,
}

impl Live {
    pub fn new() -> Self {
        let screen = MultiProgress::new();
        let total = screen.add(ProgressBar::no_length());
        Self { screen, total, running: BTreeMap::new(), quiet: BTreeSet::new(), retried: BTreeMap::new() }
    }

    fn print(&self, line: &str) {
        // A terminal that was closed must not stop the run.
        drop(self.screen.println(line));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}

impl Report for Live {
    fn event(&mut self, _at: Timestamp, event: &Event) {
        match event {
            Event::RunStarted { run, headline, steps, .. } => {
                self.print(&format!("{headline} · run {run}"));
                self.total.set_length(steps.len() as u64);
                self.total.set_style(style("▕{bar:24}▏ {pos} of {len} steps · {elapsed}"));
                self.total.enable_steady_tick(Duration::from_millis(500));
                let reads = steps.iter().filter(|planned| planned.action == Action::Read);
                self.quiet = reads.map(|planned| planned.step.clone()).collect();
            }
            Event::StepStarted { step } => {
                let bar = self.screen.insert_before(&self.total, ProgressBar::new_spinner());
                bar.set_style(style("  ● {prefix} {wide_msg} {elapsed}"));
                bar.set_prefix(text::columns(step));
                bar.enable_steady_tick(Duration::from_millis(500));
                self.running.insert(step.clone(), bar);
            }
            Event::StepProgress { step, text, done, total } => {
                let Some(bar) = self.running.get(step) else { return };
                let of =
                    done.zip(*total).map_or_else(String::new, |(done, total)| format!("{done}/{total}  "));
                bar.set_message(format!("{of}{text}"));
            }
            Event::StepRetry { step, attempt, delay, remaining, error } => {
                let retry = text::retry(*attempt, *delay, *remaining);
                if self.retried.insert(step.clone(), error.clone()).as_ref() != Some(error) {
                    self.print(&format!("  ! {} {error}; {retry}", text::columns(step)));
                } else if let Some(bar) = self.running.get(step) {
                    bar.set_message(retry);
                }
            }
            Event::StepWarned { step, warning, fix } => {
                self.print(&format!("  ! {} warning: {warning}", text::columns(step)));
                self.print(&format!("      fix: {fix}"));
            }
            Event::StepFinished { step, verdict, elapsed } => {
                if let Some(bar) = self.running.remove(step) {
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
                self.total.inc(1);
                if self.quiet.contains(step) && matches!(verdict, Verdict::Unchanged { .. }) {
                    return;
                }
                let (mark, took) = (text::mark(verdict), text::duration(*elapsed));
                self.print(&format!(
                    "  {mark} {} {:<40} {took:>8}",
                    text::columns(step),
                    text::words(verdict)
                ));
            }
            Event::Interrupted { forced: false } => {
                self.print(text::INTERRUPTED);
            }
            Event::Interrupted { forced: true } => self.print(text::FORCED),
            Event::LeaseLost { why } => self.print(&text::lost(why)),
            Event::RunFinished { .. } => self.total.finish_and_clear(),
            Event::EffectStarted { .. }
            | Event::OrphanFound { .. }
            | Event::InventoryTaken { .. }
            | Event::EffectEnded { .. }
            | Event::ChildStarted { .. }
            | Event::ChildEnded { .. }
            | Event::Claimed { .. }
            | Event::Released { .. } => {}
        }
    }

    fn tick(&mut self, _at: Timestamp) {}
}
