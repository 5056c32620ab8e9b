//! The memory of a machine as a file that the emulator maps, of which this process maps the channel and nothing else.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use cca_abi::firmware::{CHANNEL_BASE, CHANNEL_SIZE, DEVICE_TREE};
use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, ftruncate, memfd_create};
use suzerain_wire::Memory;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

/// Where the machine's memory starts.
const START: u64 = DEVICE_TREE;

/// All memory of a machine: a file without a name, which is gone when nobody has it open or mapped any more.
#[derive(Debug)]
pub(crate) struct MachineMemory(Arc<File>);

impl MachineMemory {
    /// So many bytes, all zero. They are taken from the system as they are used, and nobody can make the file longer or shorter.
    ///
    /// # Errors
    ///
    /// When the system does not have such files, or none so large.
    pub(crate) fn new(bytes: u64) -> io::Result<Self> {
        let file = memfd_create(
            "suzerain-machine",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        ftruncate(&file, bytes)?;
        // A mapping of a file that becomes shorter would end whoever touches it.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(Arc::new(File::from(file))))
    }

    /// By which name a child of this process opens it, for as long as this value is there.
    pub(crate) fn path(&self) -> PathBuf {
        let (process, file) = (process::id(), self.0.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{file}"))
    }

    /// Maps the channel.
    ///
    /// # Errors
    ///
    /// When the machine's memory ends before, or the process has no room.
    pub(crate) fn channel(&self) -> io::Result<ChannelMemory> {
        // What lies behind the end of a file can be mapped, too, and an access ends the process.
        if self.0.metadata()?.len() < CHANNEL_BASE + CHANNEL_SIZE - START {
            return Err(io::Error::other("it ends before the control channel"));
        }
        let file = FileOffset::from_arc(Arc::clone(&self.0), CHANNEL_BASE - START);
        let region =
            MmapRegion::from_file(file, CHANNEL_SIZE as usize).map_err(io::Error::other)?;
        Ok(ChannelMemory(Arc::new(region)))
    }
}

/// The channel's part of a machine's memory, which the machine changes whenever it likes.
#[derive(Clone, Debug)]
pub(crate) struct ChannelMemory(Arc<MmapRegion>);

impl Memory for ChannelMemory {
    type Word = AtomicU64;

    fn words(&self) -> usize {
        self.0.len() / size_of::<u64>()
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        match self.0.get_atomic_ref(index * size_of::<u64>()) {
            Ok(word) => word,
            Err(error) => panic!("word {index} of a channel: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_machine_and_the_tool_share_the_channel_and_nobody_else_has_the_file() {
        let memory = MachineMemory::new(64 << 20).unwrap();
        let channel = memory.channel().unwrap();
        assert_eq!(channel.words(), 0x10_0000 / 8);
        let machine = File::options()
            .read(true)
            .write(true)
            .open(memory.path())
            .unwrap();
        let metadata = machine.metadata().unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.len(), metadata.nlink()),
            (0o600, 64 << 20, 0)
        );
        channel
            .word(1)
            .store(0x0102_0304_0506_0708, Ordering::Relaxed);
        let mut bytes = [0; 8];
        machine.read_exact_at(&mut bytes, 0x190_0008).unwrap();
        assert_eq!(bytes, [8, 7, 6, 5, 4, 3, 2, 1]);
        machine.write_all_at(&[9], 0x19f_fff8).unwrap();
        let last = channel.word(channel.words() - 1);
        assert_eq!(last.load(Ordering::Relaxed), 9);
        for length in [0, 128 << 20] {
            assert!(machine.set_len(length).is_err(), "{length}");
        }
    }

    #[test]
    fn a_machine_without_the_channel_in_its_memory_is_refused() {
        let memory = MachineMemory::new(16 << 20).unwrap();
        assert!(memory.channel().is_err());
    }
}
