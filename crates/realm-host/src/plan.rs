//! The calls that make up a realm's initial measurement, one by one, before any of them is made.
//!
//! For whoever has to say what a realm will measure, or why one measured something else.

use cca_abi::rmi::Command;

use crate::measure::{MeasuredRealm, MeasuredRec, Rim};
use crate::realm::{Geometry, LEAF};
use crate::units::{GRANULE, IpaRange};

/// Something that the measurement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The realm is created.
    Create(MeasuredRealm),
    /// An entry of a translation table becomes RAM, from `base` up to `top`.
    Ram {
        /// First address.
        base: u64,
        /// The address after the last.
        top: u64,
    },
    /// A page gets its content.
    Data {
        /// Its address.
        ipa: u64,
        /// What is in it, at most 4096 bytes, zeros after those. `None` if it is not measured.
        content: Option<&'a [u8]>,
    },
    /// A REC is created.
    Rec(MeasuredRec),
}

impl Step<'_> {
    /// The command that the host calls.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Create(_) => Command::RealmCreate,
            Self::Ram { .. } => Command::RttInitRipas,
            Self::Data { .. } => Command::DataCreate,
            Self::Rec(_) => Command::RecCreate,
        }
    }

    /// The measurement after this step. `before` is the one before it, or `None` if there is none yet: then only
    /// [`Step::Create`] gives one.
    #[must_use]
    pub fn apply(&self, before: Option<Rim>) -> Option<Rim> {
        if let Self::Create(realm) = self {
            return Some(Rim::new(realm));
        }
        let mut rim = before?;
        match self {
            Self::Create(_) => {}
            Self::Ram { base, top } => rim.ripas(*base, *top),
            Self::Data { ipa, content } => {
                let page = content.map(|content| {
                    let mut page = [0; GRANULE as usize];
                    let len = content.len().min(page.len());
                    page[..len].copy_from_slice(&content[..len]);
                    page
                });
                rim.data(*ipa, page.as_ref());
            }
            Self::Rec(rec) => rim.rec(rec),
        }
        Some(rim)
    }
}

/// The measurement after all steps; `None` if the first of them does not create the realm.
#[must_use]
pub fn measure<'a>(steps: impl IntoIterator<Item = Step<'a>>) -> Option<Rim> {
    steps.into_iter().fold(None, |rim, step| step.apply(rim))
}

/// The entries of translation tables that make a range RAM, in order: at each address the largest entry, at
/// `coarsest` level or below, that lies in the range. A host that makes tables only where it must has them so, with
/// the starting level as the coarsest.
pub fn ram_entries<'a>(range: IpaRange, coarsest: i64) -> impl Iterator<Item = Step<'a>> {
    let mut base = range.base().get();
    let end = range.top().get();
    core::iter::from_fn(move || {
        if base >= end {
            return None;
        }
        let size = (coarsest..=LEAF)
            .map(Geometry::entry_size)
            .find(|size| base.is_multiple_of(*size) && *size <= end - base)
            .unwrap_or(GRANULE);
        let step = Step::Ram {
            base,
            top: base + size,
        };
        base += size;
        Some(step)
    })
}

/// The pages of an image that is loaded and measured at `ipa`, in order.
pub fn image_pages(ipa: u64, image: &[u8]) -> impl Iterator<Item = Step<'_>> {
    let pages = image.chunks(GRANULE as usize);
    pages.enumerate().map(move |(index, page)| Step::Data {
        ipa: ipa + index as u64 * GRANULE,
        content: Some(page),
    })
}
