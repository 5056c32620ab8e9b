//! What a driver can do wrong.

use crate::bus::NotShared;

/// Nonsense of a driver, after which its device does nothing more until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A ring, a descriptor or a buffer is not in memory that the realm shares with its host.
    #[error("a ring or buffer is not in memory that the realm shares")]
    NotShared,
    /// The size of a queue is zero, not a power of two, or more than the device offers.
    #[error("the size of a queue is not one that the device offers")]
    QueueSize,
    /// The address of a ring is not aligned, or the ring reaches beyond the last address.
    #[error("a ring is not aligned, or reaches beyond the last address")]
    QueueAddress,
    /// More is available than the queue has room for.
    #[error("more is available than the queue has room for")]
    AvailableIndex,
    /// A descriptor has an index beyond the queue.
    #[error("a descriptor has an index beyond the queue")]
    DescriptorIndex,
    /// Chains of descriptors that are available at once have more descriptors than the queue: there is a loop, or one descriptor in
    /// two chains.
    #[error("chains have more descriptors than the queue")]
    Loop,
    /// A descriptor that the device may read follows one that it may write to.
    #[error("a readable descriptor follows a writable one")]
    Order,
    /// A descriptor refers to a table of descriptors, which was not offered.
    #[error("a descriptor refers to a table, which was not offered")]
    Indirect,
    /// A buffer reaches beyond the last address, or all buffers of a chain together are 4 GiB or more.
    #[error("a buffer is too long")]
    Length,
    /// A request has no room for what its device has to answer, or lacks its header.
    #[error("a request lacks its header or the room for its answer")]
    Request,
}

impl From<NotShared> for Fault {
    fn from(_: NotShared) -> Self {
        Self::NotShared
    }
}
