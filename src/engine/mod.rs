//! Runs a graph of steps. Knows what a step is, and no phase.

mod attempt;
mod graph;
mod run;

pub use attempt::Budget;
pub use graph::{After, Facts, Graph, Handle, Needs};
pub use run::{Orders, Outcome, run};
