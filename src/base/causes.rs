//! Errors with their causes. Many libraries leave the cause out of their own message.

/// Returns the error and all its causes in one line.
pub fn of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
