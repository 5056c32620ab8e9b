//! Names of realms.

use crate::failure::Failure;
use crate::{hex, random};

/// That of a realm on a machine of its own, where no other realm can have it.
pub(crate) const USUAL: &str = "realm";

/// Refuses a name that could be taken for a number or an option.
///
/// # Errors
///
/// One line that says what a name is.
pub(crate) fn check(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if number || name.len() > 64 || name.starts_with('-') || !name.chars().all(fits) {
        return Err(Failure::input(format!(
            "`{name}` is no name of a realm; use up to 64 letters, digits and -_. and not digits alone"
        )));
    }
    Ok(())
}

/// A name for a realm whose user gives it none. Should it be in use after all, the machine refuses it.
///
/// # Errors
///
/// When the system gives no random numbers.
pub(crate) fn made_up() -> Result<String, Failure> {
    Ok(format!("realm-{}", hex::show(&random::bytes::<4>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_number_and_no_option() {
        for good in ["a", "web-1", "1a", "A.b_c", USUAL, &made_up().unwrap()] {
            check(good).unwrap();
        }
        for bad in ["", "12", "-x", "a b", "a\u{1b}", &"x".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
