pub mod certificates;
pub mod http;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod world;

use std::net::TcpListener;
use std::time::{Duration, Instant};

pub use http::{get, get_with, request};
pub use process::Service;
pub use world::World;

/// Long enough for a machine that builds something else meanwhile.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Looks until `look` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `path` is answered with `status`.
#[track_caller]
pub fn wait_for_status(service: &Service, path: &str, status: u16) {
    eventually(&format!("{path} says {status}"), || (get(service.port, path).status == status).then_some(()));
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
