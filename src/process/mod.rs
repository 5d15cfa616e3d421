//! The hub's process and its children.
