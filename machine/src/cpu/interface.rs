//! The virtual CPU interface of the GIC: what a realm does with `ICC_*_EL1` and what becomes of the list
//! registers (GIC architecture specification IHI 0069, chapter 6 and 12.4).

use super::state::Interface;

/// No interrupt to acknowledge.
pub(crate) const SPURIOUS: u32 = 1023;

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
const GROUP1: u64 = 1 << 60;
const HARDWARE: u64 = 1 << 61;
const STATE: u64 = PENDING | ACTIVE;
const EOI: u64 = 1 << 41;
const EN: u64 = 1;
const EOI_COUNT: u64 = 0x1F << 27;

const VENG0: u64 = 1;
const VENG1: u64 = 1 << 1;
const VEOIM: u64 = 1 << 9;

fn priority(list: u64) -> u64 {
    list >> 48 & 0xFF
}

fn intid(list: u64) -> u32 {
    list as u32
}

impl Interface {
    /// The list register with the highest-priority pending group 1 interrupt that is signalled to the realm.
    fn highest_pending(&self) -> Option<usize> {
        if self.hcr & EN == 0 || self.vmcr & VENG1 == 0 {
            return None;
        }
        let (n, list) = self
            .lists
            .iter()
            .enumerate()
            // What is active too waits for its own end.
            .filter(|(_, list)| **list & STATE == PENDING && **list & GROUP1 != 0)
            .min_by_key(|(_, list)| priority(**list))?;
        let masked = priority(*list) >= self.vmcr >> 24 & 0xFF;
        (!masked && priority(*list) >> 3 < self.running()).then_some(n)
    }

    /// The preemption level (priority bits 7:3) of what the realm handles now; 32 for nothing.
    fn running(&self) -> u64 {
        u64::from((self.active1 as u32 | self.active0 as u32).trailing_zeros())
    }

    /// `ICC_RPR_EL1`: the priority of what the realm handles now, 0xFF for nothing.
    pub(crate) fn running_priority(&self) -> u64 {
        match self.running() {
            32 => 0xFF,
            level => level << 3,
        }
    }

    /// Whether a virtual interrupt is signalled to the realm.
    pub(crate) fn signalled(&self) -> bool {
        self.highest_pending().is_some()
    }

    /// A read of `ICC_IAR1_EL1`.
    pub(crate) fn acknowledge(&mut self) -> u32 {
        let Some(n) = self.highest_pending() else {
            return SPURIOUS;
        };
        let list = &mut self.lists[n];
        *list = *list & !PENDING | ACTIVE;
        self.active1 |= 1 << (priority(*list) >> 3);
        intid(*list)
    }

    /// A write of `ICC_EOIR1_EL1`: drops the running priority and, unless `ICC_CTLR_EL1.EOImode` is set, deactivates.
    pub(crate) fn end(&mut self, id: u32) {
        if u64::from(id) >= 1020 && id < 8192 {
            return;
        }
        self.active1 &= self.active1.wrapping_sub(1);
        if self.vmcr & VEOIM == 0 {
            self.deactivate_any(id);
        }
    }

    /// A write of `ICC_DIR_EL1`, which is nothing while an end deactivates.
    pub(crate) fn deactivate(&mut self, id: u32) {
        if self.vmcr & VEOIM != 0 {
            self.deactivate_any(id);
        }
    }

    fn deactivate_any(&mut self, id: u32) {
        match self
            .lists
            .iter_mut()
            .find(|list| **list & ACTIVE != 0 && intid(**list) == id)
        {
            Some(list) => *list &= !ACTIVE,
            None if self.hcr & EN != 0 => {
                let count = (self.hcr & EOI_COUNT).wrapping_add(1 << 27) & EOI_COUNT;
                self.hcr = self.hcr & !EOI_COUNT | count;
            }
            None => {}
        }
    }

    /// `ICC_PMR_EL1`.
    pub(crate) fn priority_mask(&self) -> u64 {
        self.vmcr >> 24 & 0xFF
    }

    /// Sets `ICC_PMR_EL1`.
    pub(crate) fn set_priority_mask(&mut self, value: u64) {
        self.vmcr = self.vmcr & !(0xFF << 24) | (value & 0xF8) << 24;
    }

    /// Sets `ICC_IGRPEN1_EL1`.
    pub(crate) fn set_group1_enabled(&mut self, enabled: bool) {
        self.vmcr = self.vmcr & !VENG1 | if enabled { VENG1 } else { 0 };
    }

    /// Sets `ICC_IGRPEN0_EL1`.
    pub(crate) fn set_group0_enabled(&mut self, enabled: bool) {
        self.vmcr = self.vmcr & !VENG0 | if enabled { VENG0 } else { 0 };
    }

    /// Sets `ICC_CTLR_EL1.EOImode`: ending an interrupt and deactivating it are two writes.
    pub(crate) fn set_split_end(&mut self, split: bool) {
        self.vmcr = self.vmcr & !VEOIM | if split { VEOIM } else { 0 };
    }

    /// `ICH_MISR_EL2`.
    pub(crate) fn maintenance(&self) -> u64 {
        let valid = self.lists.iter().filter(|list| **list >> 62 != 0).count();
        let ended = self
            .lists
            .iter()
            .any(|list| *list >> 62 == 0 && *list & (HARDWARE | EOI) == EOI);
        let pending = self.lists.iter().any(|list| *list >> 62 == 1);
        let enabled = |bit: u32| self.hcr >> bit & 1 == 1;
        let bits = [
            ended,
            enabled(1) && valid <= 1,
            enabled(2) && self.hcr & EOI_COUNT != 0,
            enabled(3) && !pending,
            enabled(4) && self.vmcr & VENG0 != 0,
            enabled(5) && self.vmcr & VENG0 == 0,
            enabled(6) && self.vmcr & VENG1 != 0,
            enabled(7) && self.vmcr & VENG1 == 0,
        ];
        bits.iter()
            .enumerate()
            .fold(0, |sum, (n, bit)| sum | u64::from(*bit) << n)
    }

    /// Whether the maintenance interrupt is asserted.
    pub(crate) fn maintenance_asserted(&self) -> bool {
        self.hcr & EN != 0 && self.maintenance() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(id: u32, priority: u64) -> u64 {
        PENDING | GROUP1 | priority << 48 | u64::from(id)
    }

    fn enabled() -> Interface {
        let mut interface = Interface {
            hcr: EN,
            ..Interface::default()
        };
        interface.set_group1_enabled(true);
        interface.set_priority_mask(0xFF);
        interface
    }

    #[test]
    fn pending_becomes_active_and_then_idle() {
        let mut interface = enabled();
        interface.lists[2] = list(27, 0xA0);
        assert!(interface.signalled());
        assert_eq!(interface.acknowledge(), 27);
        assert_eq!(interface.lists[2] >> 62, 2);
        assert!(!interface.signalled());
        assert_eq!(interface.acknowledge(), SPURIOUS);
        interface.end(27);
        assert_eq!(interface.lists[2] >> 62, 0);
        assert_eq!(interface.active1, 0);
    }

    #[test]
    fn only_a_higher_priority_preempts() {
        let mut interface = enabled();
        interface.lists[0] = list(40, 0xA0);
        assert_eq!(interface.acknowledge(), 40);
        interface.lists[1] = list(41, 0xA0);
        assert_eq!(interface.acknowledge(), SPURIOUS);
        interface.lists[3] = list(42, 0x80);
        assert_eq!(interface.acknowledge(), 42);
        interface.end(42);
        interface.end(40);
        assert_eq!(interface.acknowledge(), 41);
    }

    #[test]
    fn nothing_is_signalled_while_masked_or_disabled() {
        let mut interface = enabled();
        interface.lists[0] = list(27, 0xA0);
        interface.set_priority_mask(0xA0);
        assert!(!interface.signalled());
        interface.set_priority_mask(0xFF);
        interface.set_group1_enabled(false);
        assert!(!interface.signalled());
        interface.set_group1_enabled(true);
        interface.hcr = 0;
        assert!(!interface.signalled());
    }

    #[test]
    fn ending_what_is_in_no_list_register_is_counted() {
        let mut interface = enabled();
        interface.hcr |= 1 << 2;
        interface.deactivate(99);
        assert_eq!(interface.hcr >> 27 & 0x1F, 0, "an end deactivates");
        interface.end(99);
        assert_eq!(interface.hcr >> 27 & 0x1F, 1);
        interface.set_split_end(true);
        interface.end(99);
        assert_eq!(interface.hcr >> 27 & 0x1F, 1, "no more than a drop");
        interface.deactivate(99);
        assert_eq!(interface.hcr >> 27 & 0x1F, 2);
        interface.hcr &= !(1 << 28);
        interface.hcr |= 1 << 27;
        assert_eq!(interface.maintenance(), 1 << 2);
        assert!(interface.maintenance_asserted());
    }
}
