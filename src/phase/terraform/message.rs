//! What terraform prints with `-json`: one message per line. Unknown messages and keys are ignored.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::Deserialize;

/// The supported major version of the message format.
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
    /// The message on a line; `None` if the line is other output.
    pub fn parse(line: &str) -> Option<Self> {
        line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
    }

    /// The version of the message format, if this program cannot read it.
    pub fn foreign_version(&self) -> Option<&str> {
        match self {
            Self::Version { ui } if !ui.starts_with(UI) => Some(ui),
            _ => None,
        }
    }
}

/// A log line for people: the text of terraform's message if the line is one, otherwise the line itself.
pub fn readable(line: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Text {
        #[serde(rename = "@message")]
        message: String,
    }
    if !line.starts_with('{') {
        return line.into();
    }
    serde_json::from_str(line).map_or(line.into(), |text: Text| text.message.into())
}

/// One operation on one resource, planned or under way.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hook {
    pub resource: Resource,
    pub action: String,
    /// The existing resource that a planned change starts from.
    pub importing: Option<Importing>,
}

/// An existing resource that Terraform takes into its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Importing {
    /// Missing while it is unknown.
    id: Option<String>,
}

impl fmt::Display for Importing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, " ({id}), which exists and is in no state"),
            None => f.write_str(", which exists and is in no state"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resource {
    /// With the modules that contain it.
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
    /// What a plan would do. After an apply, the output has a value instead.
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

    /// The warning and the fix of a stack's `check` that failed. Its message may have both, as `WARNING fix: FIX`.
    pub fn failed_check(&self) -> Option<(&str, &str)> {
        if self.severity != "warning" || self.summary != "Check block assertion failed" {
            return None;
        }
        let detail = self.detail.trim();
        Some(
            detail
                .split_once(" fix: ")
                .unwrap_or((detail, "see the `check` in the stack that has this message")),
        )
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
        // The provider often repeats the detail in the summary.
        if !detail.is_empty() && !self.summary.contains(detail) {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Diagnostic, Message, readable};

    #[test]
    fn operations_are_read_from_their_lines() {
        let line = r#"{"@level":"info","@message":"x","type":"apply_start","new_key":1,"hook":{"resource":
            {"addr":"module.n.aws_vpc.this","module":"module.n","resource":"aws_vpc.this"},"action":"create"}}"#
            .replace('\n', "");
        let Some(Message::ApplyStart { hook }) = Message::parse(&line) else { panic!("not read: {line}") };
        assert_eq!((hook.resource.resource.as_str(), hook.action.as_str()), ("aws_vpc.this", "create"));
    }

    #[test]
    fn a_failed_check_has_a_warning_and_a_fix() {
        let warning = |summary: &str, detail: &str| Diagnostic {
            severity: "warning".to_owned(),
            summary: summary.to_owned(),
            detail: detail.to_owned(),
            address: None,
            range: None,
        };
        let failed = |detail| warning("Check block assertion failed", detail);
        assert_eq!(failed("nodes are old fix: set x").failed_check(), Some(("nodes are old", "set x")));
        assert_eq!(failed("nodes are old").failed_check().unwrap().0, "nodes are old");
        assert_eq!(warning("Argument is deprecated", "x fix: y").failed_check(), None);
    }

    #[test]
    fn lines_that_are_not_messages_are_ignored() {
        assert_eq!(Message::parse("Warning: other output"), None);
        assert_eq!(Message::parse(r#"{"type":"resource_drift","change":{}}"#), Some(Message::Other));
    }

    #[test]
    fn a_log_line_is_shown_as_its_text() {
        assert_eq!(
            readable(r#"{"@level":"info","@message":"aws_vpc.this: Creating...","type":"x"}"#),
            "aws_vpc.this: Creating..."
        );
        assert_eq!(readable("$ terraform plan"), "$ terraform plan");
        assert_eq!(readable("{not json"), "{not json");
    }

    #[test]
    fn a_new_major_version_of_the_messages_is_detected() {
        let version = |ui: &str| Message::parse(&format!(r#"{{"type":"version","ui":"{ui}"}}"#)).unwrap();
        assert_eq!(version("1.2").foreign_version(), None);
        assert_eq!(version("2.0").foreign_version(), Some("2.0"));
    }

    #[test]
    fn a_diagnostic_is_shown_with_its_location() {
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
