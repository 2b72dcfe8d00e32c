//! Tests the real binary against a real PostgreSQL, from outside: sockets, signals, files, logs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod abuse;
mod authentication;
mod configuration;
mod drain;
mod image;
mod index_migrations;
mod legacy_routes;
mod logs;
mod metrics;
mod migrate;
mod outage;
mod probes;
mod proxy;
mod recordings;
mod rotation;
mod tls;
mod v1;
