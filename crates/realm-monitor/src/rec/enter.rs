//! Entry to a REC: what the host passes, and how it completes what the last exit left open (RMM specification
//! 1.0-rel0, A4.2).

use core::sync::atomic::Ordering::Relaxed;

use aarch64_formats::esr::Esr;
use cca_abi::rmi::Ripas;
use cca_abi::rmi::run::{ENTER, GPRS, LIST_REGISTERS, enter_flags, enter_offset};
use cca_abi::rsi::{self, host_call_offset};

use super::exit::Exit;
use super::memory::Inaccessible;
use super::running::{LastExit, RunningRec};
use super::{control, gic, inject, layout};
use crate::platform::{AccessFault, CpuFeatures, Platform, RecContext};
use crate::rsi::host_call;

/// The enter record, as far as this entry needs it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Enter {
    flags: u64,
    /// Read only if the last exit has to be completed with them.
    gprs: [u64; GPRS],
    gicv3_hcr: u64,
    gicv3_lrs: [u64; LIST_REGISTERS],
}

impl Enter {
    /// Reads each word of the record that is needed, once.
    ///
    /// # Errors
    /// If the host's memory faults.
    pub(crate) fn read(
        &mut self,
        platform: &impl Platform,
        run: u64,
        context: RecContext<'_>,
    ) -> Result<(), AccessFault> {
        let mut flags = [0];
        platform.read_non_secure(run, ENTER + enter_offset::FLAGS, &mut flags)?;
        let [flags] = flags;
        self.flags = flags;
        let needed = if context.get(layout::HOST_CALL_PENDING) != 0 {
            GPRS
        } else {
            usize::from(flags & enter_flags::EMUL_MMIO != 0)
        };
        if needed != 0 {
            platform.read_non_secure(run, ENTER + enter_offset::GPRS, &mut self.gprs[..needed])?;
        }
        // The control register and the list registers are neighbours.
        let mut gic = [0; 1 + LIST_REGISTERS];
        let registers = gic::list_registers(platform.cpu().ich_vtr);
        platform.read_non_secure(run, ENTER + enter_offset::GICV3_HCR, &mut gic[..=registers])?;
        let [gicv3_hcr, gicv3_lrs @ ..] = gic;
        self.gicv3_hcr = gicv3_hcr;
        self.gicv3_lrs = gicv3_lrs;
        Ok(())
    }

    /// Whether the values for the interrupt controller may be loaded.
    pub(crate) fn gic_is_valid(&self, cpu: &CpuFeatures) -> bool {
        gic::valid(
            self.gicv3_hcr,
            &self.gicv3_lrs,
            cpu.ich_vtr,
            cpu.gic_extended_ranges,
        )
    }

    /// Whether the host may say that it emulated an access, if it says so.
    pub(crate) fn emulation_is_valid(&self, context: RecContext<'_>) -> bool {
        self.flags & enter_flags::EMUL_MMIO == 0
            || self.flags & enter_flags::INJECT_SEA != 0
            || LastExit::of(context) == LastExit::EmulatableAbort
    }

    /// Takes over the host's inputs and completes the last exit. The host is needed again at once if the results of a
    /// host call have nowhere to go; the call then stays open.
    pub(super) fn complete<P: Platform>(&self, running: &RunningRec<'_, P>) -> Option<Exit> {
        let context = running.context;
        context.set(layout::ICH_HCR_EL2, gic::HCR_RUN | self.gicv3_hcr);
        for (n, lr) in self.gicv3_lrs.into_iter().enumerate() {
            context.set(layout::ICH_LRS + n, lr);
        }
        let mut hcr = control::HCR_BASE | context.get(layout::HCR_EL2) & control::HCR_VSE;
        if self.flags & enter_flags::TRAP_WFI != 0 {
            hcr |= control::HCR_TWI;
        }
        if self.flags & enter_flags::TRAP_WFE != 0 {
            hcr |= control::HCR_TWE;
        }
        context.set(layout::HCR_EL2, hcr);

        let last = LastExit::of(context);
        context.set(layout::LAST_EXIT, LastExit::Other as u64);
        match last {
            LastExit::EmulatableAbort | LastExit::UnprotectedAbort => self.complete_abort(context),
            LastExit::RipasChange => self.complete_ripas_change(context),
            LastExit::Other => {}
        }
        if context.get(layout::HOST_CALL_PENDING) != 0 {
            self.complete_host_call(running)
        } else {
            None
        }
    }

    fn complete_abort(&self, context: RecContext<'_>) {
        let esr = Esr::from_bits(context.get(layout::LAST_ESR));
        if self.flags & enter_flags::INJECT_SEA != 0 {
            inject::external_abort(context, esr, context.get(layout::LAST_FAR));
        } else if self.flags & enter_flags::EMUL_MMIO != 0 {
            let access = esr.access();
            if !access.write {
                context.set_gpr(access.register, access.loaded(self.gprs[0]));
            }
            context.advance_pc();
        }
    }

    fn complete_ripas_change(&self, context: RecContext<'_>) {
        let progress = context.get(layout::RIPAS_ADDR);
        let refused = self.flags & enter_flags::RIPAS_REJECT != 0
            && context.get(layout::RIPAS_VALUE) == Ripas::Ram as u64
            && progress != context.get(layout::RIPAS_TOP);
        context.set_gpr(0, rsi::SUCCESS);
        context.set_gpr(1, progress);
        context.set_gpr(
            2,
            if refused {
                rsi::RESPONSE_REJECT
            } else {
                rsi::RESPONSE_ACCEPT
            },
        );
        context.set_gpr(3, 0);
        context.set(layout::RIPAS_ADDR, 0);
        context.set(layout::RIPAS_TOP, 0);
    }

    fn complete_host_call<P: Platform>(&self, running: &RunningRec<'_, P>) -> Option<Exit> {
        let context = running.context;
        let structure = context.gpr(1);
        let first = host_call::word(structure, host_call_offset::GPRS);
        let stored = running.with_page(structure, |page| {
            for (word, &value) in page[first..].iter().zip(&self.gprs) {
                word.store(value, Relaxed);
            }
        });
        match stored {
            // If the realm gave up the page meanwhile, the results go the same way.
            Ok(()) | Err(Inaccessible::Empty) => {
                context.set(layout::HOST_CALL_PENDING, 0);
                context.set_gpr(0, rsi::SUCCESS);
                for n in 1..=3 {
                    context.set_gpr(n, 0);
                }
                None
            }
            Err(Inaccessible::Fault(fault)) => Some(fault.exit()),
        }
    }
}
