//! A machine and the model, side by side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cca_abi::rmi::run::{ENTER_WORDS, EXIT, EXIT_WORDS, RecEnter, RecExit};
use cca_abi::rmi::{Command, rec_aux_count, rec_enter};
use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, Instruction};
use machine::{Config, HostPe, Machine, Snapshot, Time};
use realm_host::{PageCount, PageSize, PageSupply, SmcTransport};
use spec_model::{ExpectedExit, Failure, Model, Operation, Platform, RecEntry as Entry, Retired};

use crate::compare;

/// Bytes of DRAM: the least that a machine has.
const DRAM: u64 = 64 << 20;
/// What the firmware of the machine says may be delegated: all DRAM but the monitor's own.
const DELEGABLE: [(u64, u64); 2] = [
    (0x4000_0000, 0x4010_0000),
    (0x4190_0000, 0x4000_0000 + DRAM),
];
/// Where programs of realms may start.
pub(crate) const CODE: [u64; 4] = [0, 0x1000, 0x20_0000, 0x4000_0000];

/// One thing that the host does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Fills a granule: these words, everything else zero.
    Write { pa: u64, words: Vec<(usize, u64)> },
    /// Makes a call.
    Call(Registers),
    /// Makes a call without looking at the whole state afterwards: one of many.
    Quick(Registers),
    /// Writes the record and enters a REC, whose program then does something.
    Enter {
        rec: u64,
        run: u64,
        record: Box<RecEnter>,
        next: Option<Operation>,
    },
}

/// What driver and program in a realm tell each other.
#[derive(Default)]
struct Shared {
    next: Option<Operation>,
    log: Vec<(Operation, Retired)>,
}

/// Names of commands or operations with their results, counted.
pub(crate) type Seen = BTreeMap<(String, String), usize>;

pub(crate) struct Driver {
    pub(crate) model: Model,
    machine: Machine,
    pe: HostPe,
    shared: Arc<Mutex<Shared>>,
    /// The state after the last step.
    last: Snapshot,
    /// It is from before some quick steps.
    stale: bool,
    /// The granules that the host plays with, in a row and aligned to 128 KiB.
    pub(crate) pool: Vec<u64>,
    /// How often something came out: command or operation, and result.
    pub(crate) seen: Seen,
    /// 2 MiB that fill a table.
    pub(crate) block: u64,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every vCPU executes.
fn program(shared: &Mutex<Shared>, guest: &GuestCpu) {
    loop {
        let operation = lock(shared).next.take().unwrap_or(Operation::Suspend);
        let how = match (operation, operation.call()) {
            (_, Some(call)) => {
                for (n, value) in call.into_iter().enumerate() {
                    guest.set_register(n, value);
                }
                guest
                    .execute(Instruction::Smc)
                    .map(|()| Retired::Call([0, 1, 2, 3].map(|n| guest.register(n))))
            }
            (Operation::Load { ipa }, None) => guest.load(ipa, 4).map(Retired::Emulated),
            (other, None) => unreachable!("{other:?} is no load"),
        };
        let how = how.unwrap_or(Retired::Exception);
        lock(shared).log.push((operation, how));
    }
}

impl Driver {
    pub(crate) fn new() -> Self {
        let machine = Machine::new(Config {
            pes: 1,
            dram_bytes: DRAM,
            page_size: PageSize::Size4K,
            time: Time::Counted { ticks: 1 },
        });
        let shared = Arc::new(Mutex::new(Shared::default()));
        for page in CODE {
            let shared = Arc::clone(&shared);
            machine.install(page, Arc::new(move |guest| program(&shared, guest)));
        }
        let allocate = |granules, align| {
            machine
                .supply()
                .allocate(PageCount::new(granules), align)
                .expect("memory")
                .get()
        };
        let block = allocate(512, 2 << 20);
        let first = allocate(32, 32 * 4096);
        let pe = machine.host_pe(0);
        let mut features = Registers::call(Command::Features.function_id(), &[0]);
        pe.smc(&mut features);
        let model = Model::new(Platform {
            delegable: DELEGABLE.to_vec(),
            features: features.0[1],
            vmid_bits: 16,
        });
        let last = machine.snapshot();
        Self {
            model,
            machine,
            pe,
            shared,
            last,
            stale: false,
            seen: Seen::new(),
            pool: (0..32).map(|n| first + n * 4096).collect(),
            block,
        }
    }

    /// Does one thing, on both sides. Whatever differs is an error.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Write { pa, words } => self.write(*pa, words),
            Step::Call(registers) => {
                self.refresh();
                let succeeded = self.call(registers)?;
                self.compare(succeeded)
            }
            Step::Quick(registers) => {
                self.stale = true;
                self.call(registers).map(drop)
            }
            Step::Enter {
                rec,
                run,
                record,
                next,
            } => {
                self.refresh();
                self.enter(*rec, *run, record, *next)
            }
        }?;
        let failures = self.machine.guest_failures();
        if failures.is_empty() {
            Ok(())
        } else {
            Err(format!("in a realm: {failures:?}"))
        }
    }

    /// Compares everything that can be compared.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.compare(true)?;
        compare::all_entries(&self.model, &self.pe)
    }

    fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.last = self.machine.snapshot();
        }
    }

    fn write(&self, pa: u64, words: &[(usize, u64)]) -> Result<(), String> {
        let mut page = [0; 512];
        for &(index, value) in words {
            page[index] = value;
        }
        let result = self.pe.write_granule(pa, &page);
        if result.is_ok() == self.model.is_non_secure(pa) {
            Ok(())
        } else {
            Err(format!(
                "the host writes to {pa:#x}: {result:?}, but the granule is {:?}",
                self.model.granule(pa)
            ))
        }
    }

    /// Makes a call; whether it succeeded.
    fn call(&mut self, call: &Registers) -> Result<bool, String> {
        let mut results = *call;
        let Some(command) = Command::from_function_id(call.0[0] as u32) else {
            self.pe.smc(&mut results);
            let mut expected = *call;
            expected.0[0] = u64::MAX;
            return if results == expected {
                Ok(false)
            } else {
                Err(format!("an unknown function returns {results:x?}"))
            };
        };
        let pe = &self.pe;
        let read = |pa: u64| pe.read_granule(pa).expect("Non-secure, says the model");
        let judgement = self.model.judge(command, call, &read);
        // What the call reads may be something else afterwards.
        let succeeded;
        let expected = if judgement.succeeds() {
            let mut after = self.model.clone();
            if command == Command::RecAuxCount {
                let count = self.aux_count(call.0[1])?;
                after.realms.get_mut(&call.0[1]).expect("a realm").aux_count = Some(count);
            }
            let expected = after.apply(command, call, &read);
            self.pe.smc(&mut results);
            succeeded = results.0[0] == 0;
            if succeeded {
                self.model = after;
            }
            expected
        } else {
            self.pe.smc(&mut results);
            succeeded = results.0[0] == 0;
            [0; 4]
        };
        // Only one command has four results; the others leave X4 alone.
        let four = command == Command::RttReadEntry;
        let x4 = if four { results.0[4] } else { 0 };
        let found = [results.0[1], results.0[2], results.0[3], x4];
        let fine = if succeeded {
            judgement.succeeds() && found == expected
        } else {
            judgement.permits_failure(results.0[0], found)
        };
        let kept = if four { 5 } else { 4 };
        if !fine || results.0[kept..] != call.0[kept..] {
            return Err(format!(
                "{} {:x?} returns {:x?}; expected: {judgement} with results {expected:x?}",
                command.name(),
                &call.0[1..6],
                &results.0[..6]
            ));
        }
        let outcome = if succeeded {
            "success".to_owned()
        } else {
            let reported = |failure: &&Failure| failure.code.x0() == results.0[0];
            judgement
                .failures()
                .find(reported)
                .map_or_else(|| "refused".to_owned(), |failure| failure.name.to_owned())
        };
        self.saw(command.name(), outcome);
        if succeeded && command == Command::RealmCreate {
            let count = self.aux_count(call.0[1])?;
            let realm = self.model.realms.get_mut(&call.0[1]).expect("created");
            realm.aux_count = Some(count);
        }
        Ok(succeeded)
    }

    fn saw(&mut self, what: &str, outcome: String) {
        *self.seen.entry((what.to_owned(), outcome)).or_default() += 1;
    }

    /// What the monitor says; it may not change its mind.
    fn aux_count(&self, rd: u64) -> Result<u64, String> {
        let mut results = rec_aux_count::Input { rd }.encode();
        self.pe.smc(&mut results);
        let known = self.model.realms.get(&rd).and_then(|realm| realm.aux_count);
        let count = results.0[1];
        if results.0[0] == 0 && count <= 16 && known.is_none_or(|known| known == count) {
            Ok(count)
        } else {
            Err(format!(
                "RMI_REC_AUX_COUNT: {:x?}, was {known:?}",
                results.0
            ))
        }
    }

    fn enter(
        &mut self,
        rec: u64,
        run: u64,
        record: &RecEnter,
        next: Option<Operation>,
    ) -> Result<(), String> {
        let mut page = [0; 512];
        let half: &mut [u64; ENTER_WORDS] = (&mut page[..ENTER_WORDS])
            .try_into()
            .expect("the enter half");
        record.write(half);
        if self.model.is_non_secure(run) && run.is_multiple_of(0x1000) {
            self.pe
                .write_granule(run, &page)
                .map_err(|fault| format!("writing the record: {fault:?}"))?;
        }
        let call = rec_enter::Input { rec, run_ptr: run }.encode();
        let pe = &self.pe;
        let read = |pa: u64| pe.read_granule(pa).expect("Non-secure, says the model");
        let judgement = self.model.judge(Command::RecEnter, &call, &read);
        if !judgement.succeeds() {
            let succeeded = self.call(&call)?;
            return self.compare(succeeded);
        }
        let mut after = self.model.clone();
        let Ok((retired, expected)) = after.enter(rec, Entry { record, next }) else {
            // The program would run for ever.
            return Ok(());
        };
        *lock(&self.shared) = Shared {
            next,
            log: Vec::new(),
        };
        self.call(&call)?;
        self.model = after;
        let Shared { log, .. } = std::mem::take(&mut *lock(&self.shared));
        let same = log.len() == retired.len()
            && log.iter().zip(&retired).all(|(found, expected)| {
                found.0 == expected.0
                    && match (found.1, expected.1) {
                        (Retired::Call(found), Retired::Status(status)) => found[0] == status,
                        (Retired::Emulated(_), Retired::Loaded) => true,
                        (found, expected) => found == expected,
                    }
            });
        if !same {
            return Err(format!(
                "in the realm: {log:x?}; expected {retired:x?}, then {expected:x?}"
            ));
        }
        for (operation, how) in &retired {
            let name = format!("{operation:?}");
            let name = name
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            self.saw(&name, format!("{how:x?}").chars().take(24).collect());
        }
        self.saw(
            "exit",
            format!("reason {} class {:#x}", expected.reason, expected.class),
        );
        let page = self
            .pe
            .read_granule(run)
            .map_err(|fault| format!("reading the record: {fault:?}"))?;
        let words: &[u64; EXIT_WORDS] = page[EXIT / 8..].try_into().expect("the exit half");
        check_exit(words, &expected)?;
        self.compare(true)
    }

    fn compare(&mut self, succeeded: bool) -> Result<(), String> {
        let now = self.machine.snapshot();
        if !succeeded && now != self.last {
            let changes: Vec<_> = now
                .differences(&self.last)
                .iter()
                .take(8)
                .map(ToString::to_string)
                .collect();
            return Err(format!("a call that failed has changed {changes:?}"));
        }
        if succeeded {
            self.model.check()?;
            compare::snapshot(&self.model, &now)?;
            compare::some_entries(&self.model, &self.pe)?;
        }
        self.last = now;
        Ok(())
    }
}

/// The exit record has what the host is to know, and nothing else.
fn check_exit(words: &[u64; EXIT_WORDS], expected: &ExpectedExit) -> Result<(), String> {
    let exit = RecExit::read(words);
    let psci = exit.exit_reason == 3;
    let gprs = expected
        .gprs
        .iter()
        .zip(exit.gprs)
        .all(|(expected, found)| expected.is_none_or(|expected| expected == found));
    let fine = exit.exit_reason == expected.reason
        && exit.esr >> 26 == expected.class
        && (expected.class != 0 || exit.esr == 0)
        && exit.far == expected.far
        && exit.hpfar == expected.hpfar
        && gprs
        && exit.gprs[if psci { 4 } else { 2 }..] == [0; 31][if psci { 4 } else { 2 }..]
        && (exit.ripas_base, exit.ripas_top, exit.ripas_value.into()) == expected.ripas
        && exit.imm == 0;
    let mut known = [0; EXIT_WORDS];
    exit.write(&mut known);
    if fine && known == *words {
        Ok(())
    } else {
        Err(format!("exit {exit:x?}; expected {expected:x?}"))
    }
}
