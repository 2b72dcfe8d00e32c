//! What the operator sees of a run: live progress, plain lines, or one JSON object per line.

mod json;
mod lines;
mod live;
mod queued;
mod summary;
mod text;

use std::io::IsTerminal as _;

use jiff::Timestamp;

pub use json::{EventLine, line as json_line};
use queued::Queued;
pub use summary::{Links, failures, summary};
pub use text::{duration, mark, steps};

use crate::{console, task::Event};

/// The version of all JSON output: event lines and the document of `status`. A change that may break a reader
/// increments it; a new field or event does not.
pub const SCHEMA: u32 = 1;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One line per running step, redrawn in place: for terminals
    Live,
    /// One line per event, and a heartbeat: for logs
    Lines,
    /// One JSON object per event on standard output: for programs
    Json,
}

impl Output {
    /// The given format, or the default for this kind of output.
    pub fn choose(given: Option<Self>, terminal: bool, dumb: bool) -> Self {
        given.unwrap_or(if terminal && !dumb { Self::Live } else { Self::Lines })
    }

    /// The same for this process, which prints progress to standard error.
    pub fn for_this_process(given: Option<Self>) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self::choose(given, std::io::stderr().is_terminal(), dumb)
    }
}

/// One way to show events. Only the run's owner calls it.
pub trait Report: Send {
    fn event(&mut self, at: Timestamp, event: &Event);

    /// Called every second, for a report that prints something while nothing happens.
    fn tick(&mut self, at: Timestamp);
}

/// The report for an output. It only hands events to the stream's thread, so it never blocks the run.
pub fn report(output: Output) -> Box<dyn Report> {
    match output {
        Output::Live => Box::new(Queued::new(console::stderr(), live::Live::new())),
        Output::Lines => Box::new(Queued::new(console::stderr(), lines::Lines::new(std::io::stderr()))),
        Output::Json => Box::new(Queued::new(console::stdout(), json::Json::new(std::io::stdout()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_live_progress_and_everything_else_gets_lines() {
        assert_eq!(Output::choose(None, true, false), Output::Live);
        assert_eq!(Output::choose(None, true, true), Output::Lines);
        assert_eq!(Output::choose(None, false, false), Output::Lines);
        assert_eq!(Output::choose(Some(Output::Json), true, false), Output::Json);
    }
}
