//! What `suzerain top` shows: realms, vCPUs, exits and granules.

use std::collections::BTreeMap;
use std::time::Instant;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Bar, BarChart, BarGroup, Block, Cell, Gauge, Paragraph, Row, Table};
use realm_vmm::control::message::{Details, State, Status};

use crate::commands::{heap, state};
use crate::foreign::printable;
use crate::session::Listing;
use crate::size;
use crate::table::{age, total};

/// What is on the screen.
#[derive(Default)]
pub(crate) struct View {
    now: Option<Look>,
    before: Option<Look>,
    index: usize,
}

/// What the host said at a moment.
struct Look {
    at: Instant,
    listing: Listing,
    details: Option<Details>,
}

impl View {
    /// Takes what the host says now.
    pub(crate) fn take(&mut self, listing: Listing, details: Option<Details>, at: Instant) {
        self.index = self.index.min(listing.realms.len().saturating_sub(1));
        let now = Look {
            at,
            listing,
            details,
        };
        self.before = self.now.replace(now);
    }

    /// The realm that is selected, of those.
    pub(crate) fn selected<'a>(&self, listing: &'a Listing) -> Option<&'a Status> {
        let last = listing.realms.len().checked_sub(1)?;
        listing.realms.get(self.index.min(last))
    }

    /// Selects the realm above.
    pub(crate) fn up(&mut self) {
        self.index = self.index.saturating_sub(1);
    }

    /// Selects the realm below.
    pub(crate) fn down(&mut self) {
        self.index += 1;
    }

    /// What a realm did in a second, by what `count` counts; `None` at first.
    fn rate(&self, realm: u32, count: impl Fn(&Status) -> u64) -> Option<f64> {
        let (now, before) = (self.now.as_ref()?, self.before.as_ref()?);
        let of = |look: &Look| {
            let realms = &look.listing.realms;
            realms
                .iter()
                .find(|status| status.realm == realm)
                .map(&count)
        };
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let done = of(now)?.saturating_sub(of(before)?);
        (seconds > 0.0).then(|| done as f64 / seconds)
    }
}

/// Draws the view on a frame.
pub(crate) fn draw(view: &View, frame: &mut Frame<'_>) {
    let Some(now) = &view.now else {
        return;
    };
    let realms = now.listing.realms.len() as u16;
    let [head, memory, list, below, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length((realms + 3).clamp(5, 14)),
        Constraint::Min(8),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(&now.listing), head);
    frame.render_widget(memory_gauge(&now.listing), memory);
    frame.render_widget(realm_table(view, &now.listing), list);
    if let Some(details) = &now.details {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)])
                .areas(below);
        let [exits, granules] =
            Layout::vertical([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(right);
        frame.render_widget(vcpu_table(view, details), left);
        counts(frame, exits, " exits by reason ", &details.status.exits);
        counts(frame, granules, " granules ", &details.status.granules);
    }
    let help = " q quit   ↑ ↓ select a realm";
    frame.render_widget(
        Paragraph::new(help).style(Style::new().add_modifier(Modifier::DIM)),
        keys,
    );
}

fn header(listing: &Listing) -> Paragraph<'static> {
    let running = listing
        .realms
        .iter()
        .filter(|realm| realm.state == State::Running)
        .count();
    let text = format!(
        " suzerain   {} realms, {running} running   {} processors{}",
        listing.realms.len(),
        listing.pes,
        heap(listing)
    );
    Paragraph::new(Line::styled(
        text,
        Style::new().add_modifier(Modifier::BOLD),
    ))
}

/// How many granules the Realm world has, of all that realms could have.
fn memory_gauge(listing: &Listing) -> Gauge<'static> {
    let granules = &listing.granules;
    let held = granules.delegated.saturating_sub(granules.returned);
    let bytes = held.saturating_mul(cca_abi::GRANULE_SIZE);
    let all = bytes.saturating_add(listing.free).max(1);
    let quarantined = match granules.quarantined {
        0 => String::new(),
        count => format!(", {count} in quarantine"),
    };
    let label = format!(
        "{held} granules ({}) with the Realm world, {} free{quarantined}",
        size::about(bytes),
        size::about(listing.free)
    );
    Gauge::default()
        .block(Block::bordered().title(" memory "))
        .gauge_style(Style::new().fg(Color::Cyan))
        .ratio((bytes as f64 / all as f64).clamp(0.0, 1.0))
        .label(label)
}

fn realm_table<'a>(view: &View, listing: &'a Listing) -> Table<'a> {
    let selected = view.selected(listing).map(|realm| realm.realm);
    let rows = listing.realms.iter().map(|realm| {
        let per_second =
            |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let busy = view.rate(realm.realm, |realm| realm.run_us);
        let cells = [
            realm.realm.to_string(),
            printable(&realm.name),
            state(realm),
            realm.vcpus.to_string(),
            size::show(realm.memory),
            total(&realm.granules).to_string(),
            busy.map_or("-".to_owned(), |busy| format!("{:.0}", busy / 10_000.0)),
            per_second(view.rate(realm.realm, |realm| total(&realm.exits))),
            age(realm.age_us),
        ];
        let style = if Some(realm.realm) == selected {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new().fg(colour(realm.state))
        };
        Row::new(cells.map(Cell::from)).style(style)
    });
    let widths = [4, 16, 18, 6, 8, 9, 6, 9, 9].map(Constraint::Length);
    Table::new(rows, widths)
        .header(heads([
            "ID", "NAME", "STATE", "VCPUS", "MEMORY", "GRANULES", "CPU %", "EXITS/S", "AGE",
        ]))
        .block(Block::bordered().title(" realms "))
}

fn colour(state: State) -> Color {
    match state {
        State::Running => Color::Green,
        State::Paused | State::Starved => Color::Yellow,
        State::New | State::Active => Color::Reset,
        State::Stopped | State::Removing => Color::DarkGray,
    }
}

fn heads<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names.map(Cell::from)).style(Style::new().add_modifier(Modifier::BOLD))
}

/// The RECs of the selected realm.
fn vcpu_table<'a>(view: &View, details: &'a Details) -> Table<'a> {
    let before = view.before.as_ref().and_then(|look| {
        let details_before = look.details.as_ref()?;
        (details_before.status.realm == details.status.realm).then_some(details_before)
    });
    let rows = details.recs.iter().map(|rec| {
        let earlier = before.and_then(|before| before.recs.iter().find(|r| r.index == rec.index));
        let fresh = earlier.map(|earlier| rec.entries.saturating_sub(earlier.entries));
        let most = rec.exits.iter().max_by_key(|(_, count)| **count);
        let cells = [
            rec.index.to_string(),
            format!("{:#x}", rec.mpidr),
            printable(&rec.state),
            rec.entries.to_string(),
            fresh.map_or("-".to_owned(), |fresh| fresh.to_string()),
            most.map_or(String::new(), |(name, count)| {
                format!("{} {count}", printable(name))
            }),
        ];
        Row::new(cells.map(Cell::from))
    });
    let widths = [4, 7, 8, 10, 7, 20].map(Constraint::Length);
    let name = printable(&details.status.name);
    Table::new(rows, widths)
        .header(heads([
            "REC",
            "MPIDR",
            "STATE",
            "ENTRIES",
            "NEW",
            "MOST EXITS",
        ]))
        .block(Block::bordered().title(format!(" vCPUs of {name} ")))
}

/// Counts as bars, the largest first, as many as there is room for.
fn counts(frame: &mut Frame<'_>, area: Rect, title: &str, counts: &BTreeMap<String, u64>) {
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let room = usize::from(area.height.saturating_sub(2));
    let bars: Vec<_> = counts
        .into_iter()
        .take(room)
        .map(|(name, count)| {
            Bar::default()
                .label(Line::from(printable(name)))
                .value(*count)
        })
        .collect();
    let chart = BarChart::default()
        .block(Block::bordered().title(title.to_owned()))
        .direction(ratatui::layout::Direction::Horizontal)
        .bar_width(1)
        .bar_gap(0)
        .bar_style(Style::new().fg(Color::Cyan))
        .value_style(
            Style::new()
                .add_modifier(Modifier::REVERSED)
                .fg(Color::Cyan),
        )
        .data(BarGroup::default().bars(&bars));
    frame.render_widget(chart, area);
}

/// A frame as text, without colours.
pub(crate) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use realm_vmm::control::message::{HeapUse, Spec};
    use realm_vmm::report::{GranuleReport, RecReport};

    use super::*;

    fn status(realm: u32, name: &str, exits: u64) -> Status {
        Status {
            realm,
            name: name.to_owned(),
            state: State::Running,
            vcpus: 2,
            memory: 64 << 20,
            age_us: 5_000_000,
            run_us: exits * 10_000,
            entries: exits,
            exits: BTreeMap::from([("mmio".to_owned(), exits), ("irq".to_owned(), 3)]),
            granules: BTreeMap::from([("data".to_owned(), 40)]),
            outcome: None,
            error: None,
        }
    }

    fn look(exits: u64) -> (Listing, Details) {
        let listing = Listing {
            realms: vec![status(1, "web", exits), status(2, "evil\x1b[2J", 1)],
            granules: GranuleReport {
                delegated: 100,
                returned: 20,
                quarantined: 0,
            },
            pes: 2,
            free: 1 << 30,
            heap: Some(HeapUse {
                size: 1 << 28,
                used: 5 << 20,
                peak: 7 << 20,
            }),
        };
        let spec: Spec = serde_json::from_str(
            r#"{"vcpus":2,"memory":4096,"entry":0,"arguments":[0,0,0,0,0,0,0,0]}"#,
        )
        .unwrap();
        let details = Details {
            status: listing.realms[0].clone(),
            spec,
            rim: String::new(),
            recs: vec![RecReport {
                index: 0,
                mpidr: 0x100,
                state: "waiting".to_owned(),
                aux_granules: 0,
                entries: exits,
                exits: BTreeMap::from([("mmio".to_owned(), exits)]),
            }],
            map: Vec::new(),
            rest: None,
            faults: Vec::new(),
            token: None,
        };
        (listing, details)
    }

    fn drawn(view: &View, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        terminal.draw(|frame| draw(view, frame)).unwrap();
        text(terminal.backend().buffer())
    }

    #[test]
    fn a_frame_shows_realms_their_rates_and_the_selected_one() {
        let mut view = View::default();
        let start = Instant::now();
        let (listing, details) = look(500);
        view.take(listing, Some(details), start);
        assert!(drawn(&view, 110, 36).contains("web"));
        let (listing, details) = look(700);
        view.take(listing, Some(details), start + Duration::from_secs(2));
        let frame = drawn(&view, 110, 36);
        for part in [
            "2 realms, 2 running",
            "hypervisor uses 5.0M of its 256.0M (at most 7.0M)",
            "80 granules",
            "vCPUs of web",
            "0x100",
            "waiting",
        ] {
            assert!(frame.contains(part), "{part} is not in:\n{frame}");
        }
        let web = frame.lines().find(|line| line.contains(" web ")).unwrap();
        // 200 exits and two seconds of vCPU time in two seconds.
        assert!(web.contains(" 100 ") && web.contains("64M"), "{web}");
        assert!(!frame.contains('\x1b'), "{frame}");
    }

    #[test]
    fn the_selection_stays_within_the_list_and_any_size_will_do() {
        let mut view = View::default();
        for _ in 0..5 {
            view.down();
        }
        let (listing, details) = look(1);
        assert_eq!(view.selected(&listing).unwrap().realm, 2);
        view.take(listing.clone(), Some(details), Instant::now());
        view.up();
        assert_eq!(view.selected(&listing).unwrap().realm, 1);
        for (columns, lines) in [(1, 1), (20, 5), (300, 100)] {
            drawn(&view, columns, lines);
        }
    }
}
