//! A TCP proxy that can stop forwarding the connections that are open, and still forwards new ones: what a firewall or
//! a network load balancer does when it forgets its connections. Both ends stay connected to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

pub struct Freezer {
    pub port: u16,
    generation: Arc<AtomicU32>,
}

impl Freezer {
    /// Forwards to `target`, a port of this machine. Its threads end with the test binary.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let generation = Arc::new(AtomicU32::new(0));
        let current = Arc::clone(&generation);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
                let opened = current.load(Ordering::SeqCst);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let current = Arc::clone(&current);
                    thread::spawn(move || forward(from, to, || current.load(Ordering::SeqCst) != opened));
                }
            }
        });
        Self { port, generation }
    }

    /// Stops forwarding all connections that are open now.
    pub fn freeze(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
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
