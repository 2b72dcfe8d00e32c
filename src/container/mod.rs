//! The container engine and image registries: build, smoke-test, push, copy.

mod bound;
mod build;
pub mod distribution;
mod engine;
mod error;
mod log;
mod login;
mod pieces;
mod push;
mod reference;
mod smoke;
mod transcript;

use bound::bounded;
pub use build::{Recipe, build};
pub use engine::{Engine, LocalImage};
pub use login::{Failure, Login, with_login};
pub use push::push;
pub use reference::{Repository, parse_digest};
pub use smoke::smoke;
