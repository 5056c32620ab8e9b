//! The part of the interrupt controller that the host decides: the list registers and a few control bits
//! of ICH_HCR_EL2 (RMM specification 1.0-rel0, A6.1).

use cca_abi::rmi::run::{GICV3_HCR_ENTER_MASK, LIST_REGISTERS};

/// ICH_HCR_EL2 bits that the monitor sets for every run: En, vSGIEOICount, DVIM.
pub(super) const HCR_RUN: u64 = 1 | 1 << 8 | 1 << 15;

const LR_STATE: u64 = 3 << 62;
const LR_HW: u64 = 1 << 61;
const LR_NMI: u64 = 1 << 59;
const LR_PINTID: u64 = 0x1FFF << 32;
/// With HW = 0 this bit of the pINTID field asks for a maintenance interrupt.
const LR_EOI: u64 = 1 << 41;

/// Number of list registers that ICH_VTR_EL2 reports.
pub(super) const fn list_registers(ich_vtr: u64) -> usize {
    let count = (ich_vtr & 0x1F) as usize + 1;
    if count > LIST_REGISTERS {
        LIST_REGISTERS
    } else {
        count
    }
}

/// Whether the host's values may be loaded. List registers beyond the implemented ones are not looked at,
/// nor anything in a register whose state is inactive.
pub(super) fn valid(
    hcr: u64,
    lrs: &[u64; LIST_REGISTERS],
    ich_vtr: u64,
    extended_ranges: bool,
) -> bool {
    if hcr & !GICV3_HCR_ENTER_MASK != 0 {
        return false;
    }
    let lrs = &lrs[..list_registers(ich_vtr)];
    lrs.iter().enumerate().all(|(n, &lr)| {
        lr & LR_STATE == 0
            || valid_list_register(lr, ich_vtr, extended_ranges)
                && !lrs[..n]
                    .iter()
                    .any(|&other| other & LR_STATE != 0 && other as u32 == lr as u32)
    })
}

fn valid_list_register(lr: u64, ich_vtr: u64, extended_ranges: bool) -> bool {
    let priority_bits = (ich_vtr >> 29 & 7) as u32 + 1;
    let unimplemented_priority = (0xFF_u64 >> priority_bits) << 48;
    let id_bits = if ich_vtr >> 23 & 7 == 0 { 16 } else { 24 };
    let intid = lr & 0xFFFF_FFFF;
    lr & (LR_HW | LR_NMI | unimplemented_priority) == 0
        && lr & LR_PINTID & !LR_EOI == 0
        && (intid < 1020
            || (8192..1 << id_bits).contains(&intid)
            || extended_ranges && matches!(intid, 1056..1120 | 4096..5120))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU reports: 4 list registers, 5 priority bits, 24-bit INTIDs.
    const VTR: u64 = 0x90B8_0003;
    const PENDING: u64 = 1 << 62;

    fn one(lr: u64) -> bool {
        let mut lrs = [0; LIST_REGISTERS];
        lrs[3] = lr;
        valid(0, &lrs, VTR, false)
    }

    #[test]
    fn control_bits_are_the_eight_of_the_specification() {
        let none = [0; LIST_REGISTERS];
        for bit in 0..64 {
            assert_eq!(
                valid(1 << bit, &none, VTR, false),
                matches!(bit, 1..=7 | 14),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_list_register_is_checked_when_it_is_not_inactive() {
        assert!(one(PENDING | 27 | 0xA0 << 48 | 1 << 60));
        assert!(one(PENDING | LR_EOI | 27));
        for bad in [
            LR_HW,
            LR_NMI,
            1 << 32,
            1 << 44,
            1 << 48,
            7 << 48,
            1020,
            1023,
            1056,
            4096,
            8191,
            1 << 24,
        ] {
            for state in 1..4 {
                assert!(!one(state << 62 | bad), "{bad:#x}");
            }
            assert!(one(bad), "{bad:#x} while inactive");
        }
        assert!(one(PENDING | 1019) && one(PENDING | 8192) && one(PENDING | 0xFF_FFFF));
        assert!(one(PENDING | 1 << 51), "priority bit 3 is implemented");
    }

    #[test]
    fn extended_ranges_count_where_the_interrupt_controller_has_them() {
        for intid in [1055, 1056, 1119, 1120, 4095, 4096, 5119, 5120, 8191] {
            let mut lrs = [0; LIST_REGISTERS];
            lrs[0] = PENDING | intid;
            assert!(!valid(0, &lrs, VTR, false), "{intid}");
            let extended = matches!(intid, 1056..1120 | 4096..5120);
            assert_eq!(valid(0, &lrs, VTR, true), extended, "{intid}");
        }
    }

    #[test]
    fn an_interrupt_is_in_one_list_register_at_most() {
        let mut lrs = [0; LIST_REGISTERS];
        lrs[0] = PENDING | 27;
        lrs[2] = 2 << 62 | 27;
        assert!(!valid(0, &lrs, VTR, false));
        lrs[2] &= !LR_STATE;
        assert!(valid(0, &lrs, VTR, false));
    }

    #[test]
    fn registers_that_do_not_exist_are_ignored() {
        let mut lrs = [0; LIST_REGISTERS];
        lrs[4] = PENDING | LR_HW;
        assert!(valid(0, &lrs, VTR, false));
        assert!(!valid(0, &lrs, VTR + 1, false));
    }
}
