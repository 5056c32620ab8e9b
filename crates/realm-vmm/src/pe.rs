//! What the loop needs from the physical PE that it runs on.

/// One physical PE (on hardware) or one thread (in the in-process machine), owned by the call to
/// [`run_pe`](crate::RealmMachine::run_pe).
pub trait HostPe {
    /// The number of this PE: 0 for the first, no two the same. It only appears in messages.
    fn index(&self) -> usize;

    /// The physical counter, in ticks.
    fn counter(&self) -> u64;

    /// Ticks of the counter in a second.
    fn frequency(&self) -> u64;

    /// Makes sure that an interrupt for the host becomes pending on this PE at `deadline` (a counter value), so
    /// that a realm that runs then is left. Replaces an earlier deadline.
    fn arm_slice(&mut self, deadline: u64);

    /// Withdraws what `arm_slice` asked for.
    fn disarm_slice(&mut self);

    /// Takes the host's interrupts that are pending on this PE (the slice timer, kicks from other PEs), so that the
    /// next entry into a realm is not left at once.
    fn acknowledge_interrupts(&mut self);

    /// Idles until an interrupt for the host is pending on this PE or `deadline` has passed. May return early.
    /// A kick that came before the call, and has not been acknowledged, makes it return at once.
    fn wait(&mut self, deadline: Option<u64>);

    /// Makes an interrupt pending on the PE of that number, so that it leaves its realm or [`HostPe::wait`]. Nothing happens if that is
    /// this PE, or if there is no such PE.
    fn kick(&mut self, index: usize);

    /// Makes an interrupt pending on all other PEs, so that they leave their realm or [`HostPe::wait`].
    fn kick_others(&mut self);
}
