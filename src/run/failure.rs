//! Why a command ended without a result.

use super::Exit;

/// An error for the operator, with the exit code that it ends in.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
    /// What the operator should do, in one line.
    pub fix: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}"), fix: None }
    }

    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into(), fix: None }
    }

    /// A step's error outside a run.
    pub fn of_step(exit: Exit, error: crate::step::Error) -> Self {
        Self { exit, error: error.source, fix: error.hint }
    }

    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into(), fix: None }
    }
}
