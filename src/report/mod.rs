//! What the user sees of a run: a live tree, plain lines, or one JSON object a line.

mod json;
mod lines;
mod summary;
mod text;
mod tree;

use std::io::IsTerminal as _;

use jiff::Timestamp;

pub use summary::{Links, failures, summary};
pub use text::{duration, mark};

use crate::task::Event;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A line for each running step, redrawn in place: for a terminal.
    Tree,
    /// A line an event and a heartbeat: for logs.
    Lines,
    /// An event an object, on standard output: for programs.
    Json,
}

impl Output {
    /// What to use where the user names nothing.
    pub fn choose(given: Option<Self>, terminal: bool, dumb: bool) -> Self {
        given.unwrap_or(if terminal && !dumb { Self::Tree } else { Self::Lines })
    }

    /// The same, for this process's standard error.
    pub fn here(given: Option<Self>) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self::choose(given, std::io::stderr().is_terminal(), dumb)
    }
}

/// One way to show events. Called by the run's owner only.
pub trait Report: Send {
    fn event(&mut self, at: Timestamp, event: &Event);

    /// Called every second, for what must be said although nothing happens.
    fn tick(&mut self, at: Timestamp);
}

/// The report for an output.
pub fn report(output: Output) -> Box<dyn Report> {
    match output {
        Output::Tree => Box::new(tree::Tree::new()),
        Output::Lines => Box::new(lines::Lines::new(std::io::stderr())),
        Output::Json => Box::new(json::Json::new(std::io::stdout())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_a_tree_and_everything_else_gets_lines() {
        assert_eq!(Output::choose(None, true, false), Output::Tree);
        assert_eq!(Output::choose(None, true, true), Output::Lines);
        assert_eq!(Output::choose(None, false, false), Output::Lines);
        assert_eq!(Output::choose(Some(Output::Json), true, false), Output::Json);
    }
}
