//! `suzerain run`.

use std::mem;
use std::time::Instant;

use realm_vmm::report::{Outcome, Report};
use toolbox::Progress;

use super::{conclude, linux};
use crate::blueprint::Blueprint;
use crate::bundle::Launch;
use crate::evidence::{Checked, Trust};
use crate::failure::Failure;
use crate::key::Identity;
use crate::options::{self, Machine, Options};
use crate::prepare::{self, Parts, Wanted};
use crate::qemu::{self, Shape};
use crate::random::{self, CHALLENGE};
use crate::screen::Screen;
use crate::summary::{Attested, Durations, Summary};
use crate::watch::{self, Observed};
use crate::{hex, model, source};

/// Runs a realm to its end and returns the exit code.
pub(crate) fn run(options: &Options) -> u8 {
    match options.realm.kernel {
        Some(_) => linux::run(options),
        None => raw(options),
    }
}

fn raw(options: &Options) -> u8 {
    let started = Instant::now();
    let screen = Screen::new(options.json, options.verbose);
    let mut durations = Durations::default();
    let mut drawn = None;
    let (observed, result) = match begin(options, &mut durations, &screen) {
        Ok((parts, blueprint)) => match Trusted::new(options, &blueprint) {
            Ok(trusted) => {
                let trusted = drawn.insert(trusted);
                on_machine(options, &parts, &blueprint, trusted, &screen)
            }
            Err(failure) => (None, Err(failure)),
        },
        Err(failure) => (None, Err(failure)),
    };
    screen.clear();
    durations.total = started.elapsed();
    let report = observed
        .as_ref()
        .and_then(|observed| observed.report.as_ref());
    let checked = drawn.as_ref().zip(report);
    let (attestation, result) = match checked.map(|(trusted, report)| trusted.check(report)) {
        None => (None, result),
        Some(Err(failure)) => (None, result.and(Err(failure))),
        Some(Ok(attestation)) => {
            let refused = attestation.as_ref().and_then(Checked::failure);
            (attestation, result.and(refused.map_or(Ok(()), Err)))
        }
    };
    let failure = result.err();
    let summary = Summary::new(
        options,
        observed.as_ref(),
        &durations,
        failure.as_ref(),
        drawn.map(|trusted| Attested {
            rim: trusted.rim,
            challenge: Some(trusted.challenge.to_vec()),
            token: attestation,
        }),
        None,
    );
    if options.json {
        screen.out(&summary.json());
    } else if observed.is_some() {
        screen.out(&summary.tables());
    }
    conclude(failure.map_or(Ok(()), Err), &screen)
}

/// What is known of a realm before there is one, and without asking its host.
struct Trusted {
    /// What the realm is to have signed.
    challenge: [u8; CHALLENGE],
    /// Its initial measurement in hexadecimal, computed from what it is made of.
    rim: String,
    /// Whose platform must have signed its token.
    identity: Identity,
}

impl Trusted {
    fn new(options: &Options, blueprint: &Blueprint) -> Result<Self, Failure> {
        Ok(Self {
            challenge: random::bytes()?,
            rim: blueprint.rim()?,
            identity: match &options.key {
                Some(path) => Identity::of_key(path)?,
                None => Identity::development(None)?,
            },
        })
    }

    /// Verifies the token in the host's report, if there is one. Of the rest of the report, nothing counts.
    fn check(&self, report: &Report) -> Result<Option<Checked>, Failure> {
        let Some(token) = &report.token else {
            return Ok(None);
        };
        let token = hex::parse(token)
            .map_err(|why| Failure::refused(format!("the token in the host's report is {why}")))?;
        let trust = Trust {
            identity: self.identity.clone(),
            challenge: Some(self.challenge.to_vec()),
            rim: hex::parse(&self.rim).ok(),
        };
        Checked::new(&token, &trust).map(Some)
    }
}

/// Everything that is needed to run the realm.
pub(super) fn begin(
    options: &Options,
    durations: &mut Durations,
    screen: &Screen,
) -> Result<(Parts, Blueprint), Failure> {
    options.check()?;
    let named = source::named(&options.realm, screen)?;
    let wanted = Wanted {
        machine: options.machine == Machine::Qemu,
        demo: named.is_none(),
        firmware: options.firmware.as_deref(),
        hypervisor: options.hypervisor.as_deref(),
    };
    options.install.choose();
    let mut parts = prepare::prepare(wanted, screen)?;
    durations.setup = Some(parts.setup);
    durations.images = Some(parts.images);
    let blueprint = match named {
        Some(blueprint) => blueprint,
        None => source::demo(&options.realm, mem::take(&mut parts.demo))?,
    };
    Ok((parts, blueprint))
}

fn on_machine(
    options: &Options,
    parts: &Parts,
    blueprint: &Blueprint,
    trusted: &Trusted,
    screen: &Screen,
) -> (Option<Observed>, Result<(), Failure>) {
    screen.step("booting");
    let limit = options.limit().unwrap_or(options::USUAL_LIMIT);
    let image = blueprint.contents.first();
    let image = image.map_or(&[][..], |contents| &contents.bytes);
    let launch = Launch {
        vcpus: blueprint.vcpus,
        memory: blueprint.memory,
        page_size: options.page_size.bytes(),
        limit: options.host_limit(),
        sve_bits: blueprint.sve_bits,
        image,
        challenge: trusted.challenge,
        flags: 0,
    };
    let started: Result<Box<dyn watch::Machine>, Failure> = match (options.machine, &parts.qemu) {
        (Machine::Qemu, Some(qemu)) => {
            let shape = Shape {
                cpus: options.cpus(),
                memory: options.host_memory(),
            };
            qemu::start(qemu, shape, parts, &launch.encode(), screen)
                .map(|machine| Box::new(machine) as _)
        }
        (Machine::Qemu, None) => Err(Failure::machine("no emulator was looked for")),
        (Machine::Model, _) => model::start(options, image.to_vec(), trusted.challenge)
            .map(|machine| Box::new(machine) as _),
    };
    let mut machine = match started {
        Ok(machine) => machine,
        Err(failure) => return (None, Err(failure)),
    };
    let (observed, result) = watch::watch(machine.as_mut(), limit, screen);
    drop(machine);
    let result = result.and_then(|()| verdict(options, observed.report.as_ref()));
    let result = result.and_then(|()| {
        let said = observed.report.as_ref().map(|report| report.rim.as_str());
        source::check_rim(&trusted.rim, said.unwrap_or_default())
    });
    (Some(observed), result)
}

/// Whether a report tells of a good run. The host's own verdict is not taken on trust.
pub(super) fn verdict(options: &Options, report: Option<&Report>) -> Result<(), Failure> {
    let Some(report) = report else {
        return Err(Failure::machine(
            "the machine ended without a report; try again with --verbose",
        ));
    };
    if let Some(failure) = Failure::of_report(report.outcome, report.error.as_deref()) {
        return Err(failure);
    }
    let granules = &report.granules;
    if granules.returned != granules.delegated || granules.quarantined != 0 {
        let (delegated, returned) = (granules.delegated, granules.returned);
        let message =
            format!("the host delegated {delegated} granules and got {returned} of them back");
        return Err(Failure::of_report(Outcome::Error, Some(&message))
            .unwrap_or_else(|| Failure::machine(message)));
    }
    if report.recs.len() as u64 != options.realm.vcpus {
        let message = format!(
            "the report tells of {} RECs, not of {}",
            report.recs.len(),
            options.realm.vcpus
        );
        return Err(Failure::machine(message));
    }
    Ok(())
}
