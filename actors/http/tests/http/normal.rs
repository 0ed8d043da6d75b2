//! What works, against an ordinary server.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline, OpId},
    error::{Executed, FailureKind, Phase},
    operation::Wire,
    outcome::Outcome,
};
use backstop_http::{Delete, Get, Head, Http, Patch, Post, Put};
use serde_json::{Value, json};

use crate::support::{SOON, ask, assert_failure, backend_for, run};

async fn echo(request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), value.to_str().unwrap_or_default()]))
        .collect();
    HttpResponse::Ok().json(json!({
        "method": request.method().as_str(),
        "path": request.path(),
        "query": request.query_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

/// Runs a test against an actix-web server; its base path is `/v1`.
fn with_server<F: Future<Output = ()>>(test: impl FnOnce(Http) -> F) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let server = HttpServer::new(|| {
                App::new()
                    .route("/v1/missing", web::to(HttpResponse::NotFound))
                    .route("/v1/broken", web::to(HttpResponse::InternalServerError))
                    .route("/v1/empty", web::to(HttpResponse::NoContent))
                    .route(
                        "/v1/old",
                        web::to(async || {
                            HttpResponse::Found().append_header(("location", "/v1/new")).finish()
                        }),
                    )
                    .route(
                        "/v1/text",
                        web::to(async || HttpResponse::Ok().content_type("text/plain").body("hello")),
                    )
                    .route(
                        "/v1/bytes",
                        web::to(async || HttpResponse::Ok().content_type("image/png").body(vec![0, 1, 255])),
                    )
                    .default_service(web::to(echo))
            })
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            sender.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (address, handle) = receiver.recv().unwrap();
    run(async {
        test(
            backend_for(&format!("http://{address}/v1/"), |options| {
                options.default_headers =
                    vec![("X-Default".into(), "d".into()), ("accept".into(), "a".into())];
            })
            .await,
        )
        .await;
        handle.stop(false).await;
    });
    server.join().unwrap();
}

#[test]
fn each_method_arrives_with_path_query_headers_and_body() {
    with_server(async |backend| {
        let body = json!({"a": 1});
        let requests = [
            ("GET", Get::new("x/y z").query("q", "ä&=").build(), ""),
            ("DELETE", Delete::new("/x/y z").query("q", "ä&=").build(), ""),
            ("PUT", Put::new("x/y z").query("q", "ä&=").json(&body).build(), r#"{"a":1}"#),
            ("POST", Post::new("x/y z").query("q", "ä&=").text("t").build(), "t"),
            ("PATCH", Patch::new("x/y z").query("q", "ä&=").bytes("a/b", "b").build(), "b"),
        ];
        for (method, request, body) in requests {
            let reply = ask(&backend, &request.unwrap()).await.unwrap();
            assert_eq!((reply.status(), reply.media_type().as_deref()), (200, Some("application/json")));
            let seen: Value = reply.json().unwrap();
            assert_eq!(seen["method"], method);
            assert_eq!(seen["path"], "/v1/x/y%20z");
            assert_eq!(seen["query"], "q=%C3%A4%26%3D");
            assert_eq!(seen["body"], body);
        }
        assert_eq!(backend.pool().created_total, 1, "one connection serves them all");
        let head = ask(&backend, &Head::new("text").build().unwrap()).await.unwrap();
        assert_eq!((head.status(), head.header("Content-Length"), head.body().len()), (200, Some("5"), 0));
    });
}

#[test]
fn headers_of_a_request_replace_the_defaults_and_each_is_sent_once() {
    with_server(async |backend| {
        let request = Get::new("x").header("Accept", "b").header("x-twice", "1").header("x-twice", "2");
        let seen: Value = ask(&backend, &request.build().unwrap().into_json()).await.unwrap();
        let values = |name: &str| -> Vec<String> {
            let all = seen["headers"].as_array().unwrap().iter();
            all.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(values("accept"), ["b"]);
        assert_eq!(values("x-default"), ["d"]);
        assert_eq!(values("x-twice"), ["1", "2"]);
        assert_eq!(values("accept-encoding"), ["gzip"]);
        assert_eq!(values("host").len(), 1);
        assert_eq!(values("transfer-encoding").len() + values("content-length").len(), 0, "{seen}");
    });
}

#[test]
fn statuses_become_replies_or_failures() {
    with_server(async |backend| {
        assert_eq!(ask(&backend, &Get::new("empty").build().unwrap()).await.unwrap().status(), 204);
        let redirect = ask(&backend, &Get::new("old").build().unwrap()).await.unwrap();
        assert_eq!((redirect.status(), redirect.header("location")), (302, Some("/v1/new")));
        let missing = Get::new("missing").build().unwrap();
        let failure = ask(&backend, &missing).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Refused, "404", Phase::Execute, Executed::No);
        assert_eq!(failure.outcome(), Outcome::Success);
        let expected = Get::new("missing").expect_status(&[404]).build().unwrap();
        assert_eq!(ask(&backend, &expected).await.unwrap().status(), 404);
        let failure = ask(&backend, &Post::new("broken").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Server, "500", Phase::Execute, Executed::Unknown);
        assert_eq!(backend.pool().created_total, 1, "a failure does not cost the connection");
    });
}

#[test]
fn a_typed_reply_that_does_not_fit_says_whether_the_write_was_done() {
    with_server(async |backend| {
        let write = Post::new("x").build().unwrap().into_json::<Vec<u8>>();
        let failure = ask(&backend, &write).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Decode, "decode", Phase::Decode, Executed::Yes);
        assert!(!failure.is_transient());
        let read = Get::new("text").build().unwrap().into_json::<Value>();
        let failure = ask(&backend, &read).await.unwrap_err().failure();
        assert_eq!(failure.kind(), FailureKind::Decode);
    });
}

#[test]
fn a_probe_takes_any_answer_below_500_for_life() {
    with_server(async |backend| {
        let call = CallContext::new(OpId::next(), Deadline::after(SOON));
        backend.probe(&call).await.unwrap();
        assert!(call.was_sent());
    });
}

#[test]
fn the_wire_form_carries_json_text_and_bytes() {
    with_server(async |backend| {
        let call = CallContext::new(OpId::next(), Deadline::after(SOON));
        let operation = Http::decode("post", json!({"path": "x", "json": {"n": 1}})).unwrap();
        let reply = backend.serve(&operation, &call).await.unwrap();
        assert_eq!((&reply["status"], &reply["body"]["body"]), (&json!(200), &json!(r#"{"n":1}"#)));
        assert_eq!(reply["media_type"], "application/json");
        assert_eq!(reply["headers"]["content-type"], "application/json");
        let operation = Http::decode("get", json!({"path": "text"})).unwrap();
        assert_eq!(backend.serve(&operation, &call).await.unwrap()["body"], "hello");
        let operation = Http::decode("get", json!({"path": "bytes"})).unwrap();
        let reply = backend.serve(&operation, &call).await.unwrap();
        assert_eq!((&reply["body_base64"], reply.get("body")), (&json!("AAH/"), None));
    });
}
