//! `suzerain top`: a live view of the machine that is up.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use realm_vmm::control::message::Details;

use super::{Which, conclude};
use crate::failure::Failure;
use crate::foreign;
use crate::keeper::Client;
use crate::screen::Screen;
use crate::session::Listing;
use crate::view::{self, View};

/// How often the view is made anew.
const PERIOD: Duration = Duration::from_secs(1);
/// Columns and lines of a frame that is printed as text.
const FRAME: (u16, u16) = (110, 36);

#[derive(Args, Debug)]
pub(crate) struct Top {
    /// Prints one frame as text and ends
    #[arg(long)]
    pub(crate) once: bool,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// Shows the machine until somebody leaves, and returns the exit code.
pub(crate) fn run(options: &Top) -> u8 {
    let screen = Screen::new(false, false);
    let result = options.which.connect().and_then(|mut client| {
        if options.once {
            screen.out(once(&mut client)?.trim_end());
            return Ok(());
        }
        if !foreign::stdout().is_terminal() {
            return Err(Failure::input(
                "`top` needs a terminal; `top --once` prints a frame",
            ));
        }
        watch(&mut client)
    });
    conclude(result, &screen)
}

/// What the host says now.
fn look(client: &mut Client, view: &View) -> Result<(Listing, Option<Details>), Failure> {
    let listing = client.list()?;
    let selected = view.selected(&listing).map(|realm| realm.realm);
    let details = match selected.map(|realm| client.inspect(realm, 0)) {
        Some(Err(failure)) if toolbox::child::interrupted() => return Err(failure),
        // A realm may be removed between the two.
        details => details.and_then(Result::ok),
    };
    Ok((listing, details))
}

fn once(client: &mut Client) -> Result<String, Failure> {
    let (listing, details) = look(client, &View::default())?;
    frame(listing, details)
}

/// A frame of that, as text.
pub fn frame(listing: Listing, details: Option<Details>) -> Result<String, Failure> {
    let mut view = View::default();
    view.take(listing, details, Instant::now());
    let (columns, lines) = FRAME;
    let mut terminal = Terminal::new(TestBackend::new(columns, lines))
        .map_err(|error| Failure::machine(format!("cannot draw: {error}")))?;
    let drawn = terminal.draw(|frame| view::draw(&view, frame));
    drawn.map_err(|error| Failure::machine(format!("cannot draw: {error}")))?;
    Ok(view::text(terminal.backend().buffer()))
}

fn watch(client: &mut Client) -> Result<(), Failure> {
    // Whatever happens, also a panic, gives the terminal back as it was.
    foreign::set_changed(true);
    let mut terminal = ratatui::init();
    let result = keep_watching(client, &mut terminal);
    ratatui::restore();
    foreign::set_changed(false);
    result
}

fn keep_watching(
    client: &mut Client,
    terminal: &mut ratatui::DefaultTerminal,
) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::machine(format!("lost the terminal: {error}"));
    let mut view = View::default();
    loop {
        let (listing, details) = look(client, &view)?;
        view.take(listing, details, Instant::now());
        let end = Instant::now() + PERIOD;
        loop {
            terminal
                .draw(|frame| view::draw(&view, frame))
                .map_err(broken)?;
            let wait = end.saturating_duration_since(Instant::now());
            if wait.is_zero() || !event::poll(wait).map_err(broken)? {
                break;
            }
            let Event::Key(key) = event::read().map_err(broken)? else {
                continue;
            };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(());
                }
                KeyCode::Up | KeyCode::Char('k') => view.up(),
                KeyCode::Down | KeyCode::Char('j') => view.down(),
                _ => continue,
            }
            // What is selected now is shown at once.
            break;
        }
        if toolbox::child::interrupted() {
            return Err(Failure::interrupted());
        }
    }
}
