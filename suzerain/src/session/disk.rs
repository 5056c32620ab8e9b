//! Files as disks of realms.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use realm_vmm::control::block::{Answer, Operation, SECTOR, Transfer};
use realm_vmm::control::frame::MAX_PAYLOAD;
use realm_vmm::virtio::TRANSFERS_IN_FLIGHT;

use super::lock;
use crate::failure::Failure;

/// The most that is read at once: an answer is one frame.
const MOST: u32 = (MAX_PAYLOAD - 12) as u32;

/// A file that is a realm's disk. While it is open, no other realm of the tool has it.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    sectors: u64,
    read_only: bool,
}

impl Disk {
    /// Opens a file, or a block device; for reading only if it cannot be written or `read_only` asks for that.
    ///
    /// # Errors
    ///
    /// When it cannot be read, has not a sector, or is another realm's disk.
    pub(crate) fn open(path: &Path, read_only: bool) -> Result<Self, Failure> {
        let shown = path.display();
        let bad = |why: String| Failure::input(format!("the disk {shown} {why}"));
        let mut options = File::options();
        options.read(true);
        let (file, read_only) = match options.write(!read_only).open(path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                (options.write(false).open(path), true)
            }
            file => (file, read_only),
        };
        let mut file = file.map_err(|error| {
            bad(format!(
                "cannot be opened: {error}; name a file that exists, such as one made by `truncate -s 64M FILE`"
            ))
        })?;
        let kind = file.metadata().map(|metadata| metadata.is_dir());
        if kind.unwrap_or(false) {
            return Err(bad("is a folder; name a file".to_owned()));
        }
        let locked = if read_only {
            file.try_lock_shared()
        } else {
            file.try_lock()
        };
        match locked {
            Err(TryLockError::WouldBlock) => {
                return Err(bad(
                    "is in use by another realm; two would destroy what is on it".to_owned(),
                ));
            }
            // Not every file system has locks.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let length = file
            .seek(SeekFrom::End(0))
            .map_err(|error| bad(format!("has no size: {error}")))?;
        let sectors = length / SECTOR as u64;
        if sectors == 0 {
            return Err(bad(format!("has {length} bytes; a sector has {SECTOR}")));
        }
        Ok(Self {
            file,
            sectors,
            read_only,
        })
    }

    /// Its size in sectors of 512 bytes.
    pub(crate) fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether it refuses to be written.
    pub(crate) fn read_only(&self) -> bool {
        self.read_only
    }

    /// Carries a request out. What the realm asks for is not taken on trust.
    fn serve(&self, transfer: &Transfer) -> Option<Vec<u8>> {
        let within = |length: u64| {
            let start = transfer.sector.checked_mul(SECTOR as u64)?;
            let end = start.checked_add(length)?;
            (end <= self.sectors * SECTOR as u64).then_some(start)
        };
        match transfer.operation {
            Operation::Read(length) => {
                let start = within(length.into()).filter(|_| length <= MOST)?;
                let mut data = vec![0; length as usize];
                self.file.read_exact_at(&mut data, start).ok()?;
                Some(data)
            }
            Operation::Write if self.read_only => None,
            Operation::Write => {
                let start = within(transfer.data.len() as u64)?;
                self.file.write_all_at(&transfer.data, start).ok()?;
                Some(Vec::new())
            }
            Operation::Flush if self.read_only => Some(Vec::new()),
            Operation::Flush => self.file.sync_data().ok().map(|()| Vec::new()),
        }
    }
}

/// The disks of all realms.
#[derive(Default)]
pub(super) struct Disks {
    disks: Mutex<HashMap<(u32, u8), Arc<Disk>>>,
    /// How many there have been. A host may still want something of those that are gone.
    made: AtomicUsize,
    /// Requests that have come and are not answered.
    wanted: AtomicUsize,
}

impl Disks {
    pub(super) fn add(&self, realm: u32, stream: u8, disk: Disk) {
        lock(&self.disks).insert((realm, stream), Arc::new(disk));
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn forget(&self, realm: u32) {
        lock(&self.disks).retain(|(of, _), _| *of != realm);
    }

    /// Counts a request that has come; `false` if the host wants more at once than its disks may.
    pub(super) fn take(&self) -> bool {
        let most = TRANSFERS_IN_FLIGHT * self.made.load(Ordering::Relaxed);
        self.wanted.fetch_add(1, Ordering::Relaxed) < most
    }

    /// Carries out a request that was counted, or says that it was not done.
    pub(super) fn serve(&self, realm: u32, stream: u8, transfer: &Transfer) -> Answer {
        let disk = lock(&self.disks).get(&(realm, stream)).cloned();
        let data = disk.and_then(|disk| disk.serve(transfer));
        // Before the answer goes out: the host may send the next request as soon as it has it.
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        Answer {
            tag: transfer.tag,
            done: data.is_some(),
            data: data.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn transfer(operation: Operation, sector: u64, data: &[u8]) -> Transfer {
        Transfer {
            tag: 5,
            operation,
            sector,
            data: data.to_vec(),
        }
    }

    #[test]
    fn a_disk_is_read_and_written_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::write(&path, vec![7; 4 * SECTOR + 100]).unwrap();
        let disks = Disks::default();
        disks.add(3, 1, Disk::open(&path, false).unwrap());
        let done = |operation, sector, data: &[u8]| {
            assert!(disks.take());
            let answer = disks.serve(3, 1, &transfer(operation, sector, data));
            assert_eq!(answer.tag, 5);
            answer.done.then_some(answer.data)
        };
        assert_eq!(done(Operation::Write, 3, &[9; SECTOR]), Some(vec![]));
        assert_eq!(done(Operation::Flush, 0, &[]), Some(vec![]));
        let read = done(Operation::Read(1024), 2, &[]).unwrap();
        assert_eq!((read[511], read[512]), (7, 9));
        for (operation, sector, data) in [
            (Operation::Read(513), 3, &[][..]),
            (Operation::Read(1), 4, &[]),
            (Operation::Read(u32::MAX), 0, &[]),
            (Operation::Read(512), u64::MAX, &[]),
            (Operation::Read(512), u64::MAX / 512 + 1, &[]),
            (Operation::Write, 3, &[0; SECTOR + 1]),
            (Operation::Write, 1 << 60, &[0]),
        ] {
            assert_eq!(
                done(operation, sector, data),
                None,
                "{operation:?} {sector}"
            );
        }
        assert_eq!(fs::read(&path).unwrap()[4 * SECTOR..], [7; 100]);
        assert!(disks.take());
        let nobodys = disks.serve(3, 0, &transfer(Operation::Flush, 0, &[]));
        assert!(!nobodys.done);
    }

    #[test]
    fn a_disk_has_one_owner_and_can_refuse_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::write(&path, [1; SECTOR]).unwrap();
        let disk = Disk::open(&path, true).unwrap();
        assert!(disk.read_only() && disk.sectors() == 1);
        assert_eq!(disk.serve(&transfer(Operation::Write, 0, &[2; 4])), None);
        assert_eq!(
            disk.serve(&transfer(Operation::Flush, 0, &[])),
            Some(vec![])
        );
        Disk::open(&path, true).unwrap();
        let failure = Disk::open(&path, false).unwrap_err();
        assert!(failure.to_string().contains("another realm"), "{failure}");
        drop(disk);
        Disk::open(&path, false).unwrap();
        fs::write(&path, [1; SECTOR - 1]).unwrap();
        for bad in [path.as_path(), folder.path(), Path::new("/nowhere/disk")] {
            assert!(Disk::open(bad, false).is_err());
        }
    }
}
