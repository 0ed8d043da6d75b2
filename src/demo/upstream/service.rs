//! How the service answers.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Json, Path, Query, ServiceConfig},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::log::UpstreamLog;

/// In which way the service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At once.
    #[default]
    Well,
    /// After this time.
    Slow(Duration),
    /// With status 500.
    Failing,
    /// Not before the mode changes.
    Hanging,
}

/// What all workers of the service share.
#[derive(Debug, Default)]
pub(super) struct Service {
    mode: watch::Sender<Mode>,
    log: UpstreamLog,
}

impl Service {
    pub(super) fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(super) fn log(&self) -> &UpstreamLog {
        &self.log
    }

    /// Does what the mode says to a request; `false` makes it fail.
    async fn suffer(&self) -> bool {
        let mode = *self.mode.borrow();
        match mode {
            Mode::Well => true,
            Mode::Slow(delay) => {
                tokio::time::sleep(delay).await;
                true
            }
            Mode::Failing => false,
            Mode::Hanging => {
                let mut mode = self.mode.subscribe();
                // the sender lives as long as the service
                let _ = mode.wait_for(|mode| *mode != Mode::Hanging).await;
                true
            }
        }
    }
}

/// A write; its effect comes before the trouble for even numbers, after it for odd ones.
#[derive(Debug, Deserialize)]
struct Order {
    op: u64,
}

/// Every answer repeats what it answers.
#[derive(Debug, Deserialize, Serialize)]
struct Echo {
    nonce: u64,
}

pub(super) fn routes(service: &Arc<Service>, config: &mut ServiceConfig) {
    config
        .app_data(Data::from(Arc::clone(service)))
        .route("/prices/{item}", web::get().to(price))
        .route("/orders", web::post().to(order))
        .route("/health", web::route().to(health));
}

async fn price(service: Data<Service>, _item: Path<u64>, echo: Query<Echo>) -> HttpResponse {
    answer(service.suffer().await, echo.into_inner())
}

async fn order(service: Data<Service>, request: HttpRequest, order: Json<Order>) -> HttpResponse {
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
    let effect_first = order.op.is_multiple_of(2);
    if effect_first {
        service.log.execute(order.op, key);
    }
    let well = service.suffer().await;
    if well && !effect_first {
        service.log.execute(order.op, key);
    }
    answer(well, Echo { nonce: order.op })
}

async fn health(service: Data<Service>) -> HttpResponse {
    if service.suffer().await { HttpResponse::NoContent().finish() } else { failed() }
}

fn answer(well: bool, echo: Echo) -> HttpResponse {
    if well { HttpResponse::Ok().json(echo) } else { failed() }
}

fn failed() -> HttpResponse {
    HttpResponse::InternalServerError().body("the demo makes this fail")
}
