//! Runs a graph of steps. It knows the step trait, but no phase.

mod attempt;
mod gate;
mod graph;
#[cfg(test)]
mod properties;
mod run;
#[cfg(test)]
mod tests;

pub use attempt::{Budget, NOTHING_TO_DELETE};
pub use gate::{Gate, Open};
pub use graph::{After, AnyOf, Facts, Graph, Handle, Needs};
pub use run::{Orders, Outcome, run};
