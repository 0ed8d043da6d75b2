//! Every type there and back with the real server, and bytes that are none.

mod hostile;
mod matrix;
mod parameter;
