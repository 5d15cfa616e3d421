//! OTLP senders.
