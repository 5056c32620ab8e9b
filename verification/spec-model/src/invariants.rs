//! What always holds of the model's own state: if one of these breaks, the model is wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::{Granule, Model};
use crate::tables::{Entry, entry_size};

impl Model {
    /// Every granule that something of the state owns, with the state that it has for that.
    fn owned(&self) -> Result<BTreeMap<u64, Granule>, String> {
        let mut owned = BTreeMap::new();
        let mut own = |pa: u64, granule: Granule| match owned.insert(pa, granule) {
            None => Ok(()),
            Some(other) => Err(format!("granule {pa:#x} is {granule:?} and {other:?}")),
        };
        for (&rd, realm) in &self.realms {
            own(rd, Granule::Rd)?;
            for table in realm.all_tables() {
                own(table.pa, Granule::Rtt)?;
                for entry in &table.entries {
                    if let Entry::Assigned { pa, .. } = entry {
                        for piece in (0..entry_size(table.level)).step_by(0x1000) {
                            own(pa + piece, Granule::Data)?;
                        }
                    }
                }
            }
        }
        for (&pa, rec) in &self.recs {
            own(pa, Granule::Rec)?;
            for &aux in &rec.aux {
                own(aux, Granule::RecAux)?;
            }
        }
        Ok(owned)
    }

    /// Checks the ownership of granules and everything that must be unique.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check(&self) -> Result<(), String> {
        let used: BTreeMap<_, _> = self
            .granules
            .iter()
            .filter(|(_, granule)| **granule != Granule::Delegated)
            .map(|(pa, granule)| (*pa, *granule))
            .collect();
        let owned = self.owned()?;
        if let Some((pa, granule)) = used
            .iter()
            .find(|(pa, granule)| owned.get(*pa) != Some(*granule))
        {
            return Err(format!("granule {pa:#x} is {granule:?} of nobody"));
        }
        if let Some((pa, granule)) = owned.iter().find(|(pa, _)| !used.contains_key(*pa)) {
            return Err(format!(
                "granule {pa:#x} is used as {granule:?} and not in that state"
            ));
        }
        let vmids: BTreeSet<_> = self.realms.values().map(|realm| realm.vmid).collect();
        if vmids.len() != self.realms.len() {
            return Err("two realms have the same VMID".to_owned());
        }
        for (pa, rec) in &self.recs {
            let Some(realm) = self.realms.get(&rec.owner) else {
                return Err(format!("REC {pa:#x} belongs to no realm"));
            };
            if rec.index >= realm.rec_index {
                return Err(format!("REC {pa:#x} has an index that comes later"));
            }
        }
        Ok(())
    }
}
