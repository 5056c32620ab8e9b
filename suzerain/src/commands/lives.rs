//! `suzerain start`, `pause`, `resume`, `stop`, `rm`: what changes the life of realms.

use clap::Args;
use realm_vmm::control::message::{Call, State};

use super::{Which, conclude, json};
use crate::failure::Failure;
use crate::screen::Screen;

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
            State::Running | State::Paused if options.force => {
                client.done(Call::Stop { realm })?;
            }
            State::Running | State::Paused => {
                let state = status.state.name();
                return Err(Failure::input(format!(
                    "realm `{name}` is {state}; `suzerain stop {name}` first, or use --force"
                )));
            }
            State::New | State::Active | State::Stopped => {}
        }
        let report = client.remove(realm)?;
        screen.out(&if options.json {
            json(&report)?
        } else {
            name.clone()
        });
        Ok(())
    });
    conclude(result, &screen)
}
