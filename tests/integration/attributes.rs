//! Attributes and their plain forms.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use backstop::{
    core::{
        backend::{Backend, Connect, Serve},
        call::CallContext,
        error::{ConfigError, Failure, FailureKind},
    },
    database_operation, observe,
    prelude::*,
    sql::{
        AsyncTx, AsyncTxEngine, Params, Request, TransactAsync, TxError, Written, transaction::SavepointVerb,
    },
    transactional,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::fake::end;

/// A backend that notes the parameters of each statement, and runs every closure twice, as after a deadlock.
#[derive(Clone, Default)]
struct BankOptions(Arc<Mutex<Vec<Params>>>);
struct Bank(Arc<Mutex<Vec<Params>>>);

impl Connect for BankOptions {
    type Shared = ();
    type Backend = Bank;
    fn share(&self) -> Result<(), ConfigError> {
        Ok(())
    }
    async fn connect(&self, _: &Arc<()>) -> Result<Bank, ConfigError> {
        Ok(Bank(Arc::clone(&self.0)))
    }
}

impl Backend for Bank {
    const KIND: &'static str = "bank";
    async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
        Ok(())
    }
    async fn close(&self, _: Deadline) {}
}

struct Engine<'a>(&'a Bank);

type Local<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

impl AsyncTxEngine for Engine<'_> {
    fn run<'a>(&'a mut self, request: &'a Request) -> Local<'a, Written> {
        self.0.0.lock().unwrap().push(request.params.clone());
        Box::pin(async { Ok(Written::default()) })
    }

    fn savepoint(&mut self, _: SavepointVerb) -> Local<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl<R: Send + 'static> Serve<TransactAsync<R>> for Bank {
    async fn serve(&self, message: &TransactAsync<R>, _: &CallContext) -> Result<R, Failure> {
        for _ in 0..2 {
            let mut engine = Engine(self);
            let result = message.body().run(&mut AsyncTx::new(&mut engine)).await;
            let reply = result.map_err(TxError::into_failure)?;
            if self.0.lock().unwrap().len().is_multiple_of(2) {
                return reply.downcast().map(|reply| *reply).map_err(|_| Failure::refused("another type"));
            }
        }
        Err(Failure::new(FailureKind::Aborted, "ran twice"))
    }
}

/// A parameter that the body consumes, though it runs twice.
#[transactional(bank)]
async fn pay(
    bank: &BackendRef<Bank>,
    tx: &mut AsyncTx<'_>,
    to: String,
    cents: i64,
) -> Result<String, TxError> {
    if cents < 0 {
        return Err(TxError::abort("less than nothing"));
    }
    tx.execute("UPDATE account SET cents = cents + ? WHERE name = ?", (cents, to.clone())).await?;
    Ok(to)
}

struct Teller {
    bank: BackendRef<Bank>,
}

impl Teller {
    #[transactional(self.bank)]
    async fn note(&self, tx: &mut AsyncTx<'_>, text: String) -> Result<(), TxError> {
        tx.execute("INSERT INTO note VALUES (?)", [text]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_transactional_function_is_a_transaction_of_its_backend() {
    let options = BankOptions::default();
    let runtime =
        Runtime::builder().typed_backend("bank", options.clone(), Policy::default()).start().await.unwrap();
    let bank = runtime.backend::<Bank>("bank").unwrap();
    assert_eq!(pay(&bank, "Ada".into(), 5).await.unwrap(), "Ada");
    let expected = Params::from((5, "Ada"));
    assert_eq!(*options.0.lock().unwrap(), [expected.clone(), expected], "each run has its own clones");
    let error: CallError = pay(&bank, "Ada".into(), -1).await.unwrap_err();
    assert!(error.executed() == Executed::No && error.to_string().contains("less than nothing"), "{error}");
    Teller { bank }.note("late".into()).await.unwrap();
    assert_eq!(options.0.lock().unwrap().len(), 4);
    end(runtime).await;
}

/// Notes the fields of the events that functions write.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "backstop::operation"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = if field.name() == "elapsed_us" { "some".to_owned() } else { format!("{value:?}") };
        self.0 += &format!("{}={value} ", field.name());
    }
}

#[database_operation("users", "select")]
async fn find(id: i64) -> Result<i64, String> {
    if id < 0 { Err("no such user".to_owned()) } else { Ok(id) }
}

#[tokio::test]
async fn an_observed_function_says_how_it_ended_even_when_it_is_given_up() {
    let notes = Notes::default();
    let listening = tracing::subscriber::set_default(notes.clone());
    assert_eq!(find(7).await, Ok(7));
    find(-1).await.unwrap_err();
    let endless = observe("users", "update", std::future::pending::<Result<(), ()>>());
    tokio::select! {
        biased;
        _ = endless => unreachable!("it never ends"),
        () = std::future::ready(()) => {}
    }
    drop(listening);
    let line = |operation: &str, outcome: &str| {
        format!("subject=\"users\" operation=\"{operation}\" outcome=\"{outcome}\" elapsed_us=some ")
    };
    let expected = [line("select", "ok"), line("select", "error"), line("update", "abandoned")];
    assert_eq!(*notes.0.lock().unwrap(), expected);
}
