//! `#[database_operation(table, operation)]`, `#[api_operation(client, method, path)]` and
//! `#[background_task]`: one body that is observed, under names of different places.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, FnArg, ItemFn, LitStr, Result, ReturnType, Token, Type, parse::Parser as _, punctuated::Punctuated,
};

/// What is observed, which says what its attribute is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Database,
    Api,
    Background,
}

impl Kind {
    fn attribute(self) -> &'static str {
        match self {
            Self::Database => "database_operation",
            Self::Api => "api_operation",
            Self::Background => "background_task",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::Database => {
                "name the table and the operation: `#[database_operation(\"users\", \"select\")]`"
            }
            Self::Api => {
                "name the client, the method and the path: `#[api_operation(\"payments\", \"GET\", \"/charges\")]`"
            }
            Self::Background => {
                "give a name or nothing: `#[background_task]` or `#[background_task(\"mail\")]`"
            }
        }
    }
}

pub(crate) fn expand(kind: Kind, arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let names = names(kind, arguments)?;
    let ItemFn { attrs, vis, mut sig, block } = syn::parse2(function)?;
    let attribute = kind.attribute();
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, format!("`{attribute}` observes an async function")));
    }
    let ReturnType::Type(_, output) = sig.output.clone() else {
        let text = format!("`{attribute}` needs a function that returns a `Result`, whose end it records");
        return Err(Error::new_spanned(&sig.ident, text));
    };
    let body = match (kind, &names[..]) {
        (Kind::Database, [table, operation]) => {
            quote!(::backstop::observe(#table, #operation, async move #block).await)
        }
        (Kind::Api, [client, method, path]) => {
            let operation = LitStr::new(&format!("{} {}", method.value(), path.value()), method.span());
            quote!(::backstop::observe(#client, #operation, async move #block).await)
        }
        (_, names) => {
            owned(&sig.inputs)?;
            let own = LitStr::new(&sig.ident.to_string(), sig.ident.span());
            let name = names.first().unwrap_or(&own);
            sig.asyncness = None;
            sig.output = syn::parse_quote!(-> ::backstop::Background<#output>);
            quote!(::backstop::background(#name, async move #block))
        }
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #body
        }
    })
}

fn names(kind: Kind, arguments: TokenStream) -> Result<Vec<LitStr>> {
    let names = Punctuated::<LitStr, Token![,]>::parse_terminated
        .parse2(arguments.clone())
        .map_err(|error| Error::new(error.span(), kind.usage()))?;
    let names: Vec<_> = names.into_iter().collect();
    match (kind, names.len()) {
        (Kind::Database, 2) | (Kind::Api, 3) | (Kind::Background, 0 | 1) => Ok(names),
        _ => Err(Error::new_spanned(arguments, kind.usage())),
    }
}

/// Refuses what a task cannot take with it.
fn owned(inputs: &Punctuated<FnArg, Token![,]>) -> Result<()> {
    let borrowed = |input: &&FnArg| match input {
        FnArg::Receiver(receiver) => receiver.reference.is_some(),
        FnArg::Typed(typed) => matches!(*typed.ty, Type::Reference(_)),
    };
    let text = "the task outlives its caller, so its parameters are owned: `String` in place of `&str`, an `Arc` \
                or a clone in place of a reference";
    inputs.iter().find(borrowed).map_or(Ok(()), |input| Err(Error::new_spanned(input, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, arguments: TokenStream, function: TokenStream) -> String {
        expand(kind, arguments, function).unwrap_err().to_string()
    }

    #[test]
    fn the_body_is_observed_and_the_signature_stays() {
        let function = quote! {
            /// Finds.
            pub async fn find(db: &Db, id: i64) -> Result<Row, CallError> { db.find(id).await }
        };
        let expected = |subject, operation| {
            quote! {
                /// Finds.
                pub async fn find(db: &Db, id: i64) -> Result<Row, CallError> {
                    ::backstop::observe(#subject, #operation, async move { db.find(id).await }).await
                }
            }
        };
        for (kind, arguments, expected) in [
            (Kind::Database, quote!("users", "select"), expected("users", "select")),
            (Kind::Api, quote!("crm", "GET", "/users"), expected("crm", "GET /users")),
        ] {
            assert_eq!(
                expand(kind, arguments, function.clone()).unwrap().to_string(),
                expected.to_string(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_background_task_starts_where_it_is_called() {
        let function = || {
            quote!(
                pub async fn mail(to: String) -> Result<(), E> {
                    send(to).await
                }
            )
        };
        for (arguments, name) in [(quote!(), "mail"), (quote!("letters"), "letters")] {
            let expected = quote! {
                pub fn mail(to: String) -> ::backstop::Background<Result<(), E> > {
                    ::backstop::background(#name, async move { send(to).await })
                }
            };
            let expanded = expand(Kind::Background, arguments, function()).unwrap();
            assert_eq!(expanded.to_string(), expected.to_string());
        }
        for borrowed in [quote!(&self), quote!(to: &str)] {
            let function = quote!(async fn mail(#borrowed) -> Result<(), E> { Ok(()) });
            assert!(error(Kind::Background, quote!(), function).contains("owned"));
        }
    }

    #[test]
    fn what_it_cannot_observe_is_an_error_that_says_what_would_be_right() {
        let good = || quote! { async fn find() -> Result<(), CallError> { Ok(()) } };
        let kinds = [(Kind::Database, 2), (Kind::Api, 3), (Kind::Background, 1)];
        for (kind, count) in kinds {
            let too_many = (0..=count).map(|_| quote!("a",)).collect::<TokenStream>();
            for arguments in [too_many, quote!(users, select)] {
                assert!(error(kind, arguments, good()).contains(kind.attribute()));
            }
            let names = || (0..count).map(|_| quote!("a",)).collect::<TokenStream>();
            let plain = quote! { fn find() -> Result<(), CallError> { Ok(()) } };
            assert!(error(kind, names(), plain).contains("an async function"));
            assert!(error(kind, names(), quote! { async fn find() {} }).contains("returns a `Result`"));
            assert!(!error(kind, names(), quote! { struct User; }).is_empty());
        }
        assert!(error(Kind::Database, quote!("users"), good()).contains("name the table"));
        assert!(error(Kind::Api, quote!("crm", "GET"), good()).contains("the path"));
    }
}
