//! The files of the page. They load nothing from elsewhere, and a policy forbids that they ever do: no script but the page's own file, none
//! within its text, and no frame around it.

use axum::{
    http::header::{self, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use paylab_present::html::STYLE;

const PAGE: &str = include_str!("assets/page.html");
const SCRIPT: &str = include_str!("assets/page.js");
const MOTION: &str = include_str!("assets/motion.js");
const ICON: &str = include_str!("assets/icon.svg");
/// What only the page has; everything else is the report's.
const OWN_STYLE: &str = include_str!("assets/page.css");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The report has its style within, and no script.
const POLICY_OF_REPORT: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every response has.
const SAFETY: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

pub(super) async fn page() -> Response {
    file("text/html; charset=utf-8", PAGE)
}

pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

pub(super) async fn motion() -> Response {
    file("text/javascript; charset=utf-8", MOTION)
}

pub(super) async fn icon() -> Response {
    file("image/svg+xml", ICON)
}

/// The report's style sheet, and after it what only the page has.
pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", [STYLE, OWN_STYLE].concat())
}

/// The report of a run, as `--report` writes it.
pub(super) fn report(html: String) -> Response {
    let mut response = file("text/html; charset=utf-8", html);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY_OF_REPORT));
    response
}

/// Gives every response what protects it.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SAFETY {
        headers.insert(name, value);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    response
}

fn file(media_type: &'static str, content: impl IntoResponse) -> Response {
    let mut response = content.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
