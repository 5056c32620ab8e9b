//! The ways to do one's worst without a device of virtio's. None of them ends.

use cca_abi::host_calls::MEASUREMENT;
use cca_abi::smccc::Registers;

use super::ground::{Attacker, affinity};
use crate::psci::Affinity;
use crate::puppet::{GicRegister, PuppetPe};
use crate::{GRANULE_SIZE, Ripas};

/// A timer's interrupt.
const VIRTUAL_TIMER: u32 = 27;
/// GICD_CTLR with affinity routing and group 1; a redistributor's second frame and what of it is set.
const GICD_ENABLE: u32 = 1 << 4 | 1 << 1;
const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
const SGI_FRAME: u64 = 0x1_0000;
const IGROUPR0: u64 = 0x80;
const ISENABLER0: u64 = 0x100;
const ISPENDR0: u64 = 0x200;
/// An SGI for everybody but the sender (`ICC_SGI1R_EL1.IRM`).
const ALL_OTHERS: u64 = 1 << 40;

impl<P: PuppetPe> Attacker<'_, P> {
    /// Long lines, short lines, control characters.
    pub(super) fn print(&self) {
        for number in 0u64.. {
            self.put(match number % 4099 {
                0 => b'\n',
                odd if odd % 2 == 1 => b'x',
                even => (even / 2) as u8,
            });
        }
    }

    /// Host calls, loads and stores of devices, calls that nobody knows, idle waits with an interrupt pending.
    pub(super) fn leave(&self) {
        let call = self.page(0);
        let distributor = self.width.shared(self.ground.distributor);
        for number in 0u64.. {
            // All but the one by which a realm that was not measured right is ended.
            let service = u64::from(MEASUREMENT);
            self.pe
                .write(call, if number % 8 == service { 0 } else { number % 8 });
            let _ = self.rsi().host_call(call);
            self.pe.load_device(distributor + number % 0x400 * 4);
            let mut registers = Registers::default();
            registers.0[0] = 0x8400_0000 | (number % 64);
            if !ends(registers.0[0]) {
                self.pe.smc(&mut registers);
            }
        }
    }

    /// Every other page empty, then RAM; then the others; then everything at once.
    pub(super) fn chequer(&self) {
        let slice = self.slice();
        let pages = (slice.end - slice.start) / GRANULE_SIZE;
        loop {
            for ripas in [Ripas::Empty, Ripas::Ram] {
                for page in self.every_other_page() {
                    self.pe.write(page + GRANULE_SIZE, page);
                    self.set(page, 1, ripas);
                }
            }
            for ripas in [Ripas::Empty, Ripas::Ram] {
                self.set(slice.start, pages, ripas);
            }
        }
    }

    /// As many shared pages as can be, none beside another, all used; then all of them back.
    pub(super) fn share(&self) {
        loop {
            for page in self.every_other_page() {
                self.set(page, 1, Ripas::Empty);
                self.pe.write(self.width.shared(page), page);
            }
            for page in self.every_other_page() {
                self.set(page, 1, Ripas::Ram);
                self.pe.write(page, page);
            }
        }
    }

    /// A timer that has expired before it is set, and interrupts for everybody.
    pub(super) fn interrupt(&self) {
        let frame = self.ground.redistributors + self.index * REDISTRIBUTOR_SIZE + SGI_FRAME;
        let frame = self.width.shared(frame);
        let distributor = self.width.shared(self.ground.distributor);
        self.pe.store_device(distributor, GICD_ENABLE);
        self.pe.store_device(frame + IGROUPR0, u32::MAX);
        self.pe.store_device(frame + ISENABLER0, u32::MAX);
        for number in 0u64.. {
            self.pe.arm_timer(0);
            self.pe
                .write_gic(GicRegister::Sgi1, ALL_OTHERS | (number % 16) << 24);
            self.pe.store_device(frame + ISPENDR0, 1 << (number % 16));
            self.pe.wait_for_interrupt();
            while let Some(intid) = self.pe.acknowledge_interrupt() {
                if intid == VIRTUAL_TIMER {
                    self.pe.disarm_timer();
                }
                self.pe.end_of_interrupt(intid);
            }
        }
    }

    /// vCPU 0 turns on every other one as soon as that is off; the others turn themselves off.
    pub(super) fn turn_on_and_off(&self) {
        if self.index != 0 {
            self.psci().cpu_off();
            return;
        }
        let entry = self.pe.secondary_entry();
        for number in 0u64.. {
            let target = affinity(1 + number % 7);
            if self.psci().affinity_info(target) == Ok(Affinity::Off) {
                // The parameters are still where the first call left them.
                let _ = self.psci().cpu_on(target, entry, self.parameters());
            }
            // And one that is on, and one that there is not.
            let _ = self.psci().cpu_on(affinity(0), entry, 0);
            let _ = self.psci().cpu_on(u64::MAX, entry, 0);
        }
    }

    /// Tokens over challenges that nobody gave, of which every other one is dropped half way.
    pub(super) fn ask_for_tokens(&self) {
        for number in 0u64.. {
            if self.rsi().start_token([number; 8]).is_err() {
                continue;
            }
            for part in 0..64 {
                let last = self.rsi().continue_token(self.page(1), 0, GRANULE_SIZE);
                let dropped = number % 2 == 0 && part == 1;
                if dropped || !matches!(last, Ok(crate::TokenPart::More(_))) {
                    break;
                }
            }
        }
    }

    /// One page of every block is empty, so that all memory comes in single pages; all of it is touched, given back, touched again.
    pub(super) fn touch(&self) {
        let slice = self.slice();
        let pages = (slice.end - slice.start) / GRANULE_SIZE;
        loop {
            for page in slice.clone().step_by(1 << 20) {
                self.set(page, 1, Ripas::Empty);
            }
            for page in slice.clone().step_by(GRANULE_SIZE as usize) {
                if !(page - slice.start).is_multiple_of(1 << 20) {
                    self.pe.write(page, page);
                }
            }
            self.set(slice.start, pages, Ripas::Empty);
            self.set(slice.start, pages, Ripas::Ram);
        }
    }
}

/// Whether a call of PSCI's ends the vCPU or the realm: CPU_OFF, SYSTEM_OFF, SYSTEM_RESET, SYSTEM_RESET2 and their like.
const fn ends(function: u64) -> bool {
    matches!(function & 0xFF, 0x01..=0x02 | 0x08..=0x09 | 0x0C..=0x0E | 0x12)
}
