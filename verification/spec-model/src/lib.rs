//! An executable model of the Realm Management Interface (RMM specification 1.0-rel0).
//!
//! The model is a second reading of the specification: it shares no code with the realm monitor and takes only the
//! numbers and layouts of `cca-abi`. It is written to be compared with the specification's text, not to be fast:
//! translation tables are trees, measurements are computed one descriptor at a time, and nothing is locked.
//!
//! A call is [judged](Model::judge): the result is every failure condition whose trigger holds and that no mandatory
//! precedence excludes. A monitor has to answer with one of them, or with success if there is none; then the call
//! is [applied](Model::apply), which gives the exact results. [`Model::enter`] runs a REC whose program is a list of
//! [operations](Operation).
#![forbid(unsafe_code)]

mod commands;
mod execution;
mod invariants;
mod judgement;
mod measurement;
mod state;
mod tables;

pub use execution::{Entry as RecEntry, ExpectedExit, Operation, Retired, Stuck};
pub use judgement::{Code, Failure, Judgement};
pub use state::{
    Granule, Model, Platform, PsciRequest, Read, Realm, RealmState, Rec, RipasRequest,
};
pub use tables::{Entry, Table, entry_size};
