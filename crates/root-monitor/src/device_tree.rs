//! What the machine says about itself, and what the normal world is told about it.

use crate::memory::{Range, Ranges};
use crate::psci::AFFINITY;
use alloc::format;
use alloc::vec::Vec;
use cca_abi::el3::RING_BELL;
use cca_abi::psci::Function;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property, ToCellInt};

/// The most separate ranges of memory that are looked at.
pub const MAX_RANGES: usize = 16;

/// What the root monitor takes from a device tree.
#[derive(Clone, Debug)]
pub struct Machine {
    /// All DRAM.
    pub memory: Ranges<MAX_RANGES>,
    /// The affinity fields of the MPIDR of each PE, in the order of the device tree.
    pub mpidrs: Vec<u64>,
}

/// The control channel between the normal world and whoever started the machine.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// Memory that both see.
    pub memory: Range,
    /// The interrupt, an edge, that says that the other end rings. A shared peripheral interrupt.
    pub intid: u32,
}

/// Why a device tree cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceTreeError {
    /// It is not a device tree.
    Format,
    /// There is no usable description of the memory.
    Memory,
    /// There is no usable description of the processors.
    Cpus,
    /// The patched tree does not fit into its room.
    Room,
}

/// Reads a flattened device tree. Bytes after its end are ignored.
///
/// # Errors
///
/// [`DeviceTreeError::Format`], [`DeviceTreeError::Memory`], [`DeviceTreeError::Cpus`].
pub fn read(blob: &[u8]) -> Result<Machine, DeviceTreeError> {
    let tree = Fdt::new(trim(blob)?).map_err(|_| DeviceTreeError::Format)?;
    let mut memory = Ranges::default();
    for node in tree.root().children() {
        let is_memory = node
            .property("device_type")
            .is_some_and(|kind| kind.value() == b"memory\0");
        if !is_memory || !is_usable(&node) {
            continue;
        }
        let ranges = node
            .reg()
            .map_err(|_| DeviceTreeError::Memory)?
            .ok_or(DeviceTreeError::Memory)?;
        for range in ranges {
            let base = range
                .address::<u64>()
                .map_err(|_| DeviceTreeError::Memory)?;
            let size = range.size::<u64>().map_err(|_| DeviceTreeError::Memory)?;
            memory
                .add(Range::new(base, size).whole_granules())
                .map_err(|_| DeviceTreeError::Memory)?;
        }
    }
    if memory.as_slice().is_empty() {
        return Err(DeviceTreeError::Memory);
    }
    let mut mpidrs = Vec::new();
    let cpus = tree.cpus().map_err(|_| DeviceTreeError::Cpus)?;
    for cpu in cpus.cpus() {
        let id = cpu
            .ids()
            .map_err(|_| DeviceTreeError::Cpus)?
            .next()
            .ok_or(DeviceTreeError::Cpus)?;
        mpidrs.push(id.to_int::<u64>().map_err(|_| DeviceTreeError::Cpus)? & AFFINITY);
    }
    if mpidrs.is_empty() {
        Err(DeviceTreeError::Cpus)
    } else {
        Ok(Machine { memory, mpidrs })
    }
}

/// The same device tree as the normal world is to see it: PSCI by SMC, every PE turned on by it, the control channel, and its memory
/// and the RMM's as memory that is not to be used for anything else.
///
/// The channel is the node `/channel@…` with `compatible` "suzerain,channel", its memory as `reg`, its interrupt as `interrupts`, and
/// the function id of the call that rings for the other end ([`RING_BELL`], by SMC) as `suzerain,bell`.
///
/// The header gives the same total size as before, so that a payload has the same room to add to it.
///
/// # Errors
///
/// [`DeviceTreeError::Format`]; [`DeviceTreeError::Cpus`]; [`DeviceTreeError::Room`] if the result is longer than
/// `blob`.
pub fn patch(blob: &[u8], rmm: Range, channel: Channel) -> Result<Vec<u8>, DeviceTreeError> {
    let tree = Fdt::new(trim(blob)?).map_err(|_| DeviceTreeError::Format)?;
    let mut tree = DeviceTree::from_fdt(&tree);
    let root = &mut tree.root;

    root.remove_child("psci");
    root.add_child(psci_node());
    let cpus = root.child_mut("cpus").ok_or(DeviceTreeError::Cpus)?;
    for cpu in cpus
        .children_mut()
        .filter(|node| node.name_without_address() == "cpu")
    {
        cpu.remove_property("enable-method");
        cpu.remove_property("cpu-release-addr");
        cpu.add_property(DeviceTreeProperty::new_unchecked("enable-method", "psci"));
    }
    let cells = [
        cell(root, "#address-cells", 2),
        cell(root, "#size-cells", 1),
    ];
    reserve(root, "rmm", rmm, cells);
    reserve(root, "channel", channel.memory, cells);
    let node = channel_node(&channel, cells);
    root.remove_child(node.name());
    root.add_child(node);

    let mut patched = tree.to_dtb();
    let total = usize::try_from(total_size(blob)?).map_err(|_| DeviceTreeError::Format)?;
    if patched.len() > total {
        return Err(DeviceTreeError::Room);
    }
    patched.resize(total, 0);
    patched[4..8].copy_from_slice(&(total as u32).to_be_bytes());
    Ok(patched)
}

fn psci_node() -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked("psci");
    let compatible: &[u8] = b"arm,psci-1.0\0arm,psci-0.2\0arm,psci\0";
    node.add_property(DeviceTreeProperty::new_unchecked("compatible", compatible));
    node.add_property(DeviceTreeProperty::new_unchecked("method", "smc"));
    for (name, function) in [
        ("cpu_suspend", Function::CpuSuspend),
        ("cpu_off", Function::CpuOff),
        ("cpu_on", Function::CpuOn),
    ] {
        node.add_property(DeviceTreeProperty::new_unchecked(
            name,
            function.function_id(),
        ));
    }
    node
}

fn channel_node(channel: &Channel, cells: [u32; 2]) -> DeviceTreeNode {
    /// The GIC's binding: a shared peripheral interrupt, the first of which is INTID 32, and a rising edge.
    const SHARED: u32 = 0;
    const FIRST: u32 = 32;
    const EDGE: u32 = 1;
    let mut node = DeviceTreeNode::new_unchecked(format!("channel@{:x}", channel.memory.base));
    node.add_property(DeviceTreeProperty::new_unchecked(
        "compatible",
        "suzerain,channel",
    ));
    node.add_property(DeviceTreeProperty::new_unchecked(
        "reg",
        reg(channel.memory, cells).as_slice(),
    ));
    let interrupt = [SHARED, channel.intid.saturating_sub(FIRST), EDGE];
    let interrupt: Vec<_> = interrupt.into_iter().flat_map(u32::to_be_bytes).collect();
    node.add_property(DeviceTreeProperty::new_unchecked(
        "interrupts",
        interrupt.as_slice(),
    ));
    node.add_property(DeviceTreeProperty::new_unchecked(
        "suzerain,bell",
        RING_BELL,
    ));
    node
}

/// The property `reg` with one range, for these counts of cells.
fn reg(range: Range, cells: [u32; 2]) -> Vec<u8> {
    let mut reg = Vec::new();
    for (value, cells) in [(range.base, cells[0]), (range.size, cells[1])] {
        if cells > 1 {
            reg.extend_from_slice(&((value >> 32) as u32).to_be_bytes());
        }
        reg.extend_from_slice(&(value as u32).to_be_bytes());
    }
    reg
}

/// Adds `range` to `/reserved-memory`, which must have the cell counts of the root node.
fn reserve(root: &mut DeviceTreeNode, name: &str, range: Range, cells: [u32; 2]) {
    let mut region = DeviceTreeNode::new_unchecked(format!("{name}@{:x}", range.base));
    let reg = reg(range, cells);
    region.add_property(DeviceTreeProperty::new_unchecked("reg", reg.as_slice()));
    region.add_property(DeviceTreeProperty::new_unchecked("no-map", &[] as &[u8]));
    if root.child("reserved-memory").is_none() {
        let mut node = DeviceTreeNode::new_unchecked("reserved-memory");
        node.add_property(DeviceTreeProperty::new_unchecked(
            "#address-cells",
            cells[0],
        ));
        node.add_property(DeviceTreeProperty::new_unchecked("#size-cells", cells[1]));
        node.add_property(DeviceTreeProperty::new_unchecked("ranges", &[] as &[u8]));
        root.add_child(node);
    }
    if let Some(node) = root.child_mut("reserved-memory") {
        node.add_child(region);
    }
}

fn cell(node: &DeviceTreeNode, name: &str, default: u32) -> u32 {
    node.property(name)
        .and_then(|property| property.value_as::<u32>().ok())
        .unwrap_or(default)
}

/// Whether a node's status allows its use by the normal world.
fn is_usable(node: &impl Node) -> bool {
    node.property("status")
        .is_none_or(|status| matches!(status.value(), b"okay\0" | b"ok\0"))
}

fn total_size(blob: &[u8]) -> Result<u32, DeviceTreeError> {
    let bytes = blob.get(4..8).ok_or(DeviceTreeError::Format)?;
    Ok(bytes
        .iter()
        .fold(0, |size, &byte| size << 8 | u32::from(byte)))
}

/// The part of `blob` that its header claims.
fn trim(blob: &[u8]) -> Result<&[u8], DeviceTreeError> {
    let total = usize::try_from(total_size(blob)?).map_err(|_| DeviceTreeError::Format)?;
    blob.get(..total).ok_or(DeviceTreeError::Format)
}
