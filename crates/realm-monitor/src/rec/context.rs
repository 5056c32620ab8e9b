//! Access to a REC granule by the names of its layout.

use core::sync::atomic::Ordering::Relaxed;

use super::layout::{self, SysReg};
use crate::platform::RecContext;

impl RecContext<'_> {
    /// The word at an index of [`layout`].
    #[must_use]
    pub fn get(self, word: usize) -> u64 {
        self.0[word].load(Relaxed)
    }

    /// Sets the word at an index of [`layout`].
    pub fn set(self, word: usize, value: u64) {
        self.0[word].store(value, Relaxed);
    }

    /// Register X`n`; 31 is the zero register.
    #[must_use]
    pub fn gpr(self, n: usize) -> u64 {
        if n < layout::GPR_COUNT {
            self.get(layout::GPRS + n)
        } else {
            0
        }
    }

    /// Sets register X`n`; 31 is the zero register and discards the value.
    pub fn set_gpr(self, n: usize, value: u64) {
        if n < layout::GPR_COUNT {
            self.set(layout::GPRS + n, value);
        }
    }

    /// The saved value of an EL1 or EL0 system register.
    #[must_use]
    pub fn sysreg(self, register: SysReg) -> u64 {
        self.get(register.word())
    }

    /// Sets the saved value of an EL1 or EL0 system register.
    pub fn set_sysreg(self, register: SysReg, value: u64) {
        self.set(register.word(), value);
    }

    /// The address of the next instruction.
    #[must_use]
    pub fn pc(self) -> u64 {
        self.get(layout::PC)
    }

    /// Moves on to the instruction after the current one.
    pub fn advance_pc(self) {
        self.set(layout::PC, self.pc().wrapping_add(4));
    }
}
