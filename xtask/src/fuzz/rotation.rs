//! Which targets have their turn, where there is no time for all of them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use xtask::Error;
use xtask::workspace::Workspace;

/// So many targets have their turn at once.
const AT_ONCE: usize = 2;

/// The next of the targets: those that follow the ones of the last time, of which a note is kept beside the corpus; without one, as in a fresh clone,
/// those of the day. With what to note once nothing was found with them: until then it is their turn.
pub(super) fn next(workspace: &Workspace, known: &[String]) -> (Vec<String>, usize) {
    let noted = fs::read_to_string(workspace.target().join("fuzz/next")).ok();
    let today = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs() / (24 * 60 * 60)) as usize * AT_ONCE
    };
    let first = noted.and_then(|number| number.trim().parse().ok());
    let first = first.unwrap_or_else(today);
    (turn(known, first), (first + AT_ONCE) % known.len().max(1))
}

/// Notes whose turn is the next.
///
/// # Errors
///
/// When the note cannot be kept.
pub(super) fn note(workspace: &Workspace, first: usize) -> Result<(), Error> {
    let folder = workspace.target().join("fuzz");
    let path = folder.join("next");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, format!("{first}\n")))
        .map_err(|error| Error::io("write", &path, &error))
}

fn turn(known: &[String], first: usize) -> Vec<String> {
    let from = first % known.len().max(1);
    let around = known.iter().cycle().skip(from);
    around.take(AT_ONCE.min(known.len())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_turn() {
        let known = ["a", "b", "c", "d", "e"].map(str::to_owned);
        let turns: Vec<_> = (0..5).map(|n| turn(&known, n * AT_ONCE).concat()).collect();
        assert_eq!(turns, ["ab", "cd", "ea", "bc", "de"]);
        assert_eq!(turn(&known, 1_000_001), ["b", "c"]);
        assert_eq!(turn(&known[..1], 7), ["a"]);
    }
}
