//! From a file to a checked configuration.
//!
//! 1. The text is parsed as TOML; syntax errors end here.
//! 2. The document is compared with the generated schema, so that every wrong key and type is reported
//!    together.
//! 3. Unknown keys are dropped and the rest is deserialized, so that a misspelt key hides no other problem.
//! 4. The values are checked against each other and against the files that they name.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{
    Config, check,
    problem::{Problem, Problems, line_of},
    raw,
    shape::{self, Structure},
};

/// Why the configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "no `paydeploy.toml` in `{0}` or any folder above it: run paydeploy beside one, or pass `--config FILE`"
    )]
    Missing(PathBuf),
    #[error("failed to read `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// The closest `paydeploy.toml` in a folder or above it.
pub fn find(from: &Path) -> Result<PathBuf, LoadError> {
    from.ancestors()
        .map(|folder| folder.join("paydeploy.toml"))
        .find(|file| file.is_file())
        .ok_or_else(|| LoadError::Missing(from.to_owned()))
}

/// Reads and checks a configuration.
///
/// # Errors
/// With all problems of the file together.
pub fn load(file: &Path) -> Result<Config, LoadError> {
    let text = std::fs::read_to_string(file).map_err(|error| LoadError::Read(file.to_owned(), error))?;
    let root = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("."),
    };
    let root = std::path::absolute(&root).unwrap_or(root);
    parse(&text, &root).map_err(|problems| Problems { file: file.to_owned(), problems }.into())
}

/// A text as a configuration whose paths are relative to `root`.
///
/// # Errors
/// With all problems, in the order of their lines.
pub fn parse(text: &str, root: &Path) -> Result<Config, Vec<Problem>> {
    let (mut document, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        return Err(syntax.into_iter().map(|error| unreadable(text, &error)).collect());
    }
    let Structure { mut problems, unknown, lines } = shape::check(text, &document, &raw::schema());
    problems.sort_by_key(|problem| problem.line);
    // Values are checked as well when unknown keys are all that is wrong; otherwise the document cannot be
    // deserialized.
    if problems.len() > unknown.len() {
        return Err(problems);
    }
    for key in &unknown {
        remove(document.get_mut(), key);
    }
    let file = match raw::File::deserialize(Deserializer::from(document)) {
        Ok(file) => file,
        Err(_) if !problems.is_empty() => return Err(problems),
        Err(error) => return Err(vec![unreadable(text, &error)]),
    };
    check::file(file, root, lines, problems)
}

fn unreadable(text: &str, error: &toml::de::Error) -> Problem {
    let line = line_of(text, &error.span().unwrap_or_default());
    Problem { line, key: String::new(), message: error.message().to_owned(), fix: None }
}

/// Removes a key, given by its path, from a document.
fn remove(table: &mut DeTable<'_>, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((name, rest)) => {
            if let Some(DeValue::Table(inner)) = table.get_mut(name).map(Spanned::get_mut) {
                remove(inner, rest);
            }
        }
    }
}
