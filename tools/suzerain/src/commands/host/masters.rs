//! Options for QEMU that give the machine a device which reads and writes memory by itself.

use toolbox::qemu::WITHOUT_LPIS;

/// Devices that only put something into memory before the machine starts.
const LOADERS: [&str; 2] = ["loader", "guest-loader"];

/// The first option of that kind, as the user has written it; `None` if there is none.
fn added(options: &[String]) -> Option<String> {
    let mut options = options.iter().map(String::as_str).peekable();
    while let Some(option) = options.next() {
        let Some(name) = option
            .strip_prefix('-')
            .map(|name| name.strip_prefix('-').unwrap_or(name))
        else {
            continue;
        };
        let value = options.next_if(|next| !next.starts_with('-')).unwrap_or("");
        let properties = || value.split(',').filter_map(|part| part.split_once('='));
        let adds = match name {
            "device" => {
                let driver = properties().find(|(key, _)| *key == "driver");
                let driver =
                    driver.map_or(value.split(',').next().unwrap_or(""), |(_, driver)| driver);
                !LOADERS.contains(&driver)
            }
            // Without an interface it is the machine's own, which is virtio.
            "drive" => properties()
                .find(|(key, _)| *key == "if")
                .is_none_or(|(_, interface)| !["none", "pflash"].contains(&interface)),
            "nic" | "net" => value != "none",
            "machine" | "M" => {
                let masters = |(key, value): (&str, &str)| match key {
                    "its" => is_on(value),
                    "iommu" => value != "none",
                    _ => false,
                };
                // Another type of machine has LPIs at least.
                let plain = value.split(',').next().filter(|part| !part.contains('='));
                let named = properties().find(|(key, _)| *key == "type");
                let kind = named.map(|(_, kind)| kind).or(plain);
                kind.is_some_and(|kind| !kind.is_empty() && kind != WITHOUT_LPIS)
                    || properties().any(masters)
            }
            "global" => {
                properties().any(|(key, value)| key.ends_with("dma_enabled") && is_on(value))
                    || value.contains("property=dma_enabled")
            }
            "hda" | "hdb" | "hdc" | "hdd" | "cdrom" | "sd" | "usb" | "usbdevice" | "virtfs"
            | "readconfig" => true,
            _ => false,
        };
        if adds {
            return Some(if value.is_empty() {
                option.to_owned()
            } else {
                format!("{option} {value}")
            });
        }
    }
    None
}

fn is_on(value: &str) -> bool {
    !["off", "no", "false", "n"].contains(&value)
}

/// The warning, if there is something to warn of.
pub(super) fn warning(options: &[String]) -> Option<String> {
    let what = added(options)?;
    Some(format!(
        "warning: `{what}` may give the machine a device that reads and writes memory by itself. The emulator checks granule protection \
         for processors only: whoever commands such a device in the host reads and changes realms, the RMM and EL3. Use it with hosts and \
         realms that you trust"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<String> {
        let options: Vec<_> = line.split(' ').map(str::to_owned).collect();
        added(&options)
    }

    #[test]
    fn what_masters_the_bus_is_found() {
        for line in [
            "-device virtio-blk-pci,drive=a",
            "--device virtio-net-device",
            "-device driver=nvme,drive=a",
            "-device qemu-xhci",
            "-drive file=disk.img",
            "-drive if=virtio,file=disk.img",
            "-nic user",
            "-net nic",
            "-M its=on",
            "-machine its=true",
            "-machine virt",
            "-M type=virt-9.2,mte=on",
            "-machine virt,iommu=smmuv3",
            "-global fw_cfg.dma_enabled=on",
            "-global fw_cfg_mem.dma_enabled=true",
            "-global driver=fw_cfg_mem,property=dma_enabled,value=on",
            "-hda disk.img",
            "-usb",
        ] {
            let found = found(line);
            assert_eq!(found.as_deref(), Some(line));
        }
        let both = found("-device loader,file=a,addr=1 -nic user,hostfwd=tcp::2222-:22");
        assert_eq!(both.as_deref(), Some("-nic user,hostfwd=tcp::2222-:22"));
    }

    #[test]
    fn what_does_not_is_passed_by() {
        for line in [
            "-device loader,addr=0x63000000,data=0x80000000,data-len=8",
            "-drive if=pflash,unit=1,file=a",
            "-drive if=none,id=a,file=disk.img",
            "-nic none",
            "-machine its=off",
            "-machine dumpdtb=a",
            "-machine virt-6.1,mte=on",
            "-global fw_cfg.dma_enabled=off",
            "-d int -D log",
            "-icount shift=0",
            "-smp 4,maxcpus=8",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn the_warning_says_what_it_means_for_realms() {
        let options = ["-nic".to_owned(), "user".to_owned()];
        let warning = warning(&options).unwrap();
        for part in ["-nic user", "realms", "granule protection"] {
            assert!(warning.contains(part), "{warning}");
        }
    }
}
