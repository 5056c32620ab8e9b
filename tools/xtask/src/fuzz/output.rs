//! What libFuzzer says.

/// Where a running target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    /// Inputs that were run.
    pub(super) executions: u64,
    /// Edges of the program that were reached.
    pub(super) coverage: u64,
    /// Inputs that are kept, since each reaches something new.
    pub(super) corpus: u64,
}

impl Pulse {
    /// From a line such as `#3270 NEW cov: 992 ft: 2543 corp: 132/448b lim: 4 exec/s: 155 rss: 30Mb`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let words: Vec<_> = line.strip_prefix('#')?.split_whitespace().collect();
        let after = |label: &str| {
            let at = words.iter().position(|word| *word == label)?;
            words.get(at + 1)?.split('/').next()?.parse().ok()
        };
        Some(Self {
            executions: words.first()?.parse().ok()?,
            coverage: after("cov:")?,
            corpus: after("corp:").unwrap_or(0),
        })
    }
}

/// The number of inputs that were run, from the statistics at the end.
pub(super) fn executions(output: &str) -> Option<u64> {
    let mut lines = output.lines();
    lines.find_map(|line| {
        line.strip_prefix("stat::number_of_executed_units:")?
            .trim()
            .parse()
            .ok()
    })
}

/// The file with the input that breaks a rule.
pub(super) fn artifact(output: &str) -> Option<&str> {
    let (_, after) = output.split_once("Test unit written to ")?;
    after.lines().next()
}

/// Which rule was broken, in a line: what a panic said, or what libFuzzer says of a crash, of an input that does not
/// end, or of too much memory.
pub(super) fn what(output: &str) -> String {
    let mut lines = output.lines();
    let panic = lines
        .find(|line| line.contains("panicked at "))
        .map(|line| match lines.next() {
            Some(message) => format!("{line} {message}"),
            None => line.to_owned(),
        });
    let summary = || {
        let mut lines = output.lines().rev();
        lines.find_map(|line| Some(line.split_once("ERROR: ")?.1.to_owned()))
    };
    let last = || output.lines().last().map(str::to_owned);
    panic
        .or_else(summary)
        .or_else(last)
        .unwrap_or_else(|| "it ended without a word".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_the_lines_that_have_it() {
        let line = "#3270\tDONE   cov: 992 ft: 2543 corp: 132/448b lim: 4 exec/s: 155 rss: 30Mb";
        let pulse = Pulse {
            executions: 3270,
            coverage: 992,
            corpus: 132,
        };
        assert_eq!(Pulse::read(line), Some(pulse));
        assert_eq!(Pulse::read("#2\tINITED exec/s: 0 rss: 30Mb"), None);
        assert_eq!(Pulse::read("###### Recommended dictionary. ######"), None);
        assert_eq!(
            executions("x\nstat::number_of_executed_units: 77\n"),
            Some(77)
        );
    }

    #[test]
    fn a_panic_is_told_with_its_message_and_its_input() {
        let output = "INFO: Seed: 1\nthread '<unnamed>' (1) panicked at verification/fuzz/src/host.rs:9:5:\nleft behind\n\
                      ==7== ERROR: libFuzzer: deadly signal\nTest unit written to /t/host-crash-12\nBase64: AA==\n";
        assert!(what(output).contains("host.rs:9:5: left behind"));
        assert_eq!(artifact(output), Some("/t/host-crash-12"));
    }

    #[test]
    fn an_input_that_does_not_end_is_named_so() {
        let output = "ALARM: working on the last Unit for 60 seconds\n==7== ERROR: libFuzzer: timeout after 60 seconds\n";
        assert_eq!(what(output), "libFuzzer: timeout after 60 seconds");
        assert_eq!(artifact(output), None);
    }
}
