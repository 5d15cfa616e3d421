//! Suggestions for unknown names.

/// Returns the most similar known name, if it is similar enough for a typing mistake.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Below this similarity it is another word, not a typing mistake.
    const SIMILAR: f64 = 0.75;
    let alike = |known: &str| strsim::jaro_winkler(name, known);
    let nearest = known.into_iter().max_by(|one, other| alike(one).total_cmp(&alike(other)))?;
    (alike(nearest) > SIMILAR).then(|| nearest.to_owned())
}
