//! What the machine's memory is used for.

use alloc::format;
use alloc::string::String;
use core::ops::Range;
use core::sync::atomic::Ordering;

use cca_abi::GRANULE_SIZE;
use cca_abi::firmware::{DEVICE_TREE, RMM_END};
use cca_abi::launch::{self, Launch};
use hardware::host::Dram;
use realm_vmm::control::kept::KEEP;

use crate::board::Board;
use crate::extents::Extents;

/// The hypervisor's heap, for all but its books: memory that is there on every machine that has the layout.
const HEAP: Range<u64> = 0x4200_0000..0x4C00_0000;
/// So much of it is the hypervisor's own: messages of the control channel, and what there is once. The rest realms are promised when
/// they are created, for all that their devices and vCPUs make the hypervisor keep.
const OWN: u64 = 64 << 20;
const _: () = assert!(HEAP.end - HEAP.start == OWN + KEEP);
/// One byte of so many that realms can have is heap as well, for the books: the ledger of granules, what is shared, and what is free take
/// at most 128 bytes for each page of 4 KiB, whatever realms do with it (40 for its entry in the ledger, the rest for what is shared and free).
const BOOKS: u64 = 32;

/// The realm that runs if no launch bundle says otherwise.
const DEMO: Launch = Launch {
    vcpus: 4,
    memory: 64 << 20,
    page_size: 4096,
    image_offset: 0,
    image_length: DEMO_IMAGE.len() as u64,
    flags: 0,
    time_limit_ms: 60_000,
    sve_bits: 0,
    challenge: [0; 8],
};

static DEMO_IMAGE: &[u8] = include_bytes!(env!(
    "SUZERAIN_DEMO_GUEST",
    "set SUZERAIN_DEMO_GUEST to the path of demo-guest.bin, as `cargo xtask images` does"
));

/// Memory with everybody's part in it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// All of it that the normal world has.
    pub(crate) dram: Dram,
    /// What is left for realms.
    pub(crate) free: Extents,
    /// Bytes of the heap that realms can be promised.
    pub(crate) keep: u64,
    /// What to run.
    pub(crate) launch: Launch,
    /// Its image.
    pub(crate) image: &'static [u8],
}

/// Starts the heap. To be called before anything is allocated.
pub(crate) fn start_heap(dram: &mut Dram) {
    dram.add(HEAP);
    dram.heap(HEAP);
}

/// Divides the memory of `board` among the hypervisor, the launch bundle and realms.
///
/// # Errors
///
/// What does not fit.
pub(crate) fn survey(mut dram: Dram, board: &Board) -> Result<Memory, String> {
    let mut usable = Extents::default();
    for range in &board.memory {
        usable.remove(range.clone());
        usable.add(range.clone());
    }
    // The firmware's part, also where a device tree does not say so.
    usable.remove(DEVICE_TREE..RMM_END);
    for range in &board.reserved {
        usable.remove(granules(range));
    }
    if !usable.contains(HEAP) || !usable.contains(Dram::image()) {
        return Err(String::from(
            "the hypervisor lies in memory that the device tree does not give it",
        ));
    }
    for range in usable.iter() {
        dram.add(range);
    }
    if let Some(channel) = &board.channel {
        // Reserved, and not of the RMM's or anybody else's memory.
        if board
            .memory
            .iter()
            .all(|memory| !within(&channel.memory, memory))
            || channel.memory.start < RMM_END
            || usable.contains(channel.memory.clone())
        {
            return Err(String::from(
                "the control channel lies in memory that is not reserved for it",
            ));
        }
        dram.add(channel.memory.clone());
    }

    let mut free = usable;
    free.remove(HEAP);
    free.remove(granules(&Dram::image()));
    let bundle = launch::ADDRESS..launch::ADDRESS + GRANULE_SIZE;
    let launch = if free.contains(bundle.clone()) {
        read_bundle(&dram)
    } else {
        None
    };
    let (launch, image) = match launch {
        None => (DEMO, DEMO_IMAGE),
        Some(launch) if launch.is_control() => {
            free.remove(bundle);
            (launch, [].as_slice())
        }
        Some(launch) => {
            let image = image_of(&launch).filter(|image| free.contains(granules(image)));
            let image = image.ok_or_else(|| {
                format!("the launch bundle's image is not in memory: {launch:x?}")
            })?;
            free.remove(bundle);
            free.remove(granules(&image));
            (launch, dram.bytes(image))
        }
    };
    let books = (free.size() / BOOKS).next_multiple_of(GRANULE_SIZE);
    let place = free.take(books, GRANULE_SIZE);
    let place = place.ok_or("no memory is large enough for the hypervisor's books")?;
    dram.heap(place..place + books);
    Ok(Memory {
        dram,
        free,
        keep: KEEP,
        launch,
        image,
    })
}

fn within(inner: &Range<u64>, outer: &Range<u64>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn read_bundle(dram: &Dram) -> Option<Launch> {
    let words = dram.granule(launch::ADDRESS);
    Launch::read(&core::array::from_fn(|i| {
        words.get(i).map_or(0, |word| word.load(Ordering::Relaxed))
    }))
}

fn image_of(launch: &Launch) -> Option<Range<u64>> {
    let start = launch::ADDRESS.checked_add(launch.image_offset)?;
    Some(start..start.checked_add(launch.image_length)?)
}

/// The granules that a range touches.
fn granules(range: &Range<u64>) -> Range<u64> {
    let end = range.end.checked_next_multiple_of(GRANULE_SIZE);
    range.start & !(GRANULE_SIZE - 1)..end.unwrap_or(!(GRANULE_SIZE - 1))
}
