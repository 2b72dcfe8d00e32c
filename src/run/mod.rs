//! One run of a graph from the command line: what every command that checks or changes the account shares.
//!
//! - [`Session`] is the opened configuration: the world, the chosen regions, the run's id.
//! - `lock` keeps a second run out, and `leftover` waits for child processes that outlived an earlier run.
//! - `probe` reads steps without lock or journal; `execute` runs steps with both.
//! - `mirror` copies this run's open claims to the state buckets, and `others` takes over those of dead runs.
//! - `copies` keeps a copy of the journal there, and `history` reads those of other operators.
//! - `owner` is the loop that owns journal, report, signals and cancellation while the engine runs.
//! - `orphans` finds regions that are deployed and no longer configured; `removed` restores the configuration of one.
//! - `exit` maps verdicts to exit codes; [`Failure`] is why a command ended without a result.

#[cfg(test)]
mod campaign;
mod copies;
mod execute;
pub mod exit;
mod failure;
mod gate;
mod history;
mod hold;
mod holders;
mod leftover;
mod lock;
mod mirror;
mod orphans;
mod others;
mod owner;
mod probe;
mod removed;
mod session;
mod signals;
mod version;

pub use exit::Exit;
pub use failure::Failure;
pub use history::{Ending, Past};
pub use holders::Holders;
pub use session::{Request, Session, configuration};
use signals::Signals;
