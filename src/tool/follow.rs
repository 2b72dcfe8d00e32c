//! Lines of a file that another process is writing.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{Stream, stream};
use tokio_util::sync::CancellationToken;

/// How often the file is checked for new lines: fast enough for a live display, slow enough to cost nothing.
const INTERVAL: Duration = Duration::from_millis(150);

/// Continues where the last read stopped. A line counts once its newline has been written.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    at: u64,
    rest: Vec<u8>,
}

impl Follower {
    /// Starts at a byte of the file, which need not exist yet.
    pub fn new(path: &Path, from: u64) -> Self {
        Self { path: path.to_owned(), at: from, rest: Vec::new() }
    }

    /// The lines that were completed since the last call.
    pub fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read_to_end(&mut self.rest)?;
        self.at += read as u64;
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else { return Ok(Vec::new()) };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }

    /// The lines that were written since the last call, an incomplete last one included.
    pub fn last_lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = self.lines()?;
        if !self.rest.is_empty() {
            lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned());
        }
        Ok(lines)
    }
}

/// The lines of a file from a byte on, as they are written, until `ended` is cancelled and everything is
/// read.
pub fn follow(path: &Path, from: u64, ended: CancellationToken) -> impl Stream<Item = String> + use<> {
    let start = (Follower::new(path, from), ended, Vec::new().into_iter());
    stream::unfold(start, |(mut follower, ended, mut ready)| async move {
        loop {
            if let Some(line) = ready.next() {
                return Some((line, (follower, ended, ready)));
            }
            // The order matters: the lines are read after the end is known, so that none of the last ones is lost.
            let over = ended.is_cancelled();
            // The error is swallowed because an unreadable log is no reason to fail the process that writes
            // it.
            let lines = if over { follower.last_lines() } else { follower.lines() }.unwrap_or_default();
            if lines.is_empty() {
                if over {
                    return None;
                }
                // The timeout is expected: it means that the writer is still running.
                drop(tokio::time::timeout(INTERVAL, ended.cancelled()).await);
            }
            ready = lines.into_iter();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures::StreamExt;
    use tokio_util::sync::CancellationToken;

    use super::{Follower, follow};

    #[test]
    fn a_line_counts_once_its_newline_is_written() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut follower = Follower::new(file.path(), 0);
        write!(file, "one\ntw").unwrap();
        assert_eq!(follower.lines().unwrap(), ["one"]);
        assert_eq!(follower.lines().unwrap(), [""; 0]);
        write!(file, "o\nthree").unwrap();
        assert_eq!(follower.lines().unwrap(), ["two"]);
        assert_eq!(follower.last_lines().unwrap(), ["three"]);
    }

    #[tokio::test(start_paused = true)]
    async fn following_ends_with_the_writer_and_loses_no_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "skipped\none\n").unwrap();
        let ended = CancellationToken::new();
        let mut lines = Box::pin(follow(file.path(), 8, ended.clone()));
        assert_eq!(lines.next().await.as_deref(), Some("one"));
        write!(file, "two\nlast").unwrap();
        ended.cancel();
        assert_eq!(lines.collect::<Vec<_>>().await, ["two", "last"]);
    }
}
