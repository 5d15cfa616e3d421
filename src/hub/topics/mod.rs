//! What lines and answers mean: one module for each topic.

pub mod call_trace;
pub mod calls;
pub mod children;
pub mod claims;
pub mod clients;
pub mod servers;
pub mod settle;
