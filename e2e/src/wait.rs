//! Waiting on a condition with a bound, for the node's parts and for the tests on it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until there is something to see.
///
/// # Errors
/// After `limit`, with what the last look said.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match look() {
            Err(_) if begun.elapsed() < limit => thread::sleep(INTERVAL),
            seen => return seen.with_context(|| format!("{what}: not within {limit:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn the_last_look_says_why_it_took_too_long() {
        let mut looks = 0;
        let error = eventually("the third look", Duration::ZERO, || -> anyhow::Result<()> {
            looks += 1;
            bail!("look {looks}")
        });
        assert_eq!(format!("{:#}", error.unwrap_err()), "the third look: not within 0ns: look 1");
    }

    #[test]
    fn it_looks_again_until_it_sees() {
        let mut looks = 0;
        let seen = eventually("the third look", Duration::from_secs(60), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { bail!("look {looks}") }
        });
        assert_eq!(seen.unwrap(), 3);
    }
}
