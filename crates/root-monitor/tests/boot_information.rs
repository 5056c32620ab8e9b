//! The manifest for the RMM and the device tree for the normal world.

use cca_abi::el3::manifest::ManifestError;
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use root_monitor::device_tree::{Channel, DeviceTreeError, patch, read};
use root_monitor::manifest::{limit_banks, pl011, write};
use root_monitor::memory::{Range, Ranges};

/// What QEMU 10.0 puts at 0x4000_0000 for 2 PEs and 8 GiB, without the room behind it.
const QEMU: &[u8] = include_bytes!("data/qemu-two-cpus-8g.dtb");
const RMM: Range = Range::between(0x4010_0000, 0x4190_0000);
const CHANNEL: Channel = Channel {
    memory: Range::between(0x4190_0000, 0x41A0_0000),
    intid: 42,
};
const PAGE: u64 = 0x418F_F000;

/// The same with room, as the machine provides it.
fn with_room() -> Vec<u8> {
    let mut blob = QEMU.to_vec();
    blob.resize(0x8000, 0);
    blob[4..8].copy_from_slice(&0x8000u32.to_be_bytes());
    blob
}

#[test]
fn manifest_bytes() {
    let mut words = [u64::MAX; 512];
    let banks = [
        Range::between(0x4000_0000, 0x4010_0000),
        Range::between(0x4190_0000, 0x2_4000_0000),
    ];
    write(&mut words, PAGE, &banks, &[pl011(0x0900_0000, 115_200)]).unwrap();
    assert_eq!(words[..2], [3, 0], "version 0.3, no platform data");
    let [count, array, checksum] = [words[2], words[3], words[4]];
    assert_eq!((count, array), (2, PAGE + 64));
    assert_eq!(
        words[8..12],
        [0x4000_0000, 0x10_0000, 0x4190_0000, 0x1_FE70_0000]
    );
    let sum = words[8..12]
        .iter()
        .fold(count + array, |sum, word| sum.wrapping_add(*word));
    assert_eq!(sum.wrapping_add(checksum), 0);
    let [count, array, checksum] = [words[5], words[6], words[7]];
    assert_eq!((count, array), (1, PAGE + 64 + 32));
    assert_eq!(
        words[12..18],
        [
            0x0900_0000,
            1,
            u64::from_le_bytes(*b"pl011\0\0\0"),
            1,
            115_200,
            0
        ]
    );
    let sum = words[12..18]
        .iter()
        .fold(count + array, |sum, word| sum.wrapping_add(*word));
    assert_eq!(sum.wrapping_add(checksum), 0);
    assert!(words[18..].iter().all(|word| *word == 0));
}

#[test]
fn too_many_banks_for_a_manifest() {
    let banks: Vec<_> = (1..=17).map(|n| Range::new(n << 30, 4096)).collect();
    assert_eq!(
        write(&mut [0; 512], PAGE, &banks, &[]),
        Err(ManifestError::Data)
    );
    let mut ranges = Ranges::<16>::default();
    for range in &banks[..3] {
        ranges.add(*range).unwrap();
    }
    assert_eq!(limit_banks(&mut ranges), 4096);
    assert_eq!(ranges.as_slice().len(), 2);
}

#[test]
fn memory_and_processors() {
    let machine = read(QEMU).unwrap();
    assert_eq!(
        machine.memory.as_slice(),
        [Range::new(0x4000_0000, 8 << 30)]
    );
    assert_eq!(machine.mpidrs, [0, 1]);
    assert_eq!(read(&with_room()).unwrap().mpidrs, [0, 1]);
}

#[test]
fn the_normal_world_finds_psci_the_channel_and_no_rmm_memory() {
    let blob = with_room();
    let patched = patch(&blob, RMM, CHANNEL).unwrap();
    assert_eq!(patched.len(), blob.len(), "the room stays");
    let tree = Fdt::new(&patched).unwrap();
    let psci = tree.find_node("/psci").unwrap();
    let text = |name| psci.property(name).unwrap().value().to_vec();
    assert_eq!(
        text("compatible"),
        b"arm,psci-1.0\0arm,psci-0.2\0arm,psci\0"
    );
    assert_eq!(text("method"), b"smc\0");
    for (name, fid) in [
        ("cpu_suspend", 0xC400_0001u32),
        ("cpu_off", 0x8400_0002),
        ("cpu_on", 0xC400_0003),
    ] {
        assert_eq!(text(name), fid.to_be_bytes(), "{name}");
    }
    for cpu in ["/cpus/cpu@0", "/cpus/cpu@1"] {
        assert_eq!(
            tree.find_node(cpu)
                .unwrap()
                .property("enable-method")
                .unwrap()
                .value(),
            b"psci\0"
        );
    }
    let parent = tree.find_node("/reserved-memory").unwrap();
    assert!(parent.property("ranges").is_some());
    let rmm = parent.child("rmm@40100000").unwrap();
    assert_eq!(
        rmm.property("reg").unwrap().value(),
        [0, 0, 0, 0, 0x40, 0x10, 0, 0, 0, 0, 0, 0, 0x01, 0x80, 0, 0]
    );
    assert!(rmm.property("no-map").is_some());

    let reg = [0, 0, 0, 0, 0x41, 0x90, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0];
    let channel = parent.child("channel@41900000").unwrap();
    assert_eq!(channel.property("reg").unwrap().value(), reg);
    assert!(channel.property("no-map").is_some());
    let channel = tree.find_node("/channel@41900000").unwrap();
    let value = |name| channel.property(name).unwrap().value().to_vec();
    assert_eq!(value("compatible"), b"suzerain,channel\0");
    assert_eq!(value("reg"), reg);
    assert_eq!(value("interrupts"), [0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1]);
    assert_eq!(value("suzerain,bell"), 0xC700_5A01u32.to_be_bytes());
}

/// The interrupt of the channel is no device's.
#[test]
fn no_device_of_the_machine_has_the_interrupt_of_the_channel() {
    let tree = Fdt::new(QEMU).unwrap();
    let mut taken = Vec::new();
    for node in tree.root().children() {
        if let Some(property) = node.property("interrupts") {
            taken.extend(property.value().chunks_exact(12).map(<[u8]>::to_vec));
        }
    }
    assert!(taken.len() > 30);
    assert!(
        !taken
            .iter()
            .any(|cells| cells[..8] == [0, 0, 0, 0, 0, 0, 0, 10])
    );
}

#[test]
fn everything_else_in_the_tree_stays() {
    let before = Fdt::new(QEMU).unwrap();
    let patched = patch(&with_room(), RMM, CHANNEL).unwrap();
    let after = Fdt::new(&patched).unwrap();
    let mut compared = 0;
    for node in before.root().children() {
        let other = after.root().child(node.name()).unwrap();
        for property in node.properties() {
            assert_eq!(
                other.property(property.name()).unwrap().value(),
                property.value(),
                "{}",
                node.name()
            );
            compared += 1;
        }
    }
    assert!(compared > 50);
    assert_eq!(
        read(&patched).unwrap().memory.as_slice(),
        read(QEMU).unwrap().memory.as_slice()
    );
    let again = patch(&patched, RMM, CHANNEL).unwrap();
    assert_eq!(
        Fdt::new(&again)
            .unwrap()
            .find_node("/reserved-memory")
            .unwrap()
            .children()
            .count(),
        2
    );
}

#[test]
fn damaged_trees_are_refused() {
    assert_eq!(read(&[]).unwrap_err(), DeviceTreeError::Format);
    assert_eq!(read(&QEMU[..100]).unwrap_err(), DeviceTreeError::Format);
    assert_eq!(
        patch(&[0; 64], RMM, CHANNEL).unwrap_err(),
        DeviceTreeError::Format
    );
    let mut blob = QEMU.to_vec();
    blob[0] ^= 1;
    assert_eq!(read(&blob).unwrap_err(), DeviceTreeError::Format);
    assert_eq!(
        patch(QEMU, RMM, CHANNEL).unwrap_err(),
        DeviceTreeError::Room,
        "no room behind it"
    );
    for at in (0..QEMU.len()).step_by(52) {
        let mut blob = QEMU.to_vec();
        blob[at] ^= 0x80;
        let _ = read(&blob);
        let _ = patch(&blob, RMM, CHANNEL);
    }
}

#[test]
fn trees_without_memory_or_processors() {
    let swap = |from: &[u8], to: &[u8]| {
        let mut blob = QEMU.to_vec();
        let at = blob
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        blob[at..at + to.len()].copy_from_slice(to);
        read(&blob).unwrap_err()
    };
    assert_eq!(swap(b"memory\0", b"nomory\0"), DeviceTreeError::Memory);
    assert_eq!(swap(b"cpus\0", b"spuc\0"), DeviceTreeError::Cpus);
}
