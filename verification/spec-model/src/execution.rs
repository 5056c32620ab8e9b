//! What happens in a realm between RMI_REC_ENTER and the exit (RMM specification 1.0-rel0, chapters A4 to A6).
//!
//! The realm's program carries out one [`Operation`] that the driver has chosen for this entry, and then suspends
//! itself with PSCI CPU_SUSPEND. What the host keeps from finishing is finished at a later entry.

use cca_abi::mpidr;
use cca_abi::psci::code;
use cca_abi::rmi::Ripas;
use cca_abi::rmi::run::{ExitReason, RecEnter, enter_flags};

use crate::state::{Granule, Model, PsciRequest, RealmState, RipasRequest};
use crate::tables;

/// What a program in a realm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// PSCI CPU_SUSPEND.
    Suspend,
    /// PSCI CPU_OFF.
    Off,
    /// PSCI SYSTEM_OFF.
    SystemOff,
    /// PSCI CPU_ON.
    On {
        /// REC index of the target.
        index: u64,
        /// Entry point.
        entry: u64,
    },
    /// PSCI AFFINITY_INFO.
    Affinity {
        /// REC index of the target.
        index: u64,
        /// Lowest affinity level.
        level: u64,
    },
    /// RSI_IPA_STATE_SET.
    SetRipas {
        /// First IPA.
        base: u64,
        /// End.
        top: u64,
        /// RsiRipas, any value.
        ripas: u64,
        /// RsiRipasChangeFlags.
        flags: u64,
    },
    /// A load of 32 bits.
    Load {
        /// Where.
        ipa: u64,
    },
}

impl Operation {
    /// Function identifier and arguments of an SMC; `None` for a load.
    #[must_use]
    pub fn call(self) -> Option<[u64; 5]> {
        let name = |index| mpidr::architectural_from_index(index) & mpidr::ARCHITECTURAL_MASK;
        Some(match self {
            Self::Suspend => [0xC400_0001, 0, 0, 0, 0],
            Self::Off => [0x8400_0002, 0, 0, 0, 0],
            Self::SystemOff => [0x8400_0008, 0, 0, 0, 0],
            Self::On { index, entry } => [0xC400_0003, name(index), entry, 0, 0],
            Self::Affinity { index, level } => [0xC400_0004, name(index), level, 0, 0],
            Self::SetRipas {
                base,
                top,
                ripas,
                flags,
            } => [0xC400_0197, base, top, ripas, flags],
            Self::Load { .. } => return None,
        })
    }
}

/// How an operation ends, as the realm sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// An SMC: X0 to X3.
    Call([u64; 4]),
    /// An SMC of which only X0 is defined.
    Status(u64),
    /// A load of realm memory or of shared memory, whatever is there.
    Loaded,
    /// A load that the host has emulated.
    Emulated(u64),
    /// The realm has taken an exception.
    Exception,
}

/// What an entry is made with.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'r> {
    /// The record.
    pub record: &'r RecEnter,
    /// What the program does next.
    pub next: Option<Operation>,
}

/// The part of RmiRecExit that the cause of the exit decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedExit {
    /// RmiRecExitReason.
    pub reason: u8,
    /// Exception class of `esr`; 0: all of it is zero.
    pub class: u64,
    /// `far`.
    pub far: u64,
    /// `hpfar`.
    pub hpfar: u64,
    /// X0 and, if it is defined, X1.
    pub gprs: [Option<u64>; 2],
    /// `ripas_base`, `ripas_top`, `ripas_value`.
    pub ripas: (u64, u64, u64),
}

/// The program would never leave the realm, or does what the model does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck;

/// What an access comes to.
enum Access {
    Done,
    Exit { emulatable: bool },
    Exception,
    Unknown,
}

enum Step {
    Retire(Retired),
    Leave(ExpectedExit),
}

const SUSPEND: u64 = 0xC400_0001;

impl Model {
    /// Enters a REC: what was finished in the realm, and how it comes back. If the result is [`Stuck`], the state is
    /// not what it was.
    ///
    /// # Errors
    ///
    /// [`Stuck`]
    pub fn enter(
        &mut self,
        rec: u64,
        entry: Entry<'_>,
    ) -> Result<(Vec<(Operation, Retired)>, ExpectedExit), Stuck> {
        let mut retired = Vec::new();
        let mut next = entry.next;
        self.complete(rec, entry.record);
        let record = self.rec_mut(rec);
        let mut again = record.in_flight.take();
        if let (Some(operation), Some(how)) = (again, record.completion.take()) {
            retired.push((operation, how));
            again = None;
        }
        loop {
            let operation = again
                .take()
                .or_else(|| next.take())
                .unwrap_or(Operation::Suspend);
            let code = self.recs[&rec].code;
            let step = match self.access(rec, code, true) {
                Access::Done => self.execute(rec, operation)?,
                Access::Exit { .. } => Step::Leave(abort(0x20, code, false)),
                Access::Exception | Access::Unknown => return Err(Stuck),
            };
            match step {
                Step::Retire(how) => retired.push((operation, how)),
                Step::Leave(exit) => {
                    self.rec_mut(rec).in_flight = Some(operation);
                    return Ok((retired, exit));
                }
            }
        }
    }

    /// What the entry finishes of the last exit.
    fn complete(&mut self, rec: u64, enter: &RecEnter) {
        let rec = self.rec_mut(rec);
        if let Some(request) = rec.ripas.take() {
            let refused = request.ripas == Ripas::Ram
                && request.address != request.top
                && enter.flags & enter_flags::RIPAS_REJECT != 0;
            rec.completion = Some(Retired::Call([0, request.address, refused.into(), 0]));
        }
        if enter.flags & enter_flags::INJECT_SEA != 0 {
            if rec.unprotected_abort {
                rec.completion = Some(Retired::Exception);
            }
        } else if enter.flags & enter_flags::EMUL_MMIO != 0 && rec.emulatable {
            rec.completion = Some(Retired::Emulated(enter.gprs[0] & 0xFFFF_FFFF));
        }
        rec.emulatable = false;
        rec.unprotected_abort = false;
    }

    fn access(&self, rec: u64, ipa: u64, fetch: bool) -> Access {
        let realm = &self.realms[&self.recs[&rec].owner];
        if !realm.is_inside(ipa) {
            return Access::Exception;
        }
        match realm.walk(ipa, 3).entry(ipa) {
            tables::Entry::Assigned {
                ripas: Ripas::Ram, ..
            } => Access::Done,
            tables::Entry::Unassigned(Ripas::Empty)
            | tables::Entry::Assigned {
                ripas: Ripas::Empty,
                ..
            } => Access::Exception,
            tables::Entry::Unassigned(_) | tables::Entry::Assigned { .. } => {
                Access::Exit { emulatable: false }
            }
            _ if fetch => Access::Exception,
            tables::Entry::UnassignedNs => Access::Exit { emulatable: true },
            // The first bit of S2AP is about reading.
            tables::Entry::AssignedNs { attributes, .. } if attributes >> 6 & 1 == 0 => {
                Access::Exit { emulatable: true }
            }
            tables::Entry::AssignedNs { pa, .. } => {
                let table = realm.walk(ipa, 3);
                let pa = pa + ipa % tables::entry_size(table.level);
                match (self.delegable(pa), self.granule(pa)) {
                    (true, None) => Access::Done,
                    // Granule protection is the realm's own affair.
                    (true, Some(_)) => Access::Exception,
                    (false, _) => Access::Unknown,
                }
            }
            tables::Entry::Table(_) => unreachable!("a walk to level 3 ends before a table"),
        }
    }

    fn execute(&mut self, rec: u64, operation: Operation) -> Result<Step, Stuck> {
        let rd = self.recs[&rec].owner;
        let psci = |gprs| {
            Step::Leave(ExpectedExit {
                reason: ExitReason::Psci as u8,
                gprs,
                ..ExpectedExit::default()
            })
        };
        Ok(match operation {
            Operation::Suspend => {
                self.rec_mut(rec).completion = Some(Retired::Status(0));
                psci([Some(SUSPEND), None])
            }
            Operation::Off => {
                self.rec_mut(rec).runnable = false;
                psci([Some(0x8400_0002), None])
            }
            Operation::SystemOff => {
                self.realm_mut(rd).state = RealmState::SystemOff;
                psci([Some(0x8400_0008), None])
            }
            Operation::On { index, entry } => {
                let refusal = if !self.realms[&rd].is_protected(entry) {
                    Some(code::INVALID_ADDRESS)
                } else if index >= self.realms[&rd].rec_index {
                    Some(code::INVALID_PARAMETERS)
                } else if index == self.recs[&rec].index {
                    Some(code::ALREADY_ON)
                } else {
                    None
                };
                self.ask(rec, operation, refusal, PsciRequest::On { index, entry })
            }
            Operation::Affinity { index, level } => {
                let refusal = if level != 0 || index >= self.realms[&rd].rec_index {
                    Some(code::INVALID_PARAMETERS)
                } else if index == self.recs[&rec].index {
                    Some(code::SUCCESS)
                } else {
                    None
                };
                self.ask(rec, operation, refusal, PsciRequest::Affinity { index })
            }
            Operation::SetRipas {
                base,
                top,
                ripas,
                flags,
            } => self.ask_ripas(rec, base, top, ripas, flags),
            Operation::Load { ipa } => match self.access(rec, ipa, false) {
                Access::Done => Step::Retire(Retired::Loaded),
                Access::Exception => Step::Retire(Retired::Exception),
                Access::Unknown => return Err(Stuck),
                Access::Exit { emulatable } => {
                    let rec = self.rec_mut(rec);
                    rec.emulatable = emulatable;
                    rec.unprotected_abort = emulatable;
                    Step::Leave(abort(0x24, ipa, emulatable))
                }
            },
        })
    }

    fn ask(
        &mut self,
        rec: u64,
        operation: Operation,
        refusal: Option<i64>,
        request: PsciRequest,
    ) -> Step {
        if let Some(code) = refusal {
            return Step::Retire(Retired::Status(code.cast_unsigned()));
        }
        self.rec_mut(rec).psci = Some(request);
        let [function, target, ..] = operation.call().expect("an SMC");
        Step::Leave(ExpectedExit {
            reason: ExitReason::Psci as u8,
            gprs: [Some(function), Some(target)],
            ..ExpectedExit::default()
        })
    }

    fn ask_ripas(&mut self, rec: u64, base: u64, top: u64, value: u64, flags: u64) -> Step {
        let realm = &self.realms[&self.recs[&rec].owner];
        let ripas = match value {
            0 => Some(Ripas::Empty),
            1 => Some(Ripas::Ram),
            _ => None,
        };
        let valid = base.is_multiple_of(0x1000)
            && top.is_multiple_of(0x1000)
            && top > base
            && realm.is_protected(top - 0x1000);
        let (Some(ripas), true) = (ripas, valid) else {
            return Step::Retire(Retired::Status(1));
        };
        self.rec_mut(rec).ripas = Some(RipasRequest {
            address: base,
            top,
            ripas,
            change_destroyed: flags & 1 != 0,
        });
        Step::Leave(ExpectedExit {
            reason: ExitReason::RipasChange as u8,
            ripas: (base, top, value),
            gprs: [Some(0), Some(0)],
            ..ExpectedExit::default()
        })
    }

    /// Whether a granule is memory of a realm: for drivers.
    #[must_use]
    pub fn is_data(&self, pa: u64) -> bool {
        self.granule(pa) == Some(Granule::Data)
    }
}

fn abort(class: u64, ipa: u64, emulatable: bool) -> ExpectedExit {
    ExpectedExit {
        reason: ExitReason::Sync as u8,
        class,
        far: if emulatable { ipa & 0xFFF } else { 0 },
        hpfar: ipa >> 12 << 4,
        gprs: [Some(0), Some(0)],
        ..ExpectedExit::default()
    }
}
