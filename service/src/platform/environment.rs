//! Environment variables, read once; all problems are reported together.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// Configuration problems, one sentence each, in the order in which the variables were checked.
pub type Problems = Vec<String>;

/// The variables of a process. An empty variable counts as missing.
#[derive(Debug)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    pub fn of_process() -> Self {
        // Variables that are not UTF-8 are skipped: this program reads none of them.
        let pairs = std::env::vars_os().map(|(name, value)| (name.into_string(), value.into_string()));
        Self::from_pairs(pairs.filter_map(|(name, value)| Some((name.ok()?, value.ok()?))))
    }

    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of `name`, or `default` if it is missing or malformed. The latter is added to `problems`.
    pub fn parse<T: FromStr>(&self, name: &str, default: T, expected: &str, problems: &mut Problems) -> T {
        match self.get(name).map(str::parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                problems.push(format!("{name} must be {expected}"));
                default
            }
        }
    }

    pub fn seconds(&self, name: &str, default: u64, problems: &mut Problems) -> Duration {
        Duration::from_secs(self.parse(name, default, "a whole number of seconds", problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn an_empty_variable_counts_as_missing() {
        assert_eq!(environment(&[("REGION", "")]).get("REGION"), None);
    }

    #[test]
    fn a_malformed_value_is_reported_and_the_default_is_used() {
        let mut problems = Problems::new();
        let port = environment(&[("PORT", "http")]).parse("PORT", 8080_u16, "a port number", &mut problems);
        assert_eq!(port, 8080);
        assert_eq!(problems, ["PORT must be a port number"]);
    }
}
