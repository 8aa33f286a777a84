//! What the driver of PostgreSQL must not be given of a URL, because it would log it.

use percent_encoding::percent_decode_str;

/// Parameters that the driver knows. It logs the names and the values of all others, which may be a misspelled password.
const KNOWN: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// A URL without the parameters that the driver does not know, and their number.
#[must_use]
pub fn with_known_parameters(url: &str) -> (String, usize) {
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), 0) };
    let (known, unknown): (Vec<_>, Vec<_>) = query.split('&').partition(|parameter| is_known(parameter));
    let kept = if known.is_empty() { address.to_owned() } else { format!("{address}?{}", known.join("&")) };
    (kept, unknown.len())
}

fn is_known(parameter: &str) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    let name = percent_decode_str(name).decode_utf8_lossy();
    KNOWN.contains(&&*name) || name == "options" || name.starts_with("options[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_the_driver_would_log_does_not_reach_it() {
        for (url, passed, unknown) in [
            ("postgres://h/d", "postgres://h/d", 0),
            ("postgres://h/d?sslmode=disable", "postgres://h/d?sslmode=disable", 0),
            ("postgres://h/d?pasword=secret&user=u", "postgres://h/d?user=u", 1),
            ("postgres://h/d?secret", "postgres://h/d", 1),
            ("postgres://h/d?options[search_path]=x&options=y", "postgres://h/d?options[search_path]=x&options=y", 0),
        ] {
            assert_eq!(with_known_parameters(url), (passed.to_owned(), unknown));
        }
    }
}
