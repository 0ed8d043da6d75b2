//! HT5, HT6 and HT7: hints, redirects, bombs.

use std::time::{Duration, SystemTime};

use backstop_core::{
    error::{Executed, FailureKind, Phase},
    outcome::Outcome,
};
use backstop_http::{Get, Post};

use crate::support::{Server, ask, assert_failure, gzip, response, run};

#[test]
fn hints_are_read_as_seconds_and_dates_and_nonsense_is_ignored() {
    run(async {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
        let table =
            [("7", Some(7..=7)), (&date, Some(55..=60)), (&past, None), ("-1", None), ("9999999999", None)];
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            for (value, expected) in &table {
                let server =
                    Server::replying(response(status, &format!("retry-after: {value}\r\n"), b"")).await;
                let failure = ask(&server.backend().await, &Post::new("x").build().unwrap()).await;
                let failure = failure.unwrap_err().failure();
                let hint = failure.retry_after().map(|hint| hint.as_secs());
                match expected {
                    Some(range) => {
                        assert!(hint.is_some_and(|hint| range.contains(&hint)), "{value}: {hint:?}");
                        assert_failure(
                            &failure,
                            FailureKind::Overloaded,
                            &status[..3],
                            Phase::Execute,
                            Executed::No,
                        );
                        assert_eq!(failure.outcome(), Outcome::Overload);
                    }
                    None => assert_eq!(hint, None, "{value}"),
                }
                assert!(failure.is_transient());
            }
        }
    });
}

#[test]
fn redirects_are_returned_and_never_followed() {
    run(async {
        for status in [
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        ] {
            for location in
                ["/x", "http://127.0.0.1:1/steal", "//169.254.169.254/latest", "https://evil.invalid/"]
            {
                let server =
                    Server::replying(response(status, &format!("location: {location}\r\n"), b"")).await;
                let backend = server.backend_with(|options| {
                    options.default_headers.push(("x-api-key".into(), "secret".into()));
                });
                let reply = ask(&backend.await, &Post::new("x").text("body").build().unwrap()).await.unwrap();
                assert_eq!(
                    (reply.status().to_string().as_str(), reply.header("location")),
                    (&status[..3], Some(location))
                );
                assert_eq!(server.requests().len(), 1);
            }
        }
    });
}

#[test]
fn a_gzip_bomb_ends_before_it_is_unpacked() {
    run(async {
        let bomb = gzip(&vec![0; 200 * 1024 * 1024]);
        assert!(bomb.len() < 250_000);
        let server = Server::replying(response("200 OK", "content-encoding: gzip\r\n", &bomb)).await;
        let backend = server.backend().await;
        let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::TooLarge, "inflation", Phase::Decode, Executed::Unknown);
        let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_eq!((failure.executed(), failure.is_transient()), (Executed::Yes, false));
    });
}

#[test]
fn a_body_over_the_limit_is_refused_before_and_after_decoding() {
    run(async {
        let limit = 50_000;
        let noise: Vec<u8> = (0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for wire in [
            response("200 OK", "", &noise),
            response("200 OK", "content-encoding: gzip\r\n", &gzip(&noise)),
            response("200 OK", "content-encoding: gzip\r\n", &gzip(&vec![b'x'; 60_000])),
            [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &noise].concat(),
        ] {
            let server = Server::closing_after(wire).await;
            let backend = server.backend_with(|options| options.max_response_bytes = limit).await;
            let failure = ask(&backend, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(
                &failure,
                FailureKind::TooLarge,
                "body_too_large",
                Phase::Decode,
                Executed::Unknown,
            );
            assert_eq!(failure.outcome(), Outcome::Success);
        }
        let server = Server::closing_after(response("200 OK", "", &noise[..limit])).await;
        let backend = server.backend_with(|options| options.max_response_bytes = limit).await;
        assert_eq!(ask(&backend, &Get::new("x").build().unwrap()).await.unwrap().body(), &noise[..limit]);
    });
}

#[test]
fn a_head_without_end_is_refused() {
    run(async {
        let many = "x: y\r\n".repeat(100_000);
        let few = "x: y\r\n".repeat(97);
        let long = format!("x: {}\r\n", "y".repeat(100_000));
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000);
        for bytes in [
            format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            format!("HTTP/1.1 200 OK\r\n{few}\r\n"),
            format!("HTTP/1.1 200 OK\r\n{long}\r\n"),
            format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(200_000)),
            interim,
        ] {
            let server = Server::replying(bytes).await;
            let failure =
                ask(&server.backend().await, &Get::new("x").build().unwrap()).await.unwrap_err().failure();
            assert_failure(
                &failure,
                FailureKind::TooLarge,
                "head_too_large",
                Phase::Execute,
                Executed::Unknown,
            );
        }
    });
}
