//! What is refused before anything runs, on the backend's side of the message.

use backstop_core::{
    error::{Executed, FailureKind, Phase},
    operation::Wire,
    outcome::Outcome,
};
use backstop_http::{Get, Http, Post, RequestError};
use serde_json::json;

use crate::support::{Server, ask, assert_failure, backend_for, ok, run};

#[test]
fn a_request_below_the_base_goes_below_the_base_and_nowhere_else() {
    run(async {
        let server = Server::replying(ok("")).await;
        for (base, path, expected) in [
            ("", "", "/"),
            ("", "a", "/a"),
            ("/v1", "", "/v1"),
            ("/v1/", "", "/v1/"),
            ("/v1", "a", "/v1/a"),
            ("/v1/", "/a/", "/v1/a/"),
            ("/v%201", "@b/c:d", "/v%201/@b/c:d"),
            ("/v1", "/projects:search", "/v1/projects:search"),
        ] {
            let backend = backend_for(&format!("http://{}{base}", server.address), |_| {}).await;
            ask(&backend, &Get::new(path).build().unwrap()).await.unwrap();
            let line = server.requests().pop().unwrap();
            assert!(line.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{line}");
            let host = format!("host: {}\r\n", server.address);
            assert_eq!(line.to_ascii_lowercase().matches(&host).count(), 1, "{line}");
        }
    });
}

#[test]
fn a_body_over_the_request_limit_is_refused_and_not_sent() {
    run(async {
        let server = Server::replying(ok("")).await;
        let backend = server.backend_with(|options| options.max_request_bytes = 10).await;
        let failure = ask(&backend, &Post::new("x").text("12345678901").build().unwrap()).await;
        let failure = failure.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Refused, "invalid_request", Phase::Admission, Executed::No);
        assert_eq!((failure.is_transient(), failure.outcome()), (false, Outcome::NotCounted));
        ask(&backend, &Post::new("x").text("1234567890").build().unwrap()).await.unwrap();
        assert_eq!(server.requests().len(), 1);
    });
}

#[test]
fn a_long_query_is_refused() {
    run(async {
        let server = Server::replying(ok("")).await;
        let request = Get::new("x").query("q", "y".repeat(40_000)).build().unwrap();
        let failure = ask(&server.backend().await, &request).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Refused, "invalid_request", Phase::Admission, Executed::No);
        assert!(server.requests().is_empty());
    });
}

#[test]
fn a_configured_credential_cannot_be_replaced_and_is_in_no_error() {
    run(async {
        let server = Server::replying(response_401()).await;
        let backend = server.backend_with(|options| {
            options.default_headers.push(("Authorization".into(), "Bearer canary".into()));
        });
        let backend = backend.await;
        let request = Get::new("x").header("authorization", "Bearer other").build().unwrap();
        let failure = ask(&backend, &request).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Refused, "invalid_request", Phase::Admission, Executed::No);
        let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Auth, "401", Phase::Execute, Executed::No);
        assert!(server.requests()[0].contains("Bearer canary"));
        assert!(!format!("{failure} {failure:?} {backend:?}").contains("canary"));
    });
}

fn response_401() -> &'static str {
    "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
}

#[test]
fn credentials_of_a_request_do_not_travel_in_plain_text() {
    run(async {
        // an address for documentation (RFC 5737): nothing is ever sent there
        let backend = backend_for("http://192.0.2.1/", |_| {}).await;
        for name in ["Authorization", "cookie", "X-Api-Key"] {
            let request = Get::new("x").header(name, "canary").build().unwrap();
            let failure = ask(&backend, &request).await.unwrap_err().failure();
            assert_failure(&failure, FailureKind::Refused, "invalid_request", Phase::Admission, Executed::No);
            assert!(!failure.to_string().contains("canary"));
        }
    });
}

#[test]
fn only_allowed_headers_pass_where_there_is_a_list() {
    run(async {
        let server = Server::replying(ok("")).await;
        let backend =
            server.backend_with(|options| options.allowed_headers = Some(vec!["X-Tenant".into()])).await;
        let request = Post::new("x").header("x-tenant", "a").json(&1).idempotency_key("k").build().unwrap();
        ask(&backend, &request).await.unwrap();
        let request = Post::new("x").header("x-other", "a").build().unwrap();
        let failure = ask(&backend, &request).await.unwrap_err().failure();
        assert_eq!(failure.code(), Some("invalid_request"));
        assert_eq!(server.requests().len(), 1);
    });
}

#[test]
fn what_the_wire_form_refuses_never_becomes_a_message() {
    for path in ["http://127.0.0.1/", "//127.0.0.1/", "../x", "%2e%2e/x", "a\\..\\b", "a\r\nb"] {
        assert!(Http::decode("get", json!({ "path": path })).is_err(), "{path:?}");
        assert!(matches!(Get::new(path).build(), Err(RequestError::Path { .. })), "{path:?}");
    }
}
