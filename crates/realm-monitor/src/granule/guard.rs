//! Granules in motion: guards whose type says the state.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU16;

use super::{GranuleState, word};
use crate::platform::{Granule, Platform};

/// A granule state as a type.
pub trait State {
    /// The same as a value.
    const STATE: GranuleState;
}

/// A state in which the granule belongs to a realm: left only by [`Locked::into_delegated`], which wipes.
pub trait InUse: State {}

macro_rules! states {
    ($($(#[doc = $doc:literal])* $name:ident $(: $in_use:ident)?,)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl State for $name {
            const STATE: GranuleState = GranuleState::$name;
        }
        $(impl $in_use for $name {})?
    )*};
}

states! {
    /// [`GranuleState::Undelegated`].
    Undelegated,
    /// [`GranuleState::Delegated`].
    Delegated,
    /// [`GranuleState::Rd`].
    Rd: InUse,
    /// [`GranuleState::Rec`].
    Rec: InUse,
    /// [`GranuleState::RecAux`].
    RecAux: InUse,
    /// [`GranuleState::Data`].
    Data: InUse,
    /// [`GranuleState::Rtt`].
    Rtt: InUse,
}

/// A locked granule in state `S`. Dropping it unlocks the granule.
#[derive(Debug)]
pub struct Locked<'t, S: State> {
    word: &'t AtomicU16,
    address: u64,
    state: PhantomData<S>,
}

impl<'t, S: State> Locked<'t, S> {
    /// Wraps a granule that the caller just locked and found in state `S`.
    #[inline]
    pub(super) fn new(word: &'t AtomicU16, address: u64) -> Self {
        Self {
            word,
            address,
            state: PhantomData,
        }
    }

    /// Base address of the granule.
    #[must_use]
    #[inline]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The count of the granule; what it counts depends on the state (see [`GranuleState`]).
    #[must_use]
    #[inline]
    pub fn count(&self) -> u16 {
        word::count(self.word)
    }

    /// Adds to the count.
    #[inline]
    pub fn add(&self, n: u16) {
        word::add(self.word, n);
    }

    /// Subtracts from the count.
    #[inline]
    pub fn subtract(&self, n: u16) {
        word::subtract(self.word, n);
    }

    #[inline]
    fn into_state<T: State>(self) -> Locked<'t, T> {
        let this = core::mem::ManuallyDrop::new(self);
        word::set_state(this.word, T::STATE);
        Locked::new(this.word, this.address)
    }
}

impl<'t> Locked<'t, Undelegated> {
    /// The host gave the granule to the Realm address space. Wipes it.
    #[inline]
    pub fn into_delegated(self, platform: &impl Platform) -> Locked<'t, Delegated> {
        platform.zero_granule(self.address);
        self.into_state()
    }
}

impl<'t> Locked<'t, Delegated> {
    /// The granule went back to the host's address space.
    #[inline]
    pub fn into_undelegated(self) -> Locked<'t, Undelegated> {
        self.into_state()
    }

    /// Puts the granule to use. It is all zero unless the command that does this wrote to it already.
    #[inline]
    pub fn into_use<T: InUse>(self) -> Locked<'t, T> {
        self.into_state()
    }

    /// The words of the granule, to be filled for its use. Whoever then does not use it must wipe it again.
    #[must_use]
    #[inline]
    pub fn words<'g, P: Platform>(&'g self, platform: &'g P) -> &'g Granule {
        platform.granule(self.address)
    }
}

impl<'t, S: InUse> Locked<'t, S> {
    /// The words of the granule.
    #[must_use]
    #[inline]
    pub fn words<'g, P: Platform>(&'g self, platform: &'g P) -> &'g Granule {
        platform.granule(self.address)
    }

    /// The use of the granule ends. Wipes it and forgets its count.
    #[inline]
    pub fn into_delegated(self, platform: &impl Platform) -> Locked<'t, Delegated> {
        platform.zero_granule(self.address);
        self.into_state()
    }
}

impl<S: State> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        word::unlock(self.word);
    }
}
