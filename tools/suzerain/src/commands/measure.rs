//! `suzerain measure`.

use clap::Args;
use realm_vmm::Config;
use realm_vmm::measure::{self, Rim, Step};
use serde::Serialize;

use crate::failure::{self, Failure};
use crate::foreign::json_or_error;
use crate::options::Options;
use crate::prepare::{self, Wanted};
use crate::screen::Screen;
use crate::{hex, size, source};

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Measure {
    /// Shows every step with the measurement after it
    #[arg(long)]
    pub(crate) steps: bool,

    /// A measurement from elsewhere, such as from a token: fails if it is another one, and says what explains it
    #[arg(long, value_name = "HEX")]
    pub(crate) expect: Option<String>,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
struct Measured {
    rim: String,
    hash: &'static str,
    memory: u64,
    image: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Shown>>,
}

/// A step for scripts.
#[derive(Debug, Serialize)]
struct Shown {
    command: &'static str,
    what: String,
    rim: String,
}

/// Computes what a realm will measure, and returns the exit code.
pub(crate) fn run(arguments: Measure) -> u8 {
    let screen = Screen::new(arguments.options.json, arguments.options.verbose);
    let result = measure(arguments, &screen);
    screen.clear();
    let failure = match result {
        Ok(None) => return 0,
        Ok(Some(failure)) | Err(failure) => failure,
    };
    if let Some(details) = failure.details() {
        screen.err(details.trim_end());
    }
    screen.err(&format!("error: {failure}"));
    failure.code()
}

fn measure(arguments: Measure, screen: &Screen) -> Result<Option<Failure>, Failure> {
    let Measure {
        steps: show_steps,
        expect,
        options,
    } = arguments;
    options.check()?;
    let expected = expect
        .map(|text| hex::parse(&text))
        .transpose()
        .map_err(|why| Failure::input(format!("--expect is {why}")))?;
    let blueprint = match source::named(&options.realm, screen)? {
        Some(blueprint) => blueprint,
        None => {
            options.install.choose();
            // Only the realm's image is needed, no machine.
            let wanted = Wanted {
                demo: true,
                ..Wanted::default()
            };
            source::demo(&options.realm, prepare::prepare(wanted, screen)?.demo)?
        }
    };
    screen.clear();
    blueprint.with_config(|config| {
        of_config(
            config,
            expected.as_deref(),
            show_steps,
            options.json,
            screen,
        )
    })
}

fn of_config(
    config: &Config<'_>,
    expected: Option<&[u8]>,
    show_steps: bool,
    json: bool,
    screen: &Screen,
) -> Result<Option<Failure>, Failure> {
    let steps = measure::plan(config).map_err(Failure::input)?;
    let mut rim = None;
    let mut shown = Vec::with_capacity(steps.len());
    for step in &steps {
        rim = step.apply(rim);
        shown.push(Shown {
            command: step.command().name(),
            what: describe(step),
            rim: rim.map(|rim| rim.to_string()).unwrap_or_default(),
        });
    }
    let rim = rim.ok_or_else(|| Failure::input("there is nothing to measure"))?;
    let failure = expected
        .filter(|expected| *expected != rim.digest())
        .map(|expected| mismatch(config, &rim, expected));
    let contents = config.segments.iter().map(|segment| segment.bytes.len());
    let text = if json {
        let measured = Measured {
            rim: rim.to_string(),
            hash: if rim.digest().len() == 32 {
                "sha-256"
            } else {
                "sha-512"
            },
            memory: config.memory,
            image: contents.sum(),
            expected: expected.map(hex::show),
            explanation: failure.as_ref().map(ToString::to_string),
            steps: show_steps.then_some(shown),
        };
        json_or_error(&measured)
    } else {
        let mut text = String::new();
        if show_steps {
            for (index, step) in shown.iter().enumerate() {
                let Shown { command, what, rim } = step;
                text += &format!("{:>5}  {command:<19}  {what}\n       -> {rim}\n", index + 1);
            }
            text += "\n";
        }
        text + &format!("realm initial measurement {rim}")
    };
    screen.out(&text);
    Ok(failure)
}

fn mismatch(config: &Config<'_>, rim: &Rim, found: &[u8]) -> Failure {
    let why = measure::explain(config, found).unwrap_or_else(|| {
        "nothing usual explains the difference, so it is probably the image; compare each step (--steps) with those of the \
         realm's host"
            .to_owned()
    });
    Failure::refused(format!(
        "the realm will measure {rim}, not {}: {why}",
        hex::show(found)
    ))
}

fn describe(step: &Step<'_>) -> String {
    match step {
        Step::Create(realm) => format!(
            "realm: {} address bits, {} breakpoints, {} watchpoints, SVE {}, PMU {}, flags {:#x}, hash algorithm {}",
            realm.s2sz,
            u16::from(realm.num_bps) + 1,
            u16::from(realm.num_wps) + 1,
            realm.sve_vl,
            realm.pmu_num_ctrs,
            realm.flags,
            realm.hash as u8
        ),
        Step::Ram { base, top } => format!(
            "RAM {base:#x} to {top:#x}, an entry of {}",
            size::show(top - base)
        ),
        Step::Data {
            ipa,
            content: Some(content),
        } => format!("page {ipa:#x}, {} bytes of the image", content.len()),
        Step::Data { ipa, content: None } => format!("page {ipa:#x}, not measured"),
        Step::Rec(rec) => {
            let gprs: Vec<_> = rec.gprs.iter().map(|value| format!("{value:#x}")).collect();
            format!(
                "REC: pc {:#x}, X0 to X7 {}, flags {:#x}",
                rec.pc,
                gprs.join(" "),
                rec.flags
            )
        }
    }
}
