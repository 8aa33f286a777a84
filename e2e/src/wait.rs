//! Waiting for a condition with a time limit, for the node's components and for the tests on it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// The pause between two checks. Several tests wait at once, and most ask the API server.
const INTERVAL: Duration = Duration::from_millis(100);

/// Repeats a check until it succeeds, and returns its value.
///
/// # Errors
/// The check still fails after `limit`; the error is that of the last check.
pub fn eventually<T>(what: &str, limit: Duration, mut check: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match check() {
            Err(_) if begun.elapsed() < limit => thread::sleep(INTERVAL),
            result => return result.with_context(|| format!("{what}: not within {limit:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_timeout_reports_the_error_of_the_last_check() {
        let mut checks = 0;
        let error = eventually("the third check", Duration::ZERO, || -> anyhow::Result<()> {
            checks += 1;
            bail!("check {checks}")
        });
        assert_eq!(format!("{:#}", error.unwrap_err()), "the third check: not within 0ns: check 1");
    }

    #[test]
    fn a_check_is_repeated_until_it_succeeds() {
        let mut checks = 0;
        let result = eventually("the third check", Duration::from_secs(60), || {
            checks += 1;
            if checks == 3 { Ok(checks) } else { bail!("check {checks}") }
        });
        assert_eq!(result.unwrap(), 3);
    }
}
