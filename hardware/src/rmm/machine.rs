//! The machine as all PEs share it: memory windows, EL3's services, TLB maintenance.

use crate::common::assembly::operation;
use crate::common::barrier::dsb_ishst;
use crate::read_sysreg;
use crate::rmm::cpu::Optional;
use crate::rmm::hash::{self, Accelerated};
use crate::rmm::{non_secure, smc, tlb};
use cca_abi::el3::Command;
use cca_abi::smccc::Registers;
use core::sync::atomic::{AtomicU16, AtomicU64};
use realm_monitor::attestation::{Attestation, RootServices};
use realm_monitor::platform::{AccessFault, CpuFeatures, Granule, Platform, TlbScope};

/// The machine. One value exists, made at cold boot.
#[derive(Debug)]
pub struct Machine {
    cpu: CpuFeatures,
    optional: Optional,
    accelerated: Accelerated,
    granule_states: &'static [AtomicU16],
    /// Bytes that DC ZVA clears, 0 if the instruction is not to be used.
    zero_block: usize,
    attestation: Option<&'static Attestation>,
}

/// EL3, asked through the page at this physical address.
#[derive(Debug)]
pub struct El3 {
    /// Physical address of the page shared with EL3.
    pub shared_buffer: u64,
}

impl RootServices for El3 {
    fn shared_buffer_address(&self) -> u64 {
        self.shared_buffer
    }

    fn shared_buffer(&self) -> &Granule {
        let words = granule_address(self.shared_buffer) as *const Granule;
        // SAFETY: the page is mapped for good, by the address that was checked at cold boot; this program and EL3 reach
        // it by atomic accesses, and any bit pattern is a value.
        unsafe { &*words }
    }

    fn call(&self, registers: &mut Registers) {
        if let Some(first) = registers.0.first_chunk_mut() {
            smc::smc(first);
        }
    }
}

impl Machine {
    /// The machine with storage for its granule states, and what EL3 gave to attest with.
    pub fn new(
        cpu: CpuFeatures,
        granule_states: &'static [AtomicU16],
        attestation: Option<&'static Attestation>,
    ) -> Self {
        // DCZID_EL0: DZP in bit 4, log2 of the number of words below.
        let zero = read_sysreg!("dczid_el0");
        let zero_block = if zero & 1 << 4 != 0 {
            0
        } else {
            4 << (zero & 0xF)
        };
        // Larger ones than any CPU has are not worth a loop of their own.
        let zero_block = if zero_block * ZERO_AT_A_TIME > 4096 {
            0
        } else {
            zero_block
        };
        Self {
            optional: Optional::of(&cpu.ids),
            accelerated: Accelerated::of(&cpu.ids),
            cpu,
            granule_states,
            zero_block,
            attestation,
        }
    }
}

/// Blocks that are zeroed in one turn of a loop.
const ZERO_AT_A_TIME: usize = 8;

/// A granule address, checked: what is not a granule of the window is a bug of the caller.
#[inline]
fn granule_address(pa: u64) -> u64 {
    assert!(
        pa.is_multiple_of(4096),
        "{pa:#x} is not the address of a granule"
    );
    pa
}

impl Platform for Machine {
    #[inline]
    fn granule_states(&self) -> &[AtomicU16] {
        self.granule_states
    }

    #[inline]
    fn granule(&self, pa: u64) -> &Granule {
        let words = granule_address(pa) as *const [AtomicU64; 512];
        // SAFETY: the Realm window maps every DRAM bank at its physical address for good; an address elsewhere faults
        // and stops this PE. All accesses to granules are atomic or made by instructions outside the language, and any
        // bit pattern is a value. Memory of the image is never a granule: EL3 does not let the host delegate it.
        unsafe { &*words }
    }

    #[inline]
    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault> {
        non_secure::read(pa + offset as u64, into)
    }

    #[inline]
    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault> {
        non_secure::write(pa + offset as u64, from)
    }

    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault> {
        // SAFETY: as for `granule`.
        unsafe { non_secure::copy_granule(src, granule_address(dst)) }
    }

    fn zero_granule(&self, pa: u64) {
        if self.zero_block == 0 {
            for word in self.granule(pa) {
                word.store(0, core::sync::atomic::Ordering::Relaxed);
            }
            return;
        }
        let mut at = granule_address(pa);
        let end = at + 4096;
        while at < end {
            for _ in 0..ZERO_AT_A_TIME {
                // SAFETY: as for `granule`; so many blocks are at most a granule, and lie in it.
                unsafe { operation!("dc zva", at) };
                at += self.zero_block as u64;
            }
        }
    }

    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64> {
        service(Command::GtsiDelegate, pa)
    }

    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64> {
        service(Command::GtsiUndelegate, pa)
    }

    fn invalidate(&self, scope: TlbScope) {
        tlb::invalidate(scope);
    }

    #[inline]
    fn publish_tables(&self) {
        dsb_ishst();
    }

    #[inline]
    fn cpu(&self) -> &CpuFeatures {
        &self.cpu
    }

    #[inline]
    fn sha256_blocks(&self, state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        if !(self.accelerated.sha256 && hash::sha256(self.optional, state, blocks)) {
            sha2::block_api::compress256(state, blocks);
        }
    }

    #[inline]
    fn sha512_blocks(&self, state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        if !(self.accelerated.sha512 && hash::sha512(self.optional, state, blocks)) {
            sha2::block_api::compress512(state, blocks);
        }
    }

    fn attestation(&self) -> Option<&Attestation> {
        self.attestation
    }
}

fn service(command: Command, argument: u64) -> Result<(), i64> {
    match smc::service(u64::from(command.function_id()), argument) {
        0 => Ok(()),
        code => Err(code),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
