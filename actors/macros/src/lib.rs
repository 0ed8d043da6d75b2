//! Attributes of Backstop. Each of them expands to a call that can as well be written by hand, and has no
//! behaviour of its own; the crate `backstop` re-exports them.

mod observed;
mod transactional;

use proc_macro::TokenStream;

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

/// Writes how long an async function took and how it ended, as an event of `tracing`.
///
/// The arguments are the table and the operation, as in `#[database_operation("users", "select")]`; they name
/// the event and change nothing else. The function returns a `Result`. Calls of backends are counted and timed
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
    finished(observed::expand(arguments.into(), function.into()))
}

/// An error becomes the compiler's, at the place that it names.
fn finished(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}
