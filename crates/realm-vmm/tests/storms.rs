//! A realm that writes anything to its devices, on the in-process machine: the monitor checks each entry's list registers.

mod support;

use machine::cpu::{GuestCpu, names};
use realm_guest::demo::GuestPe;
use realm_vmm::{Outcome, board, gic};
use support::*;

const STEPS: u64 = 1500;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

/// Registers of all devices in all sizes, system registers of the CPU interface, and interrupts that are taken and ended now and then.
fn rage(guest: &GuestCpu) {
    let mut random = Random(guest.mpidr());
    for _ in 0..STEPS {
        let (kind, value) = (random.next() % 16, random.next());
        let size = 1 << (random.next() % 4);
        let word = random.next() & 0xFFC;
        let frame = board::REDISTRIBUTORS + random.next() % 3 * gic::REDISTRIBUTOR_SIZE;
        let base = match kind {
            0..3 => board::DISTRIBUTOR + word,
            3 => board::DISTRIBUTOR + 0x6000 + word,
            4..8 => frame + 0x1_0000 + word,
            8 => frame + (random.next() & 0x1_FFFC),
            9 => board::UART + (word & 0x7C),
            _ => 0,
        };
        // What is not there aborts, which is no harm.
        match kind {
            0..10 if value & 1 == 0 => drop(guest.load(ALIAS | base & !(size - 1), size as u8)),
            0..10 => drop(guest.store(ALIAS | base & !(size - 1), size as u8, value)),
            10 => drop(guest.write_system(names::ICC_SGI1R_EL1, value & 0x0100_0F00_0003)),
            11 => drop(guest.write_system(names::ICC_PMR_EL1, value & 0xFF)),
            12 => drop(guest.write_system(names::ICC_IGRPEN1_EL1, value & 1)),
            13 => guest.arm_timer(guest.counter() + value % 10_000),
            _ => {
                if let Some(intid) = guest.acknowledge_interrupt()
                    && value & 2 == 0
                {
                    guest.end_of_interrupt(intid);
                }
            }
        }
    }
}

#[test]
fn whatever_a_realm_writes_to_its_devices_it_ends_as_it_wants_to() {
    for pes in [1, 3] {
        let run = run(
            &machine(pes),
            &options(3),
            |guest| {
                call(guest, &[CPU_ON, 1, SECONDARY, 0]);
                call(guest, &[CPU_ON, 2, SECONDARY, 0]);
                rage(guest);
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                rage(guest);
                call(guest, &[CPU_OFF]);
            },
        );
        assert_eq!(
            (run.report.outcome, run.error()),
            (Outcome::Ok, ""),
            "{pes} PEs"
        );
        assert!(run.rec(0).exits["mmio"] > STEPS / 2);
    }
}
