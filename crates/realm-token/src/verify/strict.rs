//! Reading CBOR as the token's profile has it: well-formed and valid (RFC 8949, sections 3 and 5), of definite lengths
//! (draft-ffm-rats-cca-token, section 5.1), nothing twice in a map, nothing behind the item.
//!
//! Numbers and lengths may have longer heads than they need: the profile has verifiers accept that.

use alloc::vec::Vec;

use coset::cbor::de::from_reader;
use coset::cbor::value::Value;

use super::Error;

/// How deep items may be in one another. Tokens need 4 levels; what they do not define, they may nest further.
const DEEPEST: usize = 16;

/// The only data item in `bytes`.
pub(super) fn read(what: &'static str, bytes: &[u8]) -> Result<Value, Error> {
    let size = Scan { bytes, at: 0, what }.document()?;
    if size < bytes.len() {
        let count = bytes.len() - size;
        return Err(Error::Trailing { what, count });
    }
    let value = from_reader(bytes).map_err(|_| Error::Malformed { what })?;
    unique(what, &value)?;
    Ok(value)
}

/// Goes over encoded items without building anything.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl Scan<'_> {
    /// The size of the first item.
    fn document(mut self) -> Result<usize, Error> {
        self.item(DEEPEST)?;
        Ok(self.at)
    }

    fn malformed(&self) -> Error {
        Error::Malformed { what: self.what }
    }

    /// Takes so many bytes.
    fn take(&mut self, count: u64) -> Result<&[u8], Error> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count))
            .filter(|end| *end <= self.bytes.len())
            .ok_or(self.malformed())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Passes one item (RFC 8949, appendix C), with at most `deeper` levels in it.
    fn item(&mut self, deeper: usize) -> Result<(), Error> {
        let initial = self.take(1)?[0];
        let (major, additional) = (initial >> 5, initial & 0x1F);
        let argument = match additional {
            0..=23 => u64::from(additional),
            24..=27 => self
                .take(1 << (additional - 24))?
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
            // Only strings, arrays and maps can have an indefinite length; elsewhere this is nothing.
            31 if matches!(major, 2..=5) => return Err(Error::Indefinite { what: self.what }),
            _ => return Err(self.malformed()),
        };
        let items = match major {
            0 | 1 => 0,
            2 => {
                self.take(argument)?;
                0
            }
            3 => {
                let text = self.take(argument)?;
                if str::from_utf8(text).is_err() {
                    return Err(self.malformed());
                }
                0
            }
            4 => argument,
            5 => argument.checked_mul(2).ok_or(self.malformed())?,
            6 => 1,
            // A simple value of two bytes must be one that does not fit into one.
            _ if additional == 24 && argument < 32 => return Err(self.malformed()),
            _ => 0,
        };
        if items == 0 {
            return Ok(());
        }
        let deeper = deeper
            .checked_sub(1)
            .ok_or(Error::Nested { what: self.what })?;
        // Each item has a byte at least, so that a count which promises more than there is ends soon.
        (0..items).try_for_each(|_| self.item(deeper))
    }
}

/// Refuses a map, however deep, that has a key twice.
fn unique(what: &'static str, value: &Value) -> Result<(), Error> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| unique(what, item)),
        Value::Tag(_, content) => unique(what, content),
        Value::Map(entries) => {
            let mut keys = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                unique(what, key)?;
                unique(what, value)?;
                let mut encoded = Vec::new();
                coset::cbor::ser::into_writer(key, &mut encoded)
                    .map_err(|_| Error::Malformed { what })?;
                keys.push(encoded);
            }
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Error::Duplicate { what });
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The names of what is in a map, as COSE and CWT have them (RFC 9052, section 1.5; RFC 8392, section 1.1): integers and text.
pub(super) fn are_labels(entries: &[(Value, Value)]) -> bool {
    entries
        .iter()
        .all(|(key, _)| key.is_integer() || key.is_text())
}
