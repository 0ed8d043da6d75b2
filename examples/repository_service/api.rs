//! The API that the service asks: a user is valid when its address has an `@`.

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, post, web::Json};
use serde_json::{Value, json};

pub(crate) struct Api {
    pub(crate) base: String,
    handle: ServerHandle,
    serving: actix_web::rt::task::JoinHandle<std::io::Result<()>>,
}

#[post("/validate/user")]
async fn validate(user: Json<Value>) -> HttpResponse {
    let valid = user["email"].as_str().is_some_and(|email| email.contains('@'));
    let reason = (!valid).then_some("the address has no `@`");
    HttpResponse::Ok().json(json!({"valid": valid, "reason": reason}))
}

impl Api {
    /// Listens on a free port of this machine.
    pub(crate) fn start() -> std::io::Result<Self> {
        let server = HttpServer::new(|| App::new().service(validate))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))?;
        let base = format!("http://{}/", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        Ok(Self { base, handle, serving: actix_web::rt::spawn(server) })
    }

    pub(crate) async fn stop(self) -> Result<(), Box<dyn std::error::Error>> {
        self.handle.stop(true).await;
        Ok(self.serving.await??)
    }
}
