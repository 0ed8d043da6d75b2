//! Backstop through its supervisor, callers on the lanes' threads as in actix-web.

use backstop_core::policy::Policy;
use backstop_http::{Get, HttpOptions};
use backstop_supervisor::{Supervisor, SupervisorOptions};

use crate::{
    contender::Contender,
    spread::{Workers, stealing},
};

/// GETs of the same body.
pub fn gets(name: &'static str, base: &str, threads: usize) -> Contender {
    let mut options = HttpOptions::new(base).unwrap();
    options.max_connections = 512;
    let (supervisor, backend) = stealing().block_on(async {
        let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
        let backend = supervisor.add("http", options, Policy::default()).await.unwrap();
        (supervisor, backend)
    });
    let workers = Workers::start(threads);
    Contender::new(name, move |callers, watch| {
        let _keep = &supervisor;
        let backend = backend.clone();
        workers.turn(callers, watch, move |mut caller| {
            let backend = backend.clone();
            async move {
                while caller.next().is_some() {
                    let get = Get::new(super::PATH).build().unwrap();
                    assert_eq!(backend.ask(get).await.unwrap().body().len(), 100);
                }
                caller
            }
        })
    })
}
