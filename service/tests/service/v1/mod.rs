//! `/v1` on a real PostgreSQL.

mod accounts;
mod audit;
mod idempotency;
mod input;
mod lists;
mod moves;
mod payments;
mod provider;
mod residency;
mod tour;
