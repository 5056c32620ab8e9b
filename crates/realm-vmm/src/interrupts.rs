//! The interrupts of one vCPU, and how they get into its list registers.
//!
//! The monitor switches the CPU interface; the host fills the list registers before each entry and takes them back after
//! each exit (RMM specification 1.0-rel0, A6.1). Software-generated interrupts are edges, the timers and the PMU are levels. Hardware-
//! backed list registers are not allowed, so a level that is still high after its interrupt was handled is made pending again at
//! the next entry.

use realm_host::rec::{Entry, GicExit, MAX_LIST_REGISTERS, Timers};

/// PPI of the virtual timer.
pub const VIRTUAL_TIMER: u32 = 27;
/// PPI of the physical timer.
pub const PHYSICAL_TIMER: u32 = 30;
/// PPI of the PMU.
pub const PMU: u32 = 23;

/// Number of software-generated interrupts.
pub const SGIS: u32 = 16;

mod lr {
    pub(super) const INTID: u64 = 0xFFFF_FFFF;
    pub(super) const PRIORITY: u64 = 0xA0 << 48;
    pub(super) const GROUP_1: u64 = 1 << 60;
    pub(super) const PENDING: u64 = 1 << 62;
    pub(super) const ACTIVE: u64 = 1 << 63;
    pub(super) const STATE: u64 = PENDING | ACTIVE;
}

/// ICH_HCR_EL2.UIE: an interrupt for the host when all list registers but one are empty.
const UNDERFLOW: u64 = 1 << 1;

/// The interrupts of a vCPU.
#[derive(Debug, Default)]
pub struct Interrupts {
    registers: [u64; MAX_LIST_REGISTERS],
    /// Software-generated interrupts that are pending and in no list register.
    sgis: u32,
    timers: Timers,
    pmu: bool,
}

impl Interrupts {
    /// Makes a software-generated interrupt pending.
    pub fn send(&mut self, intid: u32) {
        self.sgis |= 1 << (intid % SGIS);
    }

    /// Takes the state of an exit.
    pub fn left(&mut self, gic: &GicExit, timers: &Timers, pmu: bool) {
        self.registers = gic.list_registers;
        self.timers = *timers;
        self.pmu = pmu;
    }

    /// Puts what is pending into the first `count` list registers of the next entry.
    pub fn enter(&mut self, count: usize, now: u64) -> Entry {
        let registers = &mut self.registers[..count.min(MAX_LIST_REGISTERS)];
        let mut is_full = false;
        for (intid, level) in levels(&self.timers, self.pmu, now) {
            is_full |= !set_level(registers, intid, level);
        }
        for intid in 0..SGIS {
            if self.sgis & 1 << intid != 0 {
                if set_pending(registers, intid) {
                    self.sgis &= !(1 << intid);
                } else {
                    is_full = true;
                }
            }
        }
        Entry {
            list_registers: self.registers,
            hcr: if is_full { UNDERFLOW } else { 0 },
            trap_wfi: true,
            trap_wfe: false,
        }
    }

    /// Whether anything is pending that ends a wait.
    #[must_use]
    pub fn is_pending(&self, now: u64) -> bool {
        self.sgis != 0
            || levels(&self.timers, self.pmu, now)
                .iter()
                .any(|&(_, level)| level)
            || self
                .registers
                .iter()
                .any(|register| register & lr::PENDING != 0)
    }

    /// When the next timer asserts its interrupt, as a value of the counter.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        [
            self.timers.virtual_timer.deadline(),
            self.timers.physical.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

fn levels(timers: &Timers, pmu: bool, now: u64) -> [(u32, bool); 3] {
    // The vCPU does not run, so a timer that was armed when it stopped is armed still.
    let timer = |timer: realm_host::rec::Timer| {
        timer.is_asserted() || timer.deadline().is_some_and(|deadline| deadline <= now)
    };
    [
        (VIRTUAL_TIMER, timer(timers.virtual_timer)),
        (PHYSICAL_TIMER, timer(timers.physical)),
        (PMU, pmu),
    ]
}

/// Makes a level interrupt pending or withdraws it. `false` if there is no room.
fn set_level(registers: &mut [u64], intid: u32, level: bool) -> bool {
    match (find(registers, intid), level) {
        (Some(register), false) => *register &= !lr::PENDING,
        // While it is active it need not be pending: if it is still high when the realm is done, the next entry says so.
        (Some(_), true) | (None, false) => {}
        (None, true) => return add(registers, intid),
    }
    true
}

/// Makes an edge interrupt pending. `false` if there is no room.
fn set_pending(registers: &mut [u64], intid: u32) -> bool {
    match find(registers, intid) {
        Some(register) => {
            *register |= lr::PENDING;
            true
        }
        None => add(registers, intid),
    }
}

fn find(registers: &mut [u64], intid: u32) -> Option<&mut u64> {
    registers
        .iter_mut()
        .find(|register| **register & lr::STATE != 0 && **register & lr::INTID == u64::from(intid))
}

fn add(registers: &mut [u64], intid: u32) -> bool {
    match registers
        .iter_mut()
        .find(|register| **register & lr::STATE == 0)
    {
        Some(register) => {
            *register = lr::PENDING | lr::GROUP_1 | lr::PRIORITY | u64::from(intid);
            true
        }
        None => false,
    }
}

/// Whom a write to ICC_SGI1R_EL1 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SgiRequest {
    value: u64,
}

impl SgiRequest {
    /// The value written.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self { value }
    }

    /// The interrupt.
    #[must_use]
    pub const fn intid(self) -> u32 {
        (self.value >> 24 & 0xF) as u32
    }

    /// Whether the vCPU with REC index `target` is addressed by the vCPU with index `sender`.
    #[must_use]
    pub const fn addresses(self, target: u64, sender: u64) -> bool {
        let everybody_else = self.value >> 40 & 1 != 0;
        if everybody_else {
            return target != sender;
        }
        // REC indices have four bits of Aff0, so the range selector of a valid target is 0.
        let range = self.value >> 44 & 0xF;
        let cluster = self.affinity(48) << 16 | self.affinity(32) << 8 | self.affinity(16);
        range == 0 && target >> 4 == cluster && self.value >> (target & 0xF) & 1 != 0
    }

    const fn affinity(self, low: u32) -> u64 {
        self.value >> low & 0xFF
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use realm_host::rec::Timer;
    use std::vec::Vec;

    use super::*;

    const ASSERTED: Timer = Timer {
        control: 0b101,
        compare: 10,
    };
    const ARMED: Timer = Timer {
        control: 0b001,
        compare: 100,
    };

    fn left(interrupts: &mut Interrupts, registers: &[u64], timers: Timers) {
        let mut gic = GicExit::default();
        gic.list_registers[..registers.len()].copy_from_slice(registers);
        interrupts.left(&gic, &timers, false);
    }

    fn states(entry: &Entry) -> Vec<(u64, u64)> {
        let used = entry
            .list_registers
            .iter()
            .filter(|&&register| register >> 62 != 0);
        used.map(|register| (register & lr::INTID, register >> 62))
            .collect()
    }

    #[test]
    fn a_timer_is_a_level() {
        let mut interrupts = Interrupts::default();
        let timers = Timers {
            virtual_timer: ASSERTED,
            ..Timers::default()
        };
        left(&mut interrupts, &[], timers);
        assert!(interrupts.is_pending(0));
        let entry = interrupts.enter(4, 0);
        assert_eq!(states(&entry), [(27, 1)]);
        assert_eq!(entry.list_registers[0], 1 << 62 | 1 << 60 | 0xA0 << 48 | 27);
        // The realm acknowledged it but the timer is still high: active only.
        let active = entry.list_registers[0] ^ (lr::PENDING | lr::ACTIVE);
        left(&mut interrupts, &[active], timers);
        assert_eq!(states(&interrupts.enter(4, 0)), [(27, 2)]);
        // Handled, still high: pending again.
        left(&mut interrupts, &[0], timers);
        assert_eq!(states(&interrupts.enter(4, 0)), [(27, 1)]);
        // Low before it was acknowledged: withdrawn.
        left(&mut interrupts, &entry.list_registers, Timers::default());
        assert_eq!(states(&interrupts.enter(4, 0)), []);
        assert!(!interrupts.is_pending(0));
    }

    #[test]
    fn an_armed_timer_wakes_at_its_deadline() {
        let mut interrupts = Interrupts::default();
        left(
            &mut interrupts,
            &[],
            Timers {
                virtual_timer: ARMED,
                physical: Timer {
                    control: 1,
                    compare: 90,
                },
            },
        );
        assert_eq!(interrupts.deadline(), Some(90));
        assert!(!interrupts.is_pending(89));
        assert!(interrupts.is_pending(90));
        assert_eq!(states(&interrupts.enter(4, 95)), [(30, 1)]);
        assert_eq!(states(&interrupts.enter(4, 100)), [(30, 1), (27, 1)]);
        // A masked timer neither asserts nor wakes.
        left(
            &mut interrupts,
            &[],
            Timers {
                virtual_timer: Timer {
                    control: 0b111,
                    compare: 0,
                },
                ..Timers::default()
            },
        );
        assert_eq!(interrupts.deadline(), None);
        assert!(!interrupts.is_pending(u64::MAX));
    }

    #[test]
    fn an_sgi_is_an_edge_and_is_not_lost_while_active() {
        let mut interrupts = Interrupts::default();
        interrupts.send(3);
        assert_eq!(states(&interrupts.enter(4, 0)), [(3, 1)]);
        left(&mut interrupts, &[lr::ACTIVE | 3], Timers::default());
        interrupts.send(3);
        interrupts.send(3);
        assert_eq!(states(&interrupts.enter(4, 0)), [(3, 3)]);
        left(&mut interrupts, &[], Timers::default());
        assert_eq!(states(&interrupts.enter(4, 0)), []);
    }

    #[test]
    fn with_one_list_register_the_rest_waits_and_the_host_is_called_back() {
        let mut interrupts = Interrupts::default();
        interrupts.send(1);
        interrupts.send(2);
        let entry = interrupts.enter(1, 0);
        assert_eq!(states(&entry), [(1, 1)]);
        assert_eq!(entry.hcr, UNDERFLOW);
        left(&mut interrupts, &[], Timers::default());
        assert!(interrupts.is_pending(0));
        let entry = interrupts.enter(1, 0);
        assert_eq!((states(&entry), entry.hcr), (std::vec![(2, 1)], 0));
    }

    #[test]
    fn sgi_targets_are_those_of_the_affinity_fields() {
        let list = SgiRequest::new(5 << 24 | 0b1001);
        assert_eq!(list.intid(), 5);
        assert!(list.addresses(0, 0) && list.addresses(3, 0));
        assert!(!list.addresses(1, 0) && !list.addresses(16, 0));
        let second_cluster = SgiRequest::new(1 << 16 | 0b10);
        assert!(second_cluster.addresses(17, 0) && !second_cluster.addresses(1, 0));
        let far = SgiRequest::new(1 << 48 | 1);
        assert!(far.addresses(1 << 20, 0) && !far.addresses(0, 0));
        let others = SgiRequest::new(1 << 40);
        assert!(others.addresses(1, 0) && others.addresses(40, 0) && !others.addresses(0, 0));
        assert!(
            !SgiRequest::new(1 << 44 | 1).addresses(0, 0),
            "a range that no REC has"
        );
    }
}
