//! One JSON object a line.

use std::io::Write;

use jiff::Timestamp;

use super::Report;
use crate::{state::Record, task::Event};

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
        let line = serde_json::to_string(&Record { at, event: event.clone() }).unwrap_or_default();
        // a reader that went away must not stop the run: the journal has it all
        drop(writeln!(self.out, "{line}"));
    }

    fn tick(&mut self, _at: Timestamp) {}
}
