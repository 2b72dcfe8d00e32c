//! HTTP/1.1 over TCP, made to survive clients that misbehave, and to stop without cutting off a request.
//!
//! Each connection is waiting for a request, receiving a request's head, or answering one. Everything here follows from
//! that phase:
//!
//! - A connection that waits too long is closed, and so is one whose head takes too long to arrive.
//! - When all slots are taken, the connection that has waited longest is closed for the new one. Idle or slow clients
//!   therefore never keep others out. A connection that is answering a request is never closed for this.
//! - At the end, connections that are not answering a request are closed immediately.

mod activity;
mod connections;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use self::activity::{Activity, Counted, Watched};
pub use self::connections::Limits;
use self::connections::{Connections, Slot};

/// Go allows 1 MiB of headers by default; this API's clients send small ones.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The pause after a failed `accept`, for example because the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often overdue connections are looked for. The limits are multiples of it.
const REAP_PERIOD: Duration = Duration::from_secs(1);

/// Listens on `address` or, without one, on all IPv6 and IPv4 addresses.
pub async fn listen(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    match address {
        Some(address) => TcpListener::bind(SocketAddr::new(address, port)).await,
        None => match TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).await {
            // The kernel may lack IPv6.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).await
            }
            outcome => outcome,
        },
    }
}

/// Serves requests until `end`, closes the port, and gives requests in flight `grace` to finish. Returns how many were
/// cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    end: impl Future<Output = ()>,
    grace: Duration,
) -> usize {
    let connections = Arc::new(Connections::new(limits));
    let mut reap = tokio::time::interval(REAP_PERIOD);
    let mut end = pin!(end);
    'serve: loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            _ = reap.tick() => {
                connections.close_overdue();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Only now, because a slot may cost another client its connection.
                let mut slot = pin!(connections.slot());
                let slot = loop {
                    tokio::select! {
                        () = &mut end => break 'serve,
                        _ = reap.tick() => {
                            connections.close_overdue();
                            // Another connection may have become idle, or the chosen one have got a request.
                            slot.set(connections.slot());
                        }
                        slot = &mut slot => break slot,
                    }
                };
                tokio::spawn(answer(stream, router.clone(), slot));
            }
            Err(error) => {
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.end();
    // A connection that is left at the deadline may also be one whose client does not read its response.
    match tokio::time::timeout(grace, connections.wait_until_closed()).await {
        Ok(()) => 0,
        Err(_) => connections.answering(),
    }
}

/// Answers the requests of one connection until the client or the server closes it.
async fn answer(stream: TcpStream, router: Router, slot: Slot) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("failed to set TCP_NODELAY: {error}");
    }
    let activity: &Arc<Activity> = slot.activity();
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(activity)));
    let service = Counted::new(TowerToHyperService::new(router), Arc::clone(activity));
    let mut http = http1::Builder::new();
    // half_close: a client may close its side after the request and still read the response, as with the legacy service.
    http.half_close(true).max_buf_size(MAX_HEADER_BYTES).title_case_headers(true);
    let mut connection = pin!(http.serve_connection(stream, service));
    loop {
        tokio::select! {
            // In this order, a response that is complete is written before its connection is closed.
            biased;
            outcome = &mut connection => {
                if let Err(error) = outcome {
                    tracing::debug!("connection ended: {error}");
                }
                return;
            }
            () = slot.told_to_close() => {
                if !activity.is_answering() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
