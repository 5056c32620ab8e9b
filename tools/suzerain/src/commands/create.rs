//! `suzerain create`.

use std::fs;

use clap::Args;
use realm_vmm::control::message::Spec;
use toolbox::Progress;

use super::{Which, conclude, json};
use crate::failure::{self, Failure};
use crate::keeper::{Backing, DiskFile};
use crate::options::RealmOptions;
use crate::prepare::{self, Install, Wanted};
use crate::random::CHALLENGE;
use crate::screen::Screen;
use crate::source;

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Create {
    /// Its name: letters, digits, and any of -_.
    #[arg(value_name = "REALM")]
    pub(crate) realm: String,

    #[command(flatten)]
    pub(crate) options: RealmOptions,

    /// Ends the realm after that long
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) timeout: u64,

    /// Takes the realm although the machine cannot promise all the memory that it can ever need: it waits whenever there is none
    #[arg(long)]
    pub(crate) overcommit: bool,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Shows what tools say, too
    #[arg(long, short)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) install: Install,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// The object that `--json` prints.
#[derive(serde::Serialize)]
struct Created<'a> {
    realm: u32,
    name: &'a str,
    rim: &'a str,
}

/// Makes a realm, and returns the exit code.
pub(crate) fn run(options: &Create) -> u8 {
    let screen = Screen::new(options.json, options.verbose);
    let result = create(options, &screen);
    conclude(result, &screen)
}

fn create(options: &Create, screen: &Screen) -> Result<(), Failure> {
    let name = options.realm.as_str();
    check(name)?;
    options.options.check()?;
    let mut client = options.which.connect()?;
    let blueprint = match source::named(&options.options, screen)? {
        Some(blueprint) => blueprint,
        None => {
            let wanted = Wanted {
                demo: true,
                ..Wanted::default()
            };
            options.install.choose();
            let demo = prepare::prepare(wanted, screen)?.demo;
            source::demo(&options.options, demo)?
        }
    };
    let expected = blueprint.rim()?;
    let disks = match &options.options.disk {
        Some(path) => {
            let path = fs::canonicalize(path).map_err(|error| {
                Failure::input(format!("cannot find the disk {}: {error}", path.display()))
            })?;
            let read_only = options.options.read_only;
            vec![DiskFile { path, read_only }]
        }
        None => Vec::new(),
    };
    let network = options.options.network();
    // The process that keeps the machine draws the challenge, which it has to know when the token is verified.
    let spec = Spec {
        overcommit: options.overcommit,
        ..blueprint.spec(options.timeout.saturating_mul(1000), [0; CHALLENGE])
    };
    let total = blueprint.length();
    screen.step("loading the realm");
    let mut progress = |over: u64| screen.detail(&format!("{} %", over * 100 / total.max(1)));
    let contents = blueprint.contents;
    // The process that keeps the machine opens the disks itself.
    drop(blueprint.disks);
    let backing = Backing { disks, network };
    let (realm, rim) = client.create(
        name,
        (spec, expected.clone()),
        backing,
        &contents,
        &mut progress,
    )?;
    source::check_rim(&expected, &rim)?;
    screen.clear();
    screen.out(&match options.json {
        true => json(&Created {
            realm,
            name,
            rim: &rim,
        })?,
        false => format!("{realm}  {name}  {rim}"),
    });
    Ok(())
}

/// A name must not be taken for a number or an option.
fn check(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if number || name.len() > 64 || name.starts_with('-') || !name.chars().all(fits) {
        return Err(Failure::input(format!(
            "`{name}` is no name of a realm; use up to 64 letters, digits and -_. and not digits alone"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_number_and_no_option() {
        for good in ["a", "web-1", "1a", "A.b_c"] {
            check(good).unwrap();
        }
        for bad in ["", "12", "-x", "a b", "a\u{1b}", &"x".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
