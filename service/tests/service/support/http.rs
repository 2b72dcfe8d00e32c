//! A minimal HTTP client that shows the exact bytes: one request per connection.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::DEADLINE;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The body with every run of digits replaced by one `0`, so that responses can be compared.
    pub fn shape(&self) -> String {
        shape(&self.body)
    }
}

pub fn shape(text: &str) -> String {
    let mut shape = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            shape.push(character);
        } else if !shape.ends_with('0') {
            shape.push('0');
        }
    }
    shape
}

#[track_caller]
pub fn get(port: u16, path: &str) -> Reply {
    request(port, "GET", path, &[]).unwrap()
}

#[track_caller]
pub fn get_with(port: u16, path: &str, headers: &[(&str, &str)]) -> Reply {
    request(port, "GET", path, headers).unwrap()
}

pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Reply> {
    send(port, method, path, headers)?.reply()
}

/// A request in flight.
pub struct Pending(TcpStream);

pub fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Pending> {
    send_with_body(port, method, path, headers, "")
}

/// Without a Content-Length if `body` is empty.
pub fn send_with_body(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Pending> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").map_err(std::io::Error::other)?;
    }
    if !body.is_empty() {
        write!(head, "Content-Length: {}\r\n", body.len()).map_err(std::io::Error::other)?;
    }
    stream.write_all((head + "\r\n" + body).as_bytes())?;
    Ok(Pending(stream))
}

/// A connection on which nothing has been sent.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends exactly `request` and returns everything that comes back until the server closes the connection.
pub fn exchange(port: u16, request: &str) -> String {
    String::from_utf8_lossy(&exchange_bytes(port, request.as_bytes())).into_owned()
}

pub fn exchange_bytes(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    // The server may refuse a request, and close, before it has read all of it.
    stream.write_all(request).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok();
    reply
}

impl Pending {
    /// Ends the sending side, as `nc -N` does after the request.
    pub fn close_sending_side(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes the connection without waiting for the reply. The server's next packet is answered with a reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(std::time::Duration::ZERO)).unwrap();
    }

    pub fn reply(mut self) -> std::io::Result<Reply> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Err(std::io::Error::other(format!("no complete head in {text:?}")));
        };
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok(Reply {
            status: status.parse().map_err(std::io::Error::other)?,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.to_owned(),
        })
    }
}
