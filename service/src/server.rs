//! HTTP/1.1 over TCP with limits on connections, headers and idle time, and a graceful shutdown.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Limits the time for a request's headers and the idle time between two requests. Must be longer than the
/// load balancer's idle timeout (ALB: 60 s), or it sends requests over connections that are closed here.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// The most connections that one pod holds open. Each takes tens of KiB.
const MAX_CONNECTIONS: usize = 2048;
/// Go allows 1 MiB of headers by default; this API's clients send small ones.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The pause after a failed `accept`, for example because the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// Serves requests until `end`, closes the port, and gives requests in flight `grace` to finish.
/// Returns the number of connections that were cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()>,
    grace: Duration,
) -> usize {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
    let connections = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut end = pin!(end);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut end => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("failed to set TCP_NODELAY: {error}");
        }
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!("connection ended: {error}");
            }
        });
    }
    drop(listener);
    match tokio::time::timeout(grace, connections.shutdown()).await {
        Ok(()) => 0,
        Err(_) => MAX_CONNECTIONS - slots.available_permits(),
    }
}
