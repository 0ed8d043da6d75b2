//! A [`CallError`] as a response: RFC 9457 problem details with a status that says who may try again.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{HeaderValue, RETRY_AFTER},
    },
};
use backstop_core::{
    clock,
    error::{CallError, Executed, FailureKind, Phase, RejectionReason},
};
use serde::Serialize;

use crate::orchestrator::{ErrorView, LookupError};

/// What a client is told to wait when nothing better is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// A [`CallError`] that is a response by itself, so that handlers use `?`.
#[derive(Clone, Debug)]
pub struct ApiError(pub CallError);

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        Self(error)
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Returns the status of an error; 504 only where the deadline is spent or nobody knows what was done.
#[must_use]
pub fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::Rejected(rejection) => match rejection.reason() {
            RejectionReason::Invalid(_) => StatusCode::BAD_REQUEST,
            RejectionReason::UnknownBackend { .. } => StatusCode::NOT_FOUND,
            RejectionReason::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            RejectionReason::Expired => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
        CallError::Failed(failure) => match failure.kind() {
            FailureKind::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::Conflict | FailureKind::Aborted => StatusCode::CONFLICT,
            FailureKind::Timeout
                if failure.executed() == Executed::No && failure.phase() == Phase::Connect =>
            {
                StatusCode::SERVICE_UNAVAILABLE
            }
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Unavailable
            | FailureKind::Overloaded
            | FailureKind::Exhausted
            | FailureKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Panicked | FailureKind::CallerPanicked | FailureKind::Corrupt => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_GATEWAY,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of a problem.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    #[serde(flatten)]
    error: ErrorView,
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        status(&self.0)
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let problem = Problem {
            kind: format!("urn:backstop:problem:{}", self.0.code()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            error: ErrorView::from(&self.0),
        };
        let mut response = HttpResponse::build(status).json(problem);
        let headers = response.headers_mut();
        headers.insert(
            actix_web::http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        let known = self.0.retry_after(clock::now());
        let busy = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if let Some(after) = known.or(busy.then_some(RETRY_AFTER_DEFAULT)) {
            // Whole seconds, rounded up: too early would be refused again.
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use backstop_core::{
        error::{Failure, Rejection},
        name::Name,
    };

    use super::*;

    fn rejected(reason: RejectionReason) -> ApiError {
        ApiError(Rejection::new(Name::from("b"), reason).into())
    }

    #[test]
    fn the_status_says_whose_fault_it_is_and_who_may_try_again() {
        let failed = |kind| ApiError(Failure::new(kind, "x").into());
        for (error, expected) in [
            (rejected(RejectionReason::Invalid("x".into())), 400),
            (rejected(RejectionReason::UnknownBackend { near: [].into() }), 404),
            (rejected(RejectionReason::Draining), 503),
            (rejected(RejectionReason::Full { limit: 1 }), 503),
            (rejected(RejectionReason::Expired), 504),
            (failed(FailureKind::Conflict), 409),
            (failed(FailureKind::Refused), 422),
            (failed(FailureKind::Timeout), 504),
            (failed(FailureKind::Server), 502),
            (failed(FailureKind::Panicked), 500),
            (ApiError(Failure::unavailable("x").into()), 503),
        ] {
            assert_eq!(error.status_code().as_u16(), expected, "{error}");
        }
    }

    #[test]
    fn busy_answers_say_when_to_come_back_in_whole_seconds() {
        let response = rejected(RejectionReason::Draining).error_response();
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
        let hinted = Failure::new(FailureKind::Overloaded, "x").retry_in(Duration::from_millis(2_001));
        let response = ApiError(hinted.into()).error_response();
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "3");
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        let response = rejected(RejectionReason::Invalid("x".into())).error_response();
        assert!(response.headers().get(RETRY_AFTER).is_none());
    }
}
