//! What a user notices, from outside. A file a subject; `journey` needs the sandbox and is run by `tests/run`.

mod chart;
mod command_line;
mod config_file;
mod journey;
mod support;
mod world;
