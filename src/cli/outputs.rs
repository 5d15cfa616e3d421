//! Output files of a report and their formats.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::CliError;
use crate::report::Template;

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Markdown
    Md,
    /// One HTML page with charts that works offline
    Html,
    /// The versioned JSON model; all other formats are rendered from it
    Json,
    /// JUnit XML, for the test results of a CI system
    Junit,
    /// The verdict and next steps, for a chat or a CI step summary
    Summary,
}

impl Format {
    /// Returns the name of its file in a folder.
    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Md => "STAGING_INTEGRATION_HEALTH_REPORT.md",
            Self::Html => "STAGING_INTEGRATION_HEALTH_REPORT.html",
            Self::Json => "report.json",
            Self::Junit => "junit.xml",
            Self::Summary => "summary.md",
        }
    }

    /// Returns the format for a file name.
    fn of_name(path: &Path) -> Option<Self> {
        if path.file_name()?.to_str()?.ends_with("summary.md") {
            return Some(Self::Summary);
        }
        match path.extension()?.to_str()? {
            "md" | "markdown" => Some(Self::Md),
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            "xml" => Some(Self::Junit),
            _ => None,
        }
    }

    /// Returns its template; `None` for formats without one.
    pub(super) const fn template(self) -> Option<Template> {
        match self {
            Self::Md => Some(Template::Markdown),
            Self::Html => Some(Template::Html),
            Self::Summary => Some(Template::Summary),
            Self::Json | Self::Junit => None,
        }
    }
}

/// One rendering and its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// The format.
    pub format: Format,
    /// The file; `None` is stdout.
    pub path: Option<PathBuf>,
}

/// Combines `--out` and `--format`. A file's ending selects its format; a folder gets the named formats, or all. Without `--out`
/// the named formats go to stdout; without both, Markdown goes to a file with the strategy's name.
pub(super) fn outputs(places: &[PathBuf], formats: &[Format]) -> Result<Vec<Output>, CliError> {
    if places.is_empty() {
        let to_stdout = formats.iter().map(|format| Output { format: *format, path: None });
        let to_file = || vec![Output { format: Format::Md, path: Some(Format::Md.file_name().into()) }];
        return one_stdout(if formats.is_empty() { to_file() } else { to_stdout.collect() });
    }
    let mut all = Vec::new();
    for place in places {
        if is_folder(place) {
            let formats = if formats.is_empty() { Format::value_variants() } else { formats };
            all.extend(formats.iter().map(|format| Output { format: *format, path: Some(place.join(format.file_name())) }));
        } else {
            all.push(file(place, formats)?);
        }
    }
    one_stdout(all)
}

/// Returns true if the folder exists or the path ends in a slash.
fn is_folder(place: &Path) -> bool {
    place.is_dir() || place.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn file(place: &Path, formats: &[Format]) -> Result<Output, CliError> {
    let stdout = place == Path::new("-");
    let format = match (Format::of_name(place), formats) {
        (Some(by_name), []) => by_name,
        (Some(by_name), named) if named.contains(&by_name) => by_name,
        (_, [only]) => *only,
        (None, []) if stdout => Format::Md,
        (None, []) => {
            let problem = format!("--out {}: unknown file ending; use .md, .html, .json or .xml, or add --format", place.display());
            return Err(CliError::Usage(problem));
        }
        (_, _) => {
            let problem = format!(
                "--out {}: several formats for one file; use a name with a known ending, or a folder for all formats",
                place.display()
            );
            return Err(CliError::Usage(problem));
        }
    };
    Ok(Output { format, path: (!stdout).then(|| place.to_owned()) })
}

/// Maps custom templates to their formats, by their endings: `.md`, `.html` or `summary.md`.
pub(super) fn own_templates(files: &[PathBuf]) -> Result<Vec<(Template, PathBuf)>, CliError> {
    let own = |file: &PathBuf| match Format::of_name(file).and_then(Format::template) {
        Some(template) => Ok((template, file.clone())),
        None => {
            let problem = format!("--template {}: unknown file ending; use .md, .html or summary.md", file.display());
            Err(CliError::Usage(problem))
        }
    };
    files.iter().map(own).collect()
}

/// Rejects two formats on one stdout: the reader could not separate them.
fn one_stdout(outputs: Vec<Output>) -> Result<Vec<Output>, CliError> {
    if outputs.iter().filter(|output| output.path.is_none()).count() > 1 {
        return Err(CliError::Usage("only one format can go to stdout: use --out FOLDER/ for several".to_owned()));
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(places: &[&str], formats: &[Format]) -> Result<Vec<(Format, Option<String>)>, String> {
        let places: Vec<_> = places.iter().map(PathBuf::from).collect();
        let outputs = outputs(&places, formats).map_err(|error| error.to_string())?;
        let path = |output: Output| output.path.map(|path| path.to_string_lossy().into_owned());
        Ok(outputs.into_iter().map(|output| (output.format, path(output))).collect())
    }

    #[test]
    fn a_file_ending_selects_the_format_and_a_folder_gets_all_formats() {
        assert_eq!(asked(&[], &[]).unwrap(), [(Format::Md, Some("STAGING_INTEGRATION_HEALTH_REPORT.md".to_owned()))]);
        assert_eq!(asked(&[], &[Format::Json]).unwrap(), [(Format::Json, None)]);
        assert_eq!(asked(&["-"], &[]).unwrap(), [(Format::Md, None)]);
        assert_eq!(asked(&["x.json"], &[]).unwrap(), [(Format::Json, Some("x.json".to_owned()))]);
        assert_eq!(asked(&["x.xml"], &[]).unwrap()[0].0, Format::Junit);
        assert_eq!(asked(&["daily-summary.md"], &[]).unwrap()[0].0, Format::Summary);
        assert_eq!(asked(&["x"], &[Format::Json]).unwrap(), [(Format::Json, Some("x".to_owned()))]);
        let two = asked(&["a.md", "b.json"], &[]).unwrap();
        assert_eq!(two, [(Format::Md, Some("a.md".to_owned())), (Format::Json, Some("b.json".to_owned()))]);
        assert_eq!(asked(&["new/"], &[]).unwrap().len(), Format::value_variants().len());
        assert_eq!(asked(&["new/"], &[Format::Json]).unwrap(), [(Format::Json, Some("new/report.json".to_owned()))]);
    }

    #[test]
    fn ambiguous_outputs_are_rejected() {
        assert!(asked(&["x"], &[]).unwrap_err().contains("unknown file ending"));
        assert!(asked(&["x"], &[Format::Md, Format::Json]).unwrap_err().contains("several formats for one file"));
        assert!(asked(&[], &[Format::Md, Format::Json]).unwrap_err().contains("only one format"));
    }
}
