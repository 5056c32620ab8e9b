//! The device tree that the root monitor reads and changes.

use root_monitor::device_tree::{Channel, patch, read};
use root_monitor::memory::Range;

/// The device tree of the emulated machine.
const SOUND: &[u8] = include_bytes!("../../../crates/root-monitor/tests/data/qemu-two-cpus-8g.dtb");

const RESERVED: Range = Range::between(0x4010_0000, 0x4190_0000);

const CHANNEL: Channel = Channel {
    memory: Range::between(0x4190_0000, 0x41A0_0000),
    intid: 42,
};

/// Reads and changes a device tree of these bytes, or a sound one that these bytes damage: three for each place.
///
/// # Panics
///
/// If what was accepted is not usable, or what was written cannot be read.
pub fn run(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    if how % 4 == 0 {
        return check(data);
    }
    let mut blob = SOUND.to_vec();
    for damage in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([damage[0], damage[1]])) % blob.len();
        blob[at] ^= damage[2];
    }
    check(&blob);
}

fn check(blob: &[u8]) {
    if let Ok(machine) = read(blob) {
        assert!(!machine.memory.as_slice().is_empty());
        assert!(!machine.mpidrs.is_empty());
        for range in machine.memory.as_slice() {
            assert!((range.base | range.size).is_multiple_of(4096), "{range:?}");
        }
    }
    if let Ok(patched) = patch(blob, RESERVED, CHANNEL) {
        assert!(patched.len() <= blob.len());
        let again = patch(&patched, RESERVED, CHANNEL);
        assert!(
            again.is_ok() || again == Err(root_monitor::device_tree::DeviceTreeError::Room),
            "what was written cannot be read: {again:?}"
        );
    }
}
