//! Numbers of the interfaces in words, for people who read a trace.

use core::fmt;

use crate::rmi::{self, ReturnCode, Status};
use crate::{psci, rsi, smccc};

/// X0 of an RMI command in words.
#[derive(Clone, Copy, Debug)]
pub struct RmiResult(pub u64);

impl fmt::Display for RmiResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == smccc::NOT_SUPPORTED {
            return f.write_str("not supported");
        }
        let Some(code) = ReturnCode::decode(self.0) else {
            return write!(f, "no RMI return code ({:#x})", self.0);
        };
        f.write_str(code.status.name())?;
        match (code.status, code.index) {
            (Status::ErrorRtt, _) => write!(f, " at level {}", code.level()),
            (_, 0) => Ok(()),
            (_, index) => write!(f, " index {index}"),
        }
    }
}

/// X0 of an RSI command in words.
#[derive(Clone, Copy, Debug)]
pub struct RsiResult(pub u64);

impl fmt::Display for RsiResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            rsi::SUCCESS => "RSI_SUCCESS",
            rsi::ERROR_INPUT => "RSI_ERROR_INPUT",
            rsi::ERROR_STATE => "RSI_ERROR_STATE",
            rsi::INCOMPLETE => "RSI_INCOMPLETE",
            rsi::ERROR_UNKNOWN => "RSI_ERROR_UNKNOWN",
            smccc::NOT_SUPPORTED => "not supported",
            other => return write!(f, "no RSI return code ({other:#x})"),
        })
    }
}

/// A PSCI return code in words.
#[derive(Clone, Copy, Debug)]
pub struct PsciResult(pub i64);

impl fmt::Display for PsciResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            psci::code::SUCCESS => "SUCCESS",
            psci::code::OFF => "OFF",
            psci::code::AFFINITY_ON_PENDING => "ON_PENDING",
            psci::code::NOT_SUPPORTED => "NOT_SUPPORTED",
            psci::code::INVALID_PARAMETERS => "INVALID_PARAMETERS",
            psci::code::DENIED => "DENIED",
            psci::code::ALREADY_ON => "ALREADY_ON",
            psci::code::ON_PENDING => "ON_PENDING",
            psci::code::INTERNAL_FAILURE => "INTERNAL_FAILURE",
            psci::code::NOT_PRESENT => "NOT_PRESENT",
            psci::code::DISABLED => "DISABLED",
            psci::code::INVALID_ADDRESS => "INVALID_ADDRESS",
            other => return write!(f, "no PSCI return code ({other})"),
        })
    }
}

/// A function identifier in words: the name of the command in whichever interface has it.
#[derive(Clone, Copy, Debug)]
pub struct FunctionName(pub u32);

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0 & !smccc::SVE_HINT;
        let name = rmi::Command::from_function_id(id)
            .map(rmi::Command::name)
            .or_else(|| rsi::Command::from_function_id(id).map(rsi::Command::name))
            .or_else(|| psci::Function::from_function_id(id).map(psci::Function::name))
            .or_else(|| crate::el3::Command::from_function_id(id).map(crate::el3::Command::name));
        match (name, id) {
            (Some(name), _) => f.write_str(name),
            (None, crate::el3::RMI_REQ_COMPLETE) => f.write_str("RMM_RMI_REQ_COMPLETE"),
            (None, crate::el3::BOOT_COMPLETE) => f.write_str("RMM_BOOT_COMPLETE"),
            (None, smccc::VERSION) => f.write_str("SMCCC_VERSION"),
            (None, smccc::ARCH_FEATURES) => f.write_str("SMCCC_ARCH_FEATURES"),
            (None, _) => write!(f, "unknown function {id:#010x}"),
        }
    }
}

/// ESR_EL2 of an exit in words: class of the exception and what matters of its syndrome.
#[derive(Clone, Copy, Debug)]
pub struct Syndrome(pub u64);

impl fmt::Display for Syndrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let esr = self.0;
        let class = (esr >> 26) & 0x3F;
        match class {
            0x01 => f.write_str(match esr & 3 {
                0 => "WFI",
                1 => "WFE",
                2 => "WFIT",
                _ => "WFET",
            }),
            0x07 => f.write_str("floating point access"),
            0x16 => f.write_str("HVC"),
            0x17 => f.write_str("SMC"),
            0x18 => {
                let field = |low: u32, bits: u32| (esr >> low) & ((1 << bits) - 1);
                write!(
                    f,
                    "{} of system register S{}_{}_C{}_C{}_{}",
                    if esr & 1 == 1 { "read" } else { "write" },
                    field(20, 2),
                    field(14, 3),
                    field(10, 4),
                    field(1, 4),
                    field(17, 3)
                )
            }
            0x19 => f.write_str("SVE access"),
            0x20 | 0x21 => write!(f, "instruction abort, {}", FaultStatus(esr & 0x3F)),
            0x24 | 0x25 => {
                let write = if esr & 1 << 6 != 0 { "write" } else { "read" };
                if esr & 1 << 24 != 0 {
                    write!(
                        f,
                        "data abort, {write} of {} bytes, {}",
                        1 << ((esr >> 22) & 3),
                        FaultStatus(esr & 0x3F)
                    )
                } else {
                    write!(f, "data abort, {}", FaultStatus(esr & 0x3F))
                }
            }
            0x2F => f.write_str("SError"),
            other => write!(
                f,
                "exception class {other:#04x}, syndrome {:#x}",
                esr & 0x1FF_FFFF
            ),
        }
    }
}

/// The fault status code of an abort (DFSC or IFSC) in words.
struct FaultStatus(u64);

impl fmt::Display for FaultStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.0 & 3;
        match self.0 {
            0x00..=0x03 => write!(f, "address size fault at level {level}"),
            0x04..=0x07 => write!(f, "translation fault at level {level}"),
            0x08..=0x0B => write!(f, "access flag fault at level {level}"),
            0x0C..=0x0F => write!(f, "permission fault at level {level}"),
            0x10 => f.write_str("external abort"),
            0x21 => f.write_str("alignment fault"),
            0x23..=0x27 => f.write_str("granule protection fault on a table walk"),
            0x28 => f.write_str("granule protection fault"),
            0x2B => f.write_str("translation fault at level -1"),
            other => write!(f, "fault status {other:#04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn return_codes_are_named() {
        assert_eq!(RmiResult(0).to_string(), "RMI_SUCCESS");
        assert_eq!(RmiResult(0x304).to_string(), "RMI_ERROR_RTT at level 3");
        assert_eq!(RmiResult(0xFF04).to_string(), "RMI_ERROR_RTT at level -1");
        assert_eq!(RmiResult(0x102).to_string(), "RMI_ERROR_REALM index 1");
        assert_eq!(RmiResult(u64::MAX).to_string(), "not supported");
        assert_eq!(RmiResult(0x77).to_string(), "no RMI return code (0x77)");
        assert_eq!(RsiResult(3).to_string(), "RSI_INCOMPLETE");
        assert_eq!(PsciResult(-9).to_string(), "INVALID_ADDRESS");
    }

    #[test]
    fn functions_are_named_with_or_without_hint() {
        assert_eq!(FunctionName(0xC400_015A).to_string(), "RMI_REC_CREATE");
        assert_eq!(FunctionName(0xC401_015A).to_string(), "RMI_REC_CREATE");
        assert_eq!(FunctionName(0xC400_0199).to_string(), "RSI_HOST_CALL");
        assert_eq!(FunctionName(0x8400_0003).to_string(), "PSCI_CPU_ON");
        assert_eq!(FunctionName(0xC400_01B0).to_string(), "RMM_GTSI_DELEGATE");
        assert_eq!(
            FunctionName(0xC400_0156).to_string(),
            "unknown function 0xc4000156"
        );
    }

    #[test]
    fn syndromes_are_explained() {
        assert_eq!(
            Syndrome(0x9000_0007).to_string(),
            "data abort, translation fault at level 3"
        );
        assert_eq!(
            Syndrome(0x9180_0046).to_string(),
            "data abort, write of 4 bytes, translation fault at level 2"
        );
        assert_eq!(Syndrome(0x0400_0000).to_string(), "WFI");
        let sgi1r = 0x18 << 26 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
        assert_eq!(
            Syndrome(sgi1r).to_string(),
            "write of system register S3_0_C12_C11_5"
        );
    }
}
