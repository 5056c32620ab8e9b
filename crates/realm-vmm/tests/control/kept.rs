//! What realms may make their host keep is promised, or they are refused.

use realm_vmm::control::message::{Call, Device, Spec};

use crate::tool::{spec, with_host};

#[test]
fn a_realm_whose_devices_nobody_can_promise_is_refused_with_the_figures() {
    with_host(
        |_| {},
        |tool| {
            let disk = Device::Disk {
                sectors: 8,
                read_only: false,
            };
            let wants = || Spec {
                memory: 4 << 20,
                devices: vec![disk.clone(); 8],
                ..spec(1)
            };
            let mut realms = Vec::new();
            let error = loop {
                let name = format!("disks-{}", realms.len());
                match tool.call(Call::Create {
                    name,
                    spec: wants(),
                }) {
                    Ok(_) => realms.push(realms.len() as u32 + 1),
                    Err(error) => break error,
                }
                assert!(realms.len() < 20, "nobody is refused");
            };
            assert!(
                error.contains("bytes of the hypervisor's heap") && error.contains("are left"),
                "{error}"
            );
            assert!(!realms.is_empty());
            // Who asks for less is welcome, and what is given back is there again.
            tool.create(
                "small",
                Spec {
                    devices: Vec::new(),
                    ..wants()
                },
            );
            tool.done(Call::Remove { realm: realms[0] });
            tool.create("again", wants());
            tool.done(Call::Shutdown);
        },
    );
}
