//! Where the program of a siege stands: its memory, its devices, its vCPUs.

use core::fmt;
use core::ops::Range;

use cca_abi::mpidr::{ARCHITECTURAL_MASK, architectural_from_index, index_from_architectural};

use super::Way;
use crate::demo::PROGRAM_SIZE;
use crate::puppet::PuppetPe;
use crate::{GRANULE_SIZE, IpaWidth, Psci, RealmConfig, Ripas, Rsi};

/// The least memory that the program works with.
pub const MINIMUM_MEMORY: u64 = 8 << 20;
/// vCPUs that do something.
const VCPUS: u64 = 8;
/// Each vCPU has so many pages for itself behind the program.
const PAGES: u64 = 4;
/// From here on, after the start of memory, is what is attacked.
const ARENA: u64 = 4 << 20;
/// PL011 registers: data, flags.
const DATA: u64 = 0x00;

/// What vCPU 0 gets in X0 to X4.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// First address of memory.
    pub base: u64,
    /// Bytes of it.
    pub size: u64,
    /// The PL011, in the protected half.
    pub uart: u64,
    /// The GIC's distributor, likewise.
    pub distributor: u64,
    /// The first redistributor, likewise.
    pub redistributors: u64,
}

/// A vCPU of the program.
pub(super) struct Attacker<'p, P> {
    pub(super) pe: &'p P,
    pub(super) ground: Ground,
    pub(super) width: IpaWidth,
    pub(super) index: u64,
}

impl<'p, P: PuppetPe> Attacker<'p, P> {
    /// vCPU 0; `None` where there is too little memory, or no realm.
    pub(super) fn arrive(pe: &'p P, ground: Ground) -> Option<Self> {
        if ground.size < MINIMUM_MEMORY {
            return None;
        }
        let page = ground.base + PROGRAM_SIZE;
        Rsi::new(pe).realm_config(page).ok()?;
        let config = RealmConfig::read(|offset| pe.read(page + offset))?;
        Some(Self {
            pe,
            ground,
            width: config.ipa_width,
            index: 0,
        })
    }

    /// Turns on all other vCPUs that there are, for the same.
    pub(super) fn call_others(&self, way: Way) {
        let page = self.parameters();
        let entry = self.pe.secondary_entry();
        let ground = &self.ground;
        let words = [
            ground.base,
            ground.size,
            ground.uart,
            ground.distributor,
            ground.redistributors,
            self.width.bits(),
            way as u64,
        ];
        for (address, word) in (page..).step_by(8).zip(words) {
            self.pe.write(address, word);
        }
        for index in 1..VCPUS {
            // There may be fewer.
            let _ = self.psci().cpu_on(affinity(index), entry, page);
        }
    }

    /// Any other vCPU, with what [`call_others`](Self::call_others) left for it.
    pub(super) fn follow(pe: &'p P, page: u64) -> Option<(Self, Way)> {
        let word = |index: u64| pe.read(page + 8 * index);
        let ground = Ground {
            base: word(0),
            size: word(1),
            uart: word(2),
            distributor: word(3),
            redistributors: word(4),
        };
        let way = *Way::ALL.get(word(6) as usize)?;
        let attacker = Self {
            pe,
            ground,
            width: IpaWidth::new(word(5))?,
            index: index_from_architectural(pe.mpidr()),
        };
        Some((attacker, way))
    }

    pub(super) fn psci(&self) -> Psci<'_, P> {
        Psci::new(self.pe)
    }

    pub(super) fn rsi(&self) -> Rsi<'_, P> {
        Rsi::new(self.pe)
    }

    /// Where the others find what they need.
    pub(super) fn parameters(&self) -> u64 {
        self.ground.base + PROGRAM_SIZE + PAGES * GRANULE_SIZE * VCPUS
    }

    /// A page of this vCPU's own, 0 to 3.
    pub(super) fn page(&self, number: u64) -> u64 {
        let pages = self.index % VCPUS * PAGES + number % PAGES;
        self.ground.base + PROGRAM_SIZE + pages * GRANULE_SIZE
    }

    /// The part of memory that this vCPU does its worst to: a multiple of 2 MiB where there is enough.
    pub(super) fn slice(&self) -> Range<u64> {
        let all = self.ground.size - ARENA;
        let part = all / VCPUS / GRANULE_SIZE * GRANULE_SIZE;
        let start = self.ground.base + ARENA + self.index % VCPUS * part;
        start..start + part
    }

    /// Every other page of that part.
    pub(super) fn every_other_page(&self) -> impl Iterator<Item = u64> + use<P> {
        self.slice().step_by(2 * GRANULE_SIZE as usize)
    }

    /// Makes a page RAM or empty; whatever it comes to.
    pub(super) fn set(&self, page: u64, pages: u64, ripas: Ripas) {
        let top = page + pages * GRANULE_SIZE;
        let _ = self.rsi().set_ipa_state(page, top, ripas, true);
    }

    /// Says a line on the console.
    pub(super) fn say(&self, text: fmt::Arguments<'_>) {
        let _ = fmt::Write::write_fmt(&mut Line(self), format_args!("siege: {text}\n"));
    }

    /// Prints a byte.
    pub(super) fn put(&self, byte: u8) {
        let uart = self.width.shared(self.ground.uart);
        self.pe.store_device(uart + DATA, u32::from(byte));
    }
}

/// The MPIDR of a vCPU.
pub(super) fn affinity(index: u64) -> u64 {
    architectural_from_index(index) & ARCHITECTURAL_MASK
}

struct Line<'a, 'p, P>(&'a Attacker<'p, P>);

impl<P: PuppetPe> fmt::Write for Line<'_, '_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.0.put(byte));
        Ok(())
    }
}
