//! The backend: recipe, instance, messages, wire form. `backstop-core`, tokio and nothing else.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    batch::Batcher,
    call::{CallContext, Deadline},
    error::{ConfigError, Executed, Failure, FailureKind, Phase},
    message::{Class, Message},
    operation::{Operation, OperationInfo, Wire, WireError},
    snapshot::PoolSnapshot,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::oneshot,
};

/// The recipe: it is kept, because an instance is built on each thread and anew after each panic.
#[derive(Clone)]
pub(crate) struct KvOptions {
    address: SocketAddr,
    pool_max: usize,
}

impl KvOptions {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, pool_max: 4 }
    }

    /// Sets how many connections each instance may have.
    pub(crate) fn pool_max(mut self, pool_max: usize) -> Self {
        self.pool_max = pool_max;
        self
    }
}

impl Connect for KvOptions {
    type Shared = ();
    type Backend = Kv;

    fn share(&self) -> Result<(), ConfigError> {
        if self.pool_max == 0 { Err(ConfigError::new("pool_max", "must be at least 1")) } else { Ok(()) }
    }

    /// No network yet: connections come on demand, so that an outage cannot look like a crash.
    async fn connect(&self, _: &Arc<()>) -> Result<Kv, ConfigError> {
        let pool = Pool {
            address: self.address,
            max: self.pool_max,
            idle: RefCell::default(),
            active: Cell::new(0),
            created: Cell::new(0),
        };
        Ok(Kv(Rc::new(Inner { pool, batcher: Batcher::new(self.pool_max, 64) })))
    }
}

/// An instance: it lives on one thread, so `Rc` and `Cell` will do.
pub(crate) struct Kv(Rc<Inner>);

struct Inner {
    pool: Pool,
    /// At most one batch a connection; what comes meanwhile gathers and travels together.
    batcher: Batcher<Line>,
}

/// One request that waits for its turn.
struct Line {
    text: String,
    reply: oneshot::Sender<Result<Option<String>, Failure>>,
}

struct Pool {
    address: SocketAddr,
    max: usize,
    idle: RefCell<Vec<BufReader<TcpStream>>>,
    active: Cell<usize>,
    created: Cell<u64>,
}

impl Pool {
    async fn take(&self) -> Result<BufReader<TcpStream>, Failure> {
        if let Some(idle) = self.idle.borrow_mut().pop() {
            return Ok(idle);
        }
        // Nothing was sent, so any class may be tried again.
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| Failure::unavailable(error.to_string()).caused_by(error))?;
        self.created.set(self.created.get() + 1);
        Ok(BufReader::new(stream))
    }
}

impl Inner {
    /// Sends one batch on one connection and hands its replies out by order.
    async fn exchange(&self, batch: Vec<Line>) {
        self.pool.active.set(self.pool.active.get() + 1);
        let replies = match self.pool.take().await {
            Err(failure) => vec![Err(failure); batch.len()],
            Ok(connection) => self.pipeline(connection, &batch).await,
        };
        self.pool.active.set(self.pool.active.get() - 1);
        for (line, reply) in batch.into_iter().zip(replies) {
            // A caller that has gone away needs no answer.
            let _ = line.reply.send(reply);
        }
    }

    async fn pipeline(
        &self,
        mut connection: BufReader<TcpStream>,
        batch: &[Line],
    ) -> Vec<Result<Option<String>, Failure>> {
        let text: String = batch.iter().map(|line| line.text.as_str()).collect();
        let mut replies = Vec::with_capacity(batch.len());
        if connection.get_mut().write_all(text.as_bytes()).await.is_ok() {
            let mut line = String::new();
            while replies.len() < batch.len() && matches!(connection.read_line(&mut line).await, Ok(1..)) {
                replies.push(parse(line.trim_end()));
                line.clear();
            }
        }
        if replies.len() == batch.len() {
            self.pool.idle.borrow_mut().push(connection);
        } else {
            // The connection is in doubt and is closed; those without a reply may have been executed.
            let lost = Failure::new(FailureKind::Lost, "connection lost").executed_is(Executed::Unknown);
            replies.resize(batch.len(), Err(lost));
        }
        replies
    }
}

fn parse(reply: &str) -> Result<Option<String>, Failure> {
    match reply.split_at_checked(1) {
        Some(("+", value)) => Ok(Some(value.into())),
        Some(("-", _)) => Ok(None),
        Some(("!", message)) => Err(Failure::refused(message)),
        _ => Err(Failure::new(FailureKind::Protocol, "no such reply").in_phase(Phase::Decode)),
    }
}

impl Kv {
    async fn send(&self, text: String, call: &CallContext) -> Result<Option<String>, Failure> {
        let (reply, answer) = oneshot::channel();
        // From here on it may leave at any time.
        call.sending();
        if let Some(mut batch) = self.0.batcher.push(Line { text, reply }) {
            let inner = Rc::clone(&self.0);
            tokio::task::spawn_local(async move {
                loop {
                    inner.exchange(batch).await;
                    let Some(next) = inner.batcher.finished() else { return };
                    batch = next;
                }
            });
        }
        let gone = |_| Failure::new(FailureKind::Lost, "the batch ended").executed_is(Executed::Unknown);
        answer.await.map_err(gone)?
    }
}

impl Backend for Kv {
    const KIND: &'static str = "kv";

    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        self.send("ping\n".into(), call).await.map(drop)
    }

    async fn close(&self, _: Deadline) {
        self.0.pool.idle.borrow_mut().clear();
    }

    fn pool(&self) -> PoolSnapshot {
        let pool = &self.0.pool;
        PoolSnapshot {
            active: pool.active.get(),
            idle: pool.idle.borrow().len(),
            waiting: self.0.batcher.waiting(),
            max: pool.max,
            created_total: pool.created.get(),
            ..PoolSnapshot::default()
        }
    }
}

/// Reads a value.
pub(crate) struct Get(String);

impl Get {
    pub(crate) fn new(key: &str) -> Self {
        Self(key.into())
    }
}

impl Message for Get {
    type Reply = Option<String>;
    const NAME: &'static str = "get";

    fn class(&self) -> Class {
        Class::Read
    }
}

impl Serve<Get> for Kv {
    async fn serve(&self, get: &Get, call: &CallContext) -> Result<Option<String>, Failure> {
        self.send(format!("get {}\n", get.0), call).await
    }
}

/// Puts a value in its place; the same twice is the same.
pub(crate) struct Put {
    key: String,
    value: String,
    class: Class,
}

impl Put {
    pub(crate) fn new(key: &str, value: &str) -> Self {
        Self { key: key.into(), value: value.into(), class: Class::Idempotent }
    }

    /// Declares that it must not be repeated.
    pub(crate) fn once(mut self) -> Self {
        self.class = Class::Unsafe;
        self
    }
}

impl Message for Put {
    type Reply = ();
    const NAME: &'static str = "put";

    fn class(&self) -> Class {
        self.class
    }
}

impl Serve<Put> for Kv {
    async fn serve(&self, put: &Put, call: &CallContext) -> Result<(), Failure> {
        self.send(format!("put {} {}\n", put.key, put.value), call).await.map(drop)
    }
}

/// The planted fault.
pub(crate) struct Shout;

impl Message for Shout {
    type Reply = ();
    const NAME: &'static str = "shout";
}

impl Serve<Shout> for Kv {
    async fn serve(&self, _: &Shout, _: &CallContext) -> Result<(), Failure> {
        panic!("this backend does not shout")
    }
}

impl Wire for Kv {
    const OPERATIONS: &'static [OperationInfo] = &[
        OperationInfo { name: "get", summary: "Reads a value.", arguments: &["key"] },
        OperationInfo { name: "put", summary: "Puts a value in its place.", arguments: &["key", "value"] },
    ];

    fn decode(name: &str, arguments: Value) -> Result<Operation<Self>, WireError> {
        let text = |key: &str| match arguments[key].as_str() {
            Some(text) if !text.contains([' ', '\n']) => Ok(text.to_owned()),
            _ => Err(WireError::new(format!("{name}: `{key}` must be a word"))),
        };
        match name {
            "get" => Ok(Operation::new(Get(text("key")?))),
            "put" => Ok(Operation::new(Put::new(&text("key")?, &text("value")?))),
            _ => Err(WireError::unknown_operation(name, Self::OPERATIONS)),
        }
    }
}
