//! The layers of the README's example, which cover only clients that send the cookie of a session.
use std::{collections::HashMap, env, sync::Arc, sync::Mutex, time::Duration};

use axum::{Json, Router, extract::Query, extract::State, http::StatusCode, routing::post};
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use ruts::{CookieOptions, SessionLayer, store::moka::MokaStore};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tower_cookies::CookieManagerLayer;

type Ledger = Arc<Mutex<Vec<Value>>>;

async fn pay(State(ledger): State<Ledger>, Json(mut entry): Json<Value>) -> (StatusCode, Json<Value>) {
    sleep(Duration::from_millis(30)).await;
    {
        let mut entries = ledger.lock().unwrap();
        entry["id"] = json!(entries.len() + 1);
        entries.push(entry.clone());
    }
    sleep(Duration::from_millis(30)).await;
    (StatusCode::CREATED, Json(entry))
}

async fn list(State(ledger): State<Ledger>, Query(query): Query<HashMap<String, usize>>) -> Json<Value> {
    let (entries, after) = (ledger.lock().unwrap(), query.get("after").copied().unwrap_or(0));
    let page: Vec<_> = entries.iter().skip(after).take(100).collect();
    Json(json!({"data": page, "has_more": entries.len() > after + 100}))
}

#[tokio::main]
async fn main() {
    let options = IdempotentOptions::default();
    let options = options.use_idempotency_key_header(Some("Idempotency-Key"), true).expire_after(300);
    let sessions = SessionLayer::new(Arc::new(MokaStore::builder().build()));
    let app = Router::new().route("/payments", post(pay).layer(IdempotentLayer::<MokaStore>::new(options)).get(list));
    let app =
        app.with_state(Ledger::default()).layer(sessions.with_cookie_options(CookieOptions::build().name("session")));
    let listener = TcpListener::bind(format!("127.0.0.1:{}", env::var("PORT").unwrap())).await.unwrap();
    axum::serve(listener, app.layer(CookieManagerLayer::new())).await.unwrap();
}
