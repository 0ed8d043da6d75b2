//! One server, and what the demo does with it. Every function blocks its thread.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub(in crate::demo) use self::elsewhere::Engine;
#[cfg(target_os = "linux")]
pub(in crate::demo) use self::linux::Engine;
