//! `#[transactional(backend)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, Expr, FnArg, GenericArgument, Ident, ItemFn, Pat, PatType, PathArguments, Result, ReturnType,
    Signature, Type, punctuated::Punctuated,
};

pub(crate) fn expand(argument: TokenStream, function: TokenStream) -> Result<TokenStream> {
    if argument.is_empty() {
        let text = "name the backend: `#[transactional(bank)]` or `#[transactional(self.bank)]`";
        return Err(Error::new(proc_macro2::Span::call_site(), text));
    }
    let backend: Expr = syn::parse2(argument)?;
    let ItemFn { attrs, vis, mut sig, block } = syn::parse2(function)?;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, "`transactional` runs the body of an async function"));
    }
    let output = sig.output.clone();
    let reply = reply_of(&sig)?;
    let transaction = take_transaction(&mut sig)?;
    let owned = owned_parameters(&sig, &backend)?;
    sig.output = syn::parse_quote!(-> ::core::result::Result<#reply, ::backstop::CallError>);
    let (name, kind) = (&transaction.pat, &transaction.ty);
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            // the body may run again, so it works on clones
            (#backend).ask(::backstop::sql::TransactAsync::new(async move |#name: #kind| #output {
                #(let #owned = ::core::clone::Clone::clone(&#owned);)*
                #block
            })).await
        }
    })
}

/// The `R` of `Result<R, TxError>`.
fn reply_of(sig: &Signature) -> Result<Type> {
    let text = "`transactional` needs a function that returns `Result<R, TxError>`";
    if let ReturnType::Type(_, kind) = &sig.output
        && let Type::Path(path) = &**kind
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(reply)) = arguments.args.first()
        && arguments.args.len() == 2
    {
        return Ok(reply.clone());
    }
    Err(Error::new_spanned(&sig.ident, text))
}

/// Takes the parameter of type `&mut AsyncTx<'_>` out, because callers do not give it.
fn take_transaction(sig: &mut Signature) -> Result<PatType> {
    let mut found = None;
    let inputs = std::mem::take(&mut sig.inputs);
    let mut kept = Punctuated::new();
    for input in inputs {
        match input {
            FnArg::Typed(typed) if is_transaction(&typed.ty) => {
                if found.is_some() {
                    return Err(Error::new_spanned(typed, "a function has one transaction"));
                }
                found = Some(typed);
            }
            input => kept.push(input),
        }
    }
    sig.inputs = kept;
    found.ok_or_else(|| {
        Error::new_spanned(&sig.ident, "one parameter must be the transaction: `tx: &mut AsyncTx<'_>`")
    })
}

fn is_transaction(kind: &Type) -> bool {
    let Type::Reference(reference) = kind else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    reference.mutability.is_some() && path.path.segments.last().is_some_and(|last| last.ident == "AsyncTx")
}

/// The parameters that the body uses: all but the backend.
fn owned_parameters(sig: &Signature, backend: &Expr) -> Result<Vec<Ident>> {
    let backend = match backend {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    };
    let mut owned = Vec::new();
    for input in &sig.inputs {
        let FnArg::Typed(PatType { pat, ty, .. }) = input else { continue };
        let Pat::Ident(name) = &**pat else {
            return Err(Error::new_spanned(pat, "give the parameter a name; the body may take it apart"));
        };
        if Some(&name.ident) == backend {
            continue;
        }
        if matches!(**ty, Type::Reference(_)) {
            let text = "the body outlives the call and may run again, so its parameters are owned: \
                        `String` in place of `&str`, an `Arc` or a clone in place of a reference";
            return Err(Error::new_spanned(ty, text));
        }
        owned.push(name.ident.clone());
    }
    Ok(owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(argument: TokenStream, function: TokenStream) -> String {
        expand(argument, function).unwrap_err().to_string()
    }

    #[test]
    fn the_body_becomes_a_transaction_that_callers_do_not_see() {
        let function = quote! {
            pub async fn pay(bank: &Bank, tx: &mut AsyncTx<'_>, from: i64) -> Result<u64, TxError> {
                Ok(tx.execute("X", [from]).await?.affected)
            }
        };
        let expected = quote! {
            pub async fn pay(bank: &Bank, from: i64) -> ::core::result::Result<u64, ::backstop::CallError> {
                (bank).ask(::backstop::sql::TransactAsync::new(async move |tx: &mut AsyncTx<'_>| -> Result<u64, TxError> {
                    let from = ::core::clone::Clone::clone(&from);
                    { Ok(tx.execute("X", [from]).await?.affected) }
                })).await
            }
        };
        assert_eq!(expand(quote!(bank), function).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn a_backend_can_be_a_field() {
        let function =
            quote! { async fn pay(&self, tx: &mut sql::AsyncTx<'_>) -> Result<(), TxError> { Ok(()) } };
        let expanded = expand(quote!(self.bank), function).unwrap().to_string();
        assert!(expanded.contains(&quote!((self.bank).ask).to_string()), "{expanded}");
    }

    #[test]
    fn what_cannot_run_in_a_transaction_is_an_error_that_says_what_would_be_right() {
        let bank = || quote!(bank);
        for (argument, function, expected) in [
            (
                quote!(),
                quote! { async fn a(tx: &mut AsyncTx<'_>) -> Result<(), TxError> { Ok(()) } },
                "name the backend",
            ),
            (
                bank(),
                quote! { fn a(tx: &mut AsyncTx<'_>) -> Result<(), TxError> { Ok(()) } },
                "an async function",
            ),
            (
                bank(),
                quote! { async fn a(bank: &B) -> Result<(), TxError> { Ok(()) } },
                "`tx: &mut AsyncTx<'_>`",
            ),
            (
                bank(),
                quote! { async fn a(bank: &B, tx: &mut AsyncTx<'_>) {} },
                "returns `Result<R, TxError>`",
            ),
            (
                bank(),
                quote! { async fn a(bank: &B, tx: &mut AsyncTx<'_>, name: &str) -> Result<(), TxError> { Ok(()) } },
                "`String` in place of `&str`",
            ),
            (
                bank(),
                quote! { async fn a(tx: &mut AsyncTx<'_>, (a, b): (u8, u8)) -> Result<(), TxError> { Ok(()) } },
                "give the parameter a name",
            ),
            (
                bank(),
                quote! { async fn a(x: &mut AsyncTx<'_>, y: &mut AsyncTx<'_>) -> Result<(), TxError> { Ok(()) } },
                "one transaction",
            ),
        ] {
            let error = error(argument, function);
            assert!(error.contains(expected), "{error}");
        }
    }
}
