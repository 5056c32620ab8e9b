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
use crate::{name, source};

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Create {
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
    options.options.check()?;
    let name = match &options.options.name {
        Some(name) => name.clone(),
        None => name::made_up()?,
    };
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
        Some(DiskFile { path, read_only }) => {
            let path = fs::canonicalize(path).map_err(|error| {
                Failure::input(format!("cannot find the disk {}: {error}", path.display()))
            })?;
            let read_only = *read_only;
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
        &name,
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
            name: &name,
            rim: &rim,
        })?,
        false => format!("{realm}  {name}  {rim}"),
    });
    Ok(())
}
