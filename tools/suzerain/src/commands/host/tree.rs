//! What Linux is told in the machine's device tree: the node `/chosen`, by the device tree specification and the kernel's
//! `Documentation/devicetree/bindings/chosen.txt`.

use std::ops::Range;

use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use toolbox::Error;

/// What is left free in the tree, for the firmware to say more.
const ROOM: usize = 16 << 10;

/// `tree` with a command line and the place of a first file system.
///
/// # Errors
///
/// When `tree` is none.
pub(super) fn with_chosen(
    tree: &[u8],
    command_line: &str,
    initrd: Option<&Range<u64>>,
) -> Result<Vec<u8>, Error> {
    let tree = Fdt::new(tree)
        .map_err(|error| Error::new(format!("QEMU's device tree is damaged: {error}")))?;
    let mut tree = DeviceTree::from_fdt(&tree);
    let mut chosen = tree
        .root
        .remove_child("chosen")
        .unwrap_or_else(|| DeviceTreeNode::new_unchecked("chosen"));
    let mut set = |property: DeviceTreeProperty, name: &str| {
        chosen.remove_property(name);
        chosen.add_property(property);
    };
    set(
        DeviceTreeProperty::new_unchecked("bootargs", command_line),
        "bootargs",
    );
    if let Some(initrd) = initrd {
        for (name, address) in [
            ("linux,initrd-start", initrd.start),
            ("linux,initrd-end", initrd.end),
        ] {
            set(DeviceTreeProperty::new_unchecked(name, address), name);
        }
    }
    tree.root.add_child(chosen);
    let mut blob = tree.to_dtb();
    blob.resize(blob.len() + ROOM, 0);
    // The second word of the header is the size of the whole, with the room.
    let total = blob.len() as u32;
    blob[4..8].copy_from_slice(&total.to_be_bytes());
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use dtoolkit::{Node, Property};

    use super::*;

    #[test]
    fn chosen_says_what_linux_needs() {
        let mut tree = DeviceTree::new();
        let mut chosen = DeviceTreeNode::new_unchecked("chosen");
        chosen.add_property(DeviceTreeProperty::new_unchecked("bootargs", "old"));
        chosen.add_property(DeviceTreeProperty::new_unchecked(
            "stdout-path",
            "/pl011@9000000",
        ));
        tree.root.add_child(chosen);
        tree.root
            .add_child(DeviceTreeNode::new_unchecked("memory@40000000"));
        let blob = with_chosen(
            &tree.to_dtb(),
            "console=ttyAMA0 'a b'",
            Some(&(0x6000_0000..0x1_0000_0001)),
        )
        .unwrap();
        let read = Fdt::new(&blob).unwrap();
        let root = read.root();
        assert!(root.child("memory@40000000").is_some());
        let chosen = root.child("chosen").unwrap();
        let value = |name: &str| chosen.property(name).unwrap().value().to_vec();
        assert_eq!(value("bootargs"), b"console=ttyAMA0 'a b'\0");
        assert_eq!(value("stdout-path"), b"/pl011@9000000\0");
        assert_eq!(value("linux,initrd-start"), 0x6000_0000u64.to_be_bytes());
        assert_eq!(value("linux,initrd-end"), 0x1_0000_0001u64.to_be_bytes());
        let without = with_chosen(&DeviceTree::new().to_dtb(), "x", None).unwrap();
        let read = Fdt::new(&without).unwrap();
        let root = read.root();
        let chosen = root.child("chosen").unwrap();
        assert!(chosen.property("linux,initrd-start").is_none());
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        assert!(with_chosen(b"hello", "x", None).is_err());
    }
}
