//! One JSON object per line.

use std::io::Write;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Report, SCHEMA};
use crate::task::Event;

/// One line of the output. Each line carries the schema's version, so that it can be read without the first line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventLine {
    /// The version of this line's schema.
    schema: u32,
    at: Timestamp,
    #[serde(flatten)]
    event: Event,
}

/// An event as a line, without the line break.
///
/// # Errors
/// When the event cannot be serialised, which is a defect.
pub fn line(event: Event) -> serde_json::Result<String> {
    line_at(Timestamp::now(), event)
}

fn line_at(at: Timestamp, event: Event) -> serde_json::Result<String> {
    serde_json::to_string(&EventLine { schema: SCHEMA, at, event })
}

pub struct Json<W> {
    out: W,
}

impl<W: Write + Send> Json<W> {
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Report for Json<W> {
    fn event(&mut self, at: Timestamp, event: &Event) {
        let line = line_at(at, event.clone()).unwrap_or_default();
        // A reader that closed the pipe must not stop the run: the journal has every event.
        drop(writeln!(self.out, "{line}"));
    }

    fn tick(&mut self, _at: Timestamp) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_its_schema_and_its_event() {
        let mut json = Json::new(Vec::new());
        json.event(Timestamp::UNIX_EPOCH, &Event::Interrupted { forced: false });
        let line = String::from_utf8(json.out).unwrap();
        assert_eq!(
            line,
            "{\"schema\":1,\"at\":\"1970-01-01T00:00:00Z\",\"event\":\"interrupted\",\"forced\":false}\n"
        );
    }
}
