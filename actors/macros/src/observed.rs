//! `#[database_operation(table, operation)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, LitStr, Result, ReturnType, Token, parse::Parser as _, punctuated::Punctuated};

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let (table, operation) = names(arguments)?;
    let ItemFn { attrs, vis, sig, block } = syn::parse2(function)?;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, "`database_operation` observes an async function"));
    }
    if matches!(sig.output, ReturnType::Default) {
        let text = "`database_operation` needs a function that returns a `Result`, whose end it records";
        return Err(Error::new_spanned(&sig.ident, text));
    }
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            ::backstop::observe(#table, #operation, async move #block).await
        }
    })
}

fn names(arguments: TokenStream) -> Result<(LitStr, LitStr)> {
    let text = "name the table and the operation: `#[database_operation(\"users\", \"select\")]`";
    let names = Punctuated::<LitStr, Token![,]>::parse_terminated
        .parse2(arguments.clone())
        .map_err(|error| Error::new(error.span(), text))?;
    let mut names = names.into_iter();
    match (names.next(), names.next(), names.next()) {
        (Some(table), Some(operation), None) => Ok((table, operation)),
        _ => Err(Error::new_spanned(arguments, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: TokenStream, function: TokenStream) -> String {
        expand(arguments, function).unwrap_err().to_string()
    }

    #[test]
    fn the_body_is_observed_and_the_signature_stays() {
        let function = quote! {
            /// Finds.
            pub async fn find(db: &Db, id: i64) -> Result<Row, CallError> { db.find(id).await }
        };
        let expected = quote! {
            /// Finds.
            pub async fn find(db: &Db, id: i64) -> Result<Row, CallError> {
                ::backstop::observe("users", "select", async move { db.find(id).await }).await
            }
        };
        assert_eq!(expand(quote!("users", "select"), function).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn what_it_cannot_observe_is_an_error_that_says_what_would_be_right() {
        let good = || quote! { async fn find() -> Result<(), CallError> { Ok(()) } };
        for arguments in [quote!(), quote!("users"), quote!("users", "select", "x"), quote!(users, select)] {
            assert!(error(arguments, good()).contains("name the table and the operation"));
        }
        let names = || quote!("users", "select");
        let plain = quote! { fn find() -> Result<(), CallError> { Ok(()) } };
        assert!(error(names(), plain).contains("an async function"));
        assert!(error(names(), quote! { async fn find() {} }).contains("returns a `Result`"));
        assert!(!error(names(), quote! { struct User; }).is_empty());
    }
}
