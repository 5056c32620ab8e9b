//! Draws screens of a terminal as an animated SVG.
//!
//! Whatever is the same in several frames is drawn once, and shown while it is to be seen. What does not do animations
//! shows the last frame.

use std::collections::BTreeMap;
use std::fmt::Write;

use vt100::{Cell, Color, Screen};

use super::record::{Frame, Size};

/// Width and height of a character cell, and the room around all of them.
const CELL: (f32, f32) = (8.4, 18.0);
const MARGIN: f32 = 14.0;
/// The bar with the title.
const TITLE: f32 = 30.0;
/// The picture runs so many times as fast as the session did.
const SPEED: f32 = 3.0;
/// How long the last frame stands before all begins again, in seconds.
const REST: f32 = 4.0;

/// Colours of the terminal's own text and ground, and the sixteen that have a name.
const TEXT: &str = "#d6deeb";
const GROUND: &str = "#10151f";
const PALETTE: [&str; 16] = [
    "#10151f", "#ef6b73", "#7fd88f", "#e5c07b", "#61afef", "#c792ea", "#56c8d8", "#d6deeb",
    "#7f8c9f", "#ff8b92", "#a5e8b0", "#f3d99b", "#8ac6f7", "#dcb3f3", "#86dee9", "#ffffff",
];

/// Something that is drawn, as SVG, and the frames that have it.
type Drawn = BTreeMap<String, Vec<usize>>;

/// The frames, one after the other.
pub(super) fn draw(frames: &[Frame], size: Size) -> String {
    let mut drawn = Drawn::new();
    for (index, frame) in frames.iter().enumerate() {
        for element in elements(&frame.screen, size) {
            let seen = drawn.entry(element).or_default();
            if seen.last() != Some(&index) {
                seen.push(index);
            }
        }
    }
    // Elements that come and go together are one group.
    let mut groups: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for (element, seen) in drawn {
        groups.entry(seen).or_default().push(element);
    }

    let first = frames.first().map_or(0.0, |frame| frame.at.as_secs_f32());
    let starts: Vec<f32> = frames
        .iter()
        .map(|frame| (frame.at.as_secs_f32() - first) / SPEED)
        .collect();
    let all = starts.last().copied().unwrap_or(0.0) + REST;
    let (width, height) = (
        f32::from(size.columns) * CELL.0 + 2.0 * MARGIN,
        f32::from(size.lines) * CELL.1 + MARGIN + TITLE,
    );
    let mut style = format!(
        "text{{fill:{TEXT};white-space:pre}}.b{{font-weight:bold}}.d{{opacity:.6}}\
         path{{stroke:#52617a;fill:none}}g{{animation:{all}s step-end infinite}}"
    );
    for (index, colour) in PALETTE.iter().enumerate() {
        let _ = write!(style, ".c{index}{{fill:{colour}}}");
    }
    let mut body = String::new();
    for (index, (seen, elements)) in groups.iter().enumerate() {
        let content = elements.concat();
        if seen.len() == frames.len() {
            body += &content;
            continue;
        }
        let last = seen.last() == Some(&(frames.len() - 1));
        let hidden = if last { "" } else { " class=\"h\"" };
        let _ = writeln!(body, "<g id=\"g{index}\"{hidden}>{content}</g>");
        let _ = write!(
            style,
            "@keyframes k{index}{{{}}}#g{index}{{animation-name:k{index}}}",
            keyframes(seen, &starts, all)
        );
    }
    style +=
        ".h{visibility:hidden}@media(prefers-reduced-motion:reduce){g{animation:none!important}}";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-size=\"14\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace\">\n\
         <title>suzerain top</title>\n<style>{style}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"9\" fill=\"{GROUND}\"/>\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8.5\" fill=\"none\" stroke=\"#52617a\"/>\n",
        width - 1.0,
        height - 1.0,
    );
    for (index, colour) in [1, 3, 2].into_iter().enumerate() {
        let x = 20 + 18 * index;
        let _ = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"16\" r=\"5.5\" class=\"c{colour}\"/>"
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"21\" text-anchor=\"middle\" class=\"d\">suzerain top</text>\n{body}</svg>\n",
        width / 2.0
    );
    svg
}

/// When something is to be seen that is in these frames.
fn keyframes(seen: &[usize], starts: &[f32], all: f32) -> String {
    let mut rules = String::new();
    let mut was = None;
    for (index, start) in starts.iter().enumerate() {
        let is = seen.contains(&index);
        if was != Some(is) {
            let word = if is { "visible" } else { "hidden" };
            let _ = write!(rules, "{:.2}%{{visibility:{word}}}", start / all * 100.0);
            was = Some(is);
        }
    }
    rules
}

/// What is on a screen: backgrounds and bars first, then lines, then text.
fn elements(screen: &Screen, size: Size) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = String::new();
    for row in 0..size.lines {
        let cells: Vec<_> = (0..size.columns)
            .filter_map(|column| screen.cell(row, column))
            .collect();
        bars(&cells, row, &mut found);
        text(&cells, row, &mut found);
        for (column, cell) in cells.iter().enumerate() {
            rule(cell.contents(), column, row, &mut lines);
        }
    }
    if !lines.is_empty() {
        found.push(format!("<path d=\"{lines}\"/>"));
    }
    found
}

fn left(column: usize) -> f32 {
    MARGIN + column as f32 * CELL.0
}

fn top(row: u16) -> f32 {
    TITLE + f32::from(row) * CELL.1
}

/// Foreground and background, as they are shown.
fn colours(cell: &Cell) -> (Option<&'static str>, Option<String>) {
    let (mut front, mut back) = (class(cell.fgcolor()), class(cell.bgcolor()));
    if cell.inverse() {
        (front, back) = (back.or(Some(0)), front.or(Some(7)));
    }
    (
        front.map(|index| CLASSES[index]),
        back.map(|index| CLASSES[index].to_owned()),
    )
}

const CLASSES: [&str; 16] = [
    "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11", "c12", "c13", "c14",
    "c15",
];

/// The colour's number, unless it is the terminal's own. Programs of this project use no others.
fn class(colour: Color) -> Option<usize> {
    match colour {
        Color::Idx(index) => Some(usize::from(index) % PALETTE.len()),
        Color::Default | Color::Rgb(..) => None,
    }
}

/// How much of its cell a block character fills from the left, in eighths.
fn eighths(contents: &str) -> Option<u32> {
    let character = contents.chars().next()? as u32;
    // From U+2588, all of it, to U+258F, one eighth.
    (0x2588..=0x258F)
        .contains(&character)
        .then(|| 0x2590 - character)
}

/// Backgrounds, and bars of block characters, which a font would draw with gaps.
fn bars(cells: &[&Cell], row: u16, found: &mut Vec<String>) {
    let mut fill = |from: usize, columns: f32, class: &str| {
        if columns > 0.0 {
            found.push(format!(
                "<rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" class=\"{class}\"/>",
                left(from),
                top(row),
                columns * CELL.0,
                CELL.1,
            ));
        }
    };
    let ground = |cell: &Cell| match (colours(cell), eighths(cell.contents())) {
        ((front, _), Some(8)) => Some(front.unwrap_or("c7").to_owned()),
        ((_, back), _) => back,
    };
    let mut column = 0;
    while column < cells.len() {
        let class = ground(cells[column]);
        let same = cells[column..]
            .iter()
            .take_while(|cell| ground(cell) == class)
            .count();
        if let Some(class) = class {
            fill(column, same as f32, &class);
        }
        column += same;
    }
    for (column, cell) in cells.iter().enumerate() {
        if let Some(part @ 1..8) = eighths(cell.contents()) {
            fill(column, part as f32 / 8.0, colours(cell).0.unwrap_or("c7"));
        }
    }
}

/// Text: what looks alike and is not far apart is one element.
fn text(cells: &[&Cell], row: u16, found: &mut Vec<String>) {
    let look = |cell: &Cell| (colours(cell).0, cell.bold(), cell.dim());
    let is_text = |cell: &Cell| {
        let contents = cell.contents();
        !contents.trim().is_empty() && eighths(contents).is_none() && !is_rule(contents)
    };
    let mut column = 0;
    while column < cells.len() {
        if !is_text(cells[column]) {
            column += 1;
            continue;
        }
        let start = column;
        let (colour, bold, dim) = look(cells[start]);
        let mut end = start;
        let mut content = String::new();
        // A single space may be between two words.
        while let Some(cell) = cells
            .get(column)
            .filter(|cell| look(cell) == (colour, bold, dim))
        {
            if is_text(cell) {
                content += &" ".repeat(column - end);
                content += &escaped(cell.contents());
                end = column + 1;
            } else if column > end || is_rule(cell.contents()) || eighths(cell.contents()).is_some()
            {
                break;
            }
            column += 1;
        }
        column = end;
        let classes: Vec<_> = colour
            .into_iter()
            .chain(bold.then_some("b"))
            .chain(dim.then_some("d"))
            .collect();
        let class = match classes.is_empty() {
            true => String::new(),
            false => format!(" class=\"{}\"", classes.join(" ")),
        };
        found.push(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\"{class}>{content}</text>",
            left(start),
            top(row) + 13.5,
            (end - start) as f32 * CELL.0,
        ));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn is_rule(contents: &str) -> bool {
    matches!(contents, "─" | "│" | "┌" | "┐" | "└" | "┘")
}

/// The part of a frame around something, as a path.
fn rule(contents: &str, column: usize, row: u16, to: &mut String) {
    let (x, y) = (left(column), top(row));
    let (middle, right) = (x + CELL.0 / 2.0, x + CELL.0);
    let (centre, bottom) = (y + CELL.1 / 2.0, y + CELL.1);
    let _ = match contents {
        "─" => write!(to, "M{x:.1} {centre}H{right:.1}"),
        "│" => write!(to, "M{middle:.1} {y}V{bottom}"),
        "┌" => write!(to, "M{middle:.1} {bottom}V{centre}H{right:.1}"),
        "┐" => write!(to, "M{x:.1} {centre}H{middle:.1}V{bottom}"),
        "└" => write!(to, "M{middle:.1} {y}V{centre}H{right:.1}"),
        "┘" => write!(to, "M{x:.1} {centre}H{middle:.1}V{y}"),
        _ => Ok(()),
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SIZE: Size = Size {
        columns: 20,
        lines: 3,
    };

    fn frames(screens: &[&str]) -> Vec<Frame> {
        let frame = |(second, text): (usize, &&str)| {
            let mut parser = SIZE.terminal();
            parser.process(text.as_bytes());
            Frame {
                at: Duration::from_secs(second as u64),
                screen: parser.screen().clone(),
            }
        };
        screens.iter().enumerate().map(frame).collect()
    }

    #[test]
    fn what_stays_is_drawn_once_and_what_changes_is_shown_in_its_time() {
        let svg = draw(&frames(&["one\r\n a<b", "one\r\n two"]), SIZE);
        assert_eq!(svg.matches(">one<").count(), 1);
        assert!(svg.contains(">a&lt;b<") && svg.contains(">two<"), "{svg}");
        // A third of a second, and the rest of the last frame.
        assert!(
            svg.contains("0.00%{visibility:visible}7.69%{visibility:hidden}"),
            "{svg}"
        );
        assert!(
            svg.contains("0.00%{visibility:hidden}7.69%{visibility:visible}"),
            "{svg}"
        );
        // What shows no animations shows the last frame.
        let hidden = svg
            .lines()
            .find(|line| line.contains("class=\"h\""))
            .unwrap();
        assert!(
            hidden.contains("a&lt;b") && !hidden.contains("two"),
            "{svg}"
        );
    }

    #[test]
    fn bars_and_colours_are_those_of_the_terminal() {
        let svg = draw(
            &frames(&["\x1b[36m██▌\x1b[0m \x1b[7mX\x1b[0m \x1b[1;32mY"]),
            SIZE,
        );
        assert!(
            svg.contains("width=\"16.8\" height=\"18\" class=\"c6\""),
            "{svg}"
        );
        assert!(
            svg.contains("width=\"4.2\" height=\"18\" class=\"c6\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"c0\">X<") && svg.contains("class=\"c2 b\">Y<"),
            "{svg}"
        );
    }
}
