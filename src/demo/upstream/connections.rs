//! The open connections of the service, so that they can be reset.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use actix_web::{dev::Extensions, rt::net::TcpStream};
use parking_lot::Mutex;
use socket2::{SockRef, Socket};

/// The open connections.
#[derive(Default)]
pub(super) struct Connections(Mutex<Vec<Weak<Socket>>>);

/// Lives as long as its connection, in the connection's own storage.
struct Open {
    _socket: Arc<Socket>,
}

impl Connections {
    /// Remembers a connection until it is closed.
    pub(super) fn remember(&self, stream: &TcpStream, storage: &mut Extensions) {
        // without a second handle the connection is only closed, not reset
        let Ok(socket) = SockRef::from(stream).try_clone() else { return };
        let socket = Arc::new(socket);
        let mut open = self.0.lock();
        open.retain(|socket| socket.strong_count() > 0);
        open.push(Arc::downgrade(&socket));
        storage.insert(Open { _socket: socket });
    }

    /// Makes the coming close of every connection a reset.
    pub(super) fn reset_on_close(&self) {
        for socket in self.0.lock().drain(..).filter_map(|socket| socket.upgrade()) {
            // a connection that is closed already cannot be reset and need not be
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.0.lock().len()).finish()
    }
}
