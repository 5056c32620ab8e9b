//! Exception syndromes as hardware reports them in `ESR_EL2` (Arm ARM DDI 0487, D24.2.40).

/// Trapped WFI or WFE.
pub(crate) const EC_WFX: u64 = 0x01;
/// HVC in AArch64 state.
pub(crate) const EC_HVC: u64 = 0x16;
/// SMC in AArch64 state, trapped by `HCR_EL2.TSC`.
pub(crate) const EC_SMC: u64 = 0x17;
/// Trapped MSR, MRS or system instruction.
pub(crate) const EC_SYSTEM: u64 = 0x18;
/// Instruction abort from a lower exception level.
pub(crate) const EC_INSTRUCTION_ABORT: u64 = 0x20;
/// Data abort from a lower exception level.
pub(crate) const EC_DATA_ABORT: u64 = 0x24;

const IL: u64 = 1 << 25;

/// A syndrome with the class `ec`, the instruction length bit of a 32-bit instruction, and `iss`.
pub(crate) fn syndrome(ec: u64, iss: u64) -> u64 {
    ec << 26 | IL | iss
}

/// What an instruction that accesses memory looks like to whoever has to emulate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// The register that is loaded or stored; 31 is XZR.
    pub register: u8,
    /// A load that extends the sign.
    pub sign: bool,
    /// A 64-bit register.
    pub wide: bool,
    /// Whether hardware describes the access in the syndrome: not for pairs, atomics and forms with writeback.
    pub described: bool,
}

impl Transfer {
    /// A plain load or store of `size` bytes with register X`register`.
    pub fn plain(size: u8, register: u8) -> Self {
        Self {
            size,
            register,
            sign: false,
            wide: size == 8,
            described: true,
        }
    }
}

/// The syndrome of a data abort: `status` is the data fault status code.
pub(crate) fn data_abort(transfer: Transfer, write: bool, status: u64) -> u64 {
    let mut iss = status | u64::from(write) << 6;
    if transfer.described {
        iss |= 1 << 24
            | u64::from(transfer.size.trailing_zeros()) << 22
            | u64::from(transfer.sign) << 21
            | u64::from(transfer.register) << 16
            | u64::from(transfer.wide) << 15;
    }
    syndrome(EC_DATA_ABORT, iss)
}

/// The encoding of a system register: op0, op1, CRn, CRm, op2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding(pub u8, pub u8, pub u8, pub u8, pub u8);

impl Encoding {
    /// From its number: bits 19 to 5 of MRS and MSR, as [`realm_guest::puppet::encoding`] has it.
    pub(crate) const fn numbered(number: u64) -> Self {
        Self(
            2 + (number >> 14 & 1) as u8,
            (number >> 11 & 7) as u8,
            (number >> 7 & 15) as u8,
            (number >> 3 & 15) as u8,
            (number & 7) as u8,
        )
    }
}

/// The syndrome of a trapped access to a system register.
pub(crate) fn system_access(encoding: Encoding, register: u8, read: bool) -> u64 {
    let Encoding(op0, op1, crn, crm, op2) = encoding;
    let iss = u64::from(op0) << 20
        | u64::from(op2) << 17
        | u64::from(op1) << 14
        | u64::from(crn) << 10
        | u64::from(register) << 5
        | u64::from(crm) << 1
        | u64::from(read);
    syndrome(EC_SYSTEM, iss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_described_store_has_all_its_fields() {
        let transfer = Transfer {
            size: 4,
            register: 9,
            sign: false,
            wide: false,
            described: true,
        };
        assert_eq!(data_abort(transfer, true, 0x07), 0x9389_0047);
        let pair = Transfer {
            described: false,
            ..transfer
        };
        assert_eq!(data_abort(pair, true, 0x07), 0x9200_0047);
        let signed = Transfer {
            size: 1,
            register: 3,
            sign: true,
            wide: true,
            described: true,
        };
        assert_eq!(data_abort(signed, false, 0x0E), 0x9323_800E);
    }

    #[test]
    fn sgi_register_write() {
        // MSR ICC_SGI1R_EL1 (3,0,12,11,5), X5
        assert_eq!(
            system_access(Encoding(3, 0, 12, 11, 5), 5, false),
            0x623A_30B6
        );
    }
}
