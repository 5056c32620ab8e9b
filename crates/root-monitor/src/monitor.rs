//! The root monitor itself: which world an SMC belongs to.

use crate::attestation::{Attestation, Identity};
use crate::gpt::Gpt;
use crate::platform::Platform;
use crate::psci::{ProcessingElement, Psci, Start};
use crate::services;
use cca_abi::Condition;
use cca_abi::el3::{
    self, BOOT_COMPLETE, INTERFACE_VERSION, REQ_COMPLETE_RESULTS, RING_BELL, RMI_REQ_COMPLETE,
    SWITCH_ON_DEMAND, boot_code,
};
use cca_abi::smccc::{self, NOT_SUPPORTED, RMI_RANGE, Registers};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

/// A world below EL3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The host and everything it runs outside of realms.
    NonSecure,
    /// The RMM and the realms.
    Realm,
}

/// What the machine has to do after an SMC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Return to the caller with the registers as they are now.
    Return,
    /// Save the caller's world and resume the other one.
    ///
    /// To the Realm world: X0 to X7 are the call's. To the normal world: X0 to X4 of the call that is answered come
    /// from the registers, its X5 and up keep the values of that call.
    Switch(World),
    /// Save the Realm world, whose next entry resumes after this SMC, and start the normal world from its beginning.
    StartNormalWorld(Start),
    /// This PE is off: stop it, and wait until it is woken.
    PowerDown,
    /// Wait for an interrupt, then return as for [`Action::Return`].
    Suspend,
    /// Turn the machine off.
    SystemOff,
    /// Reset the machine.
    SystemReset,
}

/// What a PE does that has just been turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerUp {
    /// Enter the RMM at its entry point, with these registers, in its boot state (MMU off, exceptions masked).
    BootRmm(Registers),
    /// Start the normal world: there is no RMM that works.
    StartNormalWorld(Start),
}

/// Why a root monitor cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigurationError {
    /// The primary PE is not among the PEs.
    Primary,
    /// The shared buffer is not a granule that the Realm world reaches.
    SharedBuffer,
}

/// The RMM has not been entered yet, or is in its cold boot.
const RMM_COLD: u8 = 0;
/// The RMM serves calls.
const RMM_READY: u8 = 1;
/// There is none, or one PE could not boot it.
const RMM_FAILED: u8 = 2;

/// The root monitor.
#[derive(Debug)]
pub struct RootMonitor<'a, P> {
    platform: P,
    gpt: Gpt<'a>,
    pes: &'a [ProcessingElement],
    shared_buffer: u64,
    rmm: AtomicU8,
    rmm_code: AtomicI64,
    on_demand: AtomicBool,
    attestation: Attestation,
}

impl<'a, P: Platform> RootMonitor<'a, P> {
    /// A monitor over a finished protection table.
    ///
    /// `pes` holds a record for each PE, by linear index. The PE with index `primary` is about to call
    /// [`Self::power_up`] and will start the normal world at `payload`. `shared_buffer` is the PA of the page shared
    /// with the RMM, or `None` if there is no RMM: then every RMI call is answered as unknown.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`].
    pub fn new(
        platform: P,
        gpt: Gpt<'a>,
        pes: &'a [ProcessingElement],
        primary: usize,
        payload: Start,
        shared_buffer: Option<u64>,
    ) -> Result<Self, ConfigurationError> {
        let first = pes.get(primary).ok_or(ConfigurationError::Primary)?;
        first
            .claim(payload)
            .map_err(|_| ConfigurationError::Primary)?;
        if let Some(page) = shared_buffer {
            let reached = gpt.permits(aarch64_formats::gpt::AddressSpace::Realm, page);
            if !reached || !page.is_multiple_of(cca_abi::GRANULE_SIZE) {
                return Err(ConfigurationError::SharedBuffer);
            }
        }
        let rmm = if shared_buffer.is_some() {
            RMM_COLD
        } else {
            RMM_FAILED
        };
        Ok(Self {
            platform,
            gpt,
            pes,
            shared_buffer: shared_buffer.unwrap_or(0),
            rmm: AtomicU8::new(rmm),
            rmm_code: AtomicI64::new(boot_code::SUCCESS),
            on_demand: AtomicBool::new(false),
            attestation: Attestation::new(),
        })
    }

    /// Gives the machine an identity. Without one the RMM gets no attestation key and no platform token.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.attestation.identity = Some(identity);
        self
    }

    /// The protection table.
    #[must_use]
    pub fn gpt(&self) -> &Gpt<'a> {
        &self.gpt
    }

    /// The machine below.
    #[must_use]
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The PEs by linear index.
    #[must_use]
    pub fn pes(&self) -> &'a [ProcessingElement] {
        self.pes
    }

    /// Whether RMI calls are forwarded: the RMM has booted, and has not failed on any PE.
    #[must_use]
    pub fn rmm_usable(&self) -> bool {
        self.rmm.load(Ordering::Acquire) == RMM_READY
    }

    /// The code of the first RMM_BOOT_COMPLETE that reported a failure (`cca_abi::el3::boot_code`).
    #[must_use]
    pub fn rmm_failure(&self) -> Option<i64> {
        let code = self.rmm_code.load(Ordering::Acquire);
        (code != boot_code::SUCCESS).then_some(code)
    }

    /// Whether the RMM has agreed that some registers change worlds only when it uses them
    /// (`cca_abi::el3::SWITCH_ON_DEMAND`). Of interest to a machine that has such registers.
    #[must_use]
    pub fn switches_on_demand(&self) -> bool {
        self.on_demand.load(Ordering::Acquire)
    }

    /// Says what PE `pe` does now that it has been turned on: at the cold boot on the primary PE, later on each PE
    /// that [`Platform::wake`] woke.
    ///
    /// # Panics
    ///
    /// If there is no such PE.
    pub fn power_up(&self, pe: usize) -> PowerUp {
        let record = &self.pes[pe];
        let mut registers = Registers::default();
        registers.0[0] = pe as u64;
        match self.rmm.load(Ordering::Acquire) {
            RMM_COLD => {
                registers.0[1] = INTERFACE_VERSION;
                registers.0[2] = self.pes.len() as u64;
                registers.0[3] = self.shared_buffer;
            }
            RMM_READY => {}
            _ => return PowerUp::StartNormalWorld(record.enter()),
        }
        record.set_booting_rmm(true);
        PowerUp::BootRmm(registers)
    }

    /// Serves an SMC of PE `pe` from `caller`; `registers` are the caller's X0 to X17.
    ///
    /// Whatever the registers hold, the answer is a status or an [`Action`], never a panic.
    ///
    /// # Panics
    ///
    /// If there is no such PE.
    #[inline]
    pub fn smc(&self, pe: usize, caller: World, registers: &mut Registers) -> Action {
        match caller {
            World::NonSecure => self.normal_call(pe, registers),
            World::Realm => self.realm_call(pe, registers),
        }
    }

    /// RMM_GTSI_DELEGATE of a running RMM for the granule at `address`: X0.
    ///
    /// The same as [`Self::smc`], for a machine that tells the two transitions from other calls by itself because they
    /// are frequent.
    #[inline]
    pub fn delegate(&self, address: u64) -> i64 {
        match services::delegate(&self.gpt, &self.platform, address) {
            Ok(()) => el3::code::OK,
            Err(condition) => condition.kind().code(),
        }
    }

    /// RMM_GTSI_UNDELEGATE of a running RMM for the granule at `address`: X0. See [`Self::delegate`].
    #[inline]
    pub fn undelegate(&self, address: u64) -> i64 {
        match services::undelegate(&self.gpt, &self.platform, address) {
            Ok(()) => el3::code::OK,
            Err(condition) => condition.kind().code(),
        }
    }

    fn normal_call(&self, pe: usize, registers: &mut Registers) -> Action {
        let function_id = smccc::function_id(registers.0[0]);
        if (RMI_RANGE.0..=RMI_RANGE.1).contains(&function_id) {
            return if self.rmm_usable() {
                Action::Switch(World::Realm)
            } else {
                unknown(registers)
            };
        }
        if function_id == RING_BELL {
            self.platform.ring();
            registers.0[0] = el3::code::OK.cast_unsigned();
            return Action::Return;
        }
        Psci {
            platform: &self.platform,
            gpt: &self.gpt,
            pes: self.pes,
        }
        .call(pe, registers)
    }

    fn realm_call(&self, pe: usize, registers: &mut Registers) -> Action {
        let record = &self.pes[pe];
        match smccc::function_id(registers.0[0]) {
            // Even after a failure elsewhere, what this PE has begun is brought to its end.
            RMI_REQ_COMPLETE if !record.booting_rmm() => {
                let mut results = [0; REQ_COMPLETE_RESULTS];
                results.copy_from_slice(&registers.0[1..=REQ_COMPLETE_RESULTS]);
                registers.0[..REQ_COMPLETE_RESULTS].copy_from_slice(&results);
                Action::Switch(World::NonSecure)
            }
            BOOT_COMPLETE if record.booting_rmm() => {
                record.set_booting_rmm(false);
                self.rmm_booted(registers.0[1].cast_signed());
                Action::StartNormalWorld(record.enter())
            }
            SWITCH_ON_DEMAND if self.rmm.load(Ordering::Acquire) == RMM_COLD => {
                self.on_demand.store(true, Ordering::Release);
                registers.0[0] = el3::code::OK.cast_unsigned();
                Action::Return
            }
            function_id => match el3::Command::from_function_id(function_id) {
                Some(command) if self.rmm.load(Ordering::Acquire) != RMM_FAILED => {
                    services::call(
                        command,
                        &self.gpt,
                        &self.platform,
                        &self.attestation,
                        self.shared_buffer,
                        registers,
                    );
                    Action::Return
                }
                _ => unknown(registers),
            },
        }
    }

    fn rmm_booted(&self, code: i64) {
        if code == boot_code::SUCCESS {
            // A failure that another PE has reported meanwhile stays.
            let _ =
                self.rmm
                    .compare_exchange(RMM_COLD, RMM_READY, Ordering::AcqRel, Ordering::Acquire);
        } else {
            let none = boot_code::SUCCESS;
            let _ = self
                .rmm_code
                .compare_exchange(none, code, Ordering::AcqRel, Ordering::Acquire);
            self.rmm.store(RMM_FAILED, Ordering::Release);
        }
    }
}

fn unknown(registers: &mut Registers) -> Action {
    registers.0[0] = NOT_SUPPORTED;
    Action::Return
}
