//! What may have been meant by a name that nobody knows.

/// The nearest of some names, if it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Words less alike than this are not slips of the pen.
    const SIMILAR: f64 = 0.75;
    let alike = |known: &str| strsim::jaro_winkler(name, known);
    let nearest = known.into_iter().max_by(|one, other| alike(one).total_cmp(&alike(other)))?;
    (alike(nearest) > SIMILAR).then(|| nearest.to_owned())
}
