//! The flags of the command line, as typed.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::config::effective::GivenFlag;

/// Returns the flags of the command and of its subcommands.
pub(super) fn flags(command: &Command, matches: &ArgMatches) -> Vec<GivenFlag> {
    let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let of_flag = |arg: &clap::Arg| {
        let name = format!("--{}", arg.get_long()?);
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let takes_values = arg.get_action().takes_values();
        let values: Vec<_> = values.filter(|_| takes_values).map(|value| value.to_string_lossy()).collect();
        Some(GivenFlag { name, value: values.join(",") })
    };
    let own = command.get_arguments().filter(|arg| typed(arg.get_id().as_str())).filter_map(of_flag);
    let mut flags: Vec<GivenFlag> = own.collect();
    if let Some((name, matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        // Global flags appear at each level.
        let below = self::flags(command, matches);
        flags.retain(|flag| below.iter().all(|other| other.name != flag.name));
        flags.extend(below);
    }
    flags
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn only_typed_flags_are_listed_and_switches_have_no_value() {
        let mut command = Cli::command();
        let typed = ["hubwatch", "-v", "run", "--hub", "http://a", "--header", "A: b", "--header", "C: d", "--stdin", "--listen"];
        let matches = command.try_get_matches_from_mut(typed).unwrap();
        let flags: Vec<String> = flags(&command, &matches).iter().map(|flag| format!("{} {}", flag.name, flag.value)).collect();
        assert_eq!(flags, ["--hub http://a", "--stdin ", "--header A: b,C: d", "--listen 127.0.0.1:9684", "--verbose "]);
    }
}
