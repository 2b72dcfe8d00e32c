//! What terraform prints with `-json`, a message a line. Unknown messages and keys are passed over.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::Deserialize;

/// The major version of the messages that are understood.
const UI: &str = "1.";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    Version {
        ui: String,
    },
    ApplyStart {
        hook: Hook,
    },
    ApplyComplete {
        hook: Hook,
    },
    ApplyErrored {
        hook: Hook,
    },
    PlannedChange {
        change: Hook,
    },
    ChangeSummary {
        changes: Summary,
    },
    Outputs {
        outputs: BTreeMap<String, Output>,
    },
    Diagnostic {
        diagnostic: Diagnostic,
    },
    #[serde(other)]
    Other,
}

impl Message {
    /// The message on a line; `None` for anything else that found its way into the log.
    pub fn parse(line: &str) -> Option<Self> {
        line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
    }

    /// The version of messages that this program cannot read.
    pub fn foreign_version(&self) -> Option<&str> {
        match self {
            Self::Version { ui } if !ui.starts_with(UI) => Some(ui),
            _ => None,
        }
    }
}

/// What a line of a log says in words: terraform's message if it is one, else the line itself.
pub fn readable(line: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Words {
        #[serde(rename = "@message")]
        message: String,
    }
    if !line.starts_with('{') {
        return line.into();
    }
    serde_json::from_str(line).map_or(line.into(), |words: Words| words.message.into())
}

/// One operation on one resource, planned or under way.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hook {
    pub resource: Resource,
    pub action: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resource {
    /// With its modules.
    pub addr: String,
    /// Without them.
    pub resource: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Summary {
    #[serde(default)]
    pub add: u32,
    #[serde(default)]
    pub change: u32,
    #[serde(default)]
    pub remove: u32,
}

impl Summary {
    pub fn operations(self) -> u32 {
        self.add + self.change + self.remove
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Output {
    /// What a plan would do; after an apply there is a value instead.
    pub action: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Diagnostic {
    pub severity: String,
    pub summary: String,
    #[serde(default)]
    pub detail: String,
    pub address: Option<String>,
    pub range: Option<Range>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Range {
    pub filename: String,
    pub start: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Position {
    pub line: u32,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, &self.range) {
            (Some(address), _) => write!(f, "{address}: ")?,
            (None, Some(range)) => write!(f, "{}:{}: ", range.filename, range.start.line)?,
            (None, None) => {}
        }
        f.write_str(self.summary.trim())?;
        let detail = self.detail.trim();
        // the provider says some things twice
        if !detail.is_empty() && !self.summary.contains(detail) {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, readable};

    #[test]
    fn operations_are_read_from_their_lines() {
        let line = r#"{"@level":"info","@message":"x","type":"apply_start","new_key":1,"hook":{"resource":
            {"addr":"module.n.aws_vpc.this","module":"module.n","resource":"aws_vpc.this"},"action":"create"}}"#
            .replace('\n', "");
        let Some(Message::ApplyStart { hook }) = Message::parse(&line) else { panic!("not read: {line}") };
        assert_eq!((hook.resource.resource.as_str(), hook.action.as_str()), ("aws_vpc.this", "create"));
    }

    #[test]
    fn what_is_not_a_message_is_passed_over() {
        assert_eq!(Message::parse("Warning: something else"), None);
        assert_eq!(Message::parse(r#"{"type":"resource_drift","change":{}}"#), Some(Message::Other));
    }

    #[test]
    fn a_log_can_be_read_in_words() {
        assert_eq!(
            readable(r#"{"@level":"info","@message":"aws_vpc.this: Creating...","type":"x"}"#),
            "aws_vpc.this: Creating..."
        );
        assert_eq!(readable("$ terraform plan"), "$ terraform plan");
        assert_eq!(readable("{not json"), "{not json");
    }

    #[test]
    fn a_new_major_version_of_the_messages_is_noticed() {
        let version = |ui: &str| Message::parse(&format!(r#"{{"type":"version","ui":"{ui}"}}"#)).unwrap();
        assert_eq!(version("1.2").foreign_version(), None);
        assert_eq!(version("2.0").foreign_version(), Some("2.0"));
    }

    #[test]
    fn a_diagnostic_reads_with_its_place() {
        let line = r#"{"type":"diagnostic","diagnostic":{"severity":"error","summary":"Invalid value for variable",
            "detail":"vpc_cidr: give a block.","range":{"filename":"spain.tfvars","start":{"line":7,"column":1}}}}"#
            .replace('\n', "");
        let Some(Message::Diagnostic { diagnostic }) = Message::parse(&line) else { panic!("not read") };
        assert!(diagnostic.is_error());
        assert_eq!(
            diagnostic.to_string(),
            "spain.tfvars:7: Invalid value for variable: vpc_cidr: give a block."
        );
    }
}
