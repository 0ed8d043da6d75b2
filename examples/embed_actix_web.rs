//! Backends inside an actix-web app: typed references in handlers, errors that answer by themselves.
//!
//! Run it with `cargo run --example embed_actix_web`. It serves on a free loopback port, asks itself, and ends.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, get, post, web};
use backstop::{
    Order,
    prelude::*,
    sql::{Execute, Query},
    sqlite::{Sqlite, SqliteOptions},
    web::ApiError,
};
use serde::{Deserialize, Serialize};

struct State {
    users: BackendRef<Sqlite>,
}

#[derive(Deserialize, Serialize)]
struct User {
    name: String,
}

#[post("/users")]
async fn add(user: web::Json<User>, state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let insert =
        Execute::new("INSERT INTO user (name) VALUES (:name)").bind_named("name", user.into_inner().name);
    let written = state.users.ask(insert).within(Duration::from_secs(1)).await?;
    Ok(HttpResponse::Created().json(written))
}

#[get("/users/{id}")]
async fn find(id: web::Path<i64>, state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let find = Query::new("SELECT name FROM user WHERE id = $1").bind(*id).typed::<User>();
    let users = state.users.ask(find).within(Duration::from_millis(250)).await?;
    Ok(match users.into_iter().next() {
        Some(user) => HttpResponse::Ok().json(user),
        None => HttpResponse::NotFound().finish(),
    })
}

/// The same by name: the handler knows no backend's types.
#[get("/count")]
async fn count(backends: Orchestrator) -> Result<HttpResponse, ApiError> {
    let sql = serde_json::json!({"sql": "SELECT count(*) FROM user"});
    Ok(HttpResponse::Ok().json(backends.execute("users", "query", sql).await?))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        Runtime::builder().backend("users", SqliteOptions::memory(), Policy::default()).start().await?;
    let users = runtime.backend::<Sqlite>("users")?; // a wrong name or kind is an error here, not at a request
    users.ask(Execute::new("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")).await?;

    let (state, data) = (web::Data::new(State { users: users.clone() }), web::Data::new(runtime.clone()));
    let server = HttpServer::new(move || {
        App::new().app_data(state.clone()).app_data(data.clone()).service(add).service(find).service(count)
    })
    .workers(2)
    .disable_signals()
    .bind(("127.0.0.1", 0))?;
    let base = format!("http://{}", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);

    let client = awc::Client::default();
    for name in ["Ada", "Grace"] {
        let response = client.post(format!("{base}/users")).send_json(&User { name: name.into() }).await?;
        assert_eq!(response.status(), 201);
    }
    let user: User = client.get(format!("{base}/users/2")).send().await?.json().await?;
    println!("user 2 is {}", user.name);
    assert_eq!(user.name, "Grace");
    assert_eq!(client.get(format!("{base}/users/3")).send().await?.status(), 404);
    let counted: serde_json::Value = client.get(format!("{base}/count")).send().await?.json().await?;
    println!("count by name: {}", counted["rows"]);
    assert_eq!(counted["rows"], serde_json::json!([["2"]]));

    // An operator opens the breaker: clients get 503 with Retry-After at once, and nothing reaches the database.
    users.order(Order::Trip { reason: "maintenance".into(), open_for: None }).await?;
    let mut refused = client.get(format!("{base}/users/2")).send().await?;
    let problem: serde_json::Value = refused.json().await?;
    println!("tripped: {} {} ({})", refused.status(), problem["code"], problem["message"]);
    assert_eq!((refused.status().as_u16(), &problem["executed"]), (503, &serde_json::json!("no")));
    assert!(refused.headers().contains_key("retry-after"));
    users.order(Order::Reset).await?;
    assert_eq!(client.get(format!("{base}/users/1")).send().await?.status(), 200);

    // First the server, then what it uses.
    handle.stop(true).await;
    serving.await??;
    let report = runtime.shutdown(Deadline::after(Duration::from_secs(2))).await;
    println!("stopped: {}", serde_json::to_string(&report)?);
    assert!(report.is_clean());
    Ok(())
}
