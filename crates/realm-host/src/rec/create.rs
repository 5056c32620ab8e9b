//! vCPUs and the memory of their RECs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use cca_abi::mpidr;
use cca_abi::rmi::params::{REC_FLAG_RUNNABLE, RecParams};
use cca_abi::rmi::rec_create;
use spin::Mutex;

use super::session::RecState;
use crate::error::{About, Error};
use crate::ledger::Purpose;
use crate::measure::MeasuredRec;
use crate::realm::core::Core;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::GranuleAddress;

/// What the host may say of a vCPU before its REC is created. Nothing of it can be changed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuConfig {
    /// The REC index, which stands for the MPIDR (RMM specification 1.0-rel0, B4.4, RmiRecMpidr).
    pub index: u64,
    /// X0-X7.
    pub gprs: [u64; 8],
    /// Where it starts.
    pub pc: u64,
    /// Whether it can run before another vCPU has turned it on.
    pub runnable: bool,
}

impl VcpuConfig {
    /// A vCPU that waits for another one to turn it on.
    #[must_use]
    pub const fn secondary(index: u64) -> Self {
        Self {
            index,
            gprs: [0; 8],
            pc: 0,
            runnable: false,
        }
    }

    /// What is measured of it, if it is runnable.
    #[must_use]
    pub const fn measured(&self) -> MeasuredRec {
        MeasuredRec {
            flags: flags(self),
            gprs: self.gprs,
            pc: self.pc,
        }
    }

    /// The MPIDR that the realm reads, without the bits that are no affinity.
    #[must_use]
    pub const fn mpidr(&self) -> u64 {
        mpidr::architectural_from_index(self.index) & mpidr::ARCHITECTURAL_MASK
    }
}

/// The granules of a REC, as far as they have been obtained.
#[derive(Debug, Default)]
pub(crate) struct RecMemory {
    rec: Option<GranuleAddress>,
    run: Option<GranuleAddress>,
    aux: Vec<GranuleAddress>,
}

/// A vCPU of a realm, with or without its REC.
#[derive(Debug)]
pub(crate) struct Vcpu {
    config: VcpuConfig,
    memory: Option<RecMemory>,
    /// Taken out while somebody runs the REC.
    pub(super) state: Mutex<Option<RecState>>,
    /// Whether whoever runs it shall look up.
    kicked: AtomicBool,
    /// Whether it is in the monitor, or about to be.
    pub(super) inside: AtomicBool,
    /// Whether it can run, as far as the host has heard.
    pub(super) on: AtomicBool,
}

impl Vcpu {
    pub(crate) const fn config(&self) -> &VcpuConfig {
        &self.config
    }

    /// As for [`Realm::kick`](crate::Realm::kick).
    pub(crate) fn kick(&self) -> bool {
        self.kicked.store(true, Ordering::SeqCst);
        self.inside.load(Ordering::SeqCst)
    }

    /// Takes note of a kick.
    pub(super) fn take_kick(&self) -> bool {
        self.kicked.swap(false, Ordering::SeqCst)
    }

    /// The REC, if it has been created.
    pub(crate) fn granule(&self) -> Option<GranuleAddress> {
        self.memory.as_ref().and_then(|memory| memory.rec)
    }

    /// The page through which it is entered.
    pub(crate) fn run(&self) -> Option<GranuleAddress> {
        self.memory.as_ref().and_then(|memory| memory.run)
    }

    /// The REC is gone: gives out its memory.
    pub(crate) fn take_memory(&mut self) -> Option<RecMemory> {
        self.memory.take()
    }
}

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    pub(crate) fn add_vcpu(&mut self, config: VcpuConfig) -> Result<(), Error> {
        let usage = |what| {
            Err(Error::Usage {
                what,
                value: config.index,
            })
        };
        if mpidr::rec_mpidr_from_index(config.index).is_none() {
            return usage("no MPIDR expresses REC index");
        }
        if config.index >= self.host().features().max_recs().into() {
            return usage("the monitor has no room for REC index");
        }
        match self
            .vcpus
            .binary_search_by_key(&config.index, |vcpu| vcpu.config.index)
        {
            Ok(_) => usage("there is a vCPU already with REC index"),
            Err(place) if self.vcpus[place..].iter().any(|vcpu| vcpu.memory.is_some()) => {
                usage("RECs were created already behind REC index")
            }
            Err(place) => {
                let state = Mutex::new(Some(RecState::default()));
                self.vcpus.insert(
                    place,
                    Vcpu {
                        config,
                        memory: None,
                        state,
                        kicked: AtomicBool::new(false),
                        inside: AtomicBool::new(false),
                        on: AtomicBool::new(config.runnable),
                    },
                );
                Ok(())
            }
        }
    }

    pub(crate) fn create_recs(&mut self) -> Result<(), Error> {
        if let Some(missing) = (0..)
            .zip(&self.vcpus)
            .find_map(|(i, vcpu)| (vcpu.config.index != i).then_some(i))
        {
            return Err(Error::Usage {
                what: "there is no vCPU for REC index",
                value: missing,
            });
        }
        for place in 0..self.vcpus.len() {
            if self.vcpus[place].memory.is_none() {
                let config = self.vcpus[place].config;
                self.vcpus[place].memory = Some(self.create_rec(&config)?);
                self.rim.rec(&config.measured());
            }
        }
        Ok(())
    }

    fn create_rec(&self, config: &VcpuConfig) -> Result<RecMemory, Error> {
        let mut memory = RecMemory::default();
        match self.fill_rec(config, &mut memory) {
            Ok(()) => Ok(memory),
            Err(error) => {
                self.return_rec_memory(&memory)?;
                Err(error)
            }
        }
    }

    fn fill_rec(&self, config: &VcpuConfig, memory: &mut RecMemory) -> Result<(), Error> {
        let granules = self.granules();
        memory.run = Some(granules.hold(self.id(), Purpose::Run)?);
        let rec = granules.delegate(self.id(), Purpose::Rec)?;
        memory.rec = Some(rec);
        memory.aux.reserve_exact(self.aux_count());
        for _ in 0..self.aux_count() {
            memory
                .aux
                .push(granules.delegate(self.id(), Purpose::RecAuxiliary)?);
        }
        let mut params = RecParams {
            flags: flags(config),
            mpidr: mpidr::rec_mpidr_from_index(config.index).unwrap_or_default(),
            pc: config.pc,
            gprs: config.gprs,
            num_aux: memory.aux.len() as u64,
            ..RecParams::default()
        };
        for (entry, granule) in params.aux.iter_mut().zip(&memory.aux) {
            *entry = granule.get();
        }
        let mut words = [0; 512];
        params.write(&mut words);
        let rd = self.rd()?;
        self.with_parameters(&words, |params_ptr| {
            let input = rec_create::Input {
                rd,
                rec: rec.get(),
                params_ptr: params_ptr.get(),
            };
            self.client().rec_create(input).about(rec.get()).map(|_| ())
        })
    }

    /// Takes back the granules of a REC that does not exist (any more).
    pub(crate) fn return_rec_memory(&self, memory: &RecMemory) -> Result<(), Error> {
        for &granule in memory.rec.iter().chain(&memory.aux) {
            self.granules().undelegate(granule)?;
        }
        memory.run.map_or(Ok(()), |run| {
            self.granules().clear(run);
            self.granules().release(run)
        })
    }
}

const fn flags(config: &VcpuConfig) -> u64 {
    if config.runnable {
        REC_FLAG_RUNNABLE
    } else {
        0
    }
}
