//! Quotes names and values for statements that take no parameters, such as `CREATE ROLE`.

use crate::platform::database::{Connection, DatabaseError};

/// `name` as a quoted identifier, safe for any content.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `value` as a string literal, safe for any content and any setting of `standard_conforming_strings`.
pub fn literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Runs statements. Their names and values must have been quoted with the two functions above.
pub async fn execute(connection: &Connection, statements: &str) -> Result<(), DatabaseError> {
    Ok(connection.batch_execute(statements).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(identifier("a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(literal("a'\\"), "E'a\\'\\\\'");
    }
}
