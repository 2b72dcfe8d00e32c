//! What is wrong with a configuration: all problems together, each with its place and its fix.

use std::{fmt, ops::Range, path::PathBuf};

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key's path, as in `regions.spain.role`; empty for the file as a whole.
    pub key: String,
    pub message: String,
    /// What to change, in one line; `None` if the parser's message contains it.
    pub fix: Option<String>,
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
        let noun = if self.problems.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {noun} in `{}`", self.problems.len(), self.file.display())?;
        for Problem { line, key, message, fix } in &self.problems {
            let key = if key.is_empty() { String::new() } else { format!(" `{key}`:") };
            write!(f, "\n  line {line}:{key} {message}")?;
            if let Some(fix) = fix {
                write!(f, "\n    fix: {fix}")?;
            }
        }
        Ok(())
    }
}

/// The line of a byte offset, from 1.
pub fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}
