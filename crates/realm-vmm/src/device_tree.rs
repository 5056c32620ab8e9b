//! The device tree of a realm: what of `board` it has.
//!
//! Addresses are those without the bit of the unprotected alias; a kernel that knows that it is a realm sets it where it maps devices.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cca_abi::mpidr::{ARCHITECTURAL_MASK, architectural_from_index};
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use crate::board;
use crate::config::Config;
use crate::gic::{DISTRIBUTOR_SIZE, PHYSICAL_TIMER, PMU, REDISTRIBUTOR_SIZE, VIRTUAL_TIMER};

/// What a realm's device tree says.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// How many vCPUs.
    pub vcpus: usize,
    /// Bytes of RAM.
    pub memory: u64,
    /// How many virtio devices, in the first slots.
    pub virtio: usize,
    /// Whether the vCPUs have PMUs.
    pub pmu: bool,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// First address and size of the initial RAM disk.
    pub initrd: Option<(u64, u64)>,
    /// Entropy for the kernel. It is measured, like all of the device tree, and no secret.
    pub seed: Option<&'a [u8]>,
}

/// Handles of nodes that others refer to.
const INTERRUPTS: u32 = 1;
const CLOCK: u32 = 2;

/// Kinds of interrupt in a GIC's interrupt specifiers, and the trigger: high level.
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const LEVEL: u32 = 4;
/// The PPIs whose number is the INTID less this.
const FIRST_PPI: u32 = 16;
/// PPIs of timers that a realm does not have, but that have a place in the list: the secure one and that of EL2.
const SECURE_TIMER: u32 = 29;
const EL2_TIMER: u32 = 26;

impl Description<'_> {
    /// The device tree as a flat blob.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        tree.root = node("")
            .with("compatible", "linux,dummy-virt")
            .with("#address-cells", 2_u32)
            .with("#size-cells", 2_u32)
            .with("interrupt-parent", INTERRUPTS)
            .with("model", "Arm CCA realm")
            .child(self.chosen())
            .child(
                node(&format!("memory@{:x}", Config::RAM_BASE))
                    .with("device_type", "memory")
                    .with("reg", cells(&[Config::RAM_BASE, self.memory])),
            )
            .child(self.cpus())
            .child(
                node("psci")
                    .with("compatible", strings(&["arm,psci-1.0", "arm,psci-0.2"]))
                    .with("method", "smc"),
            )
            .child(
                node("timer")
                    .with("compatible", "arm,armv8-timer")
                    .with(
                        "interrupts",
                        private(&[SECURE_TIMER, PHYSICAL_TIMER, VIRTUAL_TIMER, EL2_TIMER]),
                    )
                    .with("always-on", NOTHING),
            )
            .child(self.interrupt_controller())
            .child(
                node("apb-pclk")
                    .with("compatible", "fixed-clock")
                    .with("#clock-cells", 0_u32)
                    .with("clock-frequency", board::UART_CLOCK)
                    .with("clock-output-names", "clk24mhz")
                    .with("phandle", CLOCK),
            )
            .child(serial())
            .0;
        for slot in 0..self.virtio.min(board::VIRTIO_SLOTS) {
            tree.root.add_child(virtio(slot).0);
        }
        if self.pmu {
            let pmu = node("pmu")
                .with("compatible", "arm,armv8-pmuv3")
                .with("interrupts", private(&[PMU]));
            tree.root.add_child(pmu.0);
        }
        tree.to_dtb()
    }

    fn chosen(&self) -> Builder {
        let mut chosen = node("chosen")
            .with("bootargs", self.command_line)
            .with("stdout-path", format!("/{}", serial_name()).as_str());
        if let Some((start, size)) = self.initrd {
            chosen = chosen
                .with("linux,initrd-start", start)
                .with("linux,initrd-end", start + size);
        }
        match self.seed {
            Some(seed) => chosen.with("rng-seed", seed),
            None => chosen,
        }
    }

    fn cpus(&self) -> Builder {
        let cpus = node("cpus")
            .with("#address-cells", 1_u32)
            .with("#size-cells", 0_u32);
        (0..self.vcpus as u64).fold(cpus, |cpus, index| {
            // Aff3 of so few vCPUs is zero, so one cell is enough.
            let affinity = (architectural_from_index(index) & ARCHITECTURAL_MASK) as u32;
            cpus.child(
                node(&format!("cpu@{affinity:x}"))
                    .with("device_type", "cpu")
                    .with("compatible", "arm,armv8")
                    .with("reg", affinity)
                    .with("enable-method", "psci"),
            )
        })
    }

    fn interrupt_controller(&self) -> Builder {
        let redistributors = self.vcpus as u64 * REDISTRIBUTOR_SIZE;
        node(&format!("interrupt-controller@{:x}", board::DISTRIBUTOR))
            .with("compatible", "arm,gic-v3")
            .with("#interrupt-cells", 3_u32)
            .with("#address-cells", 0_u32)
            .with("interrupt-controller", NOTHING)
            .with(
                "reg",
                cells(&[
                    board::DISTRIBUTOR,
                    DISTRIBUTOR_SIZE,
                    board::REDISTRIBUTORS,
                    redistributors,
                ]),
            )
            .with("phandle", INTERRUPTS)
    }
}

fn serial_name() -> String {
    format!("serial@{:x}", board::UART)
}

fn serial() -> Builder {
    node(&serial_name())
        .with("compatible", strings(&["arm,pl011", "arm,primecell"]))
        .with("reg", cells(&[board::UART, board::UART_SIZE]))
        .with("interrupts", words(&[SHARED, board::UART_SPI, LEVEL]))
        .with("clocks", words(&[CLOCK, CLOCK]))
        .with("clock-names", strings(&["uartclk", "apb_pclk"]))
}

fn virtio(slot: usize) -> Builder {
    let base = board::VIRTIO + slot as u64 * board::VIRTIO_SIZE;
    let spi = board::VIRTIO_SPI + slot as u32;
    node(&format!("virtio_mmio@{base:x}"))
        .with("compatible", "virtio,mmio")
        .with("reg", cells(&[base, board::VIRTIO_SIZE]))
        .with("interrupts", words(&[SHARED, spi, LEVEL]))
        .with("dma-coherent", NOTHING)
}

/// A node that properties are added to. Names are this module's own, and good ones.
struct Builder(DeviceTreeNode);

fn node(name: &str) -> Builder {
    Builder(DeviceTreeNode::new_unchecked(name))
}

impl Builder {
    fn with(mut self, name: &str, value: impl Value) -> Self {
        if let Ok(property) = DeviceTreeProperty::new(name, value.bytes()) {
            self.0.add_property(property);
        }
        self
    }

    fn child(mut self, child: Self) -> Self {
        self.0.add_child(child.0);
        self
    }
}

/// The value of a property that is just there.
const NOTHING: &[u8] = &[];

/// What a property can hold.
trait Value {
    /// Its encoding.
    fn bytes(self) -> Vec<u8>;
}

impl Value for u32 {
    fn bytes(self) -> Vec<u8> {
        words(&[self])
    }
}

impl Value for u64 {
    fn bytes(self) -> Vec<u8> {
        cells(&[self])
    }
}

impl Value for &str {
    fn bytes(self) -> Vec<u8> {
        strings(&[self])
    }
}

impl Value for &[u8] {
    fn bytes(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Value for Vec<u8> {
    fn bytes(self) -> Vec<u8> {
        self
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn cells(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn strings(values: &[&str]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.bytes().chain([0]))
        .collect()
}

/// Private interrupts by their INTIDs.
fn private(intids: &[u32]) -> Vec<u8> {
    let specifiers = intids
        .iter()
        .flat_map(|intid| [PRIVATE, intid - FIRST_PPI, LEVEL]);
    words(&specifiers.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use dtoolkit::fdt::Fdt;
    use dtoolkit::{Node, Property};

    use super::*;

    const DESCRIPTION: Description<'_> = Description {
        vcpus: 18,
        memory: 512 << 20,
        virtio: 3,
        pmu: true,
        command_line: "console=ttyAMA0 quiet",
        initrd: Some((0x4800_0000, 0x12_3456)),
        seed: Some(&[1, 2, 3, 4]),
    };

    fn number(node: &impl Node, name: &str) -> u64 {
        let property = node.property(name).unwrap();
        property
            .value()
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    #[test]
    fn it_says_what_the_realm_has() {
        let blob = DESCRIPTION.build();
        let tree = Fdt::new(&blob).unwrap();
        let chosen = tree.find_node("/chosen").unwrap();
        let text = |name: &str| {
            let property = chosen.property(name).unwrap();
            let value = property.value().strip_suffix(&[0]).unwrap();
            String::from_utf8(value.to_vec()).unwrap()
        };
        assert_eq!(text("bootargs"), "console=ttyAMA0 quiet");
        assert!(tree.find_node(&text("stdout-path")).is_some());
        assert_eq!(number(&chosen, "linux,initrd-start"), 0x4800_0000);
        assert_eq!(number(&chosen, "linux,initrd-end"), 0x4812_3456);
        assert_eq!(number(&chosen, "rng-seed"), 0x0102_0304);
        let memory = tree.find_node("/memory@40000000").unwrap();
        let reg = memory.property("reg").unwrap();
        assert_eq!(reg.value(), cells(&[0x4000_0000, 512 << 20]));
        let cpus = tree.find_node("/cpus").unwrap();
        let affinities: Vec<u64> = cpus.children().map(|cpu| number(&cpu, "reg")).collect();
        let expected = (0..16).chain([0x100, 0x101]).collect::<Vec<_>>();
        assert_eq!(affinities, expected);
        for (path, spi) in [
            ("/serial@9000000", 1),
            ("/virtio_mmio@a000000", 16),
            ("/virtio_mmio@a000400", 18),
        ] {
            let device = tree.find_node(path).unwrap();
            let interrupts = device.property("interrupts").unwrap();
            assert_eq!(interrupts.value(), words(&[0, spi, 4]), "{path}");
        }
        assert!(tree.find_node("/virtio_mmio@a000600").is_none());
        assert!(tree.find_node("/pmu").is_some());
    }

    #[test]
    fn what_is_not_there_is_not_in_it() {
        let blob = Description {
            pmu: false,
            initrd: None,
            seed: None,
            virtio: 0,
            ..DESCRIPTION
        }
        .build();
        let tree = Fdt::new(&blob).unwrap();
        let chosen = tree.find_node("/chosen").unwrap();
        assert!(chosen.property("linux,initrd-start").is_none());
        assert!(chosen.property("rng-seed").is_none());
        assert!(tree.find_node("/pmu").is_none());
        assert!(tree.find_node("/virtio_mmio@a000000").is_none());
    }
}
