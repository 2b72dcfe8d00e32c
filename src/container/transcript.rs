//! What BuildKit tells of a build, as lines for a log, a few words for the user, and a failure's reason.

use std::collections::VecDeque;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};

/// How many of a failed vertex's last lines an error repeats.
const TAIL: usize = 12;

/// The build so far: its vertexes in the order in which they were first told of.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    vertexes: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    digest: String,
    name: String,
    started: bool,
    ended: bool,
    error: Option<String>,
    tail: VecDeque<String>,
    /// Output whose line has not ended yet.
    rest: String,
}

/// The step of a Dockerfile that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub name: String,
    pub error: String,
    pub tail: Vec<String>,
}

impl Transcript {
    /// Takes one message in, and returns its lines for the log, in the form of `docker build --progress plain`.
    pub fn take(&mut self, status: &StatusResponse) -> Vec<String> {
        let mut lines = Vec::new();
        for vertex in &status.vertexes {
            let number = self.number(&vertex.digest);
            let ended = self.vertexes[number].update(vertex);
            let number = number + 1;
            match ended {
                Some(Change::Started) => lines.push(format!("#{number} {}", vertex.name)),
                Some(Change::Ended { first, how }) => {
                    if first {
                        lines.push(format!("#{number} {}", vertex.name));
                    }
                    lines.push(format!("#{number} {how}"));
                }
                None => {}
            }
        }
        for log in &status.logs {
            let number = self.number(&log.vertex);
            let said = self.vertexes[number].hear(&String::from_utf8_lossy(&log.msg));
            lines.extend(said.into_iter().map(|line| format!("#{} {line}", number + 1)));
        }
        for warning in &status.warnings {
            lines.push(format!("warning: {}", String::from_utf8_lossy(&warning.short)));
        }
        lines
    }

    /// Vertexes done, vertexes known, and the newest that runs.
    pub fn progress(&self) -> Option<(u32, u32, String)> {
        let current = self.vertexes.iter().rev().find(|vertex| vertex.started && !vertex.ended)?;
        let count = |done: usize| u32::try_from(done).unwrap_or(u32::MAX);
        let done = self.vertexes.iter().filter(|vertex| vertex.ended).count();
        Some((count(done), count(self.vertexes.len()), current.name.clone()))
    }

    /// The vertex that ended the build; those that were cancelled with it are not to blame.
    pub fn broken(&self) -> Option<Broken> {
        let culprit = |vertex: &&Seen| {
            vertex.error.as_deref().is_some_and(|error| !error.ends_with("context canceled"))
        };
        let vertex = self.vertexes.iter().find(culprit)?;
        let mut tail: Vec<String> = vertex.tail.iter().cloned().collect();
        if !vertex.rest.is_empty() {
            tail.push(vertex.rest.clone());
        }
        Some(Broken { name: vertex.name.clone(), error: vertex.error.clone().unwrap_or_default(), tail })
    }

    fn number(&mut self, digest: &str) -> usize {
        let known = self.vertexes.iter().position(|vertex| vertex.digest == digest);
        known.unwrap_or_else(|| {
            self.vertexes.push(Seen { digest: digest.to_owned(), ..Seen::default() });
            self.vertexes.len() - 1
        })
    }
}

enum Change {
    Started,
    /// `first`: it was never seen to run.
    Ended {
        first: bool,
        how: String,
    },
}

impl Seen {
    fn update(&mut self, vertex: &Vertex) -> Option<Change> {
        self.name.clone_from(&vertex.name);
        if !vertex.error.is_empty() {
            self.error = Some(vertex.error.clone());
        }
        let first = !self.started;
        self.started |= vertex.started.is_some();
        if (vertex.completed.is_some() || vertex.cached) && !self.ended {
            self.ended = true;
            let how = match (&self.error, vertex.cached) {
                (Some(error), _) => format!("ERROR: {error}"),
                (None, true) => "CACHED".to_owned(),
                (None, false) => "DONE".to_owned(),
            };
            return Some(Change::Ended { first, how });
        }
        (first && self.started).then_some(Change::Started)
    }

    fn hear(&mut self, output: &str) -> Vec<String> {
        self.rest.push_str(output);
        let Some(end) = self.rest.rfind('\n') else { return Vec::new() };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        // a progress bar redraws its line: only what it ended as is kept
        let last_drawn = |line: &str| line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
        let lines: Vec<String> = whole.lines().map(last_drawn).collect();
        self.tail.extend(lines.iter().filter(|line| !line.is_empty()).cloned());
        while self.tail.len() > TAIL {
            self.tail.pop_front();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

    use super::Transcript;

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex { digest: digest.to_owned(), name: name.to_owned(), ..Vertex::default() }
    }

    fn started(digest: &str, name: &str) -> Vertex {
        Vertex { started: Some(bollard_timestamp()), ..vertex(digest, name) }
    }

    fn ended(digest: &str, name: &str) -> Vertex {
        Vertex { completed: Some(bollard_timestamp()), ..started(digest, name) }
    }

    fn bollard_timestamp<T: Default>() -> T {
        T::default()
    }

    fn vertexes(vertexes: &[Vertex]) -> StatusResponse {
        StatusResponse { vertexes: vertexes.to_vec(), ..StatusResponse::default() }
    }

    fn output(digest: &str, text: &str) -> StatusResponse {
        let log = VertexLog { vertex: digest.to_owned(), msg: text.into(), ..VertexLog::default() };
        StatusResponse { logs: vec![log], ..StatusResponse::default() }
    }

    #[test]
    fn a_build_reads_as_docker_writes_it() {
        let mut build = Transcript::default();
        let known = vertexes(&[vertex("a", "[1/2] FROM base"), vertex("b", "[2/2] RUN make")]);
        assert_eq!(build.take(&known), [""; 0]);
        let cached = Vertex { cached: true, ..ended("a", "[1/2] FROM base") };
        assert_eq!(build.take(&vertexes(&[cached])), ["#1 [1/2] FROM base", "#1 CACHED"]);
        assert_eq!(build.take(&vertexes(&[started("b", "[2/2] RUN make")])), ["#2 [2/2] RUN make"]);
        assert_eq!(build.progress(), Some((1, 2, "[2/2] RUN make".to_owned())));
        assert_eq!(build.take(&output("b", "one\ntw")), ["#2 one"]);
        assert_eq!(build.take(&output("b", "o\n")), ["#2 two"]);
        assert_eq!(build.take(&vertexes(&[ended("b", "[2/2] RUN make")])), ["#2 DONE"]);
        assert_eq!(build.progress(), None);
        assert_eq!(build.broken(), None);
    }

    #[test]
    fn a_failure_names_its_step_and_its_last_lines_only() {
        let mut build = Transcript::default();
        build.take(&vertexes(&[started("a", "RUN x"), started("b", "RUN make")]));
        let text = (1..=20).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
        build.take(&output("b", &text));
        build.take(&output("b", "make: *** stop"));
        let cancelled = Vertex { error: "context canceled".to_owned(), ..ended("a", "RUN x") };
        let failed = Vertex { error: "exit code: 2".to_owned(), ..ended("b", "RUN make") };
        let lines = build.take(&vertexes(&[cancelled, failed]));
        assert_eq!(lines, ["#1 ERROR: context canceled", "#2 ERROR: exit code: 2"]);
        let broken = build.broken().unwrap();
        assert_eq!((broken.name.as_str(), broken.error.as_str()), ("RUN make", "exit code: 2"));
        assert_eq!((broken.tail.len(), broken.tail[0].as_str()), (13, "line 9"));
        assert_eq!(broken.tail.last().unwrap(), "make: *** stop");
    }

    #[test]
    fn a_redrawn_line_is_kept_as_it_ended() {
        let mut build = Transcript::default();
        build.take(&vertexes(&[started("a", "RUN curl")]));
        assert_eq!(build.take(&output("a", "10%\r55%\r100%\n")), ["#1 100%"]);
    }
}
