//! From the first instruction to the first world.

use super::context::Context;
use super::layout::{BLOCK, DEVICE_TREE, FLASH, MAX_PES, OwnBlock, PE_SHIFT, PeBlock, RMM};
pub use super::machine::Hardware;
use super::machine::{MONITOR, monitor};
use super::{bell, entry, gic, mmu, power, protection, remains, switch};
use crate::common::uart::{UART0, Uart};
use crate::common::{console, memory};
use crate::{println, read_sysreg, write_sysreg};
use cca_abi::firmware::{self, PlatformIdentity, TABLE_WORDS, Table};
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use core::sync::atomic::{AtomicU64, Ordering};
use root_monitor::gpt::Gpt;
use root_monitor::{Platform, PowerUp, RootMonitor, World};

#[cfg(target_os = "none")]
unsafe extern "Rust" {
    /// The image's main function; see [`crate::root_monitor_main`].
    safe fn root_monitor_image_main(primary: Primary) -> !;
}

/// There is no image.
#[cfg(not(target_os = "none"))]
fn root_monitor_image_main(_: Primary) -> ! {
    crate::common::fake::leave("root_monitor_image_main", &[])
}

/// Makes a function `fn(Primary) -> !` the main function of the root monitor's image.
#[macro_export]
macro_rules! root_monitor_main {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn root_monitor_image_main(primary: $crate::el3::boot::Primary) -> ! {
            $main(primary)
        }
    };
}

/// The primary PE at boot, with MMU and granule protection check on and every granule still open to all worlds.
#[derive(Debug)]
pub struct Primary {
    /// The granule protection table. It takes effect with [`Primary::apply_protection`].
    pub gpt: Gpt<'static>,
}

/// What the flash holds besides the root monitor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Firmware {
    /// The RMM image.
    pub rmm: Option<&'static [u8]>,
    /// The machine's identity.
    pub identity: Option<PlatformIdentity>,
}

/// Part of the flash, behind its first granule.
fn flash(offset: u64, length: u64) -> Option<&'static [u8]> {
    // SAFETY: flash is mapped read-only for good.
    let flash = unsafe {
        core::slice::from_raw_parts(
            FLASH.base.wrapping_add(GRANULE_SIZE) as *const u8,
            (FLASH.size - GRANULE_SIZE) as usize,
        )
    };
    let start = usize::try_from(offset.checked_sub(GRANULE_SIZE)?).ok()?;
    flash.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// The firmware table.
fn table() -> Option<Table> {
    let mut words = [0; TABLE_WORDS];
    let bytes = flash(firmware::TABLE_OFFSET, 8 * TABLE_WORDS as u64)?;
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Table::read(&words)
}

impl Primary {
    /// Linear index of the primary PE.
    pub const INDEX: usize = 0;

    /// The memory of the device tree.
    pub fn device_tree(&mut self) -> &mut [u8] {
        // SAFETY: mapped, and nobody else uses it before the normal world starts; `self` exists once and ends by then.
        unsafe {
            core::slice::from_raw_parts_mut(DEVICE_TREE.base as *mut u8, DEVICE_TREE.size as usize)
        }
    }

    /// What the flash holds besides the root monitor; nothing if its table is damaged.
    #[must_use]
    pub fn firmware(&self) -> Firmware {
        let Some(table) = table() else {
            return Firmware::default();
        };
        let fits = table.rmm_length != 0 && table.rmm_length <= RMM.size - GRANULE_SIZE;
        Firmware {
            rmm: if fits {
                flash(table.rmm_offset, table.rmm_length)
            } else {
                None
            },
            identity: table.identity,
        }
    }

    /// Makes the protection table valid for all PEs.
    pub fn apply_protection(&self) {
        protection::invalidate_all();
    }

    /// Copies the RMM image to where it runs, through the Realm physical address space.
    ///
    /// # Panics
    ///
    /// If it does not fit below the shared buffer.
    pub fn load_rmm(&mut self, image: &[u8]) {
        // SAFETY: mapped in the Realm physical address space; the RMM does not run yet.
        let memory = unsafe {
            core::slice::from_raw_parts_mut(RMM.base as *mut u8, (RMM.size - GRANULE_SIZE) as usize)
        };
        memory[..image.len()].copy_from_slice(image);
        memory::clean_and_invalidate(RMM.base as usize, image.len());
    }

    /// PA of the page that the RMM shares with the root monitor.
    #[must_use]
    pub const fn shared_buffer(&self) -> u64 {
        RMM.end() - GRANULE_SIZE
    }

    /// Writes the page that the RMM shares with the root monitor.
    pub fn write_shared_buffer(&mut self, words: &[u64; GRANULE_WORDS]) {
        for (to, from) in Hardware.shared_buffer().iter().zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
        memory::clean_and_invalidate(self.shared_buffer() as usize, GRANULE_SIZE as usize);
    }

    /// Starts the first world: the RMM if it is to be booted, else the normal world.
    ///
    /// # Panics
    ///
    /// If the monitor knows more PEs than there is memory for, or the world switch would lose registers.
    pub fn finish(self, make: impl FnOnce(Gpt<'static>) -> RootMonitor<'static, Hardware>) -> ! {
        let monitor = MONITOR.call_once(|| make(self.gpt));
        assert!(
            monitor.pes().len() <= MAX_PES,
            "more PEs than there is memory for"
        );
        FREQUENCY.store(read_sysreg!("cntfrq_el0"), Ordering::Relaxed);
        gic::set_up_pe();
        switch::assert_supported();
        switch::assert_stateless();
        power_up(Self::INDEX as u64)
    }
}

/// CNTFRQ_EL0 of the primary PE, which the machine has preset; every PE gets the same.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Linear index that the entry code gives to the PE with this affinity: 16 PEs for each value of Aff1.
#[must_use]
pub const fn index_of(mpidr: u64) -> u64 {
    (mpidr >> 8 & 0xFF) * 16 + (mpidr & 0xFF)
}

/// Aff1 and Aff0 of the PE with this linear index; the others are zero.
pub(super) const fn affinity_of(index: u64) -> (u64, u64) {
    (index / 16, index % 16)
}

/// The primary PE arrives here on its stack, with the MMU off.
#[unsafe(no_mangle)]
extern "C" fn el3_primary() -> ! {
    switch::use_boot_vectors();
    let wiped = remains::wipe();
    if let Err(error) = mmu::build() {
        panic!("translation tables: {error:?}");
    }
    let (l1, l1_address) = protection::l1();
    let gpt = Gpt::new(protection::SPACE, protection::l0(), l1, l1_address);
    // SAFETY: the table has just been filled (if not, the panic below reports it); the map is built.
    unsafe {
        protection::enable();
        mmu::enable();
        console::set(Uart::new(UART0));
    }
    match wiped {
        Ok(0) => {}
        Ok(granules) => println!(
            "root-monitor: wiped {granules} granules that the Realm world had before the reset"
        ),
        Err(error) => panic!(
            "{error:?} protection table: what realms had before the reset cannot be wiped; switch the machine off and on"
        ),
    }
    gic::set_up_distributor();
    bell::set_up();
    power::admit_secondaries();
    match gpt {
        Ok(gpt) => root_monitor_image_main(Primary { gpt }),
        Err(error) => panic!("granule protection table: {error:?}"),
    }
}

/// Any other PE arrives here once, on its stack, with the MMU off.
#[unsafe(no_mangle)]
extern "C" fn el3_secondary(_: u64, index: u64) -> ! {
    switch::use_boot_vectors();
    // SAFETY: the primary PE has built both before it admitted this one.
    unsafe {
        protection::enable();
        mmu::enable();
    }
    gic::set_up_pe();
    el3_off(0, index)
}

/// A PE that is off arrives here on an empty stack.
#[unsafe(no_mangle)]
extern "C" fn el3_off(_: u64, index: u64) -> ! {
    power::sleep_until_on(index as usize);
    // SAFETY: the frequency is what software is told.
    unsafe { write_sysreg!("cntfrq_el0", FREQUENCY.load(Ordering::Relaxed)) };
    gic::set_up_pe();
    power_up(index)
}

/// Enters the first world of this PE.
fn power_up(index: u64) -> ! {
    let block =
        (entry::PE_MEMORY.address() + ((index as usize) << PE_SHIFT) + BLOCK) as *mut PeBlock;
    // SAFETY: the block of this PE, which is used by nobody else now; written as a whole before it is read.
    let mut own = unsafe {
        block.write(PeBlock {
            normal: Context::default(),
            realm: Context::default(),
            forward: AtomicU64::new(0),
            on_demand: 0,
            index,
        });
        OwnBlock::of(block)
    };
    let context: *const Context = match monitor().power_up(own.pe) {
        PowerUp::StartNormalWorld(start) => {
            *own.normal = Context::normal(switch::normal_vectors(), start);
            switch::load_normal(&mut own);
            own.normal
        }
        PowerUp::BootRmm(registers) => {
            let [x0, x1, x2, x3, ..] = registers.0;
            *own.realm = Context::at_entry(
                World::Realm,
                switch::realm_vectors(),
                RMM.base,
                [x0, x1, x2, x3],
            );
            switch::load_realm(&mut own);
            own.realm
        }
    };
    // SAFETY: this PE's block and context; this function does not return.
    unsafe { switch::enter(block, context) }
}
