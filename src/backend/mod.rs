//! Trace backends: each gives the trace with a given id.
