//! What is wrong with a configuration: all of it together, each with its place and remedy.

use std::{fmt, ops::Range, path::PathBuf};

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key's path, as in `regions.spain.role`; empty for the file as a whole.
    pub key: String,
    pub message: String,
}

/// Everything that is wrong with a file.
#[derive(Debug)]
pub struct Problems {
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = if self.problems.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {things} in `{}`", self.problems.len(), self.file.display())?;
        for Problem { line, key, message } in &self.problems {
            let key = if key.is_empty() { String::new() } else { format!(" `{key}`:") };
            write!(f, "\n  line {line}:{key} {message}")?;
        }
        Ok(())
    }
}

/// The line of a byte offset, from 1.
pub fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}
