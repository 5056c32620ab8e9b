//! Processing elements with a tiny monitor: a REC granule, hand-made tables, and a look at each exception.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use realm_guest::demo::GuestPe;
use realm_monitor::platform::{Exception, ProcessingElement, RecContext, Stage2};
use realm_monitor::rec::layout::{self, SysReg};

use crate::board::Board;
use crate::clock::{Clock, Time};
use crate::cpu::core::{Instruction, Taken};
use crate::cpu::guest::GuestCpu;
use crate::cpu::sysreg::names;
use crate::element::Element;
use crate::guests::{Identity, Place};
use crate::memory::Page;
use crate::protection::PhysicalAddressSpace;

const BASE: u64 = 0x4000_0000;
const REC: u64 = BASE;
/// Starting tables, 8 KiB aligned.
const TABLES: u64 = BASE + 0x2000;
const LEVEL2: u64 = BASE + 0x4000;
const LEVEL3: u64 = BASE + 0x5000;
const CODE: u64 = BASE + 0x6000;
const DATA: u64 = BASE + 0x7000;
const SHARED: u64 = BASE + 0x8000;
/// Where code is for the realm.
const ENTRY: u64 = 0x4000_0000;
const STAGE2: Stage2 = Stage2 {
    vttbr: 1 << 48 | TABLES,
    vtcr: 24 | 1 << 6 | 5 << 16,
};
const PAGE: u64 = 0x7FF;
const ALIAS: u64 = 1 << 39;

struct Rig {
    board: Arc<Board>,
    element: Element<Arc<Board>>,
}

impl Rig {
    fn new(time: Time, program: impl Fn(&GuestCpu) + Send + Sync + 'static) -> Self {
        let board = Arc::new(Board::new(&[(BASE, 0x20_0000)], 2, Clock::new(time)));
        for entry in board.protection.0.words() {
            entry.store(0xF1, Ordering::Relaxed);
        }
        board.clock.start();
        let rig = Self {
            element: Element::new(Arc::clone(&board), 0),
            board,
        };
        rig.put(TABLES + 8, LEVEL2 | 3);
        rig.put(LEVEL2, LEVEL3 | 3);
        rig.put(LEVEL3, CODE | PAGE);
        rig.put(LEVEL3 + 8, DATA | PAGE);
        rig.restart(ENTRY);
        rig.board
            .guests
            .install(Place::Rec(Identity::of(rig.page(REC))), Arc::new(program));
        rig
    }

    fn page(&self, pa: u64) -> &Page {
        self.board
            .page(pa, PhysicalAddressSpace::Realm)
            .expect("memory")
    }

    fn put(&self, pa: u64, value: u64) {
        self.page(pa)[pa as usize % 4096 / 8].store(value, Ordering::Relaxed);
    }

    fn rec(&self) -> RecContext<'_> {
        RecContext(self.page(REC))
    }

    /// The context as RMI_REC_CREATE leaves it.
    fn restart(&self, pc: u64) {
        for word in self.page(REC) {
            word.store(0, Ordering::Relaxed);
        }
        let rec = self.rec();
        rec.set(layout::PC, pc);
        rec.set(layout::PSTATE, 0x3C5);
        rec.set(layout::HCR_EL2, 0x4324_800C_043F);
        rec.set(layout::CNTHCTL_EL2, 3 << 10);
        rec.set(layout::ICH_HCR_EL2, 1);
        rec.set(layout::VMPIDR_EL2, 0x8000_0003);
    }

    fn run(&mut self) -> Exception {
        let board = Arc::clone(&self.board);
        let rec = RecContext(
            board
                .page(REC, PhysicalAddressSpace::Realm)
                .expect("memory"),
        );
        let exception = self.element.run(rec, &STAGE2);
        self.element.save(rec);
        exception
    }

    fn esr(&mut self) -> u64 {
        match self.run() {
            Exception::Sync { esr, .. } => esr,
            other => panic!("{other:?}"),
        }
    }

    /// The SMC that the program has stopped at.
    fn expect_smc(&mut self) -> u64 {
        assert_eq!(self.esr(), 0x5E00_0000);
        self.rec().gpr(0)
    }

    fn complete(&self, x0: u64) {
        self.rec().set_gpr(0, x0);
        self.rec().advance_pc();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.board.guests.end();
    }
}

fn call(guest: &GuestCpu, function: u64) -> u64 {
    let mut registers = Registers::default();
    registers.0[0] = function;
    guest.call(&mut registers);
    registers.0[0]
}

#[test]
fn a_call_traps_with_its_registers_and_returns_with_theirs() {
    let mut rig = Rig::new(Time::Real, |guest| {
        let answer = call(guest, 0x1234);
        call(guest, answer + 1);
    });
    assert_eq!(rig.expect_smc(), 0x1234);
    assert_eq!(rig.rec().pc(), ENTRY);
    rig.complete(7);
    assert_eq!(rig.expect_smc(), 8);
    assert_eq!(rig.rec().pc(), ENTRY + 4);
    // Not completed: the instruction is executed again.
    assert_eq!(rig.expect_smc(), 8);
}

#[test]
fn aborts_have_the_syndromes_of_their_instructions() {
    let mut rig = Rig::new(Time::Real, |guest| {
        guest.store(ENTRY + 0x1008, 8, 0xABCD).expect("mapped");
        guest
            .store(ENTRY + 0x2010, 4, 0x1_2345_6789)
            .expect("mapped in the end");
        assert_eq!(guest.load(ALIAS | 0x900_0018, 1), Ok(0x5A));
        guest
            .atomic_add(ENTRY + 0x3000, 1)
            .expect("mapped in the end");
    });
    let Exception::Sync { esr, far, hpfar } = rig.run() else {
        panic!("no abort")
    };
    assert_eq!(rig.page(DATA)[1].load(Ordering::Relaxed), 0xABCD);
    let register = esr >> 16 & 0x1F;
    assert_eq!(
        (esr & !(0x1F << 16), far, hpfar),
        (0x9380_0047, ENTRY + 0x2010, (ENTRY + 0x2000) >> 8)
    );
    assert_eq!(rig.rec().gpr(register as usize), 0x1_2345_6789);
    rig.put(LEVEL3 + 16, DATA | PAGE);

    let Exception::Sync { esr, hpfar, .. } = rig.run() else {
        panic!("no abort")
    };
    assert_eq!(rig.page(DATA)[2].load(Ordering::Relaxed), 0x2345_6789);
    assert_eq!(
        (esr & !(0x1F << 16), hpfar),
        (0x9300_0005, (ALIAS | 0x900_0000) >> 8)
    );
    rig.rec().set_gpr((esr >> 16 & 0x1F) as usize, 0x5A);
    rig.rec().advance_pc();

    assert_eq!(rig.esr(), 0x9200_0047);
}

#[test]
fn an_injected_abort_reaches_the_program_and_it_goes_on() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let mut rig = Rig::new(Time::Real, |guest| {
        let Err(Taken { esr, far, elr }) = guest.load(ENTRY + 0x5000, 8) else {
            panic!("no exception")
        };
        SEEN.store(esr ^ far ^ elr, Ordering::SeqCst);
        call(guest, 1);
    });
    let Exception::Sync { far, .. } = rig.run() else {
        panic!("no abort")
    };
    let rec = rig.rec();
    rec.set_sysreg(SysReg::EsrEl1, 0x9600_0210);
    rec.set_sysreg(SysReg::FarEl1, far);
    rec.set_sysreg(SysReg::ElrEl1, rec.pc());
    rec.set_sysreg(SysReg::SpsrEl1, rec.get(layout::PSTATE));
    rec.set(layout::PC, rec.sysreg(SysReg::VbarEl1) + 0x200);
    assert_eq!(rig.expect_smc(), 1);
    assert_eq!(
        SEEN.load(Ordering::SeqCst),
        0x9600_0210 ^ (ENTRY + 0x5000) ^ ENTRY
    );
    assert_eq!(rig.rec().pc(), ENTRY + 4);
}

#[test]
fn code_that_is_not_mapped_is_an_instruction_abort() {
    let mut rig = Rig::new(Time::Real, |guest| {
        call(guest, 1);
    });
    rig.restart(ENTRY + 0x7000);
    assert_eq!(rig.esr(), 0x8200_0007);
}

#[test]
fn a_context_that_was_made_anew_starts_anew() {
    let mut rig = Rig::new(Time::Real, |guest| {
        call(guest, guest.register(0) + 100);
        call(guest, 2);
    });
    assert_eq!(rig.expect_smc(), 100);
    rig.complete(0);
    assert_eq!(rig.expect_smc(), 2);
    rig.restart(ENTRY);
    rig.rec().set_gpr(0, 5);
    assert_eq!(rig.expect_smc(), 105);
}

#[test]
fn waiting_traps_only_if_it_is_to_and_nothing_is_pending() {
    let mut rig = Rig::new(Time::Real, |guest| {
        guest.wait_for_interrupt();
        guest.wait_for_interrupt();
        assert_eq!(guest.acknowledge_interrupt(), Some(27));
        call(guest, 1);
    });
    rig.rec()
        .set(layout::HCR_EL2, rig.rec().get(layout::HCR_EL2) | 1 << 13);
    assert_eq!(rig.esr(), 0x07E0_0000);
    rig.rec().advance_pc();
    rig.rec()
        .set(layout::ICH_LRS + 1, 1 << 62 | 1 << 60 | 0xA0 << 48 | 27);
    assert_eq!(rig.expect_smc(), 1);
    assert_eq!(rig.rec().get(layout::ICH_LRS + 1) >> 62, 2);
}

#[test]
fn a_timer_interrupts_once_and_not_while_it_is_masked() {
    let mut rig = Rig::new(Time::Counted { ticks: 100 }, |guest| {
        guest.arm_timer(guest.counter() + 1_000_000);
        guest.wait_for_interrupt();
        call(guest, 1);
    });
    assert_eq!(rig.run(), Exception::Irq);
    assert_eq!(rig.rec().get(layout::CNTV_CTL), 0b101);
    assert!(rig.board.clock.now() >= 1_000_000);
    assert_eq!(rig.run(), Exception::Irq);
    rig.rec().set(layout::CNTHCTL_EL2, 3 << 10 | 1 << 18);
    assert_eq!(rig.expect_smc(), 1);
}

#[test]
fn the_hosts_interrupts_stop_a_realm() {
    let mut rig = Rig::new(Time::Real, |guest| {
        loop {
            guest.counter();
        }
    });
    rig.board.pes[0].lines.kick(&rig.board.clock);
    assert_eq!(rig.run(), Exception::Irq);
    rig.board.pes[0].lines.acknowledge(&rig.board.clock);
    rig.board.pes[0]
        .lines
        .set_slice(rig.board.clock.now() + 1_000_000);
    assert_eq!(rig.run(), Exception::Irq);
}

#[test]
fn generating_an_interrupt_and_identification_trap() {
    let mut rig = Rig::new(Time::Real, |guest| {
        guest
            .write_system(names::ICC_SGI1R_EL1, 0x1_0001)
            .expect("trapped");
        assert_eq!(guest.read_system(names::ID_AA64PFR0_EL1), Ok(0x11));
        assert_eq!(guest.mpidr(), 0x8000_0003);
        guest
            .execute(Instruction::Hvc)
            .expect("ignored by this monitor");
    });
    assert_eq!(rig.esr(), 0x623A_3016 | 8 << 5);
    assert_eq!(rig.rec().gpr(8), 0x1_0001);
    rig.rec().advance_pc();
    assert_eq!(rig.esr(), 0x6230_0009 | 8 << 5);
    rig.rec().set_gpr(8, 0x11);
    rig.rec().advance_pc();
    assert_eq!(rig.esr(), 0x5A00_0000);
    assert_eq!(rig.rec().pc(), ENTRY + 16);
}

#[test]
fn a_granule_that_the_host_takes_away_faults_in_the_realm() {
    let mut rig = Rig::new(Time::Real, |guest| {
        let taken = guest
            .store(ALIAS | ENTRY, 8, 1)
            .expect_err("the granule is not Non-secure");
        call(guest, taken.esr);
    });
    rig.put(TABLES + 0x1000 + 8, (BASE + 0x9000) | 3);
    rig.put(BASE + 0x9000, (BASE + 0xA000) | 3);
    rig.put(BASE + 0xA000, 1 << 55 | SHARED | PAGE);
    // From now on, the gigabyte with all of this is Realm memory.
    rig.board.protection.0.words()[1].store(0xB1, Ordering::Relaxed);
    assert_eq!(rig.expect_smc(), 0x9600_0068);
}

#[test]
fn a_program_that_panics_is_told_and_waits_for_ever() {
    let mut rig = Rig::new(Time::Real, |guest| {
        call(guest, 1);
        panic!("out of ideas");
    });
    rig.expect_smc();
    rig.complete(0);
    rig.rec()
        .set(layout::HCR_EL2, rig.rec().get(layout::HCR_EL2) | 1 << 13);
    // The host is told, and finds the vCPU waiting from then on.
    assert_eq!(rig.run(), Exception::Irq);
    rig.board.pes[0].lines.acknowledge(&rig.board.clock);
    assert_eq!(rig.esr(), 0x07E0_0000);
    assert_eq!(rig.board.guests.failures(), ["out of ideas"]);
}
