//! Follows a running machine by what it says.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use realm_vmm::report::{Event, Phase, Report};

use crate::failure::Failure;
use crate::foreign::printable;
use crate::records::Line;
use crate::screen::Screen;
use toolbox::Progress;

/// What a machine tells its watcher.
#[derive(Debug)]
pub(crate) enum Message {
    /// A line of the machine's UART, or an event of the in-process machine.
    Line(Line),
    /// A line that the emulator itself printed.
    Emulator(String),
    /// The machine has ended; nothing follows.
    Ended,
}

/// A machine that can be followed. Dropping it ends it.
pub(crate) trait Machine {
    /// What it says.
    fn messages(&self) -> &Receiver<Message>;
    /// When it was started.
    fn started(&self) -> Instant;
    /// How it ended, such as `exit status: 1`. Called after [`Message::Ended`].
    fn how_it_ended(&mut self) -> String;
}

/// What was seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// When each phase was reached, counted from the start of the machine.
    pub(crate) phases: Vec<(Phase, Duration)>,
    /// The report, if one came.
    pub(crate) report: Option<Report>,
    /// From the machine's start to its end.
    pub(crate) duration: Duration,
    last_text: Option<String>,
    last_emulator: Option<String>,
}

impl Observed {
    /// A run that was observed by other means.
    pub(crate) fn new(
        phases: Vec<(Phase, Duration)>,
        report: Option<Report>,
        duration: Duration,
    ) -> Self {
        Self {
            phases,
            report,
            duration,
            ..Self::default()
        }
    }

    fn reached(&self) -> Option<Phase> {
        self.phases.last().map(|(phase, _)| *phase)
    }

    /// Where the machine was when it was last heard of.
    fn whereabouts(&self) -> String {
        let last = |text: &Option<String>| {
            text.as_ref()
                .map(|text| format!("; its last line was `{}`", printable(text)))
        };
        match self.reached() {
            None if self.last_text.is_none() => "before the firmware said anything".to_owned(),
            None => format!(
                "before the hypervisor was up{}",
                last(&self.last_text).unwrap_or_default()
            ),
            Some(Phase::Booted) => "while the realm was built".to_owned(),
            Some(Phase::Created) => "before the realm was first entered".to_owned(),
            Some(Phase::Running) => "while the realm ran".to_owned(),
            Some(Phase::Destroyed) => "after the realm, before its report".to_owned(),
        }
    }

    fn take(&mut self, line: Line, started: Instant, screen: &Screen) {
        match line {
            Line::Record(Event::Phase { name, .. }) => {
                // A phase is reached once, whatever the host says.
                if self.phases.iter().all(|(reached, _)| *reached != name) {
                    self.phases.push((name, started.elapsed()));
                }
                screen.step(match name {
                    Phase::Booted => "building the realm",
                    Phase::Created => "entering the realm",
                    Phase::Running => "running the realm",
                    Phase::Destroyed => "powering off",
                });
            }
            Line::Record(Event::Console { vcpu, text }) => screen.console(vcpu, &text),
            Line::Record(Event::Report(report)) => self.report = Some(report),
            Line::Text(text) => {
                screen.text(&text);
                self.last_text = Some(text);
            }
            Line::Damaged(text) => screen.text(&format!("damaged record: {text}")),
        }
    }
}

/// After its report, a machine has this long to power off.
const POWER_OFF: Duration = Duration::from_secs(5);

/// Follows the machine until it has reported and ended, ends without a report, or until `limit` has passed since it
/// was started. The caller drops the machine afterwards, whatever this returns.
pub(crate) fn watch(
    machine: &mut dyn Machine,
    limit: Duration,
    screen: &Screen,
) -> (Observed, Result<(), Failure>) {
    let mut observed = Observed::default();
    let started = machine.started();
    let mut deadline = started + limit;
    let result = loop {
        if toolbox::child::interrupted() {
            break Err(Failure::interrupted());
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            if observed.report.is_some() {
                screen.text("the machine does not power off and is ended");
                break Ok(());
            }
            let message = format!(
                "nothing came of it within {} s: time was up {}",
                limit.as_secs(),
                observed.whereabouts()
            );
            break Err(Failure::timeout(message));
        }
        match machine
            .messages()
            .recv_timeout(wait.min(Duration::from_millis(50)))
        {
            Ok(Message::Line(line)) => {
                observed.take(line, started, screen);
                if observed.report.is_some() {
                    deadline = deadline.min(Instant::now() + POWER_OFF);
                }
            }
            Ok(Message::Emulator(text)) => {
                screen.text(&text);
                observed.last_emulator = Some(text);
            }
            Ok(Message::Ended) if observed.report.is_some() => break Ok(()),
            Ok(Message::Ended) => {
                let how = machine.how_it_ended();
                let why = observed
                    .last_emulator
                    .as_ref()
                    .map(|text| format!(": {}", printable(text)));
                let why = why.unwrap_or_default();
                let message = format!("the machine ended ({how}) {}{why}", observed.whereabouts());
                break Err(Failure::machine(format!(
                    "{message}; try again with --verbose"
                )));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                break Err(Failure::machine(format!(
                    "lost the machine {}",
                    observed.whereabouts()
                )));
            }
        }
    };
    observed.duration = started.elapsed();
    (observed, result)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Script {
        messages: Receiver<Message>,
        // Held so that the machine does not look lost.
        _sender: mpsc::Sender<Message>,
        started: Instant,
    }

    impl Machine for Script {
        fn messages(&self) -> &Receiver<Message> {
            &self.messages
        }

        fn started(&self) -> Instant {
            self.started
        }

        fn how_it_ended(&mut self) -> String {
            "exit status: 1".to_owned()
        }
    }

    fn watched(script: Vec<Message>, limit: Duration) -> (Observed, Result<(), Failure>) {
        let (sender, messages) = mpsc::channel();
        for message in script {
            sender.send(message).unwrap();
        }
        let mut machine = Script {
            messages,
            _sender: sender,
            started: Instant::now(),
        };
        watch(&mut machine, limit, &Screen::new(true, false))
    }

    fn phase(name: Phase) -> Message {
        Message::Line(Line::Record(Event::Phase {
            name,
            ticks: 0,
            frequency: 1,
        }))
    }

    #[test]
    fn an_early_end_is_explained() {
        let messages = vec![
            Message::Emulator("qemu: no such machine".into()),
            Message::Ended,
        ];
        let (_, result) = watched(messages, Duration::from_secs(60));
        let failure = result.unwrap_err();
        assert_eq!(failure.outcome(), "error");
        for part in [
            "exit status: 1",
            "before the firmware said anything",
            "no such machine",
        ] {
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }

    #[test]
    fn silence_ends_with_a_timeout_that_says_where() {
        let text = Message::Line(Line::Text("root-monitor: 4 CPUs".into()));
        for (messages, whereabouts) in [
            (vec![], "before the firmware"),
            (vec![text], "root-monitor: 4 CPUs"),
            (
                vec![phase(Phase::Booted), phase(Phase::Running)],
                "while the realm ran",
            ),
        ] {
            let (_, result) = watched(messages, Duration::from_millis(80));
            let failure = result.unwrap_err();
            assert_eq!(failure.outcome(), "timeout");
            assert!(failure.to_string().contains(whereabouts), "{failure}");
        }
    }
}
