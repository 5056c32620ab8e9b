//! A realm that does anything to its interrupt controller and its UART, while its vCPUs come and go.

use realm_host::rec::{Entry, GicExit, MAX_LIST_REGISTERS, Timer, Timers};
use realm_vmm::gic::{Gic, REDISTRIBUTOR_SIZE, SgiGroup, SgiRequest, Targets};
use realm_vmm::pl011::{Pl011, QUEUE};

use crate::Hand;

const STATE: u64 = 3 << 62;
const GROUP_1: u64 = 1 << 60;
const EOI: u64 = 1 << 41;
const PRIORITY: u64 = 0xF8 << 48;
const INTIDS: u64 = 0x3F;
/// ICH_HCR_EL2 bits that the monitor takes from a host.
const HOST_BITS: u64 = 0x40FE;

const PRIVATE: u64 = 0x1_0000;
const GICD_CTLR: u64 = 0;
const IGROUPR: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ICPENDR: u64 = 0x280;
const ICACTIVER: u64 = 0x380;

/// The registers that matter, with the odd one out.
const OFFSETS: [u64; 14] = [
    GICD_CTLR, 0x4, 0x8, 0x14, IGROUPR, ISENABLER, ICENABLER, 0x200, ICPENDR, 0x300, ICACTIVER,
    0x400, 0xC00, 0x6100,
];
const SIZES: [u64; 6] = [4, 1, 8, 2, 3, 0];

/// The controller, and which vCPUs are inside the realm with what.
struct Bench {
    gic: Gic,
    inside: Vec<Option<Entry>>,
    lists: usize,
}

/// Lets a realm made of these bytes use the controller and the UART.
///
/// # Panics
///
/// If one of them does, if an entry has list registers that the monitor refuses, or if the controller does not work any more when it
/// is set up anew.
pub fn run(data: &[u8]) {
    let mut hand = Hand::new(data);
    let vcpus = 1 + hand.below(18);
    let mut bench = Bench {
        gic: Gic::new(vcpus),
        inside: vec![None; vcpus],
        lists: 1 + hand.below(MAX_LIST_REGISTERS),
    };
    let mut uart = Pl011::default();
    while !hand.is_empty() {
        match hand.below(8) {
            0 => use_uart(&mut uart, &mut hand),
            _ => bench.step(&mut hand),
        }
    }
    bench.settle();
}

fn use_uart(uart: &mut Pl011, hand: &mut Hand<'_>) {
    let (offset, size) = (u64::from(hand.byte()) * 4, hand.pick(&SIZES));
    match hand.below(4) {
        0 => {
            uart.read(offset + u64::from(hand.byte() & 3), size);
        }
        1 => {
            let bytes = vec![hand.byte(); 1 << hand.below(18)];
            assert!(uart.input(&bytes) <= QUEUE);
        }
        _ => {
            uart.write(offset, size, hand.word());
        }
    }
    // What the line says has a reason that a driver can see.
    assert_eq!(uart.is_asserted(), uart.read(0x40, 4) != 0);
}

impl Bench {
    fn step(&mut self, hand: &mut Hand<'_>) {
        let vcpu = hand.below(self.inside.len());
        let (size, value) = (hand.pick(&SIZES), hand.word());
        let offset = hand.pick(&OFFSETS) + u64::from(hand.byte() & 0xFC);
        let frame = hand.below(self.inside.len() + 1) as u64 * REDISTRIBUTOR_SIZE;
        let gic = &self.gic;
        let targets = match hand.below(10) {
            0 => gic.write_distributor(offset, size, value),
            1 => gic.write_redistributor(frame + offset, size, value),
            2 | 3 => gic.write_redistributor(frame + PRIVATE + offset, size, value),
            4 => gic.write_distributor(value >> hand.below(64), size, !value),
            5 => {
                let _ = gic.read_distributor(offset, size);
                let _ = gic.read_redistributor(value >> hand.below(64), size);
                Targets::NONE
            }
            6 => gic.set_line(u32::from(hand.byte()), value & 1 != 0),
            7 => {
                let group = hand.pick(&[SgiGroup::One, SgiGroup::Zero]);
                gic.send(vcpu, group, SgiRequest::new(value))
            }
            8 => gic.deactivate(vcpu, value),
            _ => self.enter_or_leave(vcpu, value, hand),
        };
        assert!(targets.iter().all(|target| target < self.inside.len()));
    }

    fn enter_or_leave(&mut self, vcpu: usize, now: u64, hand: &mut Hand<'_>) -> Targets {
        let gic = &self.gic;
        let Some(entry) = self.inside[vcpu].take() else {
            let entry = gic.enter(vcpu, self.lists, now);
            assert_legal(&entry, self.lists);
            self.inside[vcpu] = Some(entry);
            return Targets::NONE;
        };
        if hand.below(8) == 0 {
            return gic.not_entered(vcpu);
        }
        let mut state = GicExit {
            list_registers: entry.list_registers,
            hcr: hand.word(),
            misr: 0,
            vmcr: hand.word(),
        };
        for list in &mut state.list_registers {
            *list ^= u64::from(hand.byte()) << 62;
        }
        let mut timer = || Timer {
            control: hand.word(),
            compare: hand.word(),
        };
        let timers = Timers {
            physical: timer(),
            virtual_timer: timer(),
        };
        let targets = gic.left(vcpu, &state, &timers, now & 1 != 0);
        let _ = (gic.is_pending(vcpu, now), gic.deadline(vcpu));
        if hand.below(16) == 0 {
            gic.turn_off(vcpu);
        }
        targets
    }

    /// Everything comes to rest; then an interrupt arrives as if nothing had happened.
    fn settle(mut self) {
        let gic = &self.gic;
        for (vcpu, entry) in self.inside.iter_mut().enumerate() {
            if entry.take().is_some() {
                let _ = gic.left(vcpu, &GicExit::default(), &Timers::default(), false);
            }
        }
        let _ = gic.write_distributor(ICENABLER + 4, 4, !0);
        let _ = gic.write_distributor(ICACTIVER + 4, 4, !0);
        let _ = gic.write_distributor(GICD_CTLR, 4, 2);
        for register in [ICACTIVER, ICPENDR, IGROUPR, ISENABLER] {
            let _ = gic.write_redistributor(PRIVATE + register, 4, !0);
        }
        let _ = gic.left(0, &GicExit::default(), &Timers::default(), false);
        let targets = gic.send(0, SgiGroup::One, SgiRequest::new(5 << 24 | 1));
        assert_eq!(targets, Targets::one(0));
        let entry = gic.enter(0, self.lists, 0);
        assert_legal(&entry, self.lists);
        assert_eq!(entry.list_registers[0] & (STATE | INTIDS), 1 << 62 | 5);
    }
}

/// What the monitor accepts (RMM specification 1.0-rel0, A6.1): no hardware interrupt, no NMI, five bits of priority, no pINTID but for
/// the maintenance bit, an INTID that exists, and none twice.
fn assert_legal(entry: &Entry, lists: usize) {
    assert_eq!(entry.hcr & !HOST_BITS, 0);
    let mut seen = 0_u64;
    for (n, &list) in entry.list_registers.iter().enumerate() {
        if list & STATE == 0 {
            continue;
        }
        assert!(n < lists, "there is no list register {n}");
        assert_eq!(
            list & !(STATE | GROUP_1 | EOI | PRIORITY | INTIDS),
            0,
            "{list:#x}"
        );
        let bit = 1 << (list & INTIDS);
        assert_eq!(seen & bit, 0, "twice: {list:#x}");
        seen |= bit;
    }
}
