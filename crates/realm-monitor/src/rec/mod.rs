//! Realm execution contexts (RECs): the granule that holds one, its reset state and its run loop.

pub mod layout;

mod context;

pub use crate::platform::RecContext;
