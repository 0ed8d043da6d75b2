//! Attributes of Backstop. Each of them expands to a call that can as well be written by hand, and has no
//! behaviour of its own; the crate `backstop` re-exports them.

mod observed;
mod transactional;

use proc_macro::TokenStream;

use self::observed::Kind;

/// Runs the body of an async function inside a transaction.
///
/// The argument names the backend: a parameter, or an expression such as `self.bank`. One parameter is the
/// transaction, of type `&mut AsyncTx<'_>`; callers do not give it. The function returns `Result<R, TxError>`
/// inside, and `Result<R, CallError>` to its callers.
///
/// The body may run again after a definite abort, so its other parameters are owned values that can be cloned.
///
/// ```text
/// #[transactional(bank)]
/// async fn pay(bank: &BackendRef<Sqlite>, tx: &mut AsyncTx<'_>, from: i64, cents: i64) -> Result<u64, TxError> {
///     Ok(tx.execute("UPDATE account SET cents = cents - ? WHERE id = ?", (cents, from)).await?.affected)
/// }
///
/// // the same by hand
/// async fn pay(bank: &BackendRef<Sqlite>, from: i64, cents: i64) -> Result<u64, CallError> {
///     bank.ask(TransactAsync::new(async move |tx| {
///         Ok(tx.execute("UPDATE account SET cents = cents - ? WHERE id = ?", (cents, from)).await?.affected)
///     }))
///     .await
/// }
/// ```
#[proc_macro_attribute]
pub fn transactional(argument: TokenStream, function: TokenStream) -> TokenStream {
    finished(transactional::expand(argument.into(), function.into()))
}

/// Records how long an async function took and how it ended, in `durations()` and as an event of `tracing`.
///
/// The arguments are the table and the operation, as in `#[database_operation("users", "select")]`; they name
/// what is recorded and change nothing else. The function returns a `Result`. Calls of backends are counted and timed
/// without it; it is for functions that make several of them.
///
/// ```text
/// #[database_operation("users", "select")]
/// async fn find(db: &BackendRef<Sqlite>, id: i64) -> Result<Rows, CallError> {
///     db.ask(SelectOne::new("users", ("id", id))).await
/// }
///
/// // the same by hand
/// async fn find(db: &BackendRef<Sqlite>, id: i64) -> Result<Rows, CallError> {
///     observe("users", "select", async move { db.ask(SelectOne::new("users", ("id", id))).await }).await
/// }
/// ```
#[proc_macro_attribute]
pub fn database_operation(arguments: TokenStream, function: TokenStream) -> TokenStream {
    finished(observed::expand(Kind::Database, arguments.into(), function.into()))
}

/// Records how long an async function took and how it ended, as [`macro@database_operation`] does.
///
/// The arguments are the client, the method and the path, as in `#[api_operation("payments", "GET", "/charges")]`.
/// The function makes the call itself; caching and retries are those of its messages.
///
/// ```text
/// #[api_operation("payments", "GET", "/charges")]
/// async fn charges(api: &BackendRef<Http>) -> Result<Response, CallError> {
///     api.ask(Get::new("/charges")).await
/// }
///
/// // the same by hand
/// async fn charges(api: &BackendRef<Http>) -> Result<Response, CallError> {
///     observe("payments", "GET /charges", async move { api.ask(Get::new("/charges")).await }).await
/// }
/// ```
#[proc_macro_attribute]
pub fn api_operation(arguments: TokenStream, function: TokenStream) -> TokenStream {
    finished(observed::expand(Kind::Api, arguments.into(), function.into()))
}

/// Turns an async function into one that starts a task of its own, and records how long that took and how it ended.
///
/// Its name in `durations()` is `background.` and that of the function, unless the argument is another one. The
/// parameters are owned, because the task outlives its caller. It must be called inside a runtime of tokio.
///
/// ```text
/// #[background_task]
/// async fn process(data: Data) -> Result<Report, Error> { … }
///
/// // the same by hand
/// fn process(data: Data) -> Background<Result<Report, Error>> {
///     background("process", async move { … })
/// }
/// ```
#[proc_macro_attribute]
pub fn background_task(arguments: TokenStream, function: TokenStream) -> TokenStream {
    finished(observed::expand(Kind::Background, arguments.into(), function.into()))
}

/// An error becomes the compiler's, at the place that it names.
fn finished(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}
