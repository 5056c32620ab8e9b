//! A session without threads, whose host has said beforehand all that it will ever say.

use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::sync::Arc;

use realm_vmm::control::message::Outcome;
use realm_vmm::virtio::{LONGEST_TRANSFER, TRANSFERS_IN_FLIGHT};
use rustix::fs::{MemfdFlags, memfd_create};

use super::consoles::KEPT;
use super::disk::Disk;
use super::{Patience, Shared, lock};
use crate::network::{MOST_BYTES, Mailbox};

/// The consoles of each realm.
const CONSOLES: [(u32, usize); 2] = [(1, 2), (2, 1)];
/// Requests that somebody waits for.
pub(crate) const WAITING: RangeInclusive<u64> = 1..=8;
/// The most bytes that wait or are kept: three consoles, a disk, a network.
pub(crate) const MOST: usize = 3 * KEPT + TRANSFERS_IN_FLIGHT * LONGEST_TRANSFER + MOST_BYTES;
/// Bytes of the disk.
const DISK: u64 = 64 << 10;

/// The session.
pub(crate) struct Quiet {
    shared: Shared,
    mailbox: Arc<Mailbox>,
}

impl Quiet {
    /// With realm 1 that has two consoles, a disk and a network, realm 2 that has a console, and requests that somebody waits for.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let shared = Shared::new(io::sink(), Patience::USUAL);
        let file = File::from(memfd_create("suzerain-disk", MemfdFlags::CLOEXEC)?);
        file.set_len(DISK)?;
        shared.disks.add(1, 0, Disk::of(file, DISK));
        let mailbox = Arc::new(Mailbox::new()?);
        shared.networks.add(1, mailbox.clone(), None);
        let mut state = shared.state();
        state.realms.extend(CONSOLES);
        state.replies.extend(WAITING.map(|id| (id, None)));
        drop(state);
        Ok(Self { shared, mailbox })
    }

    /// Hears the host to its end, and says why that is the end.
    pub(crate) fn listen(&self, said: impl Read) -> String {
        self.shared.listen(said);
        self.shared.state().gone.clone().unwrap_or_default()
    }

    /// Bytes that wait or are kept.
    pub(crate) fn kept(&self) -> usize {
        let (consoles, disks) = (&self.shared.consoles, &self.shared.disks);
        consoles.kept() + disks.waiting() + self.mailbox.waiting()
    }

    /// Does what is wanted of the disk.
    pub(crate) fn serve_disks(&self) {
        self.shared.serve_disks();
    }

    /// What was sent to the network.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Vec<u8>> {
        self.mailbox.take().into_iter()
    }

    /// What was printed on each console, and the last lines of it.
    pub(crate) fn consoles(&self) -> impl Iterator<Item = (Vec<u8>, Vec<String>)> {
        let consoles = &self.shared.consoles;
        let all = CONSOLES
            .into_iter()
            .flat_map(|(realm, count)| (0..count as u8).map(move |stream| (realm, stream)));
        all.map(|(realm, stream)| {
            let tail = consoles.tail(realm, stream, 9);
            (consoles.all(realm, stream), tail)
        })
    }

    /// Why realms have stopped.
    pub(crate) fn ends(&self) -> Vec<String> {
        let state = self.shared.state();
        let ends = state.stopped.values();
        ends.filter_map(|stopped| stopped.error.clone()).collect()
    }

    /// The replies to requests that somebody waits for.
    pub(crate) fn replies(&self) -> Vec<Outcome> {
        let mut state = lock(&self.shared.state);
        state
            .replies
            .drain()
            .filter_map(|(_, reply)| reply)
            .collect()
    }
}
