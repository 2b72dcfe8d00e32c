//! A run's journal: one JSON object a line, appended, on disk before an effect begins and after it ends.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::task::{Event, RunId, StepId};

/// What this program writes; a newer journal is refused, not guessed at.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub run: RunId,
    pub command: String,
    pub host: String,
    /// Tells one boot of a machine from the next: process ids mean nothing across them.
    pub boot: String,
    pub pid: u32,
    /// Of our own process, in clock ticks since boot.
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
        "the journal `{path}` has format {found}, this paydeploy knows {FORMAT}: use the newer paydeploy that wrote it"
    )]
    Newer { path: PathBuf, found: u32 },
    #[error("the journal `{0}` has no header: move its folder away if it is of no use")]
    NoHeader(PathBuf),
}

/// Open for one run, by its owner.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Begins a run's journal in its folder.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn create(folder: &Path, run: &RunId, command: &str) -> Result<Self, JournalError> {
        let path = folder.join("journal.ndjson");
        let failed = |error| JournalError::Write(path.clone(), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
        let header = Header {
            format: FORMAT,
            run: run.clone(),
            command: command.to_owned(),
            host: read_trimmed("/proc/sys/kernel/hostname"),
            boot: boot_id(),
            pid: std::process::id(),
            start: start_of(std::process::id()).unwrap_or_default(),
            at: Timestamp::now(),
        };
        let mut journal = Self { path: path.clone(), file };
        journal.line(&header)?;
        journal.file.sync_all().map_err(failed)?;
        // the file's name must survive a crash as well
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(journal)
    }

    /// Goes on with the journal of this process's own run.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reopen(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join("journal.ndjson");
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|error| JournalError::Write(path.clone(), error))?;
        Ok(Self { path, file })
    }

    /// Appends an event; those that tell of effects are on disk when this returns.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn append(&mut self, at: Timestamp, event: &Event) -> Result<(), JournalError> {
        self.line(&Record { at, event: event.clone() })?;
        let passing = matches!(event, Event::StepProgress { .. } | Event::StepStarted { .. });
        if passing {
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

/// Reads a journal. A last line that was cut off by a crash is left out.
///
/// # Errors
/// When it cannot be read, or a newer paydeploy wrote it.
pub fn read(folder: &Path) -> Result<(Header, Vec<Record>), JournalError> {
    let path = folder.join("journal.ndjson");
    let failed = |error| JournalError::Read(path.clone(), error);
    let mut lines = BufReader::new(File::open(&path).map_err(failed)?).lines();
    let first = lines.next().transpose().map_err(failed)?.unwrap_or_default();
    let format =
        serde_json::from_str::<serde_json::Value>(&first).ok().and_then(|header| header["format"].as_u64());
    let format = format.ok_or_else(|| JournalError::NoHeader(path.clone()))?;
    if format > u64::from(FORMAT) {
        return Err(JournalError::Newer { path, found: u32::try_from(format).unwrap_or(u32::MAX) });
    }
    let header = serde_json::from_str(&first).map_err(|_| JournalError::NoHeader(path.clone()))?;
    let mut records = Vec::new();
    for line in lines {
        let Ok(record) = serde_json::from_str(&line.map_err(failed)?) else { break };
        records.push(record);
    }
    Ok((header, records))
}

/// What a run that did not end left under way.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// Steps that had begun an effect and not ended it.
    pub effects: Vec<StepId>,
    /// Child processes that had started and not ended: process id, start time, command.
    pub children: BTreeMap<StepId, (u32, u64, String)>,
}

impl Unfinished {
    /// What the records leave open; empty for a run that ended.
    pub fn of(records: &[Record]) -> Self {
        let mut open = Self::default();
        for Record { event, .. } in records {
            match event {
                Event::EffectStarted { step } => open.effects.push(step.clone()),
                Event::EffectEnded { step } => open.effects.retain(|other| other != step),
                Event::ChildStarted { step, pid, start, command } => {
                    open.children.insert(step.clone(), (*pid, *start, command.clone()));
                }
                Event::ChildEnded { step, .. } => drop(open.children.remove(step)),
                Event::RunFinished { .. } => open = Self::default(),
                _ => {}
            }
        }
        open
    }
}

/// Whether the very process that a journal names is still there.
pub fn is_alive(header: &Header, pid: u32, start: u64) -> bool {
    header.boot == boot_id() && start_of(pid) == Some(start)
}

fn boot_id() -> String {
    read_trimmed("/proc/sys/kernel/random/boot_id")
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A process's start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field, the program's name, may hold spaces and parentheses
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
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
    fn what_was_under_way_when_the_run_died_can_be_read() {
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
    fn a_line_cut_off_by_a_crash_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        journal.append(Timestamp::now(), &Event::EffectStarted { step: step() }).unwrap();
        journal.file.write_all(b"{\"at\":\"2026-1").unwrap();
        assert_eq!(read(folder.path()).unwrap().1.len(), 1);
    }

    #[test]
    fn a_newer_format_is_refused_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("journal.ndjson"), "{\"format\":2,\"new\":true}\n").unwrap();
        let told = read(folder.path()).unwrap_err().to_string();
        assert!(told.contains("format 2") && told.contains("newer paydeploy"), "{told}");
    }

    #[test]
    fn our_own_process_is_alive_and_another_start_time_is_not() {
        let folder = tempfile::tempdir().unwrap();
        drop(journal(folder.path()));
        let (header, _) = read(folder.path()).unwrap();
        assert!(is_alive(&header, header.pid, header.start));
        assert!(!is_alive(&header, header.pid, header.start + 1));
    }
}
