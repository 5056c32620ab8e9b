//! Disks, with the driver of `virtio-drivers`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use realm_vmm::virtio::{Disk, DiskError, DiskPort, LONGEST_TRANSFER, Operation, block};
use virtio_drivers::Error;
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_peer::{Realm, Wire, in_use};

const SECTORS: u64 = 2048;

fn disk(read_only: bool) -> Disk {
    Disk {
        sectors: SECTORS,
        read_only,
        id: *b"the disk of a realm\0",
    }
}

/// Serves all requests.
fn serve(port: &DiskPort, content: &mut [u8], flushes: &mut usize) {
    while let Some(request) = port.take_request() {
        let start = (request.sector * 512) as usize;
        let answer = match request.operation {
            Operation::Read { length } => {
                assert!(length <= LONGEST_TRANSFER);
                content[start..start + length].to_vec()
            }
            Operation::Write { data } => {
                assert!(data.len() <= LONGEST_TRANSFER);
                content[start..start + data.len()].copy_from_slice(&data);
                Vec::new()
            }
            Operation::Flush => {
                *flushes += 1;
                Vec::new()
            }
        };
        assert!(port.complete(request.tag, Ok(answer)));
    }
}

#[test]
fn a_disk_keeps_what_is_written() {
    let (device, port) = block(disk(false));
    let content = Rc::new(RefCell::new(vec![0; (SECTORS * 512) as usize]));
    let flushes = Rc::new(Cell::new(0));
    let (seen, counted) = (content.clone(), flushes.clone());
    let wire = Wire::new(device, move || {
        let mut count = counted.get();
        serve(&port, &mut seen.borrow_mut(), &mut count);
        counted.set(count);
    });
    assert_eq!(wire.device_type(), DeviceType::Block);
    let mut driver = VirtIOBlk::<Realm, _>::new(wire).expect("a disk");
    assert_eq!((driver.capacity(), driver.readonly()), (SECTORS, false));
    let mut id = [0; 20];
    assert_eq!(driver.device_id(&mut id), Ok(19));
    assert_eq!(&id, b"the disk of a realm\0");

    // One sector, as much as goes out at once, and more.
    for (sector, length) in [
        (7, 512),
        (100, LONGEST_TRANSFER),
        (900, 5 * LONGEST_TRANSFER + 512),
    ] {
        let data: Vec<u8> = (0..length).map(|n| (n / 5 + length) as u8).collect();
        driver.write_blocks(sector, &data).expect("written");
        let mut back = vec![0; length];
        driver.read_blocks(sector, &mut back).expect("read");
        assert!(back == data);
        let start = sector * 512;
        assert!(content.borrow()[start..start + length] == data);
    }
    driver.flush().expect("flushed");
    assert_eq!(flushes.get(), 1);

    let last = SECTORS as usize - 1;
    driver
        .read_blocks(last, &mut [0; 512])
        .expect("the last one");
    for (sector, length) in [(last, 1024), (last + 1, 512), (usize::MAX, 512)] {
        let result = driver.read_blocks(sector, &mut vec![0; length]);
        assert_eq!(result, Err(Error::IoError), "{length} at {sector}");
        let result = driver.write_blocks(sector, &vec![0; length]);
        assert_eq!(result, Err(Error::IoError), "{length} at {sector}");
    }
    drop(driver);
    assert_eq!(in_use(), 0);
}

#[test]
fn a_disk_that_fails_or_cannot_be_written_to_says_so() {
    let (device, port) = block(disk(true));
    let wire = Wire::new(device, move || {
        while let Some(request) = port.take_request() {
            let answer = match (request.sector, request.operation) {
                (1, _) => Err(DiskError),
                // Less than was asked for.
                (2, _) => Ok(vec![0; 511]),
                (_, Operation::Read { length }) => Ok(vec![9; length]),
                other => panic!("{other:?}"),
            };
            assert!(port.complete(request.tag, answer));
        }
    });
    let mut driver = VirtIOBlk::<Realm, _>::new(wire).expect("a disk");
    assert!(driver.readonly());
    let mut data = [0; 512];
    assert_eq!(driver.read_blocks(0, &mut data), Ok(()));
    assert_eq!(data, [9; 512]);
    assert_eq!(driver.read_blocks(1, &mut data), Err(Error::IoError));
    assert_eq!(driver.read_blocks(2, &mut data), Err(Error::IoError));
    assert_eq!(driver.write_blocks(0, &data), Err(Error::IoError));
}
