//! What is left of a run: one JSON object, or two tables.

use std::collections::BTreeMap;
use std::time::Duration;

use realm_vmm::report::{GranuleReport, Phase, RecReport};
use serde::Serialize;

use crate::evidence::Checked;
use crate::failure::Failure;
use crate::foreign::{json_or_error, printable};
use crate::hex;
use crate::options::Options;
use crate::table::table;
use crate::watch::Observed;

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// `ok`, `guest-failed`, `timeout`, `interrupted` or `error`.
    outcome: String,
    /// Why, if the outcome is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The realm's name.
    name: String,
    /// `qemu` or `model`.
    machine: &'static str,
    /// How many vCPUs were asked for.
    vcpus: u64,
    /// Bytes of memory that were asked for.
    memory: u64,
    /// The realm initial measurement in hexadecimal, computed from what the realm is made of; empty if it came to no realm.
    rim: String,
    /// The attestation token that the realm obtained, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The challenge that was drawn for it, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    /// What the token says, and whether it verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<Checked>,
    /// What the command of `--exec` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    exec: Option<Exec>,
    /// The RECs by index.
    recs: Vec<RecReport>,
    /// The granule account.
    granules: GranuleReport,
    /// Seconds by phase, for the phases that were reached.
    seconds: BTreeMap<&'static str, f64>,
}

/// What is known of a realm without its host.
#[derive(Debug)]
pub(crate) struct Attested {
    /// Its initial measurement in hexadecimal.
    pub(crate) rim: String,
    /// The challenge that was drawn for it, where one was.
    pub(crate) challenge: Option<Vec<u8>>,
    /// What came of verifying its token, if it has obtained one.
    pub(crate) token: Option<Checked>,
}

/// What the command of `--exec` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Exec {
    /// What it printed, with what is no UTF-8 replaced.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
    /// Its exit status, if it got as far as that.
    pub(crate) status: Option<u8>,
}

/// How long each phase took.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// Finding or installing tools.
    pub(crate) setup: Option<Duration>,
    /// Building images.
    pub(crate) images: Option<Duration>,
    /// All of it.
    pub(crate) total: Duration,
}

impl Summary {
    /// The summary of a run that was `observed` and failed with `failure`, if it did.
    pub(crate) fn new(
        options: &Options,
        observed: Option<&Observed>,
        durations: &Durations,
        failure: Option<&Failure>,
        attested: Option<Attested>,
        exec: Option<Exec>,
    ) -> Self {
        let report = observed.and_then(|observed| observed.report.clone());
        let mut seconds = BTreeMap::new();
        let mut set = |name, duration: Option<Duration>| {
            if let Some(duration) = duration {
                seconds.insert(name, (duration.as_secs_f64() * 1000.0).round() / 1000.0);
            }
        };
        set("setup", durations.setup);
        set("images", durations.images);
        set("total", durations.total.into());
        if let Some(observed) = observed {
            let at = |wanted| {
                observed
                    .phases
                    .iter()
                    .find(|(phase, _)| *phase == wanted)
                    .map(|(_, at)| *at)
            };
            let between =
                |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?));
            set("boot", at(Phase::Booted));
            set("create", between(at(Phase::Booted), at(Phase::Created)));
            set("realm", between(at(Phase::Created), at(Phase::Destroyed)));
            set("machine", Some(observed.duration));
        }
        let (recs, granules, token) = match report {
            Some(report) => (report.recs, report.granules, report.token),
            None => Default::default(),
        };
        let (rim, challenge, attestation) = match attested {
            Some(Attested {
                rim,
                challenge,
                token,
            }) => (rim, challenge.map(|challenge| hex::show(&challenge)), token),
            None => Default::default(),
        };
        Self {
            outcome: failure.map_or("ok", Failure::outcome).to_owned(),
            error: failure.map(ToString::to_string),
            name: options.realm.name().to_owned(),
            machine: options.machine.name(),
            vcpus: options.realm.vcpus,
            memory: options.realm.memory(),
            rim,
            token,
            challenge,
            attestation,
            exec,
            recs,
            granules,
            seconds,
        }
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        json_or_error(self)
    }

    /// The table of RECs, the granule account and the times, for people.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        if !self.rim.is_empty() {
            text += &format!("\nrealm initial measurement {}\n", printable(&self.rim));
        }
        if let Some(attestation) = &self.attestation {
            text += &format!("\n{}\n", attestation.digest());
        } else if self.challenge.is_some() {
            text += "\nattestation: NOT CHECKED, the realm has handed over no token\n";
        }
        if !self.recs.is_empty() {
            let heads = [
                "REC",
                "MPIDR",
                "state",
                "aux granules",
                "entries",
                "exits by reason",
            ];
            let rows = self.recs.iter().map(|rec| {
                let exits: Vec<_> = rec
                    .exits
                    .iter()
                    .map(|(reason, count)| format!("{reason} {count}"))
                    .collect();
                [
                    rec.index.to_string(),
                    format!("{:#x}", rec.mpidr),
                    printable(&rec.state),
                    rec.aux_granules.to_string(),
                    rec.entries.to_string(),
                    printable(&exits.join(", ")),
                ]
            });
            text += "\n";
            text += &table(heads, rows, None);
            let GranuleReport {
                delegated,
                returned,
                quarantined,
            } = self.granules;
            let row = [delegated, returned, quarantined].map(|count| count.to_string());
            text += "\n";
            text += &table(
                ["granules delegated", "returned", "in quarantine"],
                [row].into_iter(),
                None,
            );
        }
        let seconds = |name: &&str| {
            self.seconds
                .get(name)
                .map(|seconds| format!("{name} {seconds:.1} s"))
        };
        let phases = ["setup", "images", "boot", "create", "realm", "total"];
        let phases: Vec<_> = phases.iter().filter_map(seconds).collect();
        text += &format!("\n{}", phases.join(", "));
        text
    }
}
