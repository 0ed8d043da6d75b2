//! A small actix-web server in a process of its own, so that its processor time is not the client's.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use actix_web::{App, HttpResponse, HttpServer, web};

/// The argument that makes this program the server.
pub const ARGUMENT: &str = "http-server";

/// The server's process; ends with this value.
pub struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts it and waits until it listens.
    pub fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program).arg(ARGUMENT).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().into() }
    }

    /// Its base address.
    pub fn base(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is ended.
pub fn serve() {
    actix_web::rt::System::new().block_on(async {
        let app = || {
            App::new().route("/body", web::get().to(async || HttpResponse::Ok().body([b'x'; 100].as_slice())))
        };
        let server = HttpServer::new(app).workers(1).bind(("127.0.0.1", 0)).unwrap();
        println!("{}", server.addrs()[0]);
        server.run().await.unwrap();
    });
}
