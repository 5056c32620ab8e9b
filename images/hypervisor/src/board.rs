//! What the device tree says of the machine.

use alloc::vec::Vec;
use core::ops::Range;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property, ToCellInt};
use hardware::host::Place;

/// Why a device tree is of no use.
pub(crate) type Unusable = &'static str;

/// The machine.
#[derive(Debug)]
pub(crate) struct Board {
    /// Memory.
    pub(crate) memory: Vec<Range<u64>>,
    /// What of it is reserved.
    pub(crate) reserved: Vec<Range<u64>>,
    /// MPIDR affinity of every PE.
    pub(crate) pes: Vec<u64>,
    /// Base of the GIC's distributor.
    pub(crate) distributor: u64,
    /// Base and size of its redistributors.
    pub(crate) redistributors: (u64, u64),
    /// The control channel.
    pub(crate) channel: Option<Place>,
}

impl Board {
    /// Reads a device tree.
    ///
    /// # Errors
    ///
    /// What is missing in it.
    pub(crate) fn read(device_tree: &[u8]) -> Result<Self, Unusable> {
        let tree = Fdt::new(device_tree).map_err(|_| "it is damaged")?;
        let memory: Vec<_> = tree
            .root()
            .children()
            .filter(|node| node.name_without_address() == "memory")
            .flat_map(ranges)
            .collect();
        if memory.is_empty() {
            return Err("it names no memory");
        }
        let children = tree
            .find_node("/reserved-memory")
            .into_iter()
            .flat_map(|node| node.children());
        let listed = tree
            .memory_reservations()
            .map(|entry| entry.address()..entry.address().saturating_add(entry.size()));
        let reserved = children.flat_map(ranges).chain(listed).collect();

        let cpus = tree.cpus().map_err(|_| "it names no CPUs")?;
        let pes = cpus
            .cpus()
            .filter_map(|cpu| cpu.ids().ok()?.next()?.to_int::<u64>().ok())
            .collect();
        let gic = tree
            .root()
            .children()
            .find(is_gic)
            .ok_or("it has no GICv3")?;
        let mut registers = ranges(gic);
        let (Some(distributor), Some(redistributors)) = (registers.next(), registers.next()) else {
            return Err("its GICv3 has no registers");
        };
        Ok(Self {
            memory,
            reserved,
            pes,
            distributor: distributor.start,
            redistributors: (
                redistributors.start,
                redistributors.end - redistributors.start,
            ),
            channel: tree.root().children().find_map(channel),
        })
    }
}

fn is_gic(node: &FdtNode<'_>) -> bool {
    node.compatible()
        .is_some_and(|mut names| names.any(|name| name == "arm,gic-v3"))
}

/// The control channel: its memory, its shared peripheral interrupt, the call for its bell.
fn channel(node: FdtNode<'_>) -> Option<Place> {
    if !node.compatible()?.any(|name| name == "suzerain,channel") {
        return None;
    }
    let memory = ranges(node).next()?;
    // The GIC's binding: kind (0 for shared), number, flags.
    let property = node.property("interrupts")?;
    let (kind, rest) = property.value().split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    let bell = node.property("suzerain,bell")?.value_as::<u32>().ok()?;
    (u32::from_be_bytes(*kind) == 0).then_some(Place {
        memory,
        intid: u32::from_be_bytes(*number).checked_add(32)?,
        bell,
    })
}

/// The `reg` property of a node, without what cannot be addresses.
fn ranges(node: FdtNode<'_>) -> impl Iterator<Item = Range<u64>> {
    node.reg()
        .ok()
        .flatten()
        .into_iter()
        .flatten()
        .filter_map(|reg| {
            let base = reg.address::<u64>().ok()?;
            Some(base..base.checked_add(reg.size::<u64>().ok()?)?)
        })
}
