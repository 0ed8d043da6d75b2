//! Inside actix-web: the extractors and errors that are responses.
#![cfg(feature = "web")]

use actix_web::{App, HttpResponse, HttpServer, test, web};
use backstop::{Order, prelude::*, web::ApiError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake::{Act, Do, Fake, World, end, one};

async fn run(name: web::Path<String>, backends: Orchestrator) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(backends.execute(name.into_inner(), "reply", json!({"value": 5})).await?))
}

#[actix_rt::test]
async fn handlers_use_the_question_mark_and_clients_get_problem_details() {
    let world = World::new();
    let runtime = one(&world, "users").await;
    let data = web::Data::new(runtime.clone());
    let app = test::init_service(App::new().app_data(data).route("/{name}", web::get().to(run))).await;
    let get =
        async |path: &str| test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;

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

/// Where the handler runs and where its call was served.
async fn threads(users: web::Data<BackendRef<Fake>>) -> Result<HttpResponse, ApiError> {
    let served = users.ask(Do::new("thread", Act::Thread)).await?;
    Ok(HttpResponse::Ok().json([served, format!("{:?}", std::thread::current().id()).into()]))
}

async fn body_of(address: std::net::SocketAddr) -> Value {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_tokio_main_an_attached_worker_serves_its_calls_on_its_own_thread() {
    let world = World::new();
    let runtime = one(&world, "users").await;
    let users = web::Data::new(runtime.backend::<Fake>("users").unwrap());
    for attached in [false, true] {
        let (worker, users) = (runtime.clone(), users.clone());
        let server = HttpServer::new(move || {
            if attached {
                worker.attach_worker().unwrap();
            }
            App::new().app_data(users.clone()).route("/", web::get().to(threads))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let body = body_of(address).await;
        assert_eq!(body[0] == body[1], attached, "{body}");
        handle.stop(true).await;
        serving.await.unwrap().unwrap();
    }
    end(runtime).await;
}
