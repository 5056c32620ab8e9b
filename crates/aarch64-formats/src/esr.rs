//! Exception syndrome registers (ESR_ELx) as values: classes, fault status codes and the fields of the
//! syndromes that a monitor looks at.
//!
//! Source: Arm architecture reference manual (DDI 0487), "ESR_EL2, Exception Syndrome Register (EL2)".

/// Exception classes, ESR_ELx.EC.
pub mod class {
    /// Unknown reason: undefined instructions.
    pub const UNKNOWN: u8 = 0x00;
    /// Trapped WFI, WFE, WFIT or WFET.
    pub const WFX: u8 = 0x01;
    /// Trapped access to SVE, Advanced SIMD or floating point because of CPTR or CPACR.
    pub const FP: u8 = 0x07;
    /// Branch target exception.
    pub const BRANCH_TARGET: u8 = 0x0D;
    /// HVC in AArch64 state.
    pub const HVC64: u8 = 0x16;
    /// SMC in AArch64 state.
    pub const SMC64: u8 = 0x17;
    /// Trapped MSR, MRS or system instruction in AArch64 state.
    pub const SYSREG: u8 = 0x18;
    /// Trapped access to SVE.
    pub const SVE: u8 = 0x19;
    /// Trapped access to SME.
    pub const SME: u8 = 0x1D;
    /// Instruction abort from a lower exception level.
    pub const INSTRUCTION_ABORT_LOWER: u8 = 0x20;
    /// Instruction abort without a change of exception level.
    pub const INSTRUCTION_ABORT_SAME: u8 = 0x21;
    /// Data abort from a lower exception level.
    pub const DATA_ABORT_LOWER: u8 = 0x24;
    /// Data abort without a change of exception level.
    pub const DATA_ABORT_SAME: u8 = 0x25;
    /// SError interrupt.
    pub const SERROR: u8 = 0x2F;
}

/// Single fields of a syndrome, as masks.
pub mod field {
    /// Exception class.
    pub const EC: u64 = 0x3F << 26;
    /// 32-bit instruction.
    pub const IL: u64 = 1 << 25;
    /// Data aborts: the syndrome of the access (SAS, SSE, SRT, SF, AR) is valid.
    pub const ISV: u64 = 1 << 24;
    /// SError: the syndrome is implementation defined.
    pub const IDS: u64 = 1 << 24;
    /// Data aborts: access size.
    pub const SAS: u64 = 3 << 22;
    /// Data aborts: the loaded value is sign-extended.
    pub const SSE: u64 = 1 << 21;
    /// Data aborts: number of the register that is transferred.
    pub const SRT: u64 = 0x1F << 16;
    /// Data aborts: the register is 64 bits wide.
    pub const SF: u64 = 1 << 15;
    /// Aborts: state of the PE after a synchronous external abort.
    pub const SET: u64 = 3 << 11;
    /// SError: asynchronous error type.
    pub const AET: u64 = 7 << 10;
    /// Aborts: the fault address register is not valid.
    pub const FNV: u64 = 1 << 10;
    /// Aborts: external abort type.
    pub const EA: u64 = 1 << 9;
    /// Aborts: stage 2 fault on an access made by a stage 1 table walk.
    pub const S1PTW: u64 = 1 << 7;
    /// Data aborts: the access was a write.
    pub const WNR: u64 = 1 << 6;
    /// Aborts: fault status code. SError: the same bits.
    pub const FSC: u64 = 0x3F;
    /// WFx: which instruction (0 WFI, 1 WFE, 2 WFIT, 3 WFET).
    pub const TI: u64 = 3;
    /// System register accesses: number of the register that is transferred.
    pub const RT: u64 = 0x1F << 5;
}

/// Fault status codes (DFSC, IFSC).
pub mod fault {
    /// Synchronous external abort, not on a table walk.
    pub const EXTERNAL: u64 = 0x10;
    /// Granule protection fault, not on a table walk.
    pub const GRANULE_PROTECTION: u64 = 0x28;
    /// Asynchronous SError interrupt.
    pub const ASYNCHRONOUS: u64 = 0x11;

    /// Address size fault at a table level from -1 to 3.
    #[must_use]
    pub const fn address_size(level: i8) -> u64 {
        if level < 0 { 0x29 } else { level as u64 & 3 }
    }

    /// Translation fault at a table level from -1 to 3.
    #[must_use]
    pub const fn translation(level: i8) -> u64 {
        if level < 0 {
            0x2B
        } else {
            0x04 | (level as u64 & 3)
        }
    }

    /// Whether a code says synchronous external abort, on a table walk or not.
    #[must_use]
    pub const fn is_external(code: u64) -> bool {
        matches!(code, 0x10 | 0x13..=0x17)
    }

    /// Whether a code says granule protection fault, on a table walk or not.
    #[must_use]
    pub const fn is_granule_protection(code: u64) -> bool {
        matches!(code, 0x23..=0x28)
    }
}

/// A value of an exception syndrome register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Esr(u64);

/// Builds the syndrome of an undefined instruction: unknown reason, 32-bit instruction.
pub const UNDEFINED: Esr = Esr(field::IL);

impl Esr {
    /// From the bits of the register.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// A syndrome of a class (see [`class`]) with the given lower bits.
    #[must_use]
    pub const fn new(class: u8, rest: u64) -> Self {
        Self((class as u64) << 26 | rest & 0x3FF_FFFF)
    }

    /// The syndrome of an SError that an ESB instruction has deferred to DISR_EL1, if that register says that there is one.
    #[must_use]
    pub const fn deferred(disr: u64) -> Option<Self> {
        const A: u64 = 1 << 31;
        if disr & A == 0 {
            return None;
        }
        Some(Self::new(class::SERROR, field::IL | disr & 0x1FF_FFFF))
    }

    /// The bits of the register.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The exception class, see [`class`].
    #[must_use]
    pub const fn class(self) -> u8 {
        (self.0 >> 26 & 0x3F) as u8
    }

    /// Aborts and SError: the fault status code, see [`fault`].
    #[must_use]
    pub const fn fault_status(self) -> u64 {
        self.0 & field::FSC
    }

    /// Synchronous external aborts: the state of the PE.
    #[must_use]
    pub const fn synchronous_error(self) -> SynchronousError {
        match self.0 >> 11 & 3 {
            0 => SynchronousError::Recoverable,
            3 => SynchronousError::Restartable,
            _ => SynchronousError::Uncontainable,
        }
    }

    /// Data aborts: whether the fields that describe the access are valid.
    #[must_use]
    pub const fn access_valid(self) -> bool {
        self.0 & field::ISV != 0
    }

    /// Data aborts with a valid description: the access.
    #[must_use]
    pub const fn access(self) -> Access {
        Access {
            size: 1 << (self.0 >> 22 & 3),
            register: (self.0 >> 16 & 0x1F) as usize,
            sign_extend: self.0 & field::SSE != 0,
            wide: self.0 & field::SF != 0,
            write: self.0 & field::WNR != 0,
        }
    }

    /// System register traps: the access.
    #[must_use]
    pub const fn system_register(self) -> SystemRegisterAccess {
        SystemRegisterAccess {
            register: SystemRegister(self.0 as u32 & SystemRegister::MASK),
            transfer: (self.0 >> 5 & 0x1F) as usize,
            read: self.0 & 1 != 0,
        }
    }
}

/// What a synchronous external abort left of the PE, ESR_ELx.SET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SynchronousError {
    /// Recoverable state (UER).
    Recoverable,
    /// Restartable state (UEO).
    Restartable,
    /// Uncontainable (UC), or an encoding that the architecture does not define.
    Uncontainable,
}

/// A load or store of a single register that was reported with a valid syndrome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Bytes accessed: 1, 2, 4 or 8.
    pub size: u64,
    /// Number of the register; 31 is the zero register.
    pub register: usize,
    /// Whether a load sign-extends.
    pub sign_extend: bool,
    /// Whether the register is 64 bits wide.
    pub wide: bool,
    /// Whether it is a store.
    pub write: bool,
}

impl Access {
    /// The bits of a value that the access transfers, the rest zero.
    #[must_use]
    pub const fn truncate(self, value: u64) -> u64 {
        if self.size == 8 {
            value
        } else {
            value & ((1 << (8 * self.size)) - 1)
        }
    }

    /// What a load that reads `value` leaves in its 64-bit register.
    #[must_use]
    pub const fn loaded(self, value: u64) -> u64 {
        if !self.sign_extend {
            return self.truncate(value);
        }
        let unused = 64 - 8 * self.size;
        let extended = ((value << unused) as i64 >> unused) as u64;
        if self.wide {
            extended
        } else {
            extended & 0xFFFF_FFFF
        }
    }
}

/// A trapped access to a system register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemRegisterAccess {
    /// Which register or instruction.
    pub register: SystemRegister,
    /// Number of the general-purpose register; 31 is the zero register.
    pub transfer: usize,
    /// MRS if true, MSR or a system instruction otherwise.
    pub read: bool,
}

/// The encoding of a system register (Op0, Op1, CRn, CRm, Op2) in the positions of ESR_ELx.ISS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemRegister(u32);

impl SystemRegister {
    const MASK: u32 = 0x3F_FC1E;

    /// The register with this encoding.
    #[must_use]
    pub const fn new(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> Self {
        Self(
            (op0 & 3) << 20
                | (op2 & 7) << 17
                | (op1 & 7) << 14
                | (crn & 15) << 10
                | (crm & 15) << 1,
        )
    }

    /// Op0.
    #[must_use]
    pub const fn op0(self) -> u32 {
        self.0 >> 20 & 3
    }

    /// Op1.
    #[must_use]
    pub const fn op1(self) -> u32 {
        self.0 >> 14 & 7
    }

    /// CRn.
    #[must_use]
    pub const fn crn(self) -> u32 {
        self.0 >> 10 & 15
    }

    /// CRm.
    #[must_use]
    pub const fn crm(self) -> u32 {
        self.0 >> 1 & 15
    }

    /// Op2.
    #[must_use]
    pub const fn op2(self) -> u32 {
        self.0 >> 17 & 7
    }

    /// The ISS of a trapped access with this register, a transfer register and a direction.
    #[must_use]
    pub const fn iss(self, transfer: usize, read: bool) -> u64 {
        self.0 as u64 | (transfer as u64 & 0x1F) << 5 | read as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_new_agree() {
        let esr = Esr::new(class::DATA_ABORT_LOWER, fault::translation(3));
        assert_eq!(esr.bits(), 0x9000_0007);
        assert_eq!(esr.class(), class::DATA_ABORT_LOWER);
        assert_eq!(UNDEFINED.bits(), 0x0200_0000);
        assert_eq!(Esr::new(class::UNKNOWN, u64::MAX).bits(), 0x3FF_FFFF);
    }

    #[test]
    fn fault_codes_of_levels() {
        assert_eq!([-1, 0, 1, 2, 3].map(fault::translation), [0x2B, 4, 5, 6, 7]);
        assert_eq!(
            [-1, 0, 1, 2, 3].map(fault::address_size),
            [0x29, 0, 1, 2, 3]
        );
        assert!(fault::is_external(0x10) && fault::is_external(0x17) && !fault::is_external(0x11));
        assert!(fault::is_granule_protection(0x28) && !fault::is_granule_protection(0x29));
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        let load = |size, sign_extend, wide| Access {
            size,
            register: 0,
            sign_extend,
            wide,
            write: false,
        };
        assert_eq!(load(1, false, false).loaded(0xFFFF_FF80), 0x80);
        assert_eq!(load(1, true, false).loaded(0x80), 0xFFFF_FF80);
        assert_eq!(load(1, true, true).loaded(0x80), 0xFFFF_FFFF_FFFF_FF80);
        assert_eq!(load(2, true, true).loaded(0x1_7FFF), 0x7FFF);
        assert_eq!(
            load(4, true, true).loaded(0x8000_0000),
            0xFFFF_FFFF_8000_0000
        );
        assert_eq!(load(8, false, true).loaded(u64::MAX), u64::MAX);
        assert_eq!(load(8, true, true).loaded(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_access_is_decoded_from_its_fields() {
        let bits = field::ISV | 2 << 22 | field::SSE | 7 << 16 | field::SF | field::WNR;
        let access = Esr::new(class::DATA_ABORT_LOWER, bits).access();
        assert_eq!(
            access,
            Access {
                size: 4,
                register: 7,
                sign_extend: true,
                wide: true,
                write: true
            }
        );
    }

    #[test]
    fn system_registers_keep_their_encoding() {
        let sgi1r = SystemRegister::new(3, 0, 12, 11, 5);
        assert_eq!(
            (
                sgi1r.op0(),
                sgi1r.op1(),
                sgi1r.crn(),
                sgi1r.crm(),
                sgi1r.op2()
            ),
            (3, 0, 12, 11, 5)
        );
        let esr = Esr::new(class::SYSREG, sgi1r.iss(9, false));
        assert_eq!(
            esr.system_register(),
            SystemRegisterAccess {
                register: sgi1r,
                transfer: 9,
                read: false
            }
        );
        assert_eq!(sgi1r.iss(0, true), 0x3A_3017);
    }

    #[test]
    fn a_deferred_error_has_the_syndrome_of_one_that_is_taken() {
        assert_eq!(Esr::deferred(0x7FFF_FFFF), None);
        let esr = Esr::deferred(0xFE00_0000 | 1 << 24 | 0xE11).map(Esr::bits);
        assert_eq!(esr, Some(0x2F << 26 | 1 << 25 | 1 << 24 | 0xE11));
    }

    #[test]
    fn external_abort_states() {
        let of = |set: u64| Esr::from_bits(set << 11).synchronous_error();
        assert_eq!(of(0), SynchronousError::Recoverable);
        assert_eq!(of(3), SynchronousError::Restartable);
        assert_eq!(of(2), SynchronousError::Uncontainable);
    }
}
