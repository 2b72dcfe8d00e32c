//! The open connections of a listener: how many there are, and which of them may be closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::activity::Activity;

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections that are open at a time. Each takes tens of KiB while it is answering.
    pub connections: usize,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
    /// How long the head of a request may take to arrive.
    pub head: Duration,
}

#[derive(Debug)]
struct Connection {
    activity: Arc<Activity>,
    close: Notify,
}

pub struct Connections {
    limits: Limits,
    open: Mutex<Open>,
    /// Notified when a connection is closed.
    closed: Notify,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// A connection's place in the register; free again when dropped.
pub struct Slot {
    id: u64,
    connection: Arc<Connection>,
    register: Arc<Connections>,
}

impl Connections {
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::default(), closed: Notify::new() }
    }

    /// A slot for a new connection. If all are taken, closes the connection that has been unused longest; waits only
    /// while all of them are answering requests.
    pub async fn slot(self: &Arc<Self>) -> Slot {
        loop {
            // Registered before the check, so that a connection that closes in between is not missed.
            let closed = self.closed.notified();
            if let Some(slot) = self.take() {
                return slot;
            }
            self.close_longest_unused();
            closed.await;
        }
    }

    fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.lock();
        if open.connections.len() >= self.limits.connections {
            return None;
        }
        let id = open.next;
        open.next += 1;
        let connection = Arc::new(Connection { activity: Arc::new(Activity::new()), close: Notify::new() });
        open.connections.insert(id, Arc::clone(&connection));
        Some(Slot { id, connection, register: Arc::clone(self) })
    }

    fn close_longest_unused(&self) {
        let open = self.lock();
        let unused = open.connections.values().filter_map(|connection| {
            let since = connection.activity.unused_since()?;
            Some((since, connection))
        });
        if let Some((_, connection)) = unused.min_by_key(|(since, _)| *since) {
            connection.close.notify_one();
        }
    }

    pub fn close_overdue(&self) {
        let (now, Limits { idle, head, .. }) = (Instant::now(), self.limits);
        for connection in self.lock().connections.values() {
            if connection.activity.is_overdue(now, idle, head) {
                connection.close.notify_one();
            }
        }
    }

    /// Tells every connection to close once it is not answering a request.
    pub fn end(&self) {
        for connection in self.lock().connections.values() {
            connection.close.notify_one();
        }
    }

    pub async fn wait_until_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.lock().connections.is_empty() {
                return;
            }
            closed.await;
        }
    }

    /// How many connections are answering a request.
    pub fn answering(&self) -> usize {
        self.lock().connections.values().filter(|connection| connection.activity.is_answering()).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub fn activity(&self) -> &Arc<Activity> {
        &self.connection.activity
    }

    pub async fn told_to_close(&self) {
        self.connection.close.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.register.lock().connections.remove(&self.id);
        self.register.closed.notify_waiters();
    }
}
