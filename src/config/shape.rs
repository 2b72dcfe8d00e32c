//! Compares a TOML document with the generated schema, so that every wrong key and type is reported together.
//!
//! serde alone would stop at the first wrong type.

use std::ops::Range;

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Problem, line_of};

/// The line of each key, for later checks.
#[derive(Debug, Default)]
pub struct KeyLines(std::collections::BTreeMap<String, usize>);

impl KeyLines {
    /// The line of a key, or of the closest table around it.
    pub fn line(&self, key: &str) -> usize {
        let mut key = key;
        loop {
            if let Some(line) = self.0.get(key) {
                return *line;
            }
            match key.rsplit_once('.') {
                Some((parent, _)) => key = parent,
                None => return 1,
            }
        }
    }
}

struct Walk<'a> {
    text: &'a str,
    schema: &'a Value,
    found: Structure,
}

/// The result of comparing a document with the schema.
pub struct Structure {
    pub problems: Vec<Problem>,
    /// The unknown keys. Each is also one of the problems; the document can be deserialized without them.
    pub unknown: Vec<String>,
    pub lines: KeyLines,
}

/// All structural problems of a document, and the lines of its keys.
pub fn check(text: &str, document: &Spanned<DeTable<'_>>, schema: &Value) -> Structure {
    let found = Structure { problems: Vec::new(), unknown: Vec::new(), lines: KeyLines::default() };
    let mut walk = Walk { text, schema, found };
    walk.table(document.get_ref(), &document.span(), schema, "");
    walk.found
}

impl Walk<'_> {
    fn problem(&mut self, span: &Range<usize>, key: &str, message: String, fix: String) {
        let (line, key) = (line_of(self.text, span), key.to_owned());
        self.found.problems.push(Problem { line, key, message, fix: Some(fix) });
    }

    /// Follows references, and the alternative of an optional value that is not `null`.
    fn resolve<'s>(&'s self, mut schema: &'s Value) -> &'s Value {
        loop {
            if let Some(name) = schema["$ref"].as_str() {
                schema = self.schema.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null);
            } else if let Some(options) = schema["anyOf"].as_array() {
                schema = options.iter().find(|option| option["type"] != "null").unwrap_or(&Value::Null);
            } else {
                return schema;
            }
        }
    }

    fn table(&mut self, table: &DeTable<'_>, span: &Range<usize>, schema: &Value, path: &str) {
        let schema = self.resolve(schema).clone();
        for (name, value) in table {
            let key = join(path, name.get_ref());
            let line = line_of(self.text, &name.span());
            self.found.lines.0.insert(key.clone(), line);
            let known = schema["properties"].get(name.get_ref().as_ref());
            let Some(expected) =
                known.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
            else {
                let names =
                    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
                let fix = known_keys(names.collect());
                self.problem(&name.span(), &key, "unknown key".to_owned(), fix);
                self.found.unknown.push(key);
                continue;
            };
            self.value(value, expected, &key);
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !table.iter().any(|(key, _)| key.get_ref() == name) {
                let key = join(path, name);
                let fix = match schema["properties"][name]["description"].as_str() {
                    Some(what) => format!("add `{name}`: {}", what.replace('\n', " ")),
                    None => format!("add `{name}`"),
                };
                self.problem(span, &key, "missing".to_owned(), fix);
            }
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, expected: &Value, key: &str) {
        let schema = self.resolve(expected).clone();
        let (span, value) = (value.span(), value.get_ref());
        let choices = choices(&schema);
        if !choices.is_empty() {
            if !value.as_str().is_some_and(|given| choices.iter().any(|choice| choice == given)) {
                let given =
                    value.as_str().map_or_else(|| value.type_str().to_owned(), |text| format!("`{text}`"));
                let fix = format!("use one of `{}`", choices.join("`, `"));
                self.problem(&span, key, format!("{given} is not a valid value"), fix);
            }
            return;
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => {
                types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            Value::String(name) => vec![name],
            _ => Vec::new(),
        };
        match (types.first().copied(), value) {
            (Some("object"), DeValue::Table(table)) => self.table(table, &span, &schema, key),
            (Some("array"), DeValue::Array(items)) => {
                for item in items {
                    self.value(item, &schema["items"], key);
                }
            }
            (Some("string"), DeValue::String(_))
            | (Some("integer"), DeValue::Integer(_))
            | (Some("boolean"), DeValue::Boolean(_))
            | (None, _) => {}
            (Some(wanted), found) => {
                let wanted = if wanted == "object" { "table" } else { wanted };
                self.problem(
                    &span,
                    key,
                    format!("expected {}, found {}", article(wanted), article(found.type_str())),
                    format!("use {}", article(wanted)),
                );
            }
        }
    }
}

fn choices(schema: &Value) -> Vec<String> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let documented =
        schema["oneOf"].as_array().into_iter().flatten().filter_map(|option| option.get("const"));
    plain.chain(documented).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn known_keys(mut names: Vec<&str>) -> String {
    names.sort_unstable();
    format!("use one of `{}`", names.join("`, `"))
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
