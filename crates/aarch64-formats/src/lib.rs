//! Architected bit layouts as values: stage 2 and granule protection tables, syndromes, control registers.
#![no_std]
#![forbid(unsafe_code)]

pub mod esr;
pub mod gpt;
pub mod identity_map;
pub mod stage1;
pub mod stage2;
pub mod vtcr;
