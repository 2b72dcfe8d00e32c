//! BuildKit's messages about a build, as lines for the log, a progress text, and the cause of a failure.

use std::collections::VecDeque;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};

/// How many of a failed step's last lines an error repeats.
const TAIL: usize = 12;

/// The build so far: its vertexes (steps) in the order in which they were first reported.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    vertexes: Vec<VertexState>,
}

#[derive(Debug, Default)]
struct VertexState {
    digest: String,
    name: String,
    started: bool,
    ended: bool,
    error: Option<String>,
    tail: VecDeque<String>,
    /// Output after the last newline.
    rest: String,
}

/// The step of a Dockerfile that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FailedStep {
    pub name: String,
    pub error: String,
    pub tail: Vec<String>,
}

impl Transcript {
    /// Adds one message, and returns its lines for the log in the format of `docker build --progress plain`.
    pub fn take(&mut self, status: &StatusResponse) -> Vec<String> {
        let mut lines = Vec::new();
        for vertex in &status.vertexes {
            let number = self.number(&vertex.digest);
            let ended = self.vertexes[number].update(vertex);
            let number = number + 1;
            match ended {
                Some(Transition::Started) => lines.push(format!("#{number} {}", vertex.name)),
                Some(Transition::Ended { first, how }) => {
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
            let lines_of_output = self.vertexes[number].append(&String::from_utf8_lossy(&log.msg));
            lines.extend(lines_of_output.into_iter().map(|line| format!("#{} {line}", number + 1)));
        }
        for warning in &status.warnings {
            lines.push(format!("warning: {}", String::from_utf8_lossy(&warning.short)));
        }
        lines
    }

    /// Finished vertexes, known vertexes, and the name of the newest running one.
    pub fn progress(&self) -> Option<(u32, u32, String)> {
        let current = self.vertexes.iter().rev().find(|vertex| vertex.started && !vertex.ended)?;
        let count = |done: usize| u32::try_from(done).unwrap_or(u32::MAX);
        let done = self.vertexes.iter().filter(|vertex| vertex.ended).count();
        Some((count(done), count(self.vertexes.len()), current.name.clone()))
    }

    /// The step that failed the build. Steps that were cancelled because of it do not count.
    pub fn failed_step(&self) -> Option<FailedStep> {
        let culprit = |vertex: &&VertexState| {
            vertex.error.as_deref().is_some_and(|error| !error.ends_with("context canceled"))
        };
        let vertex = self.vertexes.iter().find(culprit)?;
        let mut tail: Vec<String> = vertex.tail.iter().cloned().collect();
        if !vertex.rest.is_empty() {
            tail.push(vertex.rest.clone());
        }
        Some(FailedStep { name: vertex.name.clone(), error: vertex.error.clone().unwrap_or_default(), tail })
    }

    fn number(&mut self, digest: &str) -> usize {
        let known = self.vertexes.iter().position(|vertex| vertex.digest == digest);
        known.unwrap_or_else(|| {
            self.vertexes.push(VertexState { digest: digest.to_owned(), ..VertexState::default() });
            self.vertexes.len() - 1
        })
    }
}

/// A change in a vertex's state that the log shows.
enum Transition {
    Started,
    /// `first`: its start was never reported.
    Ended {
        first: bool,
        how: String,
    },
}

impl VertexState {
    fn update(&mut self, vertex: &Vertex) -> Option<Transition> {
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
            return Some(Transition::Ended { first, how });
        }
        (first && self.started).then_some(Transition::Started)
    }

    /// Appends output, and returns the lines that are complete.
    fn append(&mut self, output: &str) -> Vec<String> {
        self.rest.push_str(output);
        let Some(end) = self.rest.rfind('\n') else { return Vec::new() };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        // A progress bar redraws its line: only its last state is kept.
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
    fn a_build_is_logged_as_docker_prints_it() {
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
        assert_eq!(build.failed_step(), None);
    }

    #[test]
    fn a_failure_has_its_step_and_only_its_last_lines() {
        let mut build = Transcript::default();
        build.take(&vertexes(&[started("a", "RUN x"), started("b", "RUN make")]));
        let text = (1..=20).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
        build.take(&output("b", &text));
        build.take(&output("b", "make: *** stop"));
        let cancelled = Vertex { error: "context canceled".to_owned(), ..ended("a", "RUN x") };
        let failed = Vertex { error: "exit code: 2".to_owned(), ..ended("b", "RUN make") };
        let lines = build.take(&vertexes(&[cancelled, failed]));
        assert_eq!(lines, ["#1 ERROR: context canceled", "#2 ERROR: exit code: 2"]);
        let failed = build.failed_step().unwrap();
        assert_eq!((failed.name.as_str(), failed.error.as_str()), ("RUN make", "exit code: 2"));
        assert_eq!((failed.tail.len(), failed.tail[0].as_str()), (13, "line 9"));
        assert_eq!(failed.tail.last().unwrap(), "make: *** stop");
    }

    #[test]
    fn only_the_last_state_of_a_redrawn_line_is_kept() {
        let mut build = Transcript::default();
        build.take(&vertexes(&[started("a", "RUN curl")]));
        assert_eq!(build.take(&output("a", "10%\r55%\r100%\n")), ["#1 100%"]);
    }
}
