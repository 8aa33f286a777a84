//! Who may ask. A page of somebody else's, opened in the same browser, must neither drive the lesson nor read it:
//!
//! - A name that somebody else's name server answers for could lead here (DNS rebinding), so the `Host` must be `localhost` or an address.
//! - A form or a script of another origin could send here, so whatever changes something must come with the `Origin` of the page itself.
//!
//! Who uses no browser has the ports of the parts, and needs none of this.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use paylab_part::refusal::Refusal;

/// What a browser says about where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Paths below this are for the page's own script.
const API: &str = "/api/";

/// Lets a request pass, or refuses it with a sentence.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(detail) => Refusal::new(StatusCode::FORBIDDEN, detail).into_response(),
    }
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
    let host = only(headers, &header::HOST).ok_or("the request needs exactly one Host")?;
    if uri.authority().is_some_and(|authority| authority.as_str() != host) {
        return Err("the request line and the Host name different hosts".to_owned());
    }
    if !is_local(host) {
        return Err(format!("the page is not {host}; open it as localhost, or by its address"));
    }
    let from_elsewhere = "another page may not use this one";
    let site = headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes());
    let is_ours = site.is_none_or(|site| site == b"same-origin" || site == b"none");
    if uri.path().starts_with(API) && !is_ours {
        return Err(from_elsewhere.to_owned());
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let origin = only(headers, &header::ORIGIN).ok_or("the request needs the Origin of the page")?;
    if origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
        Ok(())
    } else {
        Err(from_elsewhere.to_owned())
    }
}

/// A header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(only)
}

/// Whether no name server was asked for this host, or only the one of this machine.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        check(&method.parse().unwrap(), &uri.parse().unwrap(), &map).is_ok()
    }

    #[test]
    fn a_host_is_this_machine_or_an_address_and_never_a_name_of_somebody_elses() {
        for host in ["localhost", "LOCALHOST:8088", "127.0.0.1:8088", "[::1]:8088", "192.168.1.5:9000"] {
            assert!(checked("GET", "/", &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8088",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "",
            "::1",
        ] {
            assert!(!checked("GET", "/", &[("host", host)]), "{host}");
        }
        assert!(!checked("GET", "/", &[]), "no host");
        assert!(!checked("GET", "/", &[("host", "localhost"), ("host", "evil.example")]), "two hosts");
        assert!(!checked("GET", "http://evil.example/", &[("host", "localhost")]), "another host in the request line");
    }

    #[test]
    fn what_changes_something_comes_from_the_page_itself() {
        let host = ("host", "localhost:8088");
        assert!(checked("POST", "/api/pay", &[host, ("origin", "http://localhost:8088")]));
        assert!(checked(
            "POST",
            "/api/pay",
            &[host, ("origin", "http://localhost:8088"), ("sec-fetch-site", "same-origin")]
        ));
        for origin in [
            "http://evil.example",
            "http://localhost",
            "http://localhost:9000",
            "https://localhost:8088",
            "http://127.0.0.1:8088",
            "http://localhost:80880",
            "null",
            "",
        ] {
            assert!(!checked("POST", "/api/pay", &[host, ("origin", origin)]), "{origin}");
        }
        assert!(!checked("POST", "/api/pay", &[host]), "no origin");
        assert!(!checked("DELETE", "/", &[host]), "no origin");
        let both = [host, ("origin", "http://localhost:8088"), ("origin", "http://evil.example")];
        assert!(!checked("POST", "/api/pay", &both), "two origins");
    }

    #[test]
    fn another_page_cannot_hold_the_events_open() {
        let host = ("host", "localhost:8088");
        for (site, is_allowed) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            assert_eq!(checked("GET", "/api/events", &[host, ("sec-fetch-site", site)]), is_allowed, "{site}");
        }
        assert!(checked("GET", "/", &[host, ("sec-fetch-site", "cross-site")]), "a link to the page");
    }
}
