//! Where the server is, and what the driver is told.

use std::{net::IpAddr, path::Path};

use backstop_core::error::ConfigError;
use mysql_async::{Opts, OptsBuilder, SslOpts};

use super::{MySqlOptions, Tls};

/// Builds the driver's options from an address or from fields.
pub(super) fn of(options: &MySqlOptions) -> Result<Opts, ConfigError> {
    let builder = match (&options.url, &options.host, &options.socket) {
        (Some(url), None, None) => from_url(options, url.expose())?,
        (None, Some(host), None) => from_fields(options, host)?,
        (None, None, Some(path)) => from_socket(options, path)?,
        _ => return Err(ConfigError::new("url", "give one of `url`, `host` and `socket`")),
    };
    let mut builder = builder
        // the driver would change to the server's Unix socket behind our back
        .prefer_socket(false)
        // matched rows, as the other engines count them
        .client_found_rows(true)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(options.keepalive))
        .stmt_cache_size(options.statement_cache);
    match options.tls {
        Tls::Off if options.tls_ca.is_some() => {
            return Err(ConfigError::new("tls_ca", "has no effect unless `tls` is \"verified\""));
        }
        Tls::Off => {}
        Tls::Verified => builder = builder.ssl_opts(tls(options)?),
    }
    let opts = Opts::from(builder);
    let has_password = opts.pass().is_some_and(|password| !password.is_empty());
    let is_near = options.socket.is_some() || is_loopback(opts.ip_or_hostname());
    if options.tls == Tls::Off && has_password && !is_near && !options.allow_plain_text {
        let text = "a password would travel in plain text to another machine; set `tls` to \"verified\", or \
                    `allow_plain_text` where the network is trusted";
        return Err(ConfigError::new("tls", text));
    }
    Ok(opts)
}

fn from_url(options: &MySqlOptions, url: &str) -> Result<OptsBuilder, ConfigError> {
    let wrong = |message: &str| ConfigError::new("url", message);
    let given = [
        ("port", options.port.is_some()),
        ("user", options.user.is_some()),
        ("password", options.password.is_some()),
        ("database", options.database.is_some()),
    ];
    if let Some((setting, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(ConfigError::new(setting, "is part of `url`; give it there"));
    }
    if url.contains('?') {
        return Err(wrong("must have no parameters; every setting has a name of its own"));
    }
    let rest = ["mysql://", "mariadb://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
    let opts = rest.and_then(|rest| Opts::from_url(&format!("mysql://{rest}")).ok());
    // the address itself may hold a password, so no message shows it
    let opts = opts.ok_or_else(|| wrong("must be of the form mysql://user:password@host:port/database"))?;
    Ok(OptsBuilder::from_opts(opts))
}

fn from_fields(options: &MySqlOptions, host: &str) -> Result<OptsBuilder, ConfigError> {
    if host.is_empty() {
        return Err(ConfigError::new("host", "must be a name or an address"));
    }
    Ok(login(options).ip_or_hostname(host).tcp_port(options.port.unwrap_or(3306)))
}

fn from_socket(options: &MySqlOptions, path: &Path) -> Result<OptsBuilder, ConfigError> {
    if options.port.is_some() {
        return Err(ConfigError::new("port", "has no effect on a socket"));
    }
    if options.tls != Tls::Off {
        return Err(ConfigError::new("tls", "has no effect on a socket, which does not leave this machine"));
    }
    match path.to_str() {
        Some(path) if !path.is_empty() => Ok(login(options).socket(Some(path))),
        _ => Err(ConfigError::new("socket", "must be a path in UTF-8")),
    }
}

fn login(options: &MySqlOptions) -> OptsBuilder {
    OptsBuilder::default()
        .user(options.user.clone())
        .pass(options.password.as_ref().map(|password| password.expose().to_owned()))
        .db_name(options.database.clone())
}

fn tls(options: &MySqlOptions) -> Result<SslOpts, ConfigError> {
    let Some(file) = &options.tls_ca else { return Ok(SslOpts::default()) };
    if let Err(error) = std::fs::File::open(file) {
        return Err(ConfigError::new("tls_ca", format!("cannot be read: {error}")));
    }
    Ok(SslOpts::default().with_root_certs(vec![file.clone().into()]).with_disable_built_in_roots(true))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
