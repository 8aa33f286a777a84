//! Toxiproxy's routes. The name of a proxy is everything between the fixed parts of a path, and may hold slashes.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::timeout;
use tracing::debug;
use uuid::Uuid;

use crate::toxic::{
    collection::{ApiError, Collection, Proxies, known, update},
    definition::Toxic,
    fields::{BodyError, object},
};

/// The longest body in bytes.
const BODY_LEN_MAX: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(25);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-toxiproxy-request-id");
/// The version of Toxiproxy whose API this is. It is nothing but numbers, because some clients read it as such: .NET's `Version` takes no
/// other text.
const VERSION: &str = "2.5.0";
/// What really responds.
const SERVER: &str = concat!("paylab/", env!("CARGO_PKG_VERSION"));

/// The version, to the byte as Toxiproxy writes it.
fn version() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json;charset=utf-8"), (header::SERVER, SERVER)];
    (headers, format!("{{\"version\": \"{VERSION}\"}}\n")).into_response()
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Proxies,
    Populate,
    Reset,
    Version,
    Proxy(String),
    Toxics(String),
    Toxic(String, String),
}

/// The routes of Toxiproxy, as one fallback.
pub(crate) fn router(collection: Arc<Collection>) -> Router {
    Router::new().fallback(answer).with_state(collection)
}

/// Refuses browsers, which a foreign page might have made send the request, and gives each response an id.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes);
    let mut response = if agent.is_some_and(|agent| agent.starts_with(b"Mozilla/")) {
        (StatusCode::FORBIDDEN, "User agent not allowed\n").into_response()
    } else {
        next.run(request).await
    };
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().simple().to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn answer(State(collection): State<Arc<Collection>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(target) = target(parts.uri.path()) else {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    };
    let body = match read(body).await {
        Ok(body) => body,
        Err((status, text)) => return problem(status, text),
    };
    debug!(method = %parts.method, ?target, "request");
    let proxies = &mut *collection.proxies.lock().await;
    let result = match (parts.method.as_str(), target) {
        ("GET", Target::Version) => Ok(version()),
        ("POST", Target::Reset) => collection.reset(proxies).await.map(|()| StatusCode::NO_CONTENT.into_response()),
        ("POST", Target::Populate) => Ok(populate(&collection, proxies, &body).await),
        ("GET", Target::Proxies) => Ok(Json(&*proxies).into_response()),
        ("POST", Target::Proxies) => create(&collection, proxies, &body).await,
        (_, Target::Proxy(name)) => proxy(&collection, proxies, &parts.method, &name, &body).await,
        (_, Target::Toxics(name)) => toxics(proxies, &parts.method, &name, &body),
        (_, Target::Toxic(name, toxic)) => one_toxic(proxies, &parts.method, (&name, &toxic), &body),
        (_, Target::Version | Target::Reset | Target::Populate | Target::Proxies) => Ok(not_allowed()),
    };
    result.unwrap_or_else(|error| problem(error.status(), error.to_string()))
}

async fn create(collection: &Collection, proxies: &mut Proxies, body: &[u8]) -> Result<Response, ApiError> {
    let name = collection.create(proxies, body).await?;
    Ok((StatusCode::CREATED, Json(proxies.get(&name))).into_response())
}

async fn populate(collection: &Collection, proxies: &mut Proxies, body: &[u8]) -> Response {
    let (names, result) = collection.populate(proxies, body).await;
    let created: Vec<_> = names.iter().filter_map(|name| proxies.get(name)).collect();
    match result {
        Ok(()) => (StatusCode::CREATED, Json(json!({"proxies": created}))).into_response(),
        Err(error) => {
            let status = error.status();
            let body = json!({"error": error.to_string(), "status": status.as_u16(), "proxies": created});
            (status, Json(body)).into_response()
        }
    }
}

async fn proxy(
    collection: &Collection,
    proxies: &mut Proxies,
    method: &Method,
    name: &str,
    body: &[u8],
) -> Result<Response, ApiError> {
    let proxy = known(proxies, name)?;
    match *method {
        Method::GET => {}
        Method::POST | Method::PATCH => {
            proxy.update(update(body)?, &collection.shared).await.map_err(ApiError::Listen)?;
        }
        Method::DELETE => {
            proxy.stop().await;
            proxies.remove(name);
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        _ => return Ok(not_allowed()),
    }
    Ok(Json(&*proxy).into_response())
}

fn toxics(proxies: &mut Proxies, method: &Method, name: &str, body: &[u8]) -> Result<Response, ApiError> {
    let proxy = known(proxies, name)?;
    match *method {
        Method::GET => Ok(Json(&proxy.toxics).into_response()),
        Method::POST => {
            let toxic = Toxic::read(&object(body)?)?;
            if proxy.toxic(&toxic.name).is_some() {
                return Err(BodyError::ToxicExists.into());
            }
            Ok(toxic_response(&proxy.add_toxic(toxic)))
        }
        _ => Ok(not_allowed()),
    }
}

fn one_toxic(
    proxies: &mut Proxies,
    method: &Method,
    (name, toxic): (&str, &str),
    body: &[u8],
) -> Result<Response, ApiError> {
    let proxy = known(proxies, name)?;
    let toxic = Arc::clone(proxy.toxic(toxic).ok_or(ApiError::NoToxic)?);
    match *method {
        Method::GET => Ok(toxic_response(&toxic)),
        Method::POST | Method::PATCH => {
            let changed = Toxic::clone(&toxic).merged(&object(body)?)?;
            Ok(toxic_response(&proxy.replace_toxic(changed)))
        }
        Method::DELETE => {
            proxy.remove_toxic(&toxic.name);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Ok(not_allowed()),
    }
}

fn toxic_response(toxic: &Toxic) -> Response {
    Json(toxic).into_response()
}

fn not_allowed() -> Response {
    StatusCode::METHOD_NOT_ALLOWED.into_response()
}

fn problem(status: StatusCode, text: impl Into<String>) -> Response {
    let text: String = text.into();
    (status, Json(json!({"error": text, "status": status.as_u16()}))).into_response()
}

async fn read(body: Body) -> Result<axum::body::Bytes, (StatusCode, String)> {
    match timeout(BODY_TIMEOUT, to_bytes(body, BODY_LEN_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let text = format!("bad request body: it broke off, or is longer than {BODY_LEN_MAX} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(_) => {
            let text = format!("bad request body: it did not arrive within {BODY_TIMEOUT:?}");
            Err((StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

fn target(path: &str) -> Option<Target> {
    match path {
        "/proxies" => return Some(Target::Proxies),
        "/populate" => return Some(Target::Populate),
        "/reset" => return Some(Target::Reset),
        "/version" => return Some(Target::Version),
        _ => {}
    }
    let rest = path.strip_prefix("/proxies/")?;
    if let Some(proxy) = rest.strip_suffix("/toxics") {
        return Some(Target::Toxics(decoded(proxy)));
    }
    if let Some((proxy, toxic)) = rest.split_once("/toxics/") {
        return Some(Target::Toxic(decoded(proxy), decoded(toxic)));
    }
    (!rest.is_empty()).then(|| Target::Proxy(decoded(rest)))
}

fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_spaces_slashes_and_any_letter() {
        let named = |text: &str| text.to_owned();
        assert_eq!(target("/proxies/my%20shop%2Fa"), Some(Target::Proxy(named("my shop/a"))));
        assert_eq!(target("/proxies/my/shop/toxics"), Some(Target::Toxics(named("my/shop"))));
        assert_eq!(target("/proxies/%C3%A4/toxics/x%2Fy"), Some(Target::Toxic(named("ä"), named("x/y"))));
        assert_eq!(target("/proxies/a%2Ftoxics"), Some(Target::Proxy(named("a/toxics"))));
        assert_eq!((target("/proxies/"), target("/other")), (None, None));
    }
}
