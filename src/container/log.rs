//! The step's log, for output that comes from an API instead of a child process.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
};

use crate::task::{ErrorExt, Result, Task};

#[derive(Debug)]
pub(super) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    pub fn open(task: &Task) -> Result<Self> {
        let path = task.log.clone();
        let open = || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            OpenOptions::new().append(true).create(true).open(&path)
        };
        let file = open().doing(format!("write the log `{}`", path.display()))?;
        Ok(Self { file, path })
    }

    pub fn line(&mut self, line: &str) -> Result<()> {
        // One write per line keeps lines whole when others append to the same file.
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .doing(format!("write the log `{}`", self.path.display()))
    }
}
