//! Inside actix-web: errors that answer by themselves, and the runtime as an extractor.
//!
//! ```
//! use actix_web::{App, HttpResponse, get, web};
//! use backstop::{Orchestrator, Runtime, web::ApiError};
//! use serde_json::json;
//!
//! #[get("/users/{id}")]
//! async fn user(id: web::Path<i64>, backends: Orchestrator) -> Result<HttpResponse, ApiError> {
//!     let find = json!({"sql": "SELECT name FROM users WHERE id = ?", "params": [*id]});
//!     Ok(HttpResponse::Ok().json(backends.execute("users", "query", find).await?))
//! }
//!
//! fn app(runtime: Runtime) -> impl FnMut(&mut web::ServiceConfig) {
//!     move |config| {
//!         config.app_data(web::Data::new(runtime.clone())).service(user);
//!     }
//! }
//! ```

mod problem;

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::ErrorInternalServerError, web::Data};

pub use self::problem::{ApiError, status};
use crate::{Orchestrator, Runtime};

impl FromRequest for Runtime {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let runtime = request.app_data::<Data<Self>>().map(|runtime| Self::clone(runtime));
        ready(
            runtime
                .ok_or_else(|| ErrorInternalServerError("no `web::Data<Runtime>` was given to `app_data`")),
        )
    }
}

impl FromRequest for Orchestrator {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let runtime = Runtime::from_request(request, payload).into_inner();
        ready(runtime.map(|runtime| runtime.orchestrator()))
    }
}
