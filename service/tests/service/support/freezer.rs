//! A TCP proxy that can stop forwarding the connections that are open, and still forwards new ones: what a firewall or
//! a network load balancer does when it forgets its connections. Both ends stay connected to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Freezer {
    pub port: u16,
    open: Arc<Mutex<Vec<Forwarded>>>,
    holds_new: Arc<AtomicBool>,
}

/// A connection, by the port from which the target sees it, and whether it is frozen.
struct Forwarded(u16, Arc<AtomicBool>);

impl Freezer {
    /// Forwards to `target`, a port of this machine. Its threads end with the test binary.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&open);
        let holds_new = Arc::new(AtomicBool::new(false));
        let (holds, mut held) = (Arc::clone(&holds_new), Vec::new());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if holds.load(Ordering::SeqCst) {
                    held.push(client);
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
                let frozen = Arc::new(AtomicBool::new(false));
                let seen = server.local_addr().unwrap().port();
                all.lock().unwrap().push(Forwarded(seen, Arc::clone(&frozen)));
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let frozen = Arc::clone(&frozen);
                    thread::spawn(move || forward(from, to, || frozen.load(Ordering::SeqCst)));
                }
            }
        });
        Self { port, open, holds_new }
    }

    /// From now on, forwards nothing of new connections either, or does again.
    pub fn hold_new(&self, hold: bool) {
        self.holds_new.store(hold, Ordering::SeqCst);
    }

    /// Stops forwarding all connections that are open now.
    pub fn freeze(&self) {
        self.freeze_if(|_| true);
    }

    /// The same, except for the one that the target sees from this port.
    pub fn freeze_all_but(&self, port: u16) {
        self.freeze_if(|seen| seen != port);
    }

    fn freeze_if(&self, is_chosen: impl Fn(u16) -> bool) {
        for Forwarded(_, frozen) in self.open.lock().unwrap().iter().filter(|one| is_chosen(one.0)) {
            frozen.store(true, Ordering::SeqCst);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, is_frozen: impl Fn() -> bool) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if is_frozen() {
            // Parked and not dropped, because dropping the sockets would close them.
            loop {
                thread::park();
            }
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other direction may have ended already.
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
