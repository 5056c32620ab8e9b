//! What a realm can make its host keep beside its granules: part of what it is promised when it is created.
//!
//! The books of granules are not in here. They grow with the memory that a realm has, and are promised with it.

use super::bounds;
use super::message::{Device, Spec};

/// Bytes of its heap that a hypervisor promises to realms for that, all of them together.
pub const KEEP: u64 = 96 << 20;
/// What every realm takes: its machine, what waits for its PL011, a token that it hands over, what is said of it.
const REALM: u64 = 512 << 10;
/// What a vCPU takes: its interrupts, its account, a line that it prints.
const VCPU: u64 = 16 << 10;
/// Bytes in each direction, and input that waits for room: each up to twice as much as it holds, as its queue grows by doubling.
const CONSOLE: u64 = 512 << 10;
/// Transfers with their data, and requests with their descriptors.
const DISK: u64 = 1536 << 10;
/// Frames in each direction.
const NETWORK: u64 = 512 << 10;
/// An answer.
const ENTROPY: u64 = 16 << 10;

/// Bytes of the heap that a realm of this shape takes at most.
#[must_use]
pub fn keeps(spec: &Spec) -> u64 {
    let devices = spec.devices.iter().map(|device| match device {
        Device::Console => CONSOLE,
        Device::Disk { .. } => DISK,
        Device::Network { .. } => NETWORK,
        Device::Entropy { .. } => ENTROPY,
    });
    REALM + u64::from(spec.vcpus) * VCPU + devices.sum::<u64>()
}

/// Why a realm that keeps so much is refused, if it is: realms keep so much already, of so much that there is.
///
/// # Errors
///
/// A line with the figures.
pub(super) fn admit(spec: &Spec, kept: u64, most: u64) -> Result<(), alloc::string::String> {
    let needed = keeps(spec);
    if kept.saturating_add(needed) <= most {
        return Ok(());
    }
    let left = most.saturating_sub(kept);
    Err(alloc::format!(
        "the machine cannot promise the realm what its vCPUs and devices may have it keep: {needed} bytes of the hypervisor's heap, of which \
         {left} are left ({} realms at most have {most}; remove one, or give it fewer devices)",
        bounds::REALMS
    ))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::virtio::{
        CONSOLE_ROOM, LONGEST_FRAME, LONGEST_TRANSFER, TRANSFERS_IN_FLIGHT, WAITING_FRAMES,
    };
    use std::vec;

    #[test]
    fn the_figures_are_those_of_the_devices() {
        // A queue that doubles may be twice as large as what is in it.
        assert!(CONSOLE >= 3 * 2 * CONSOLE_ROOM as u64);
        assert!(DISK >= (TRANSFERS_IN_FLIGHT * LONGEST_TRANSFER) as u64 * 5 / 4);
        assert!(NETWORK >= 2 * (WAITING_FRAMES * (LONGEST_FRAME + 64)) as u64);
    }

    #[test]
    fn a_realm_is_refused_with_the_figures_when_too_much_is_promised() {
        let spec: Spec = serde_json::from_str(
            r#"{"vcpus":4,"memory":4096,"entry":0,"arguments":[0,0,0,0,0,0,0,0],
                "devices":[{"device":"console"},{"device":"disk","sectors":8,"read_only":false},
                           {"device":"network","mac":[2,0,0,0,0,1]},{"device":"entropy","seed":[1,2,3,4]}]}"#,
        )
        .unwrap();
        let needed = keeps(&spec);
        assert_eq!(
            needed,
            REALM + 4 * VCPU + CONSOLE + DISK + NETWORK + ENTROPY
        );
        assert_eq!(admit(&spec, 100, 100 + needed), Ok(()));
        let refused = admit(&spec, 101, 100 + needed).unwrap_err();
        for part in [needed, needed - 1, 100 + needed] {
            assert!(refused.contains(&std::format!("{part}")), "{refused}");
        }
        let all = vec![
            Device::Disk {
                sectors: 1,
                read_only: false
            };
            bounds::DEVICES
        ];
        assert!(
            keeps(&Spec {
                vcpus: 64,
                devices: all,
                ..spec
            }) < 16 << 20
        );
    }
}
