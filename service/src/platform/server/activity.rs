//! What a connection is doing, as seen from its bytes and its requests.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for the next request.
    Waiting,
    /// Receiving the head of a request.
    Receiving,
    /// Answering a request.
    Answering,
}

/// The phase of a connection and since when it is in it.
#[derive(Debug)]
pub struct Activity(Mutex<(Phase, Instant)>);

impl Activity {
    pub fn new() -> Self {
        Self(Mutex::new((Phase::Waiting, Instant::now())))
    }

    pub fn is_answering(&self) -> bool {
        self.get().0 == Phase::Answering
    }

    /// Since when the connection is not answering a request; `None` if it is.
    pub fn unused_since(&self) -> Option<Instant> {
        let (phase, since) = self.get();
        (phase != Phase::Answering).then_some(since)
    }

    /// Whether the client has had `idle` for sending a request, or `head` for completing its head.
    pub fn is_overdue(&self, now: Instant, idle: Duration, head: Duration) -> bool {
        let (phase, since) = self.get();
        let limit = match phase {
            Phase::Waiting => idle,
            Phase::Receiving => head,
            Phase::Answering => return false,
        };
        now.saturating_duration_since(since) >= limit
    }

    fn get(&self) -> (Phase, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (phase, Instant::now());
    }

    fn received(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the first byte starts the head's time, so a client cannot extend it byte by byte.
        if state.0 == Phase::Waiting {
            *state = (Phase::Receiving, Instant::now());
        }
    }
}

/// A stream that reports received bytes.
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A service that reports when a request's head is complete and when its response is ready.
pub struct Counted<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S> Counted<S> {
    pub fn new(service: S, activity: Arc<Activity>) -> Self {
        Self { service, activity }
    }
}

impl<S, Request> Service<Request> for Counted<S>
where
    S: Service<Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request) -> Self::Future {
        self.activity.set(Phase::Answering);
        Answering { answer: Box::pin(self.service.call(request)), activity: Arc::clone(&self.activity) }
    }
}

/// A response that is being computed.
pub struct Answering<F> {
    answer: Pin<Box<F>>,
    activity: Arc<Activity>,
}

impl<F: Future> Future for Answering<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let outcome = self.answer.as_mut().poll(context);
        if outcome.is_ready() {
            self.activity.set(Phase::Waiting);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_a_head_starts_with_its_first_byte_and_is_not_extended() {
        let activity = Activity::new();
        let (idle, head) = (Duration::from_mins(1), Duration::from_secs(10));
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(!activity.is_overdue(after(59), idle, head) && activity.is_overdue(after(61), idle, head));
        activity.received();
        let since = activity.unused_since();
        activity.received();
        assert_eq!(activity.unused_since(), since);
        assert!(!activity.is_overdue(after(9), idle, head) && activity.is_overdue(after(11), idle, head));
    }

    #[test]
    fn a_connection_that_is_answering_is_never_overdue() {
        let activity = Activity::new();
        activity.received();
        activity.set(Phase::Answering);
        let later = Instant::now() + Duration::from_hours(1);
        assert!(!activity.is_overdue(later, Duration::ZERO, Duration::ZERO));
        assert_eq!(activity.unused_since(), None);
    }
}
