//! Inside actix-web: the extractors and errors that are responses.
#![cfg(feature = "web")]

use actix_web::{App, HttpResponse, test, web};
use backstop::{Order, prelude::*, web::ApiError};
use serde_json::{Value, json};

use crate::fake::{Fake, World, end, one};

async fn run(name: web::Path<String>, backends: Orchestrator) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(backends.execute(name.into_inner(), "reply", json!({"value": 5})).await?))
}

#[actix_rt::test]
async fn handlers_use_the_question_mark_and_clients_get_problem_details() {
    let world = World::new();
    let runtime = one(&world, "users").await;
    let data = web::Data::new(runtime.clone());
    let app = test::init_service(App::new().app_data(data).route("/{name}", web::get().to(run))).await;
    let get = async |path: &str| test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;

    let answer: Value = test::read_body_json(get("/users").await).await;
    assert_eq!(answer, 5);
    let response = get("/usres").await;
    assert_eq!(response.status(), 404);
    let problem: Value = test::read_body_json(response).await;
    assert_eq!((&problem["code"], &problem["executed"]), (&json!("unknown_backend"), &json!("no")));
    assert!(problem["message"].as_str().unwrap().contains("users"));

    let users = runtime.backend::<Fake>("users").unwrap();
    users.order(Order::Trip { reason: "test".into(), open_for: None }).await.unwrap();
    let response = get("/users").await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
    end(runtime).await;
}

#[actix_rt::test]
async fn a_forgotten_runtime_is_an_error_of_the_server() {
    let app = test::init_service(App::new().route("/{name}", web::get().to(run))).await;
    let response = test::call_service(&app, test::TestRequest::get().uri("/users").to_request()).await;
    assert_eq!(response.status(), 500);
}
