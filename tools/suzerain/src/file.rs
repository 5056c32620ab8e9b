//! Files that the user names.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// The most that is read of one: a token has one granule, a run's JSON object a few of them.
const MOST: u64 = 4 << 20;

/// What is in a small file; `-` is standard input.
///
/// # Errors
///
/// When it cannot be read, or is too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes))
    };
    let shown = path.display();
    match result {
        Ok(read) if read as u64 > MOST => Err(Failure::input(format!(
            "{shown} has more than {MOST} bytes"
        ))),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::input(format!("cannot read {shown}: {error}"))),
    }
}
