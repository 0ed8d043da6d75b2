//! An HTTP API as a supervised backend of Backstop.
//!
//! The backend is one base address. A request names a path below it and never a URL, so that data from
//! outside cannot choose where a request goes; redirects are returned and not followed; environment proxies
//! are not read; a body that was cut is an error and never a success.
//!
//! ```
//! use backstop_http::{Get, HttpOptions, Post};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = HttpOptions::new("https://api.example.com/v1/")?;
//! let user = Get::new("users/7").query("fields", "name").build()?;
//! let order = Post::new("orders")
//!     .json(&serde_json::json!({ "item": 7 }))
//!     .idempotency_key("order-7") // lets a lost answer be asked for again
//!     .build()?;
//! # let _ = (options, user, order);
//! # Ok(())
//! # }
//! ```
//!
//! What each status and each failure means is in [`error`].

pub mod backend;
pub mod error;
pub mod message;
pub mod options;
pub mod wire;

mod headers;
mod path;
mod retry_after;
mod status;

pub use self::{
    backend::Http,
    error::RequestError,
    message::{Delete, Get, Head, Json, Method, Patch, Post, Put, Request, RequestBuilder, Response},
    options::HttpOptions,
};
