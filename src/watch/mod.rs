//! The waist of the hourglass.
mod quantity;
pub use quantity::{Bytes, Count, Micros, Timestamp};
