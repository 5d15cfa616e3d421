//! A hub that behaves like the real ones, their bugs included.
