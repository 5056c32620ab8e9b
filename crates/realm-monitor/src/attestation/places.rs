//! Who has a place for a signature that is under way.
//!
//! A signature takes millions of instructions, so an interrupt suspends it, and what it has done so far waits in a place of the
//! platform's: a stack. There are as many places as any machine has PEs, so one is always free or suspended. A REC that finds none
//! free takes that of another realm, which then starts over; how is chosen so that no realm can keep the others from signing.

use spin::Mutex;

/// Number of places. No platform has more PEs.
pub const PLACES: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// PA of the REC, 0 if the place is free.
    rec: u64,
    /// PA of its realm.
    realm: u64,
    /// Whether a PE is at it.
    running: bool,
    /// When it was suspended, in suspensions.
    suspended: u64,
}

#[derive(Debug)]
struct Table {
    places: [Place; PLACES],
    suspensions: u64,
}

/// The places of a monitor.
#[derive(Debug)]
pub(crate) struct Places(Mutex<Table>);

/// What a REC finds at its place. The number is that of the place, which is the REC's and its PE's until
/// [`Places::suspend`] or [`Places::free`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// What it began there.
    Begun(usize),
    /// Nothing of its own.
    New(usize),
}

impl Places {
    /// All are free.
    pub(crate) const fn new() -> Self {
        const FREE: Place = Place {
            rec: 0,
            realm: 0,
            running: false,
            suspended: 0,
        };
        Self(Mutex::new(Table {
            places: [FREE; PLACES],
            suspensions: 0,
        }))
    }

    /// A place for the REC at `rec`, which runs on the calling PE: its own, else a free one, else one of the realm that has most
    /// (its own if no other has more), where it is the one that was suspended first. A realm with many RECs so crowds out
    /// itself: another one loses its only place when all places belong to different realms.
    ///
    /// `None` if PEs are at all of them.
    pub(crate) fn claim(&self, rec: u64, realm: u64) -> Option<Claim> {
        let mut table = self.0.lock();
        let places = &mut table.places;
        if let Some(place) = places.iter().position(|place| place.rec == rec) {
            places[place].running = true;
            return Some(Claim::Begun(place));
        }
        let share = |of: &Place| {
            let has = places.iter().filter(|place| place.realm == of.realm);
            has.count() + usize::from(of.realm == realm)
        };
        let place = places.iter().position(|place| place.rec == 0).or_else(|| {
            let suspended = places.iter().enumerate().filter(|(_, at)| !at.running);
            suspended
                .max_by_key(|(_, at)| (share(at), u64::MAX - at.suspended))
                .map(|(place, _)| place)
        })?;
        places[place] = Place {
            rec,
            realm,
            running: true,
            suspended: 0,
        };
        Some(Claim::New(place))
    }

    /// The PE leaves what is at the place for later.
    pub(crate) fn suspend(&self, place: usize) {
        let mut table = self.0.lock();
        table.suspensions += 1;
        let now = table.suspensions;
        let at = &mut table.places[place];
        (at.running, at.suspended) = (false, now);
    }

    /// The signature is made.
    pub(crate) fn free(&self, place: usize) {
        self.0.lock().places[place] = Place::default();
    }

    /// What the REC at `rec`, which does not run, has begun is not needed any more.
    pub(crate) fn forget(&self, rec: u64) {
        let mut table = self.0.lock();
        if let Some(place) = table.places.iter_mut().find(|place| place.rec == rec) {
            *place = Place::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VICTIM: u64 = 0x1000;
    const CROWD: u64 = 0x2000;

    fn suspended(places: &Places, rec: u64, realm: u64) -> Claim {
        let claim = places.claim(rec, realm).expect("one is not running");
        let (Claim::Begun(place) | Claim::New(place)) = claim;
        places.suspend(place);
        claim
    }

    #[test]
    fn a_rec_finds_what_it_began_until_it_is_forgotten() {
        let places = Places::new();
        assert_eq!(places.claim(8, VICTIM), Some(Claim::New(0)));
        assert_eq!(places.claim(16, VICTIM), Some(Claim::New(1)));
        places.suspend(0);
        assert_eq!(places.claim(8, VICTIM), Some(Claim::Begun(0)));
        places.forget(8);
        assert_eq!(places.claim(24, CROWD), Some(Claim::New(0)));
        places.free(1);
        assert_eq!(places.claim(16, VICTIM), Some(Claim::New(1)));
    }

    #[test]
    fn a_realm_with_many_recs_crowds_out_itself() {
        for first in [true, false] {
            let places = Places::new();
            if first {
                suspended(&places, 8, VICTIM);
            }
            for rec in 1..=3 * PLACES as u64 {
                suspended(&places, rec << 12, CROWD);
            }
            let claim = suspended(&places, 8, VICTIM);
            assert_eq!(matches!(claim, Claim::Begun(_)), first);
            for rec in 1..=3 * PLACES as u64 {
                suspended(&places, rec << 12, CROWD);
            }
            let claim = suspended(&places, 8, VICTIM);
            assert!(matches!(claim, Claim::Begun(_)), "it lost what it had done");
        }
    }

    #[test]
    fn nobody_loses_a_place_that_a_pe_is_at() {
        let places = Places::new();
        for rec in 1..=PLACES as u64 {
            assert!(places.claim(rec << 12, CROWD).is_some());
        }
        assert_eq!(places.claim(8, VICTIM), None);
        places.suspend(5);
        assert_eq!(places.claim(8, VICTIM), Some(Claim::New(5)));
    }
}
