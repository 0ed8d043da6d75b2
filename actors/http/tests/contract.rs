//! The contract suite, against a real server on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use backstop_core::error::CallError;
use backstop_http::{Get, HttpOptions, Post, Request};
use backstop_testkit::contract::{Ability, Call, ContractSubject, Ref};

type Writes = Arc<Mutex<HashMap<u64, u32>>>;

/// A server that can be taken away and brought back on its port.
struct Subject {
    port: u16,
    writes: Writes,
    server: Mutex<Option<ServerHandle>>,
}

fn serve(port: u16, writes: Writes) -> (u16, ServerHandle) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let app = move || {
                App::new()
                    .app_data(web::Data::new(Arc::clone(&writes)))
                    .route("/seven", web::get().to(|| async { "7" }))
                    .route("/slow/{ms}", web::get().to(slow))
                    .route("/write/{key}", web::post().to(write))
            };
            let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", port)).unwrap();
            let port = server.addrs()[0].port();
            let server = server.run();
            tell.send((port, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    told.recv().unwrap()
}

async fn slow(ms: web::Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(*ms)).await;
    "late"
}

async fn write(key: web::Path<u64>, writes: web::Data<Writes>) -> HttpResponse {
    *writes.lock().unwrap().entry(*key).or_default() += 1;
    HttpResponse::Created().finish()
}

fn call(backend: &Ref<Subject>, request: Request, within: Duration) -> Call {
    let ask = backend.ask(request).within(within);
    Box::pin(async move { ask.await.map(drop) })
}

impl ContractSubject for Subject {
    type Connect = HttpOptions;
    const LACKS: &'static [(Ability, &'static str)] =
        &[(Ability::CallerCode, "a request is data, nothing of the caller runs inside")];

    async fn start() -> Self {
        let writes = Writes::default();
        let (port, server) = serve(0, Arc::clone(&writes));
        Self { port, writes, server: Mutex::new(Some(server)) }
    }

    fn connect(&self) -> HttpOptions {
        HttpOptions::new(&format!("http://127.0.0.1:{}/", self.port)).unwrap()
    }

    fn wrong(&self) -> Option<HttpOptions> {
        Some(HttpOptions { max_connections: 0, ..self.connect() })
    }

    fn read(&self, backend: &Ref<Self>, within: Duration) -> Call {
        let ask = backend.ask(Get::new("seven").build().unwrap()).within(within);
        Box::pin(async move {
            assert_eq!(&ask.await?.body()[..], b"7");
            Ok::<_, CallError>(())
        })
    }

    fn slow(&self, backend: &Ref<Self>, takes: Duration, within: Duration) -> Option<Call> {
        let request = Get::new(format!("slow/{}", takes.as_millis())).build().unwrap();
        Some(call(backend, request, within))
    }

    fn bad(&self, backend: &Ref<Self>, within: Duration) -> Call {
        call(backend, Get::new("nowhere").build().unwrap(), within)
    }

    fn write(&self, backend: &Ref<Self>, key: u64, within: Duration) -> Option<Call> {
        Some(call(backend, Post::new(format!("write/{key}")).build().unwrap(), within))
    }

    async fn writes(&self, key: u64) -> u32 {
        self.writes.lock().unwrap().get(&key).copied().unwrap_or(0)
    }

    async fn make_unreachable(&self) -> bool {
        let server = self.server.lock().unwrap().take();
        if let Some(server) = server {
            server.stop(false).await;
        }
        true
    }

    async fn make_reachable(&self) {
        let (_, server) = serve(self.port, Arc::clone(&self.writes));
        *self.server.lock().unwrap() = Some(server);
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Told to stop; the thread ends by itself.
        if let Some(server) = self.server.lock().unwrap().take() {
            drop(server.stop(false));
        }
    }
}

backstop_testkit::contract_suite!(Subject);
