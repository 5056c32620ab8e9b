//! What the realm of the scenarios does beside what every program does.

use realm_guest::puppet::{GicRegister, PuppetPe, Use};

use super::vcpu::{Vcpu, open_vectors};
use super::{entry, features, registers};
use crate::common::{barrier, device};
#[cfg(not(target_os = "none"))]
use crate::write_sysreg;

/// Writes `value` to a system register from X8.
macro_rules! write_from_x8 {
    ($name:literal, $value:expr) => {{
        #[cfg(target_os = "none")]
        core::arch::asm!(concat!("msr ", $name, ", x8"), in("x8") $value, options(nostack, preserves_flags));
        #[cfg(not(target_os = "none"))]
        write_sysreg!($name, $value);
    }};
}

fn assert_outside(ipa: u64) {
    assert!(
        !entry::image().contains(&ipa),
        "the program stores over itself at {ipa:#x}"
    );
}

impl PuppetPe for Vcpu {
    fn load(&self, ipa: u64, size: u64) -> u64 {
        let at = ipa as usize;
        // SAFETY: a load changes no memory of this program.
        unsafe {
            match size {
                1 => device::load_8(at).into(),
                2 => device::load_16(at).into(),
                4 => device::load_32(at).into(),
                _ => device::load_64(at),
            }
        }
    }

    fn store(&self, ipa: u64, size: u64, value: u64) {
        assert_outside(ipa);
        let at = ipa as usize;
        // SAFETY: the address is outside of the image, its data and its stacks: no Rust object is there.
        unsafe {
            match size {
                1 => device::store_8(at, value as u8),
                2 => device::store_16(at, value as u16),
                4 => device::store_32(at, value as u32),
                _ => device::store_64(at, value),
            }
        }
    }

    fn add(&self, ipa: u64, value: u64) {
        assert_outside(ipa);
        // SAFETY: as in `store`. LDADD without a result.
        unsafe { device::add_64(ipa as usize, value) }
    }

    fn wait_for_event(&self) {
        barrier::wfe();
    }

    fn write_gic(&self, register: GicRegister, value: u64) {
        barrier::dsb_sy();
        // SAFETY: makes an interrupt pending or ends one, of which this program takes none unasked.
        unsafe {
            match register {
                GicRegister::Sgi1 => write_from_x8!("s3_0_c12_c11_5", value),
                GicRegister::Asgi1 => write_from_x8!("s3_0_c12_c11_6", value),
                GicRegister::Sgi0 => write_from_x8!("s3_0_c12_c11_7", value),
                GicRegister::Deactivate => write_from_x8!("s3_0_c12_c11_1", value),
            }
        }
        barrier::isb();
    }

    fn identify(&self, crm: u64, op2: u64) -> u64 {
        features::identify(crm, op2)
    }

    fn next_readable(&self, from: u64, end: u64) -> Option<(u64, u64)> {
        registers::next_readable(from, end)
    }

    fn write_register(&self, encoding: u64, value: u64) {
        // SAFETY: the host leaves out what this program runs on, or stops its realm.
        unsafe { registers::write(encoding, value) };
    }

    fn use_feature(&self, crm: u64, op2: u64, low: u64) -> Option<Use> {
        open_vectors();
        // SAFETY: the registers are open, and this program uses none of them.
        Some(unsafe { features::try_out(crm, op2, low) })
    }
}
