//! How options were once spelled: whoever writes them so is told how they are spelled now.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::Arguments;
use crate::foreign::printable;

/// A spelling that is no more.
struct Old {
    /// The commands that had it.
    commands: &'static [&'static str],
    what: What,
    /// How to say the same now. `{}` is what is refused.
    now: &'static str,
}

/// What the parser does not take any more.
#[derive(PartialEq, Eq)]
enum What {
    /// An option.
    Option(&'static str),
    /// An option without a value, which has one now.
    Bare(&'static str),
    /// A word that belongs to no option.
    Word,
}

/// The commands that make a realm, or say what it would be.
const REALM: &[&str] = &["create", "measure", "run"];

/// The commands that talk to a machine, but for `create`, where that option names the realm.
const MACHINE: &[&str] = &[
    "attest", "console", "down", "inspect", "logs", "pause", "ps", "resume", "rm", "start", "stop",
    "top", "up",
];

const OLD: [Old; 5] = [
    Old {
        commands: REALM,
        what: What::Option("--image"),
        now: "`{}` is `--raw FILE` now",
    },
    Old {
        commands: REALM,
        what: What::Option("--read-only"),
        now: "`{}` is `--disk FILE:ro` now",
    },
    Old {
        commands: REALM,
        what: What::Bare("--network"),
        now: "`{}` has a value now: `--network ports`",
    },
    Old {
        commands: MACHINE,
        what: What::Option("--name"),
        now: "`{}` is `--on MACHINE` now",
    },
    Old {
        commands: &["create"],
        what: What::Word,
        now: "a realm's name is an option now: `--name {}`; that of the machine is `--on MACHINE`",
    },
];

/// Reads the command line.
///
/// # Errors
///
/// What is wrong with it. What was right once says what it is now.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let words: Vec<_> = words.collect();
    Arguments::try_parse_from(&words).map_err(|error| {
        let name = words.get(1).and_then(|word| word.to_str());
        name.and_then(|name| explain(name, &error)).unwrap_or(error)
    })
}

/// The error of a command that was given an old spelling; `None` if it was not.
fn explain(name: &str, error: &clap::Error) -> Option<clap::Error> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let refused = text(ContextKind::InvalidArg)?;
    let option = refused
        .split(' ')
        .next()
        .filter(|_| refused.starts_with('-'));
    let found = OLD.iter().find(|old| {
        let is_it = match (&old.what, error.kind()) {
            (What::Option(spelling), ErrorKind::UnknownArgument) => option == Some(spelling),
            (What::Bare(spelling), ErrorKind::InvalidValue) => {
                option == Some(spelling) && text(ContextKind::InvalidValue) == Some("")
            }
            (What::Word, ErrorKind::UnknownArgument) => option.is_none(),
            _ => false,
        };
        is_it && old.commands.contains(&name)
    })?;
    let refused = printable(option.unwrap_or(refused));
    let message = found.now.replace("{}", &refused);
    let mut command = Arguments::command();
    // Without it, a command does not know what it is called.
    command.build();
    let command = command.find_subcommand_mut(name)?;
    Some(command.error(error.kind(), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    fn error(words: &[&str]) -> clap::Error {
        let all = ["suzerain"].iter().chain(words).map(OsString::from);
        match parse(all) {
            Ok(_) => panic!("{words:?} is taken"),
            Err(error) => error,
        }
    }

    #[test]
    fn every_old_spelling_names_the_new_one() {
        for old in &OLD {
            for command in old.commands {
                let lines: &[&[&str]] = match old.what {
                    What::Option(spelling) => &[&[spelling], &[spelling, "x"]],
                    What::Bare(spelling) => &[&[spelling], &[spelling, "--vcpus", "2"]],
                    What::Word => &[&["web"], &["web", "--on", "x"], &["--name", "x", "web"]],
                };
                for line in lines {
                    let error = error(&[&[*command], *line].concat());
                    let text = error.to_string();
                    let (first, rest) = text.split_once('\n').unwrap();
                    let refused = match old.what {
                        What::Option(spelling) | What::Bare(spelling) => spelling,
                        What::Word => "web",
                    };
                    let now = old.now.replace("{}", refused);
                    assert_eq!(first, format!("error: {now}"));
                    assert!(
                        rest.contains(&format!("Usage: suzerain {command} ")),
                        "{text}"
                    );
                    assert_eq!(error.exit_code(), i32::from(failure::INPUT));
                }
            }
        }
    }

    #[test]
    fn every_command_that_talks_to_a_machine_says_how_it_is_named() {
        let commands = Arguments::command();
        let has = |command: &clap::Command, long| {
            let mut options = command.get_arguments();
            options.any(|option| option.get_long() == Some(long))
        };
        let mut with: Vec<_> = commands
            .get_subcommands()
            .filter(|command| has(command, "on") && !has(command, "name") && !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        with.sort_unstable();
        assert_eq!(with, MACHINE);
    }

    #[test]
    fn what_was_never_right_is_explained_as_ever() {
        for (words, part) in [
            (["run", "web"], "unexpected argument 'web'"),
            (["create", "--imag"], "unexpected argument '--imag'"),
            (["create", "--network=nat"], "possible values: none, ports"),
            (["host", "--image"], "unexpected argument '--image'"),
            (["nothing", "--image"], "unrecognized subcommand 'nothing'"),
        ] {
            let text = error(&words).to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
