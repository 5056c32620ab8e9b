//! What `SECURITY.md` promises: every test that it names is there.

use std::fs;

use toolbox::Error;
use toolbox::workspace::Workspace;

use crate::source;

const PAGE: &str = "SECURITY.md";

/// Tests that the page names and that are not there, a line each.
///
/// # Errors
///
/// When the page or a source cannot be read.
pub(crate) fn unkept(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let path = workspace.root().join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    let mut sources = String::new();
    for folder in source::FOLDERS {
        for (_, text) in source::texts(&workspace.root().join(folder))? {
            sources.push_str(&text);
        }
    }
    let missing = named(&page)
        .into_iter()
        .filter(|name| !is_there(name, &sources));
    Ok(missing
        .map(|name| format!("{PAGE} names the test {name}, which is not there"))
        .collect())
}

/// What stands in back quotes in the last column of the page's tables and is the name of a test or a scenario.
fn named(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let column = rows.filter_map(|row| row.trim_end_matches(['|', ' ']).rsplit_once('|'));
    let quoted = column.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2));
    let is_function = |text: &str| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.chars().all(word) && text.matches('_').count() > 1
    };
    let is_scenario = |text: &str| {
        let command = text.split([':', '/']).next().unwrap_or_default();
        let upper = |c: char| c.is_ascii_uppercase() || c == '_';
        text.contains(' ') && command.len() > 2 && command.chars().all(upper)
    };
    quoted
        .map(|text| text.rsplit("::").next().unwrap_or(text))
        .filter(|text| is_function(text) || is_scenario(text))
        .map(str::to_owned)
        .collect()
}

fn is_there(name: &str, sources: &str) -> bool {
    sources.contains(&format!("fn {name}(")) || sources.contains(&format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_scenarios_are_found_in_the_last_column() {
        let page = "`not_in_a_table` | promise | test |\n|---|---|\n\
                    | A `thing_of_the_promise` | `a::b_is_c`; scenario `RMI_X/what is; done` and `cargo xtask test` |\n";
        assert_eq!(named(page), ["b_is_c", "RMI_X/what is; done"]);
    }

    #[test]
    fn a_test_is_there_under_its_whole_name_only() {
        let sources = "fn b_is_c() {} story(\"RMI_X/what\", x)";
        assert!(is_there("b_is_c", sources) && is_there("RMI_X/what", sources));
        assert!(!is_there("b_is", sources) && !is_there("RMI_X/wha", sources));
    }
}
