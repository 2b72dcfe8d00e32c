//! Runs a graph of steps. Knows what a step is, and no phase.

mod attempt;
mod graph;
mod run;
#[cfg(test)]
mod tests;

pub use attempt::Budget;
pub use graph::{After, AnyOf, Facts, Graph, Handle, Needs};
pub use run::{Orders, Outcome, run};
