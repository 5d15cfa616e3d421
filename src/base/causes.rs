//! Errors with their causes: many libraries' own words leave out what went wrong.

/// The error and all that caused it, in one line.
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
