//! reqwest as its users run it: one client, cloned, on a work-stealing runtime.

use crate::{
    contender::Contender,
    spread::{stealing, turn_on},
};

/// GETs of the same body.
pub fn gets(name: &'static str, base: &str) -> Contender {
    let (runtime, url) = (stealing(), format!("{base}{}", super::PATH));
    let client = reqwest::Client::new();
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let (client, url) = (client.clone(), url.clone());
            async move {
                while caller.next().is_some() {
                    let body = client.get(&url).send().await.unwrap().bytes().await.unwrap();
                    assert_eq!(body.len(), 100);
                }
                caller
            }
        })
    })
}
