//! A task engine.
#[cfg(feature = "napi")]
mod binding;
pub mod dispatch;
pub mod engine;
pub mod error;
pub mod policy;
pub mod store;
pub mod task;
pub mod time;
