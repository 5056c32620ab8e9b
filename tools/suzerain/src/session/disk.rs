//! Files as disks of realms.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use realm_vmm::control::block::{Answer, Operation, SECTOR, Transfer};
use realm_vmm::control::frame::MAX_PAYLOAD;
use realm_vmm::virtio::{LONGEST_TRANSFER, TRANSFERS_IN_FLIGHT};

use super::lock;
use crate::failure::Failure;

/// The most that is read at once: an answer is one frame.
const MOST: u32 = (MAX_PAYLOAD - 12) as u32;

/// A file that is a realm's disk. While it is open, no other realm of the tool has it.
#[derive(Debug)]
pub struct Disk {
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
    pub fn open(path: &Path, read_only: bool) -> Result<Self, Failure> {
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

/// A request of a realm's disk: realm, disk, what it wants.
type Wanted = (u32, u8, Transfer);

/// The disks of all realms, and what the host wants of them.
#[derive(Default)]
pub(super) struct Disks {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    disks: HashMap<(u32, u8), Arc<Disk>>,
    wanted: VecDeque<Wanted>,
    closed: bool,
}

impl Disks {
    pub(super) fn add(&self, realm: u32, stream: u8, disk: Disk) {
        lock(&self.inner)
            .disks
            .insert((realm, stream), Arc::new(disk));
    }

    /// A realm is gone, and what it wants is of no use to anybody.
    pub(super) fn forget(&self, realm: u32) {
        let mut inner = lock(&self.inner);
        inner.disks.retain(|(of, _), _| *of != realm);
        inner.wanted.retain(|(of, ..)| *of != realm);
    }

    /// Nothing more is wanted.
    pub(super) fn close(&self) {
        lock(&self.inner).closed = true;
        self.changed.notify_all();
    }

    /// Takes a request.
    ///
    /// # Errors
    ///
    /// When the host wants more at once than its disks may, or longer than any device does.
    pub(super) fn push(&self, realm: u32, stream: u8, transfer: Transfer) -> Result<(), String> {
        if transfer.data.len() > LONGEST_TRANSFER {
            return Err("the host asks for a transfer that is longer than any disk's".to_owned());
        }
        let mut inner = lock(&self.inner);
        if inner.wanted.len() >= TRANSFERS_IN_FLIGHT * inner.disks.len() {
            return Err("the host asks for more transfers than its disks may".to_owned());
        }
        inner.wanted.push_back((realm, stream, transfer));
        self.changed.notify_all();
        Ok(())
    }

    /// The next request; waits for it, and is `None` once no more will come.
    pub(super) fn next(&self) -> Option<Wanted> {
        let nothing = |inner: &mut Inner| inner.wanted.is_empty() && !inner.closed;
        let waited = self.changed.wait_while(lock(&self.inner), nothing);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner);
        inner.wanted.pop_front()
    }

    /// Carries out a request, or says that it was not done.
    pub(super) fn serve(&self, (realm, stream, transfer): &Wanted) -> Answer {
        let disk = lock(&self.inner).disks.get(&(*realm, *stream)).cloned();
        let data = disk.and_then(|disk| disk.serve(transfer));
        Answer {
            tag: transfer.tag,
            done: data.is_some(),
            data: data.unwrap_or_default(),
        }
    }

    /// Bytes of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        let inner = lock(&self.inner);
        inner
            .wanted
            .iter()
            .map(|(.., wanted)| wanted.data.len())
            .sum()
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
            let wanted = transfer(operation, sector, data);
            disks.push(3, 1, wanted).unwrap();
            let answer = disks.serve(&disks.next().unwrap());
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
        let nobodys = disks.serve(&(3, 0, transfer(Operation::Flush, 0, &[])));
        assert!(!nobodys.done);
    }

    #[test]
    fn no_more_transfers_wait_than_disks_that_there_are_may_want() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::write(&path, [0; SECTOR]).unwrap();
        let disks = Disks::default();
        let write = |realm, bytes| {
            let wanted = transfer(Operation::Write, 0, &vec![0; bytes]);
            disks.push(realm, 0, wanted)
        };
        // However many realms there have been.
        for realm in 1..100 {
            disks.add(realm, 0, Disk::open(&path, true).unwrap());
            let taken = (0..1000).take_while(|_| write(realm, LONGEST_TRANSFER).is_ok());
            assert_eq!(taken.count(), TRANSFERS_IN_FLIGHT);
            assert_eq!(disks.waiting(), TRANSFERS_IN_FLIGHT * LONGEST_TRANSFER);
            disks.forget(realm);
            assert_eq!(disks.waiting(), 0);
        }
        disks.add(100, 0, Disk::open(&path, true).unwrap());
        let why = write(100, LONGEST_TRANSFER + 1).unwrap_err();
        assert!(why.contains("longer than any disk's"), "{why}");
        disks.close();
        assert_eq!(disks.next(), None);
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
