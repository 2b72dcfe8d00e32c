pub mod certificates;
pub mod client;
pub mod freezer;
pub mod http;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod world;

use std::net::TcpListener;
use std::time::{Duration, Instant};

pub use client::Client;
pub use http::{get, get_with, request};
pub use process::Service;
pub use world::World;

/// Generous, because the machine may be compiling at the same time.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Polls `find` until it returns something.
#[track_caller]
pub fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "timed out after {DEADLINE:?} waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `path` is answered with `status`.
#[track_caller]
pub fn wait_for_status(service: &Service, path: &str, status: u16) {
    let what = format!("{path} answers {status}");
    eventually(&what, || (get(service.port, path).status == status).then_some(()));
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
