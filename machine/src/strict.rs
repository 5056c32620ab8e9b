//! A second realm monitor: the same commands, answered in the strictest way that the specification allows.
//!
//! It stands between EL3 and the realm monitor of this machine and makes of it another one: each REC takes sixteen
//! auxiliary granules, RIPAS changes one table entry at a time, RECs come back for interrupts that are not the host's,
//! and some of the memory is not delegable. A host that is right above
//! both relies on no more than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cca_abi::rmi::params::{realm_offset, rec_offset};
use cca_abi::rmi::{
    Command, MAX_AUX_GRANULES, ReturnCode, Status, rtt_init_ripas, rtt_read_entry, rtt_set_ripas,
    run,
};
use cca_abi::smccc::{Registers, function_id};
use realm_monitor::granule::GranuleState;

use crate::memory::GRANULE_SIZE;

/// One granule in so many is not delegable.
const REFUSED_ONE_IN: u64 = 23;
/// One entry in so many comes back at once.
const SPURIOUS_ONE_IN: u64 = 5;

/// What the second monitor keeps besides the first one's state.
#[derive(Debug, Default)]
pub(crate) struct Strict {
    held: Mutex<Held>,
    /// Up to where a range may reach: for each realm its protected half, for each REC the change that it asked for.
    ends: Mutex<BTreeMap<u64, u64>>,
    entries: AtomicU64,
}

/// The auxiliary granules that the first monitor does not know of.
#[derive(Debug, Default)]
struct Held {
    of_rec: BTreeMap<u64, Vec<u64>>,
    all: BTreeSet<u64>,
}

/// What the second monitor needs of the machine.
pub(crate) trait Beneath {
    /// The first monitor.
    fn call(&self, registers: &mut Registers);
    /// Makes an interrupt pending on the calling processing element, or takes it back.
    fn interrupt(&self, pending: bool);
    /// What the first monitor says about a granule.
    fn state(&self, pa: u64) -> Option<GranuleState>;
    /// A doubleword of Non-secure memory; `None` if it is no such memory.
    fn read(&self, pa: u64) -> Option<u64>;
    /// Stores a doubleword to Non-secure memory, if it is that.
    fn write(&self, pa: u64, value: u64);
}

/// Whether the second monitor accepts that a granule is delegated.
pub(crate) const fn takes(pa: u64) -> bool {
    pa / GRANULE_SIZE % REFUSED_ONE_IN != 7
}

impl Strict {
    /// Answers a call.
    pub(crate) fn call(&self, beneath: &impl Beneath, registers: &mut Registers) {
        let Some(command) = Command::from_function_id(function_id(registers.0[0])) else {
            return beneath.call(registers);
        };
        let input = *registers;
        if self.refuses(command, &input) {
            registers.0[..4].copy_from_slice(&[refused(), 0, 0, 0]);
            return;
        }
        match command {
            Command::RecCreate => self.rec_create(beneath, registers),
            Command::RecEnter => {
                let spurious = self.entries.fetch_add(1, Ordering::Relaxed) % SPURIOUS_ONE_IN == 1;
                if spurious {
                    beneath.interrupt(true);
                }
                beneath.call(registers);
                if spurious {
                    beneath.interrupt(false);
                }
            }
            Command::RttInitRipas => {
                let rtt_init_ripas::Input { rd, base, top } = rtt_init_ripas::Input::decode(&input);
                registers.0[3] = self.one_entry(beneath, rd, (rd, base, top));
                beneath.call(registers);
                registers.0[3] = 0;
            }
            Command::RttSetRipas => {
                let rtt_set_ripas::Input { rd, rec, base, top } =
                    rtt_set_ripas::Input::decode(&input);
                registers.0[4] = self.one_entry(beneath, rd, (rec, base, top));
                beneath.call(registers);
                registers.0[4] = input.0[4];
            }
            _ => beneath.call(registers),
        }
        let succeeded = registers.0[0] == ReturnCode::SUCCESS.encode();
        match command {
            Command::RealmCreate if succeeded => {
                let width = beneath.read(input.0[2] + realm_offset::S2SZ as u64);
                self.ends(input.0[1], 1 << (width.unwrap_or(1) & 63).saturating_sub(1));
            }
            Command::RecEnter if succeeded => {
                let top = (run::EXIT + run::exit_offset::RIPAS_TOP) as u64;
                self.ends(input.0[1], beneath.read(input.0[2] + top).unwrap_or(0));
            }
            Command::RecAuxCount if succeeded => registers.0[1] = MAX_AUX_GRANULES as u64,
            Command::RecDestroy if succeeded => {
                let mut held = self.lock();
                for granule in held.of_rec.remove(&input.0[1]).unwrap_or_default() {
                    held.all.remove(&granule);
                }
            }
            _ => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an operand is a granule that cannot be delegated here, or one that is an auxiliary granule.
    fn refuses(&self, command: Command, input: &Registers) -> bool {
        let granule = match command {
            Command::GranuleDelegate if !takes(input.0[1]) => return true,
            Command::GranuleUndelegate | Command::RealmCreate => input.0[1],
            Command::DataCreate
            | Command::DataCreateUnknown
            | Command::RecCreate
            | Command::RttCreate => input.0[2],
            _ => return false,
        };
        self.lock().all.contains(&granule)
    }

    /// Takes sixteen auxiliary granules: what the first monitor does not want stays here.
    fn rec_create(&self, beneath: &impl Beneath, registers: &mut Registers) {
        let (rd, rec, params) = (registers.0[1], registers.0[2], registers.0[3]);
        let mut count = Registers::call(Command::RecAuxCount.function_id(), &[rd]);
        beneath.call(&mut count);
        let at = |offset: usize| params.wrapping_add(offset as u64);
        let named = beneath.read(at(rec_offset::NUM_AUX));
        let first = usize::try_from(count.0[1]).unwrap_or(usize::MAX);
        let (Some(named), true) = (named, count.0[0] == 0 && first <= MAX_AUX_GRANULES) else {
            return beneath.call(registers);
        };
        let mut aux = Vec::new();
        for place in 0..MAX_AUX_GRANULES {
            aux.extend(beneath.read(at(rec_offset::AUX + 8 * place)));
        }
        let mut held = self.lock();
        let usable = |(place, pa): (usize, &u64)| {
            *pa != rec
                && !aux[..place].contains(pa)
                && beneath.state(*pa) == Some(GranuleState::Delegated)
                && !held.all.contains(pa)
        };
        let all = named == MAX_AUX_GRANULES as u64
            && aux.len() == MAX_AUX_GRANULES
            && aux.iter().enumerate().all(usable);
        // A wrong list is one condition among others: the first monitor says which of them counts.
        let passed_on = if all { count.0[1] } else { count.0[1] + 1 };
        beneath.write(at(rec_offset::NUM_AUX), passed_on);
        beneath.call(registers);
        beneath.write(at(rec_offset::NUM_AUX), named);
        if registers.0[0] == ReturnCode::SUCCESS.encode() {
            let hidden = aux.split_off(first);
            held.all.extend(&hidden);
            held.of_rec.insert(rec, hidden);
        }
    }

    fn ends(&self, of: u64, end: u64) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.insert(of, end);
    }

    /// The end of the table entry at the base of a range, if that is a range that reaches beyond it.
    fn one_entry(&self, beneath: &impl Beneath, rd: u64, range: (u64, u64, u64)) -> u64 {
        let (of, base, top) = range;
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.get(&of).copied().unwrap_or(0);
        drop(ends);
        let input = rtt_read_entry::Input {
            rd,
            ipa: base,
            level: 3,
        };
        let mut registers = input.encode();
        beneath.call(&mut registers);
        let level = rtt_read_entry::Output::decode(&registers).walk_level;
        let is_range = top.is_multiple_of(GRANULE_SIZE) && top <= end;
        if registers.0[0] != ReturnCode::SUCCESS.encode() || !(0..=3).contains(&level) || !is_range
        {
            return top;
        }
        let size = GRANULE_SIZE << (9 * (3 - level));
        let next = (base & !(size - 1)) + size;
        if base < next && next < top { next } else { top }
    }
}

fn refused() -> u64 {
    let code = ReturnCode {
        status: Status::ErrorInput,
        index: 0,
    };
    code.encode()
}
