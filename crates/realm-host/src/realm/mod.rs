//! Realms: new, active, being destroyed, each a type with what may be done to it.

mod blocks;
mod bytes;
mod config;
pub(crate) mod core;
mod memory;
mod reserve;
mod ripas;
mod sharing;
mod tables;

use ::core::fmt;
use ::core::marker::PhantomData;
use alloc::boxed::Box;

use cca_abi::rmi::realm_activate;

pub use config::{Geometry, LEAF, RealmConfig};
pub use memory::{Backed, Partial};
pub use ripas::Changed;
pub use sharing::Access;
pub use tables::Entry;

use self::core::Core;
use crate::error::{About, Error};
use crate::host::Host;
use crate::ledger::RealmId;
use crate::measure::Rim;
use crate::rec::{RecSession, VcpuConfig};
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GRANULE, GranuleAddress, Ipa, IpaRange, PageAddress, PageCount};

/// State of a [`Realm`]: being built. Its measurement grows; it cannot run.
#[derive(Debug)]
pub enum New {}
/// State of a [`Realm`]: built. It can run; its measurement is final.
#[derive(Debug)]
pub enum Active {}
/// State of a [`Realm`]: being destroyed. It can only be destroyed further.
#[derive(Debug)]
pub enum Dying {}

/// A realm.
///
/// Dropping one destroys it; [`Realm::destroy`] also says whether that went well.
#[must_use]
pub struct Realm<'h, T: SmcTransport, M: PageSupply, S> {
    core: Box<Core<'h, T, M>>,
    state: PhantomData<fn() -> S>,
}

/// A change of a realm's state that failed, with the realm.
#[must_use]
pub struct Failed<R> {
    /// The realm, as it is now.
    pub realm: R,
    /// Why.
    pub error: Error,
}

/// What a part of a change has come to: the realm if there is more to do, or if it failed.
pub type Step<R> = Result<Option<R>, Failed<R>>;

impl<R> fmt::Debug for Failed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T: SmcTransport, M: PageSupply> Host<T, M> {
    /// Creates a realm: its descriptor and its starting-level tables.
    ///
    /// # Errors
    ///
    /// What the configuration asks for and the monitor does not support, want of memory or VMIDs, or a refusal. Nothing is left
    /// behind then.
    pub fn create_realm(&self, config: RealmConfig) -> Result<Realm<'_, T, M, New>, Error> {
        Core::create(self, config).map(|core| Realm {
            core: Box::new(core),
            state: PhantomData,
        })
    }
}

impl<'h, T: SmcTransport, M: PageSupply> Realm<'h, T, M, New> {
    /// Makes a range RAM, in ascending order and with the coarsest table entries that it permits. Pages are added when
    /// the realm touches them. Each entry extends the measurement.
    ///
    /// # Errors
    ///
    /// How far it came, and why it ended. It can be called again for the rest.
    pub fn init_ripas(&mut self, range: IpaRange) -> Result<(), Partial> {
        self.check_protected(range)?;
        self.core.init_ripas(range)
    }

    /// Copies content to pages from `ipa` on, in ascending order; the last one is filled up with zeros. Each page
    /// extends the measurement: by its place and, if `measure` is set, by its content.
    ///
    /// # Errors
    ///
    /// How far it came, and why it ended. It can be called again for the rest.
    pub fn populate(&mut self, ipa: Ipa, content: &[u8], measure: bool) -> Result<(), Partial> {
        let top = (content.len() as u64)
            .next_multiple_of(GRANULE)
            .checked_add(ipa.get());
        if content.is_empty() {
            return Ok(());
        }
        match top.and_then(|top| IpaRange::new(ipa, Ipa::new(top))) {
            Some(range) => self.check_protected(range)?,
            None => return Err(unaligned(ipa)),
        }
        self.core.populate(ipa, content, measure)
    }

    /// Has all the memory promised that this realm can need at once, with this RAM and so many vCPUs, if it shares nothing but the alias
    /// of its RAM: RAM and tables page by page, RECs, and what the host needs for them. From then on nobody else gets it, and
    /// the realm is never short of memory. A realm without such a promise gets what nobody was promised.
    ///
    /// # Errors
    ///
    /// [`Error::Short`] with the figures. Nothing is promised then.
    pub fn reserve(&mut self, ram: IpaRange, vcpus: usize) -> Result<(), Error> {
        self.core.reserve(ram, vcpus as u64)
    }

    /// Adds a vCPU. They can be added in any order; their RECs are created in the order of their indices.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for an index that is taken, that cannot be expressed, that the monitor has no room for, or that a REC
    /// already created has passed.
    pub fn add_vcpu(&mut self, vcpu: VcpuConfig) -> Result<(), Error> {
        self.core.add_vcpu(vcpu)
    }

    /// Creates the RECs of the vCPUs that were added and have none yet. [`Realm::activate`] does it too.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] naming the first index that is missing, before anything is delegated; or what the first REC that could
    /// not be created failed with. The RECs before it exist then, and nothing of it is left behind.
    pub fn create_recs(&mut self) -> Result<(), Error> {
        self.core.create_recs()
    }

    /// Ends the building: creates the RECs and activates the realm.
    ///
    /// # Errors
    ///
    /// As for [`Realm::create_recs`], [`Error::Usage`] for a realm that could never run because it has no runnable REC, or a
    /// refusal. The realm is still new then and comes with the error.
    pub fn activate(mut self) -> Result<Realm<'h, T, M, Active>, Failed<Self>> {
        match self.try_activate() {
            Ok(()) => Ok(Realm {
                core: self.core,
                state: PhantomData,
            }),
            Err(error) => Err(Failed { realm: self, error }),
        }
    }

    fn try_activate(&mut self) -> Result<(), Error> {
        if !self.core.vcpus.iter().any(|vcpu| vcpu.config().runnable) {
            return Err(Error::Usage {
                what: "a realm needs a runnable REC",
                value: self.core.vcpus.len() as u64,
            });
        }
        self.core.create_recs()?;
        let rd = self.core.rd()?;
        self.core
            .client()
            .realm_activate(realm_activate::Input { rd })
            .about(rd)?;
        Ok(())
    }
}

fn unaligned(ipa: Ipa) -> Partial {
    Partial {
        reached: ipa,
        error: Error::Usage {
            what: "not the address of a granule",
            value: ipa.get(),
        },
    }
}

impl<T: SmcTransport, M: PageSupply> Realm<'_, T, M, Active> {
    /// Takes hold of a REC to run it. Nobody else can until the session is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there is no such REC, or if it is held by somebody else.
    pub fn rec(&self, index: usize) -> Result<RecSession<'_, T, M>, Error> {
        RecSession::take(&self.core, index)
    }

    /// Whether the realm could have another page now, wherever it needs it.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.core.granules().has_page_for(self.core.id())
    }

    /// Whether the realm has switched itself off. No REC can be entered any more.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.core.is_off()
    }

    /// Refuses all entries from now on, as if the realm had switched itself off. RECs that run are not interrupted.
    pub fn stop(&self) {
        self.core.set_off();
    }

    /// Adds memory where the realm touched a protected address, if RAM belongs there.
    ///
    /// # Errors
    ///
    /// Want of memory, or a refusal. Nothing is changed then.
    pub fn back(&self, ipa: Ipa) -> Result<Backed, Error> {
        self.core.back(ipa)
    }

    /// Adds 2 MiB where the realm touched a protected address, if RAM belongs there, nothing of it is backed, and the
    /// embedder's allocator has contiguous memory that the monitor takes; else a page, as [`Realm::back`] does. The
    /// monitor then translates it with one table entry.
    ///
    /// # Errors
    ///
    /// Want of memory, or a refusal. Pages that were added before stay, because the realm may use them already.
    pub fn back_block(&self, ipa: Ipa) -> Result<Backed, Error> {
        self.core.back_block(ipa)
    }

    /// Takes private memory away from the realm, backed or not, and returns it to the allocator. The realm cannot use these addresses
    /// any more: what was RAM is destroyed (RIPAS DESTROYED), and the realm finds out. Blocks that reach out of the range are split.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a range that leaves the protected half; want of memory for a table, or a refusal. It can be
    /// called again for the rest.
    pub fn revoke(&self, range: IpaRange) -> Result<(), Error> {
        self.check_protected(range)
            .map_err(|partial| partial.error)?;
        let _no_fault = self.core.memory.write();
        let (base, top) = (range.base().get(), range.top().get());
        self.core.remove_data(base, top, memory::Tables::Allocator)
    }

    /// Maps pages of the embedder's own, from `first` on, at unprotected addresses from `ipa` on: as blocks of 2 MiB where both are aligned
    /// to that. The embedder keeps them allocated until they are unmapped or the realm is destroyed; they are never freed
    /// here.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for protected or unaligned addresses, or naming what is mapped there already; want of memory
    /// for tables, or a refusal. Nothing is mapped then.
    pub fn map_shared(
        &self,
        ipa: Ipa,
        first: PageAddress,
        pages: PageCount,
        access: Access,
    ) -> Result<(), Error> {
        let size = self.core.host().supply().page_size();
        let top = pages.bytes(size).checked_add(ipa.get());
        let range = top.and_then(|top| IpaRange::new(ipa, Ipa::new(top)));
        let range = range.ok_or(unaligned(ipa).error)?;
        self.check_unprotected(range)?;
        self.core
            .map_shared(ipa, first.granule(0), range.granules(), access)
    }

    /// Unmaps whatever is mapped in a range of unprotected addresses. Pages that [`Realm::share`] took go back; those of the embedder are
    /// just unmapped. Blocks that reach out of the range are split.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a range that leaves the unprotected half; want of memory for a table, or a refusal. It can be called again
    /// for the rest.
    pub fn unmap_shared(&self, range: IpaRange) -> Result<(), Error> {
        self.check_unprotected(range)?;
        self.core
            .unmap_shared(range.base().get(), range.top().get())
    }

    fn check_unprotected(&self, range: IpaRange) -> Result<(), Error> {
        let geometry = self.core.geometry();
        if geometry.is_protected(range.base()) || range.top().get() > geometry.end() {
            return Err(Error::Usage {
                what: "a range leaves the unprotected half of the address space and starts at",
                value: range.base().get(),
            });
        }
        Ok(())
    }

    /// Refuses entries until [`Realm::resume`]. RECs that run are not interrupted: [`Realm::kick`] them, and whoever runs them finds
    /// [`EnterError::Paused`](crate::rec::EnterError::Paused) when it enters again. Nothing is lost.
    pub fn pause(&self) {
        self.core.set_paused(true);
    }

    /// Allows entries again.
    pub fn resume(&self) {
        self.core.set_paused(false);
    }

    /// Makes whoever runs a REC look up: its next entry, or the one that it is about to make, is refused with
    /// [`EnterError::Kicked`](crate::rec::EnterError::Kicked), once. Returns whether the REC is inside the monitor now; then the
    /// embedder sends an interrupt to that processing element, and the entry ends with
    /// [`Exit::Interrupt`](crate::rec::Exit::Interrupt).
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there is no such REC.
    pub fn kick(&self, index: usize) -> Result<bool, Error> {
        let absent = Error::Usage {
            what: "there is no REC with index",
            value: index as u64,
        };
        Ok(self.core.vcpus.get(index).ok_or(absent)?.kick())
    }

    /// Maps a page of the host's at an unprotected address, for the realm to read and write, and says which granule it is. If one is
    /// mapped there already, that is the one.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a protected address; want of memory, or a refusal. Nothing is changed then.
    pub fn share(&self, ipa: Ipa) -> Result<GranuleAddress, Error> {
        let geometry = self.core.geometry();
        if geometry.is_protected(ipa) || ipa.get() >= geometry.end() {
            return Err(Error::Usage {
                what: "not an unprotected address",
                value: ipa.get(),
            });
        }
        self.core.share(ipa)
    }

    /// Reads a word that is shared at an unprotected address. `None` if nothing is shared there, or the address is not a multiple
    /// of 8.
    #[must_use]
    pub fn read_shared(&self, ipa: Ipa) -> Option<u64> {
        self.core.read_shared(ipa)
    }

    /// Writes a word that is shared at an unprotected address. `None` as for [`Realm::read_shared`].
    #[must_use]
    pub fn write_shared(&self, ipa: Ipa, value: u64) -> Option<()> {
        self.core.write_shared(ipa, value)
    }

    /// Copies what is shared from an unprotected address on; bytes that lie in one aligned word are read at once (acquire). `None` if
    /// not all of it is shared: a part may have been copied then.
    #[must_use]
    pub fn read_shared_bytes(&self, ipa: Ipa, to: &mut [u8]) -> Option<()> {
        self.core.read_shared_bytes(ipa, to)
    }

    /// Copies to what is shared from an unprotected address on, in ascending order; bytes that lie in one aligned word are written at
    /// once (release), and its other bytes are left alone. `None` as for [`Realm::read_shared_bytes`].
    #[must_use]
    pub fn write_shared_bytes(&self, ipa: Ipa, from: &[u8]) -> Option<()> {
        self.core.write_shared_bytes(ipa, from)
    }
}

impl<'h, T: SmcTransport, M: PageSupply, S> Realm<'h, T, M, S> {
    /// The realm's number in the ledger.
    #[must_use]
    pub fn id(&self) -> RealmId {
        self.core.id()
    }

    /// What it was created with.
    #[must_use]
    pub fn config(&self) -> &RealmConfig {
        self.core.config()
    }

    /// The shape of its address space.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.core.geometry()
    }

    /// The initial measurement, as computed from everything that the host had built so far.
    #[must_use]
    pub fn rim(&self) -> Rim {
        self.core.rim
    }

    /// How many auxiliary granules the monitor wants for each REC.
    #[must_use]
    pub fn auxiliary_granules(&self) -> usize {
        self.core.aux_count()
    }

    /// The vCPUs in the order of their indices.
    pub fn vcpus(&self) -> impl Iterator<Item = &VcpuConfig> {
        self.core.vcpus.iter().map(|vcpu| vcpu.config())
    }

    /// Reads the translation table entry that the walk for an address ends at.
    ///
    /// # Errors
    ///
    /// A refusal, for example for an address outside the address space.
    pub fn entry(&self, ipa: Ipa) -> Result<Entry, Error> {
        self.core.entry(ipa)
    }

    /// Folds the tables of a protected range whose 512 pages are contiguous in the host's memory, or all unused, so that one entry
    /// describes them; says how many there were. Bounded by the range: one command per 2 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a range that leaves the protected half, or a refusal other than that a table cannot be folded.
    pub fn fold(&self, range: IpaRange) -> Result<usize, Error> {
        self.check_protected(range)
            .map_err(|partial| partial.error)?;
        self.core.fold(range)
    }

    fn check_protected(&self, range: IpaRange) -> Result<(), Partial> {
        if self.core.geometry().covers_protected(range) {
            Ok(())
        } else {
            let what = "a range leaves the protected half of the address space and ends at";
            Err(Partial {
                reached: range.base(),
                error: Error::Usage {
                    what,
                    value: range.top().get(),
                },
            })
        }
    }

    /// Destroys the realm and takes all of its granules back, in the order that the monitor demands. Allocates nothing. A
    /// granule that does not come back is in quarantine afterwards, which is no failure of this.
    ///
    /// # Errors
    ///
    /// The first thing that could not be destroyed. Everything that does not depend on it is gone; `destroy` of the realm in the error goes
    /// on with the rest.
    pub fn destroy(mut self) -> Result<(), Failed<Realm<'h, T, M, Dying>>> {
        match self.core.tear_down() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Does a part of [`Realm::destroy`], so that an embedder can reschedule: about `steps` RECs, pages, mappings and tables, each of
    /// which takes a few calls, and at least 16. The realm comes back until everything is gone; then there is `None`.
    ///
    /// # Errors
    ///
    /// As for [`Realm::destroy`].
    pub fn destroy_step(mut self, steps: u64) -> Step<Realm<'h, T, M, Dying>> {
        match self.core.tear_down_some(steps) {
            Ok(()) => Ok(None),
            Err(Error::Unfinished) => Ok(Some(self.dying())),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn dying(self) -> Realm<'h, T, M, Dying> {
        Realm {
            core: self.core,
            state: PhantomData,
        }
    }

    fn failed(self, error: Error) -> Failed<Realm<'h, T, M, Dying>> {
        Failed {
            realm: self.dying(),
            error,
        }
    }
}

impl<T: SmcTransport, M: PageSupply, S> fmt::Debug for Realm<'_, T, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realm")
            .field("id", &self.id())
            .field("rim", &self.rim())
            .finish_non_exhaustive()
    }
}
