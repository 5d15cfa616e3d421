//! `hubwatch instrument node`: the module, and the lines that load it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{MODULE, setting};
use crate::base::atomic::{self, Readers};
use crate::cli::report::print;
use crate::cli::{CliError, Exit};

/// Print the module that a hub under Node or Bun loads, or write it to a file
#[derive(Debug, Args)]
#[command(
    after_help = "The module sends to http://127.0.0.1:4318, the OTLP receiver of `hubwatch run`. OTEL_EXPORTER_OTLP_ENDPOINT in the
hub's environment names another one. docs/instrumentation.md says what it sees and what leaves.

Examples:
  hubwatch instrument node | less                                # read it before you trust it
  hubwatch instrument node --out /opt/hubwatch/hubwatch.mjs      # write it, and print the lines that load it
  hubwatch instrument node --out hubwatch.mjs --fault-file /tmp/fault"
)]
pub(super) struct NodeArgs {
    /// Write it to this file, and print the lines that load it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also print the variables that allow faults: `scenario run gemini_failure` writes this file
    #[arg(long, value_name = "FILE", requires = "out")]
    fault_file: Option<PathBuf>,
}

/// Prints the module, or writes it and prints how to load it.
pub(super) fn node(args: &NodeArgs) -> Result<Exit, CliError> {
    let Some(out) = &args.out else {
        print(MODULE)?;
        return Ok(Exit::Ok);
    };
    let failed = |reason| CliError::Output { path: out.clone(), reason };
    atomic::write(out, MODULE.as_bytes(), Readers::AsUsual).map_err(failed)?;
    // The hub may start in another folder.
    let absolute = std::path::absolute(out).map_err(failed)?;
    print(&lines(&absolute, args.fault_file.as_deref()))?;
    Ok(Exit::Ok)
}

/// Returns the lines that load the module, for each runtime.
fn lines(module: &Path, fault_file: Option<&Path>) -> String {
    let (node, bun) = (setting(false, module), setting(true, module));
    let mut lines = format!("Node:   {node}\nBun:    {bun}\n        bun --preload \"{}\" …\n", module.display());
    if let Some(fault) = fault_file {
        let fault = std::path::absolute(fault).unwrap_or_else(|_| fault.to_owned());
        lines.push_str(&format!("Faults: HUBWATCH_ALLOW_FAULTS=1 HUBWATCH_FAULT_FILE=\"{}\"\n", fault.display()));
    }
    lines.push_str("Set this in the hub's environment and start the hub anew; then run: hubwatch instrument check\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_the_file_for_each_runtime_and_the_faults_when_asked() {
        let plain = lines(Path::new("/opt/hubwatch.mjs"), None);
        assert!(
            plain.contains("NODE_OPTIONS=\"--import /opt/hubwatch.mjs\"") && plain.contains("bun --preload \"/opt/hubwatch.mjs\"")
        );
        assert!(!plain.contains("FAULT"), "{plain}");
        let faults = lines(Path::new("/a b/hubwatch.mjs"), Some(Path::new("/tmp/fault")));
        assert!(faults.contains(r#"NODE_OPTIONS='--import "/a b/hubwatch.mjs"'"#), "{faults}");
        assert!(faults.contains("HUBWATCH_ALLOW_FAULTS=1 HUBWATCH_FAULT_FILE=\"/tmp/fault\""), "{faults}");
    }
}
