//! A hypervisor that went mad: what it says to the tool, in frames of any kind and order, damaged ones among them.

use realm_vmm::control::block::{Operation, Transfer};
use realm_vmm::control::frame::{self, MAX_PAYLOAD};
use realm_vmm::control::message::Event;
use realm_vmm::control::{Kind, VERSION};

use crate::Hand;
use crate::heard::{self, Heard, WAITING};

/// Texts that a terminal would obey, that JSON escapes, or that are long.
const TEXTS: [&str; 8] = [
    "x",
    "\x1b[2J",
    "\u{9b}31m\u{202e}",
    "\r\nerror: forged\n",
    "\x1b]52;c;ZWNobw==\x07",
    "\u{1F600}\u{2028}",
    "\"\\",
    "\0",
];

/// Says to the tool what these bytes make of it.
///
/// # Panics
///
/// If something is shown that a terminal obeys, or more is kept than may be.
pub fn run(data: &[u8]) {
    let mut hand = Hand::new(data);
    let pieces: Vec<_> = (0..1 + hand.below(3))
        .map(|_| hand.pick(&[1 << 16, 1, 11, 12, 4096]))
        .collect();
    let mut said = Vec::new();
    // Long streams are seldom worth their time.
    let most = if hand.seldom(16) { 4 << 20 } else { 64 << 10 };
    while !hand.is_empty() && said.len() < most {
        say(&mut hand, &mut said);
    }
    // Piece by piece, a byte each, is for short ones.
    let pieces = match said.len() {
        0..10_000 => &pieces[..],
        _ => &[1 << 16],
    };
    look(&heard::hear(&said, pieces).expect("a file, and a file descriptor"));
}

fn say(hand: &mut Hand<'_>, said: &mut Vec<u8>) {
    let from = said.len();
    let (realm, stream) = (
        hand.pick(&[1, 2, 0, 3, u32::MAX]),
        hand.pick(&[0, 1, 2, 255]),
    );
    let id = hand.below(*WAITING.end() as usize + 3);
    match hand.below(12) {
        0 | 1 => put(said, Kind::Reply, 0, 0, reply(hand, id).as_bytes()),
        2 => {
            let event = event(hand, realm);
            put(said, Kind::Event, 0, 0, event.as_bytes());
        }
        3 => {
            let bytes = text(hand).into_bytes();
            put(said, Kind::Console, realm, stream, &bytes);
        }
        4 => {
            let mut bytes: Vec<_> = (0..hand.below(40)).map(|_| hand.byte()).collect();
            bytes = bytes.repeat(1 << hand.below(12));
            put(said, Kind::Console, realm, stream, &bytes);
        }
        5 => {
            let transfer = Transfer {
                tag: hand.value(),
                operation: match hand.below(3) {
                    0 => Operation::Read(hand.pick(&[512, 0, 65536, 1 << 20, u32::MAX])),
                    1 => Operation::Write,
                    _ => Operation::Flush,
                },
                sector: hand.value(),
                data: vec![1; hand.pick(&[0, 512, 65536, 65537, 200_000])],
            };
            let (realm, stream) = match hand.seldom(4) {
                true => (realm, stream),
                false => (1, 0),
            };
            put(said, Kind::Block, realm, stream, &transfer.encode());
        }
        6 => {
            let frame = network_frame(hand);
            put(said, Kind::Network, realm, stream, &frame);
        }
        7 => {
            let number = hand.byte();
            if let Some(kind) = Kind::new(number) {
                let bytes: Vec<_> = (0..hand.below(64)).map(|_| hand.byte()).collect();
                put(said, kind, realm, stream, &bytes);
            } else if hand.seldom(4) {
                said.extend([0, 0, 0, 0, number, stream, 0, 0, 1, 0, 0, 0]);
            }
        }
        8 if hand.seldom(8) => said.extend((0..hand.below(30)).map(|_| hand.byte())),
        9 if hand.seldom(4) => {
            // A frame that is damaged.
            let bytes = reply(hand, id);
            put(said, Kind::Reply, 0, 0, bytes.as_bytes());
            let at = from + (hand.below(256) << 4 | hand.below(16)) % (said.len() - from);
            said[at] ^= 1 << hand.below(8);
        }
        _ => {
            // The same again, many times.
            let again = said[said.len().saturating_sub(3000)..].to_vec();
            let at = again.len() - again.len().min(hand.below(256) << 4);
            for _ in 0..1 << hand.below(9) {
                said.extend(&again[at..]);
            }
        }
    }
}

fn put(said: &mut Vec<u8>, kind: Kind, realm: u32, stream: u8, payload: &[u8]) {
    let length = payload.len().min(MAX_PAYLOAD);
    frame::write(kind, realm, stream, &payload[..length], said).expect("it fits");
}

fn text(hand: &mut Hand<'_>) -> String {
    (0..hand.below(4))
        .map(|_| {
            hand.pick(&TEXTS)
                .repeat(hand.pick(&[1, 2, 0, 3, 40, 1, 300, 30_000]))
        })
        .collect()
}

fn json(hand: &mut Hand<'_>) -> String {
    serde_json::to_string(&text(hand)).expect("a text")
}

fn number(hand: &mut Hand<'_>) -> String {
    match hand.below(8) {
        0 => "-1".to_owned(),
        1 => "1e400".to_owned(),
        2 => "18446744073709551616".to_owned(),
        _ => hand.value().to_string(),
    }
}

fn state(hand: &mut Hand<'_>) -> &'static str {
    hand.pick(&[
        "new", "active", "running", "starved", "paused", "stopped", "removing", "mad",
    ])
}

fn outcome(hand: &mut Hand<'_>) -> &'static str {
    hand.pick(&[
        "ok",
        "guest-failed",
        "timeout",
        "stopped",
        "error",
        "\\u001b",
    ])
}

fn counts(hand: &mut Hand<'_>) -> String {
    let entries: Vec<_> = (0..hand.below(4))
        .map(|_| format!("{}:{}", json(hand), hand.value()))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn list(hand: &mut Hand<'_>, one: impl Fn(&mut Hand<'_>) -> String) -> String {
    let many = hand.pick(&[0, 1, 2, 300]);
    let entries: Vec<_> = match many {
        300 => vec![one(hand); 300],
        few => (0..few).map(|_| one(hand)).collect(),
    };
    format!("[{}]", entries.join(","))
}

fn status(hand: &mut Hand<'_>) -> String {
    format!(
        r#"{{"realm":{},"name":{},"state":"{}","vcpus":{},"memory":{},"age_us":{},"run_us":{},"entries":{},"exits":{},"granules":{},"outcome":"{}","error":{}}}"#,
        hand.byte(),
        json(hand),
        state(hand),
        hand.byte(),
        number(hand),
        hand.value(),
        hand.value(),
        hand.value(),
        counts(hand),
        counts(hand),
        outcome(hand),
        json(hand),
    )
}

fn rec(hand: &mut Hand<'_>) -> String {
    format!(
        r#"{{"index":{},"mpidr":{},"state":{},"aux_granules":{},"entries":{},"exits":{}}}"#,
        hand.value(),
        hand.value(),
        json(hand),
        hand.value(),
        hand.value(),
        counts(hand),
    )
}

fn region(hand: &mut Hand<'_>) -> String {
    let (base, top, present) = (hand.value(), hand.value(), hand.value());
    format!(
        r#"{{"base":{base},"top":{top},"ripas":{},"present":{present}}}"#,
        json(hand)
    )
}

fn device(hand: &mut Hand<'_>) -> String {
    match hand.below(4) {
        0 => r#"{"device":"console"}"#.to_owned(),
        1 => format!(
            r#"{{"device":"disk","sectors":{},"read_only":true}}"#,
            hand.value()
        ),
        2 => r#"{"device":"network","mac":[1,2,3,4,5,6]}"#.to_owned(),
        _ => format!(r#"{{"device":{}}}"#, json(hand)),
    }
}

fn granules(hand: &mut Hand<'_>) -> String {
    format!(
        r#"{{"delegated":{},"returned":{},"quarantined":{}}}"#,
        hand.value(),
        hand.value(),
        hand.value(),
    )
}

fn token(hand: &mut Hand<'_>) -> String {
    match hand.below(4) {
        0 => json(hand),
        1 => format!("\"{}\"", crate::token::damaged_hex(hand)),
        _ => {
            let bytes: String = (0..hand.below(64))
                .map(|_| format!("{:02x}", hand.byte()))
                .collect();
            format!("\"{bytes}\"")
        }
    }
}

fn answer(hand: &mut Hand<'_>) -> String {
    match hand.below(8) {
        0 => r#"{"answer":"done"}"#.to_owned(),
        1 => format!(r#"{{"answer":"created","realm":{}}}"#, number(hand)),
        2 => format!(
            r#"{{"answer":"activated","rim":{},"aux_granules":1}}"#,
            json(hand)
        ),
        3 => format!(
            r#"{{"answer":"removed","report":{{"outcome":"{}","error":{},"rim":{},"token":{},"recs":{},"granules":{}}}}}"#,
            outcome(hand),
            json(hand),
            json(hand),
            token(hand),
            list(hand, rec),
            granules(hand),
        ),
        4 | 5 => format!(
            r#"{{"answer":"realms","realms":{},"granules":{},"pes":{},"free":{}}}"#,
            list(hand, status),
            granules(hand),
            hand.byte(),
            number(hand),
        ),
        _ => format!(
            r#"{{"answer":"realm","details":{{"status":{},"spec":{{"vcpus":1,"memory":{},"sve_bits":{},"entry":{},"arguments":[0,0,0,0,0,0,0,0],"devices":{}}},"rim":{},"recs":{},"map":{},"rest":{},"faults":[{{"device":{},"fault":{},"stopped":true}}],"token":{}}}}}"#,
            status(hand),
            hand.value(),
            hand.byte(),
            hand.value(),
            list(hand, device),
            json(hand),
            list(hand, rec),
            list(hand, region),
            hand.value(),
            hand.byte(),
            json(hand),
            token(hand),
        ),
    }
}

fn reply(hand: &mut Hand<'_>, id: usize) -> String {
    match hand.below(6) {
        0 => format!(r#"{{"id":{id},"error":{}}}"#, json(hand)),
        1 => "[".repeat(hand.pick(&[1, 127, 128, 100_000])),
        2 => format!(r#"{{"id":{},"ok":{}}}"#, number(hand), json(hand)),
        _ => format!(r#"{{"id":{id},"ok":{}}}"#, answer(hand)),
    }
}

fn event(hand: &mut Hand<'_>, realm: u32) -> String {
    match hand.below(6) {
        0 => serde_json::to_string(&Event::Hello {
            version: hand.pick(&[VERSION, 0]),
            pes: hand.byte().into(),
            free: hand.value(),
            rmi: text(hand),
        })
        .expect("an event"),
        1 if hand.seldom(4) => format!(r#"{{"event":"failed","error":{}}}"#, json(hand)),
        2 => format!(r#"{{"event":{}}}"#, json(hand)),
        _ => format!(
            r#"{{"event":"stopped","realm":{realm},"outcome":"{}","error":{}}}"#,
            outcome(hand),
            json(hand)
        ),
    }
}

/// A packet of the realm to the other station of its network, more or less.
fn network_frame(hand: &mut Hand<'_>) -> Vec<u8> {
    let mut frame = vec![
        2,
        0,
        10,
        0,
        2,
        2,
        2,
        0,
        10,
        0,
        2,
        15,
        8,
        hand.pick(&[0, 6, 0xdd]),
    ];
    let protocol = hand.pick(&[6, 17, 1, 50]);
    frame.extend([
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2,
    ]);
    let payload = hand.pick(&[20, 0, 8, 60, 1480, 3000, 200_000]);
    frame.extend((0..payload.min(40)).map(|_| hand.byte()));
    frame.resize(34 + payload, 0);
    let length = (20 + payload.min(1480)) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    if hand.seldom(4) {
        let at = 14 + hand.below(20);
        frame[at] = hand.byte();
    }
    let sum = frame[14..34].chunks(2).fold(0_u32, |sum, pair| {
        sum + u32::from(pair[0]) * 256 + u32::from(pair[1])
    });
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn look(heard: &Heard) {
    assert!(heard.kept <= heard::MOST, "{} bytes are kept", heard.kept);
    assert!(!heard.gone.is_empty());
    for text in &heard.shown {
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let is_end = c == '\r' && rest.peek() == Some(&'\n');
            assert!(
                matches!(c, '\n' | '\t') || is_end || !is_obeyed(c),
                "{c:?} is shown in {text:.200?}"
            );
        }
    }
    for text in &heard.json {
        assert!(!text.chars().any(is_obeyed), "{text:.200}");
        serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    }
    heard.consoles.iter().for_each(|text| only_the_screen(text));
}

fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// What reaches a terminal at which a person sits moves the cursor, clears and colours, and nothing else.
fn only_the_screen(text: &str) {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            let plain = matches!(c, '\n' | '\t' | '\r' | '\x08' | '\x07') || !is_obeyed(c);
            assert!(plain, "{c:?} reaches a terminal");
            continue;
        }
        match rest.next() {
            Some('[') => {
                let end = rest.find(|c| !(c.is_ascii_digit() || matches!(c, ';' | '?')));
                let fine = end.is_some_and(|end| "ABCDEFGHJKLMPSTX@dfmrhl".contains(end));
                assert!(fine, "a sequence that ends with {end:?}");
            }
            Some('(') => assert!(matches!(rest.next(), Some('B' | '0'))),
            other => assert!(
                matches!(other, Some('7' | '8' | 'M' | 'D' | 'E' | '=' | '>')),
                "{other:?}"
            ),
        }
    }
}
