//! Trapped accesses to system registers.

use aarch64_formats::esr::{Esr, SystemRegister, SystemRegisterAccess};

use super::debug;
use super::id_registers::{self, RealmFeatures};
use crate::platform::{CpuFeatures, RecContext};

const ICC_SGI1R: SystemRegister = SystemRegister::new(3, 0, 12, 11, 5);
const ICC_ASGI1R: SystemRegister = SystemRegister::new(3, 0, 12, 11, 6);
const ICC_SGI0R: SystemRegister = SystemRegister::new(3, 0, 12, 11, 7);
const ICC_DIR: SystemRegister = SystemRegister::new(3, 0, 12, 11, 1);
const ACTLR: SystemRegister = SystemRegister::new(3, 0, 1, 0, 1);

/// What becomes of a trapped access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Response {
    /// A read yields this value.
    Value(u64),
    /// A write has no effect.
    Ignored,
    /// The instruction is undefined.
    Undefined,
    /// The host emulates the write: generation of an SGI or deactivation of an interrupt. The interrupt
    /// controller of the realm is the host's. It gets to see the complete syndrome.
    Forward,
}

/// Decides about an access whose syndrome is `esr`, and carries out what it does to the REC.
pub(super) fn respond(
    context: RecContext<'_>,
    esr: Esr,
    cpu: &CpuFeatures,
    realm: impl FnOnce() -> RealmFeatures,
) -> Response {
    let SystemRegisterAccess {
        register,
        read,
        transfer,
        ..
    } = esr.system_register();
    if id_registers::is_id_register(register) {
        return if read {
            Response::Value(id_registers::value(register, cpu, realm()))
        } else {
            Response::Undefined
        };
    }
    if !read && matches!(register, ICC_SGI1R | ICC_ASGI1R | ICC_SGI0R | ICC_DIR) {
        return Response::Forward;
    }
    if debug::is_debug_register(register) {
        let value = (!read).then(|| context.gpr(transfer));
        return debug::access(context, register, value, realm());
    }
    if reads_as_zero(register) {
        return if read {
            Response::Value(0)
        } else {
            Response::Ignored
        };
    }
    Response::Undefined
}

/// Registers that exist in the architecture that the realm sees, but do nothing: the error record registers, of which
/// there are none; ACTLR_EL1.
fn reads_as_zero(register: SystemRegister) -> bool {
    let error_record = register.op0() == 3
        && register.op1() == 0
        && register.crn() == 5
        && matches!(register.crm(), 3..=5);
    error_record || register == ACTLR
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use aarch64_formats::esr::class;

    use super::*;

    fn access(register: SystemRegister, read: bool) -> Response {
        let cpu = CpuFeatures {
            ids: crate::platform::IdRegisters {
                isar0: 0x1234,
                ..Default::default()
            },
            ..Default::default()
        };
        let esr = Esr::new(class::SYSREG, 1 << 25 | register.iss(5, read));
        let words = [const { AtomicU64::new(0) }; 512];
        respond(RecContext(&words), esr, &cpu, || RealmFeatures {
            num_bps: 1,
            num_wps: 1,
            sve: false,
            pmu: false,
        })
    }

    #[test]
    fn generation_of_sgis_is_the_hosts() {
        for register in [ICC_SGI1R, ICC_ASGI1R, ICC_SGI0R, ICC_DIR] {
            assert_eq!(access(register, false), Response::Forward);
            assert_eq!(access(register, true), Response::Undefined);
        }
    }

    #[test]
    fn identification_is_read_only() {
        let isar0 = SystemRegister::new(3, 0, 0, 6, 0);
        assert_eq!(access(isar0, true), Response::Value(0x1234));
        assert_eq!(access(isar0, false), Response::Undefined);
    }

    #[test]
    fn what_does_nothing_reads_as_zero_and_ignores_writes() {
        let osdtrrx = SystemRegister::new(2, 0, 0, 0, 2);
        let mdccsr_el0 = SystemRegister::new(2, 3, 0, 1, 0);
        let erridr = SystemRegister::new(3, 0, 5, 3, 0);
        for register in [osdtrrx, mdccsr_el0, erridr, ACTLR] {
            assert_eq!(access(register, true), Response::Value(0));
            assert_eq!(access(register, false), Response::Ignored);
        }
    }

    #[test]
    fn what_the_realm_is_not_shown_is_undefined() {
        let pmcr = SystemRegister::new(3, 3, 9, 12, 0);
        let lorc = SystemRegister::new(3, 0, 10, 4, 3);
        let implementation_defined = SystemRegister::new(3, 1, 15, 2, 0);
        let trace = SystemRegister::new(2, 1, 0, 0, 0);
        let scxtnum = SystemRegister::new(3, 0, 13, 0, 7);
        for register in [pmcr, lorc, implementation_defined, trace, scxtnum] {
            assert_eq!(access(register, true), Response::Undefined);
            assert_eq!(access(register, false), Response::Undefined);
        }
    }
}
