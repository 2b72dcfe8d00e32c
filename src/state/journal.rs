//! A run's journal: one JSON object per line, appended; on disk before an effect starts and after it ends.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    task::{Event, RunId, StepId},
    tool::start_time,
};

/// The version that this program writes. A newer journal is refused, because guessing at what a run left behind could
/// start a second Terraform on one state.
const SCHEMA: u32 = 1;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    pub schema: u32,
    pub run: RunId,
    pub command: String,
    pub host: String,
    /// The machine's boot id: process ids mean nothing after a reboot.
    pub boot: String,
    pub pid: u32,
    /// Start time of the run's process, in clock ticks since boot.
    pub start: u64,
    pub at: Timestamp,
}

/// Every other line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("failed to write the journal `{0}`")]
    Write(PathBuf, #[source] io::Error),
    #[error("failed to read the journal `{0}`")]
    Read(PathBuf, #[source] io::Error),
    #[error(
        "the journal `{path}` has schema {found}, but this paydeploy reads up to {SCHEMA}: use the newer paydeploy that wrote it"
    )]
    Newer { path: PathBuf, found: u32 },
    #[error("the journal `{0}` has no header: delete its folder if you do not need its logs")]
    NoHeader(PathBuf),
}

/// The open journal of the current run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Creates a run's journal in its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &Path, run: &RunId, command: &str) -> Result<Self, JournalError> {
        let path = folder.join("journal.ndjson");
        let failed = |error| JournalError::Write(path.clone(), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
        let header = Header {
            schema: SCHEMA,
            run: run.clone(),
            command: command.to_owned(),
            host: read_trimmed("/proc/sys/kernel/hostname"),
            boot: boot_id(),
            pid: std::process::id(),
            start: start_time(std::process::id()).unwrap_or_default(),
            at: Timestamp::now(),
        };
        let mut journal = Self { path: path.clone(), file };
        journal.line(&header)?;
        journal.file.sync_all().map_err(failed)?;
        // The folder is synced too, so that the file's name survives a crash.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(journal)
    }

    /// Appends an event. All but starts and progress are on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, at: Timestamp, event: &Event) -> Result<(), JournalError> {
        self.line(&Record { at, event: event.clone() })?;
        // These two are frequent, and no decision after a crash depends on them: a sync costs milliseconds.
        if matches!(event, Event::StepProgress { .. } | Event::StepStarted { .. }) {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| JournalError::Write(self.path.clone(), error))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), JournalError> {
        let failed = |error| JournalError::Write(self.path.clone(), error);
        let mut line = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)
    }
}

/// Reads a journal up to the first line that a crash truncated.
///
/// # Errors
/// When it cannot be read, or a newer paydeploy wrote it.
pub fn read(folder: &Path) -> Result<(Header, Vec<Record>), JournalError> {
    let path = folder.join("journal.ndjson");
    let failed = |error| JournalError::Read(path.clone(), error);
    // As bytes: a crash may have truncated the last line inside a character.
    let mut lines = BufReader::new(File::open(&path).map_err(failed)?).split(b'\n');
    let first = lines.next().transpose().map_err(failed)?.unwrap_or_default();
    // Only the version is read first: a newer header may have other fields.
    let schema =
        serde_json::from_slice::<serde_json::Value>(&first).ok().and_then(|header| header["schema"].as_u64());
    let schema = schema.ok_or_else(|| JournalError::NoHeader(path.clone()))?;
    if schema > u64::from(SCHEMA) {
        return Err(JournalError::Newer { path, found: u32::try_from(schema).unwrap_or(u32::MAX) });
    }
    let header = serde_json::from_slice(&first).map_err(|_| JournalError::NoHeader(path.clone()))?;
    let mut records = Vec::new();
    for line in lines {
        let Ok(record) = serde_json::from_slice(&line.map_err(failed)?) else { break };
        records.push(record);
    }
    Ok((header, records))
}

/// What a run that did not end left unfinished.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// Steps that had started an effect and not ended it.
    pub effects: Vec<StepId>,
    /// Child processes that had started and not ended, by process id: step, start time, command.
    pub children: BTreeMap<u32, (StepId, u64, String)>,
}

impl Unfinished {
    /// What the records leave open. A run that ended has judged its effects, but a step that was dropped at its
    /// deadline may have left a child process running.
    pub fn of(records: &[Record]) -> Self {
        let mut open = Self::default();
        for Record { event, .. } in records {
            match event {
                Event::EffectStarted { step } => open.effects.push(step.clone()),
                Event::EffectEnded { step } => open.effects.retain(|other| other != step),
                Event::ChildStarted { step, pid, start, command } => {
                    open.children.insert(*pid, (step.clone(), *start, command.clone()));
                }
                Event::ChildEnded { pid, .. } => drop(open.children.remove(pid)),
                Event::RunFinished { .. } => open.effects.clear(),
                _ => {}
            }
        }
        open
    }
}

/// Whether the process that a journal names still runs.
pub fn is_alive(header: &Header, pid: u32, start: u64) -> bool {
    header.boot == boot_id() && start_time(pid) == Some(start)
}

fn boot_id() -> String {
    read_trimmed("/proc/sys/kernel/random/boot_id")
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Phase;

    fn step() -> StepId {
        StepId::global(Phase::Docker, "build")
    }

    fn journal(folder: &Path) -> Journal {
        Journal::create(folder, &RunId::named("one"), "up").unwrap()
    }

    #[test]
    fn an_effect_that_a_dead_run_left_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        journal.append(Timestamp::now(), &Event::EffectStarted { step: step() }).unwrap();
        let (_, records) = read(folder.path()).unwrap();
        assert_eq!(Unfinished::of(&records).effects, [step()]);
        journal.append(Timestamp::now(), &Event::EffectEnded { step: step() }).unwrap();
        let (_, records) = read(folder.path()).unwrap();
        assert!(Unfinished::of(&records).effects.is_empty());
    }

    #[test]
    fn a_child_that_outlived_a_finished_run_is_found() {
        let started =
            |pid| Event::ChildStarted { step: step(), pid, start: 7, command: "terraform apply".to_owned() };
        let elapsed = std::time::Duration::ZERO;
        let events = [
            Event::EffectStarted { step: step() },
            started(1),
            started(2),
            Event::ChildEnded { step: step(), pid: 2 },
            Event::RunFinished { elapsed },
        ];
        let records = events.map(|event| Record { at: Timestamp::UNIX_EPOCH, event });
        let open = Unfinished::of(&records);
        assert!(open.effects.is_empty());
        assert_eq!(open.children.into_keys().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_truncated_last_line_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        journal.append(Timestamp::now(), &Event::EffectStarted { step: step() }).unwrap();
        // Inside a character of two bytes.
        journal.file.write_all(b"{\"at\":\"2026-1\xc2").unwrap();
        assert_eq!(read(folder.path()).unwrap().1.len(), 1);
    }

    #[test]
    fn a_newer_schema_is_refused_with_its_fix() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("journal.ndjson"), "{\"schema\":2,\"new\":true}\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("newer paydeploy"), "{error}");
    }

    #[test]
    fn a_process_is_alive_only_with_its_start_time() {
        let folder = tempfile::tempdir().unwrap();
        drop(journal(folder.path()));
        let (header, _) = read(folder.path()).unwrap();
        assert!(is_alive(&header, header.pid, header.start));
        assert!(!is_alive(&header, header.pid, header.start + 1));
    }
}
