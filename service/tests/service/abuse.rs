//! Clients that misbehave: idle, slow, oversized or malformed. Others are still served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::http::{connect, exchange};
use crate::support::world::API_KEY;
use crate::support::{World, eventually, get, get_with};

#[test]
fn idle_clients_keep_neither_probes_nor_other_clients_out() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let world = World::new();
    let service = world.start().ready();
    let _idle: Vec<TcpStream> = (0..2100).map(|_| connect(service.port)).collect();
    assert_eq!(get(service.metrics_port, "/livez").status, 200);
    assert_eq!(get(service.metrics_port, "/readyz").status, 200);
    assert!(service.metrics().contains("database_up 1\n"));
    assert_eq!(get(service.port, "/info").status, 200);
    assert_eq!(get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status, 200);
}

#[test]
fn slow_clients_do_not_keep_others_out() {
    let world = World::empty();
    // Longer than a test may take, so that the limits of time close nothing.
    let service = world.start_with(&[
        ("HTTP_MAX_CONNECTIONS", "8"),
        ("HTTP_HEAD_SECONDS", "600"),
        ("HTTP_IDLE_SECONDS", "600"),
    ]);
    let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(service.port)).collect();
    for client in &mut slow {
        // The first ones have been closed for the later ones.
        client.write_all(b"GET /info HTTP/1.1\r\nHost: test\r\nX-Slow: ").ok();
    }
    for _ in 0..20 {
        assert_eq!(get(service.port, "/info").status, 200);
    }
}

#[test]
fn a_full_server_closes_a_connection_only_for_another_client() {
    let world = World::empty();
    let service = world.start_with(&[("HTTP_MAX_CONNECTIONS", "2")]);
    let mut clients = [connect(service.port), connect(service.port)];
    let ask = |client: &mut TcpStream| {
        client.write_all(b"GET /info HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut status = [0; 15];
        client.read_exact(&mut status).map(|()| status == *b"HTTP/1.1 200 OK")
    };
    for client in &mut clients {
        assert!(ask(client).unwrap());
    }
    // The first one has been unused for the longest time.
    let mut rest = [0; 4096];
    assert!(clients[0].read(&mut rest).unwrap() > 0, "the rest of its answer");
    clients[0].set_nonblocking(true).unwrap();
    assert_eq!(clients[0].read(&mut rest).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    clients[0].set_nonblocking(false).unwrap();
    assert_eq!(get(service.port, "/info").status, 200);
    assert_eq!(clients[0].read(&mut rest).unwrap(), 0);
}

#[test]
fn a_client_that_waits_for_a_full_server_gets_the_first_connection_that_becomes_idle() {
    let world = World::new();
    let service = world.start_with(&[("HTTP_MAX_CONNECTIONS", "1"), ("HTTP_IDLE_SECONDS", "600")]);
    eventually("the service is ready", || (get(service.metrics_port, "/readyz").status == 200).then_some(()));
    let session = world.block_payments(&service);
    let mut paying = connect(service.port);
    let payment = format!("GET /api/payment/simulate HTTP/1.1\r\nHost: test\r\nX-API-Key: {API_KEY}\r\n\r\n");
    paying.write_all(payment.as_bytes()).unwrap();
    world.wait_for_blocked_payment();
    let mut waiting = connect(service.port);
    waiting.write_all(b"GET /info HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    // It has been accepted, and nothing could be closed for it.
    let accepted = format!("sport = :{}", service.port);
    eventually("it is accepted", || {
        let listening = Command::new("ss").args(["-Hltn", &accepted]).output().unwrap().stdout;
        let queued = String::from_utf8(listening).unwrap();
        (queued.split_whitespace().nth(1) == Some("0")).then_some(())
    });
    drop(session);
    let mut reply = String::new();
    waiting.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    reply.clear();
    paying.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
}

#[test]
fn a_client_that_never_completes_its_request_is_disconnected() {
    let world = World::empty();
    let service = world.start_with(&[("HTTP_HEAD_SECONDS", "1")]);
    let mut client = connect(service.port);
    client.write_all(b"GET /info HTTP/1.1\r\nHost: test\r\nX-Slow: ").unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_client_that_sends_nothing_is_disconnected() {
    let world = World::empty();
    let service = world.start_with(&[("HTTP_IDLE_SECONDS", "1")]);
    let mut new = connect(service.port);
    let mut used = connect(service.port);
    used.write_all(b"GET /info HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(new.read(&mut [0; 1]).unwrap(), 0);
    let mut reply = String::new();
    used.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
}

#[test]
fn too_many_or_too_large_headers_are_refused() {
    let world = World::empty();
    let service = world.start();
    let many = "X-Bomb: 1\r\n".repeat(1000);
    let large = format!("X-Bomb: {}\r\n", "1".repeat(100 * 1024));
    for bomb in [many, large] {
        let reply = exchange(service.port, &format!("GET /info HTTP/1.1\r\nHost: test\r\n{bomb}\r\n"));
        assert!(reply.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{reply}");
    }
    assert_eq!(get(service.port, "/info").status, 200);
}

#[test]
fn a_request_needs_exactly_one_host() {
    let world = World::empty();
    let service = world.start();
    for (hosts, problem) in [
        ("", "400 Bad Request: missing required Host header"),
        ("Host: a b\r\n", "400 Bad Request: malformed Host header"),
        ("Host: a\r\nHost: b\r\n", "400 Bad Request"),
    ] {
        let reply = exchange(service.port, &format!("GET /info HTTP/1.1\r\n{hosts}\r\n"));
        assert!(reply.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{reply}");
        assert!(reply.contains("\r\nConnection: close\r\n"), "{reply}");
        assert!(reply.ends_with(&format!("\r\n\r\n{problem}")), "{reply}");
    }
    let reply = exchange(service.port, "GET /info HTTP/1.0\r\n\r\n");
    assert!(reply.starts_with("HTTP/1.0 200 OK\r\n"), "{reply}");
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_answer() {
    let world = World::new();
    let service = world.start().ready();
    let (payment, session) = world.blocked_payment(&service);
    payment.close_sending_side();
    drop(session);
    assert_eq!(payment.reply().unwrap().status, 200);
}

#[test]
fn a_payment_is_made_although_its_client_went_away() {
    let world = World::new();
    // A connection whose client may only have closed its side is not watched while its request is answered.
    let service = world.start_with(&[("REQUEST_TIMEOUT_SECONDS", "1")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    payment.reset();
    eventually("the request has ended", || {
        service.metrics().contains("http_requests_in_flight 0\n").then_some(())
    });
    drop(session);
    service.wait_for_log("Payment processed");
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "1");
}

#[test]
fn a_payment_that_takes_too_long_is_answered_in_the_apis_form_and_still_made() {
    let world = World::new();
    let service = world.start_with(&[("REQUEST_TIMEOUT_SECONDS", "1")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    let reply = payment.reply().unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (503, "{\"error\": \"Request timed out\"}\n"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    drop(session);
    service.wait_for_log("Payment processed");
}

#[test]
fn a_large_body_is_refused_in_the_apis_form() {
    let world = World::empty();
    let service = world.start();
    let reply = get_with(service.port, "/info", &[("Content-Length", "1000000")]);
    assert_eq!((reply.status, reply.body.as_str()), (413, "{\"error\": \"Request body too large\"}\n"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}
