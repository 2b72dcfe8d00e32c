//! A run's journal: one JSON object per line, appended; on disk before an effect starts and after it ends.
//!
//! It is read after crashes, and by other versions of paydeploy:
//!
//! - The file, its folder and the folders above it are synced when it is created, so that its name survives too.
//! - A line that is not JSON was cut off by a crash. It is skipped: what it would have announced had not started.
//! - A line of an unknown kind is from a newer minor version. It is counted by its name and skipped. A version that
//!   changes the meaning of known lines increments the schema, and is refused.
//! - Its size is bounded: a step records progress at most every [`PROGRESS_INTERVAL`], and all other events are a few
//!   per attempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Machine, starter::starter};
use crate::{
    task::{Claim, Event, RunId, StepId},
    tool::start_time,
};

/// The shortest time between two records of one step's progress. No decision depends on progress, but Terraform alone
/// can report a hundred resources per minute, for hours: this keeps a step below 400 records per hour.
const PROGRESS_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The run's folder and the three above it.
const SYNCED_FOLDERS: usize = 4;

/// The version that this program writes. A newer journal is refused, because guessing at what a run left behind could
/// start a second Terraform on one state.
const SCHEMA: u32 = 1;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    pub schema: u32,
    pub run: RunId,
    pub command: String,
    /// Who started it: a job's address, or a user. Empty in journals of earlier versions.
    #[serde(default)]
    pub by: String,
    #[serde(flatten)]
    pub machine: Machine,
    pub pid: u32,
    /// Start time of the run's process, in clock ticks since boot.
    pub start: u64,
    pub at: Timestamp,
}

impl Header {
    /// The header of a run of this process.
    pub fn new(run: &RunId, command: &str) -> Self {
        let pid = std::process::id();
        Self {
            schema: SCHEMA,
            run: run.clone(),
            command: command.to_owned(),
            by: starter(),
            machine: Machine::here(),
            pid,
            start: start_time(pid).unwrap_or_default(),
            at: Timestamp::now(),
        }
    }
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
    /// When each step's progress was recorded last.
    progress: BTreeMap<StepId, Timestamp>,
}

impl Journal {
    /// Creates a run's journal in its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &Path, header: &Header) -> Result<Self, JournalError> {
        let path = folder.join("journal.ndjson");
        let failed = |error| JournalError::Write(path.clone(), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
        let mut journal = Self { path: path.clone(), file, progress: BTreeMap::new() };
        journal.line(header)?;
        journal.file.sync_all().map_err(failed)?;
        // The run's folder, `runs`, `.paydeploy` and the folder that contains it: any of them may be new, and a name
        // survives a crash only once its folder is synced.
        for folder in folder.ancestors().take(SYNCED_FOLDERS).filter(|folder| folder.is_dir()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(journal)
    }

    /// Appends an event. All but starts and progress are on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, at: Timestamp, event: &Event) -> Result<(), JournalError> {
        if let Event::StepProgress { step, .. } = event {
            let recent =
                self.progress.get(step).is_some_and(|last| at.duration_since(*last) < PROGRESS_INTERVAL);
            if recent {
                return Ok(());
            }
            self.progress.insert(step.clone(), at);
        }
        self.line(&Record { at, event: event.clone() })?;
        // These two are frequent, and no decision after a crash depends on them: a sync costs milliseconds.
        if matches!(event, Event::StepProgress { .. } | Event::StepStarted { .. }) {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| JournalError::Write(self.path.clone(), error))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), JournalError> {
        let failed = |error| JournalError::Write(self.path.clone(), error);
        let line = line(value).map_err(|error| failed(error.into()))?;
        self.file.write_all(&line).map_err(failed)
    }
}

/// A line of a journal.
pub fn line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// What could be read of a journal.
#[derive(Debug)]
pub struct Recorded {
    pub header: Header,
    pub records: Vec<Record>,
    /// The kinds of events that this version does not know, in order.
    pub unknown: Vec<String>,
    /// How many lines a crash has cut off.
    pub torn: usize,
}

/// A line that this version does not know.
#[derive(Deserialize)]
struct Unknown {
    event: String,
}

/// Reads a journal, except the lines that a crash truncated and those of a newer paydeploy.
///
/// # Errors
/// When it cannot be read, or a paydeploy with a newer schema wrote it.
pub fn read(folder: &Path) -> Result<Recorded, JournalError> {
    let path = folder.join("journal.ndjson");
    let file = File::open(&path).map_err(|error| JournalError::Read(path.clone(), error))?;
    parse(&path, BufReader::new(file))
}

/// The same for a journal, or a copy of one, that is kept elsewhere.
///
/// # Errors
/// As for [`read`]; they name `path`.
pub fn parse(path: &Path, input: impl io::BufRead) -> Result<Recorded, JournalError> {
    let path = path.to_owned();
    let failed = |error| JournalError::Read(path.clone(), error);
    // As bytes: a crash may have truncated the last line inside a character.
    let mut lines = input.split(b'\n');
    let first = lines.next().transpose().map_err(failed)?.unwrap_or_default();
    // Only the version is read first: a newer header may have other fields.
    let schema =
        serde_json::from_slice::<serde_json::Value>(&first).ok().and_then(|header| header["schema"].as_u64());
    let schema = schema.ok_or_else(|| JournalError::NoHeader(path.clone()))?;
    if schema > u64::from(SCHEMA) {
        return Err(JournalError::Newer { path, found: u32::try_from(schema).unwrap_or(u32::MAX) });
    }
    let header = serde_json::from_slice(&first).map_err(|_| JournalError::NoHeader(path.clone()))?;
    let mut recorded = Recorded { header, records: Vec::new(), unknown: Vec::new(), torn: 0 };
    for line in lines {
        let line = line.map_err(failed)?;
        match (serde_json::from_slice(&line), serde_json::from_slice(&line)) {
            (Ok(record), _) => recorded.records.push(record),
            (Err(_), Ok(Unknown { event })) => recorded.unknown.push(event),
            (Err(_), Err(_)) => recorded.torn += 1,
        }
    }
    Ok(recorded)
}

/// What a run that did not end left unfinished.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// Steps that had started an effect and not ended it.
    pub effects: Vec<StepId>,
    /// Child processes that had started and not ended, by process id: step, start time, command.
    pub children: BTreeMap<u32, (StepId, u64, String)>,
    /// What steps held or had created, and not released.
    pub claims: BTreeMap<StepId, BTreeSet<Claim>>,
    /// Whether the run had started. Until then it had not taken over what earlier runs left open.
    pub started: bool,
}

impl Unfinished {
    /// What the records leave open. A run that ended has judged its effects, but may leave claims to the next one.
    pub fn of(records: &[Record]) -> Self {
        let mut open = Self::default();
        for record in records {
            open.take(&record.event);
        }
        open
    }

    /// Adds an event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::EffectStarted { step } => self.effects.push(step.clone()),
            Event::EffectEnded { step } => self.effects.retain(|other| other != step),
            Event::ChildStarted { step, pid, start, command } => {
                self.children.insert(*pid, (step.clone(), *start, command.clone()));
            }
            Event::ChildEnded { pid, .. } => drop(self.children.remove(pid)),
            Event::RunFinished { .. } => self.effects.clear(),
            Event::Claimed { step, claim } => {
                self.claims.entry(step.clone()).or_default().insert(claim.clone());
            }
            Event::Released { step, claim } => {
                if let Some(claims) = self.claims.get_mut(step) {
                    claims.remove(claim);
                    if claims.is_empty() {
                        self.claims.remove(step);
                    }
                }
            }
            Event::RunStarted { .. } => self.started = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Phase;

    fn step() -> StepId {
        StepId::global(Phase::Docker, "build")
    }

    fn journal(folder: &Path) -> Journal {
        Journal::create(folder, &Header::new(&RunId::named("one"), "up")).unwrap()
    }

    #[test]
    fn an_effect_that_a_dead_run_left_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        journal.append(Timestamp::now(), &Event::EffectStarted { step: step() }).unwrap();
        let open = || Unfinished::of(&read(folder.path()).unwrap().records).effects;
        assert_eq!(open(), [step()]);
        journal.append(Timestamp::now(), &Event::EffectEnded { step: step() }).unwrap();
        assert!(open().is_empty());
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
            Event::RunFinished { elapsed, failed: Vec::new(), undone: 0 },
        ];
        let records = events.map(|event| Record { at: Timestamp::UNIX_EPOCH, event });
        let open = Unfinished::of(&records);
        assert!(open.effects.is_empty());
        assert_eq!(open.children.into_keys().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_truncated_line_does_not_hide_the_lines_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        journal.append(Timestamp::now(), &Event::EffectStarted { step: step() }).unwrap();
        // Inside a character of two bytes, and a block that a file system has filled with zeros.
        journal.file.write_all(b"{\"at\":\"2026-1\xc2\n\0\0\0\0\n").unwrap();
        journal.append(Timestamp::now(), &Event::EffectEnded { step: step() }).unwrap();
        journal.file.write_all(b"{\"at\":\"2026-1\xc2").unwrap();
        let recorded = read(folder.path()).unwrap();
        assert_eq!((recorded.records.len(), recorded.torn), (2, 3));
        assert!(Unfinished::of(&recorded.records).effects.is_empty());
    }

    #[test]
    fn an_event_of_a_newer_version_is_named_and_does_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        for line in [
            r#"{"at":"2026-11-28T00:00:00Z","event":"lease-taken","region":"spain"}"#,
            r#"{"at":"2026-11-28T00:00:00Z","event":"effect-ended","step":{"phase":"backup","region":null,"part":null}}"#,
        ] {
            writeln!(journal.file, "{line}").unwrap();
        }
        journal.append(Timestamp::now(), &Event::EffectStarted { step: step() }).unwrap();
        let recorded = read(folder.path()).unwrap();
        assert_eq!(recorded.unknown, ["lease-taken", "effect-ended"]);
        assert_eq!(Unfinished::of(&recorded.records).effects, [step()]);
    }

    #[test]
    fn progress_is_recorded_rarely_and_everything_else_always() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(folder.path());
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        for second in 0..100 {
            let text = second.to_string();
            let progress = Event::StepProgress { step: step(), text, done: None, total: None };
            journal.append(at(second), &progress).unwrap();
            journal.append(at(second), &Event::EffectStarted { step: step() }).unwrap();
        }
        let records = read(folder.path()).unwrap().records;
        let progress = records.iter().filter(|record| matches!(record.event, Event::StepProgress { .. }));
        assert_eq!((progress.count(), records.len()), (10, 110));
    }

    #[test]
    fn a_newer_schema_is_refused_with_its_fix() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("journal.ndjson"), "{\"schema\":2,\"new\":true}\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("newer paydeploy"), "{error}");
    }

    #[test]
    fn the_header_names_the_process_that_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        drop(journal(folder.path()));
        let Recorded { header, .. } = read(folder.path()).unwrap();
        assert_eq!(header.machine, Machine::here());
        assert_eq!((header.pid, Some(header.start)), (std::process::id(), start_time(header.pid)));
    }

    #[test]
    fn a_claim_is_open_until_it_is_released_also_after_the_run_has_finished() {
        let claim = |name: &str| Claim::Probe { application: name.to_owned() };
        let events = [
            Event::Claimed { step: step(), claim: claim("a") },
            Event::Claimed { step: step(), claim: claim("b") },
            Event::Released { step: step(), claim: claim("a") },
            Event::RunFinished { elapsed: std::time::Duration::ZERO, failed: Vec::new(), undone: 0 },
        ];
        let mut open = Unfinished::default();
        for event in &events {
            open.take(event);
        }
        assert_eq!(open.claims, BTreeMap::from([(step(), BTreeSet::from([claim("b")]))]));
        open.take(&Event::Released { step: step(), claim: claim("b") });
        assert!(open.claims.is_empty());
    }
}
