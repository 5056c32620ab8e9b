//! One vCPU's part: its private interrupts, and its list registers.

use realm_host::rec::{Entry, GicExit, MAX_LIST_REGISTERS, Timer, Timers};

use super::bank::{Bank, Returned};
use super::shared::Shared;
use super::targets::{Targets, bits};
use super::{PHYSICAL_TIMER, PMU, VIRTUAL_TIMER};

/// Fields of `ICH_LR<n>_EL2` that the host may use in a realm.
pub(super) mod lr {
    pub(in crate::gic) const INTID: u64 = 0xFFFF_FFFF;
    /// A maintenance interrupt when the interrupt is done.
    pub(in crate::gic) const EOI: u64 = 1 << 41;
    pub(in crate::gic) const PRIORITY: u32 = 48;
    pub(in crate::gic) const GROUP_1: u64 = 1 << 60;
    pub(in crate::gic) const PENDING: u64 = 1 << 62;
    pub(in crate::gic) const ACTIVE: u64 = 1 << 63;
    pub(in crate::gic) const STATE: u64 = PENDING | ACTIVE;
}

/// Fields of ICH_HCR_EL2 that the host may set for a realm.
pub(super) mod hcr {
    /// A maintenance interrupt when the realm ends an interrupt that is in no list register.
    pub(in crate::gic) const LRENPIE: u64 = 1 << 2;
    /// A maintenance interrupt when no list register is pending.
    pub(in crate::gic) const NPIE: u64 = 1 << 3;
    /// Writes to ICC_DIR_EL1 leave the realm.
    pub(in crate::gic) const TDIR: u64 = 1 << 14;
    /// How often the realm has deactivated an interrupt that was in no list register. While ends are split, writes to ICC_DIR_EL1
    /// leave the realm instead, and there are processors that count what is no more than a priority drop.
    pub(super) const EOI_COUNT: u32 = 27;
}

/// Fields of ICH_VMCR_EL2.
mod vmcr {
    pub(super) const ENABLE_GROUP_0: u64 = 1 << 0;
    pub(super) const ENABLE_GROUP_1: u64 = 1 << 1;
    /// Ending an interrupt and deactivating it are two writes.
    pub(super) const SPLIT_END: u64 = 1 << 9;
    pub(super) const PRIORITY_MASK: u32 = 24;
}

/// The interrupts of one vCPU.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) bank: Bank,
    /// GICR_WAKER.ProcessorSleep. It is what the realm has written, nothing else: a vCPU that sleeps by PSCI is woken by its interrupts
    /// anyway.
    pub(super) asleep: bool,
    /// The list registers of the last entry.
    registers: [u64; MAX_LIST_REGISTERS],
    timers: Timers,
    pmu: bool,
    vmcr: u64,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            bank: Bank::private(),
            asleep: true,
            registers: [0; MAX_LIST_REGISTERS],
            timers: Timers::default(),
            pmu: false,
            vmcr: 0,
        }
    }
}

/// An interrupt that wants a list register.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    intid: u32,
    priority: u8,
    deliverable: bool,
    active: bool,
}

impl Candidate {
    /// What comes first: the higher priority, and then, unless the realm can go on without that, what has been acknowledged already.
    fn order(&self, pending_first: bool) -> (u8, bool, u32) {
        (self.priority, self.active == pending_first, self.intid)
    }
}

impl Interface {
    /// The vCPU has been turned off, and starts with its CPU interface and its timers reset.
    pub(super) fn turn_off(&mut self) {
        self.timers = Timers::default();
        self.pmu = false;
        self.vmcr = 0;
    }

    /// Takes the state of an exit. Says to whom interrupts go that are back and have been given to others meanwhile.
    pub(super) fn left(
        &mut self,
        vcpu: usize,
        shared: &mut Shared,
        gic: &GicExit,
        timers: &Timers,
        pmu: bool,
    ) -> Targets {
        self.timers = *timers;
        self.pmu = pmu;
        self.vmcr = gic.vmcr;
        let mut targets = Targets::NONE;
        if !self.is_split() {
            for _ in 0..gic.hcr >> hcr::EOI_COUNT & 0x1F {
                targets |= self.end_one(vcpu, shared);
            }
        }
        targets |= self.take_back(vcpu, shared, &gic.list_registers);
        targets
    }

    /// The vCPU was not entered: everything is as it was before.
    pub(super) fn not_entered(&mut self, vcpu: usize, shared: &mut Shared) -> Targets {
        let registers = self.registers;
        self.take_back(vcpu, shared, &registers)
    }

    fn take_back(
        &mut self,
        vcpu: usize,
        shared: &mut Shared,
        left: &[u64; MAX_LIST_REGISTERS],
    ) -> Targets {
        let given = core::mem::take(&mut self.registers);
        let mut back = 0;
        // Which interrupt is where is what was given; only the states are the realm's to change.
        for (given, left) in given.into_iter().zip(left) {
            if given & lr::STATE == 0 {
                continue;
            }
            let returned = Returned {
                pending: left & lr::PENDING != 0,
                active: left & lr::ACTIVE != 0,
            };
            match (given & lr::INTID) as u32 {
                intid @ 0..32 => self.bank.give_back(intid, returned),
                intid => {
                    shared.bank.give_back(intid - 32, returned);
                    back |= 1 << (intid - 32);
                }
            }
        }
        let elsewhere = shared.bank.deliverable(shared.forwarded) & back & !shared.bank.active;
        shared.targets(elsewhere & !shared.deliverable(vcpu))
    }

    /// The realm has ended an interrupt that was in no list register. Interrupts end in the order of their priorities.
    fn end_one(&mut self, vcpu: usize, shared: &mut Shared) -> Targets {
        let private =
            bits(self.bank.active & !self.bank.in_flight()).map(|n| (self.bank.priority(n), n));
        let spis = bits(shared.active(vcpu)).map(|n| (shared.bank.priority(n), n + 32));
        match private.chain(spis).min() {
            Some((_, intid)) => self.deactivate(intid, shared),
            None => Targets::NONE,
        }
    }

    /// Whether ending an interrupt and deactivating it are two writes.
    pub(super) fn is_split(&self) -> bool {
        self.vmcr & vmcr::SPLIT_END != 0
    }

    /// An interrupt of this vCPU, or a shared one, which may be active on any, is active no more.
    pub(super) fn deactivate(&mut self, intid: u32, shared: &mut Shared) -> Targets {
        match intid {
            0..32 => {
                self.bank.clear_active(1 << intid);
                Targets::NONE
            }
            32..64 => {
                let bit = 1 << (intid - 32);
                shared.change(bit, |shared| shared.bank.clear_active(bit))
            }
            _ => Targets::NONE,
        }
    }

    /// Fills the first `count` list registers for the next entry.
    pub(super) fn enter(
        &mut self,
        vcpu: usize,
        shared: &mut Shared,
        count: usize,
        now: u64,
    ) -> Entry {
        let count = count.min(MAX_LIST_REGISTERS);
        self.set_lines(now);
        let split = self.is_split();
        let mut candidates = [None; 64];
        let mut found = 0;
        for candidate in self.candidates(vcpu, shared) {
            candidates[found] = Some(candidate);
            found += 1;
        }
        let candidates = &mut candidates[..found];
        candidates.sort_unstable_by_key(|candidate| candidate.map(|c| c.order(split)));
        let left_out = found.saturating_sub(count);
        let mut control = 0;
        for (register, candidate) in self.registers[..count]
            .iter_mut()
            .zip(candidates.iter().flatten())
        {
            let Candidate { intid, active, .. } = *candidate;
            let (bank, n) = match intid {
                0..32 => (&mut self.bank, intid),
                _ => {
                    shared.hold(intid - 32, vcpu);
                    (&mut shared.bank, intid - 32)
                }
            };
            let pending = bank.take(n, candidate.deliverable);
            *register = u64::from(intid) | u64::from(candidate.priority) << lr::PRIORITY;
            if bank.group1 & 1 << n != 0 {
                *register |= lr::GROUP_1;
            }
            // When a level is done with, it has to be looked at again; and what is left out gets its turn.
            if !bank.is_edge(n) || left_out > 0 {
                *register |= lr::EOI;
            }
            if pending {
                *register |= lr::PENDING;
                // What is active too does not count as pending for this: alone, it would make the realm leave for ever.
                if left_out > 0 && !active {
                    control |= hcr::NPIE;
                }
            }
            if active {
                *register |= lr::ACTIVE;
            }
        }
        if candidates.iter().skip(count).flatten().any(|c| c.active) {
            control |= hcr::LRENPIE | hcr::TDIR;
        }
        // What the realm deactivates may be active in no list register, or on another vCPU.
        if split {
            control |= hcr::TDIR;
        }
        Entry {
            list_registers: self.registers,
            hcr: control,
            trap_wfi: true,
            trap_wfe: false,
        }
    }

    /// What wants a list register: at most 64, for there are no more interrupts.
    fn candidates(&self, vcpu: usize, shared: &Shared) -> impl Iterator<Item = Candidate> {
        let parts = [
            (
                0,
                self.bank,
                self.bank.deliverable(shared.forwarded),
                self.bank.active,
            ),
            (
                32,
                shared.bank,
                shared.deliverable(vcpu),
                shared.active(vcpu),
            ),
        ];
        parts
            .into_iter()
            .flat_map(|(first, bank, deliverable, active)| {
                bits(deliverable | active).map(move |n| Candidate {
                    intid: first + n,
                    priority: bank.priority(n),
                    deliverable: deliverable & 1 << n != 0,
                    active: active & 1 << n != 0,
                })
            })
    }

    /// Whether an interrupt is pending that ends a wait: one that the CPU interface would signal.
    pub(super) fn is_pending(&mut self, vcpu: usize, shared: &Shared, now: u64) -> bool {
        self.set_lines(now);
        self.candidates(vcpu, shared).any(|candidate| {
            candidate.deliverable && !candidate.active && {
                let bank = if candidate.intid < 32 {
                    &self.bank
                } else {
                    &shared.bank
                };
                self.signals(bank, candidate.intid % 32)
            }
        })
    }

    fn signals(&self, bank: &Bank, n: u32) -> bool {
        let enable = if bank.group1 & 1 << n != 0 {
            vmcr::ENABLE_GROUP_1
        } else {
            vmcr::ENABLE_GROUP_0
        };
        let mask = self.vmcr >> vmcr::PRIORITY_MASK & 0xFF;
        self.vmcr & enable != 0 && u64::from(bank.priority(n)) < mask
    }

    /// When the next timer asserts its interrupt, as a value of the counter, of those that end a wait then.
    pub(super) fn deadline(&self, shared: &Shared) -> Option<u64> {
        let mut probe = self.bank;
        probe.set_pending(u32::MAX);
        let heard = probe.deliverable(shared.forwarded) & !self.bank.active;
        let timers = [
            (VIRTUAL_TIMER, self.timers.virtual_timer),
            (PHYSICAL_TIMER, self.timers.physical),
        ];
        timers
            .into_iter()
            .filter(|&(intid, _)| heard & 1 << intid != 0 && self.signals(&self.bank, intid))
            .filter_map(|(_, timer)| timer.deadline())
            .min()
    }

    /// The lines of timers and PMU. The vCPU does not run, so a timer that was armed when it stopped is armed still.
    fn set_lines(&mut self, now: u64) {
        let level = |timer: Timer| {
            timer.is_asserted() || timer.deadline().is_some_and(|deadline| deadline <= now)
        };
        self.bank
            .set_line(VIRTUAL_TIMER, level(self.timers.virtual_timer));
        self.bank
            .set_line(PHYSICAL_TIMER, level(self.timers.physical));
        self.bank.set_line(PMU, self.pmu);
    }
}
