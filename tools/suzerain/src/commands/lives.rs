//! `suzerain start`, `pause`, `resume`, `stop`, `rm`: what changes the life of realms.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use realm_vmm::Report;
use realm_vmm::control::message::{Call, State};
use toolbox::Progress;

use super::{Which, conclude, json};
use crate::failure::Failure;
use crate::keeper::Client;
use crate::screen::Screen;
use crate::table::total;

/// How often it is shown what is left of a realm.
const LOOK: Duration = Duration::from_millis(500);

/// Realms that a command is about.
#[derive(Args, Debug)]
pub(crate) struct One {
    /// Names or numbers of realms
    #[arg(value_name = "REALM", required = true)]
    pub(crate) realms: Vec<String>,

    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args, Debug)]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) one: One,

    /// Stops realms that run
    #[arg(long, short)]
    pub(crate) force: bool,

    /// Prints a JSON object for each realm: the report of its run
    #[arg(long)]
    pub(crate) json: bool,
}

/// Lets realms run.
pub(crate) fn start(one: &One) -> u8 {
    each(one, |realm| Call::Start { realm })
}

/// Lets none of their vCPUs run.
pub(crate) fn pause(one: &One) -> u8 {
    each(one, |realm| Call::Pause { realm })
}

/// Lets them run again.
pub(crate) fn resume(one: &One) -> u8 {
    each(one, |realm| Call::Resume { realm })
}

/// Ends them.
pub(crate) fn stop(one: &One) -> u8 {
    each(one, |realm| Call::Stop { realm })
}

fn each(one: &One, call: impl Fn(u32) -> Call) -> u8 {
    let screen = Screen::new(false, false);
    let result = one.which.connect().and_then(|mut client| {
        one.realms.iter().try_for_each(|name| {
            let realm = client.find(name)?.realm;
            client.done(call(realm))?;
            screen.out(name);
            Ok(())
        })
    });
    conclude(result, &screen)
}

/// Takes realms apart.
pub(crate) fn rm(options: &Rm) -> u8 {
    let screen = Screen::new(options.json, false);
    let result = options.one.realms.iter().try_for_each(|name| {
        let mut client = options.one.which.connect()?;
        let status = client.find(name)?;
        let realm = status.realm;
        match status.state {
            State::Running | State::Starved | State::Paused if options.force => {
                client.done(Call::Stop { realm })?;
            }
            State::Running | State::Starved | State::Paused => {
                let state = status.state.name();
                return Err(Failure::input(format!(
                    "realm `{name}` is {state}; `suzerain stop {name}` first, or use --force"
                )));
            }
            State::Removing => {
                return Err(Failure::input(format!(
                    "realm `{name}` is being taken apart already"
                )));
            }
            State::New | State::Active | State::Stopped => {}
        }
        let report = remove(&options.one.which, client, realm, name, &screen)?;
        screen.clear();
        screen.out(&if options.json {
            json(&report)?
        } else {
            name.clone()
        });
        Ok(())
    });
    conclude(result, &screen)
}

/// Takes a realm apart, and shows what is left of it meanwhile.
fn remove(
    which: &Which,
    mut client: Client,
    realm: u32,
    name: &str,
    screen: &Screen,
) -> Result<Report, Failure> {
    thread::scope(|scope| {
        let removal = scope.spawn(move || client.remove(realm));
        let mut watcher = None;
        let mut next = Instant::now() + LOOK;
        while !removal.is_finished() {
            thread::sleep(Duration::from_millis(10));
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + LOOK;
            if watcher.is_none() {
                screen.step(&format!("taking `{name}` apart"));
                watcher = which.connect().ok();
            }
            // Whatever goes wrong with looking, the removal says what matters.
            let Some(Ok(listing)) = watcher.as_mut().map(Client::list) else {
                continue;
            };
            if let Some(status) = listing.realms.iter().find(|status| status.realm == realm) {
                let left = total(&status.granules);
                screen.detail(&format!("{left} granules left"));
            }
        }
        removal
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}
