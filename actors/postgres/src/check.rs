//! Settings that were checked, with the address taken apart.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use backstop_core::{error::ConfigError, policy::duration};
use backstop_sql::options::in_range;
use rustls::ClientConfig;
use tokio_postgres::config::{self, SslMode};

use crate::{Credentials, PostgresOptions, TargetSession, TlsMode, tls};

const PORT: u16 = 5432;

/// Where a server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Tcp { name: String, port: u16 },
    Unix(PathBuf),
}

impl Host {
    /// Says whether nobody else can listen in.
    fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { name, .. } => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// The name that a certificate must hold.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tcp { name, .. } => name.clone(),
            Self::Unix(_) => String::new(),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { name, port } => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What connections are made from.
pub(crate) struct Settings {
    pub(crate) options: PostgresOptions,
    pub(crate) hosts: Vec<Host>,
    pub(crate) target: TargetSession,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// All but the password.
    pub(crate) driver: tokio_postgres::Config,
    /// The same without our options of the session, for poolers, which take none.
    pub(crate) pooled_driver: tokio_postgres::Config,
}

impl Settings {
    pub(crate) fn of(options: &PostgresOptions) -> Result<Self, ConfigError> {
        ranges(options)?;
        let address = Address::of(options)?;
        let hosts = match &options.hosts[..] {
            [] => address.hosts()?,
            named => named.iter().map(|host| parse_host(host)).collect::<Result<_, _>>()?,
        };
        if hosts.is_empty() {
            return Err(ConfigError::new("hosts", "must name at least one host, or `url` must"));
        }
        let all_local = hosts.iter().all(Host::is_local);
        let mode = options.tls.or(address.tls).unwrap_or(if all_local {
            TlsMode::Disable
        } else {
            TlsMode::VerifyFull
        });
        if mode != TlsMode::Disable
            && let Some(Host::Unix(path)) = hosts.iter().find(|host| matches!(host, Host::Unix(_)))
        {
            let text = format!("must be \"disable\" with the socket {}, which knows no TLS", path.display());
            return Err(ConfigError::new("tls", text));
        }
        let credentials = credentials(options, &address.config);
        if mode == TlsMode::Disable && credentials.is_some() && !options.allow_plain_text_password {
            refuse_plain_text(&hosts)?;
        }
        let roots = options.root_certificates.as_deref().or(address.roots.as_deref());
        let tls = (mode != TlsMode::Disable).then(|| tls::config(mode, roots)).transpose()?;
        let target = options.target_session.unwrap_or(match address.config.get_target_session_attrs() {
            config::TargetSessionAttrs::ReadWrite => TargetSession::ReadWrite,
            config::TargetSessionAttrs::ReadOnly => TargetSession::ReadOnly,
            _ => TargetSession::Any,
        });
        let pooled_driver = pooled_driver(options, address.config, tls.is_some())?;
        let driver = driver(options, pooled_driver.clone());
        Ok(Self { options: options.clone(), hosts, target, credentials, tls, driver, pooled_driver })
    }
}

fn refuse_plain_text(hosts: &[Host]) -> Result<(), ConfigError> {
    let Some(host) = hosts.iter().find(|host| !host.is_local()) else { return Ok(()) };
    let text = format!(
        "the password would travel to {host} in plain text; use \"verify-full\", or set `allow_plain_text_password`"
    );
    Err(ConfigError::new("tls", text))
}

fn credentials(options: &PostgresOptions, address: &tokio_postgres::Config) -> Option<Credentials> {
    if let Some(credentials) = &options.credentials {
        return Some(credentials.clone());
    }
    if let Some(password) = &options.password {
        return Some(Credentials::new(password.clone()));
    }
    let password = String::from_utf8_lossy(address.get_password()?).into_owned();
    Some(Credentials::new(password))
}

/// The address, with what the driver does not know taken out.
struct Address {
    config: tokio_postgres::Config,
    tls: Option<TlsMode>,
    roots: Option<PathBuf>,
}

impl Address {
    fn of(options: &PostgresOptions) -> Result<Self, ConfigError> {
        let mut address = Self { config: tokio_postgres::Config::new(), tls: None, roots: None };
        let Some(url) = &options.url else { return Ok(address) };
        let url = url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong_url("must start with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => address.tls = Some(parse_mode(mode)?),
                Some(("sslrootcert", file)) => address.roots = Some(PathBuf::from(decoded(file))),
                _ => rest.push(pair),
            }
        }
        let text = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        address.config = text.parse().map_err(|error: tokio_postgres::Error| {
            // the cause names a setting, never its value
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            wrong_url(&format!("cannot be read: {why}"))
        })?;
        Ok(address)
    }

    fn hosts(&self) -> Result<Vec<Host>, ConfigError> {
        let ports = self.config.get_ports();
        let names = self.config.get_hosts();
        if ports.len() > 1 && ports.len() != names.len() {
            return Err(wrong_url("must give no port, one, or one a host"));
        }
        if !self.config.get_hostaddrs().is_empty() {
            return Err(wrong_url("must name its hosts; `hostaddr` is not known"));
        }
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
        let host = |(at, host): (usize, &config::Host)| match host {
            config::Host::Tcp(name) => Host::Tcp { name: name.clone(), port: port(at) },
            #[cfg(unix)]
            config::Host::Unix(path) => Host::Unix(path.join(format!(".s.PGSQL.{}", port(at)))),
        };
        Ok(names.iter().enumerate().map(host).collect())
    }
}

fn wrong_url(why: &str) -> ConfigError {
    ConfigError::new("url", why)
}

fn parse_mode(mode: &str) -> Result<TlsMode, ConfigError> {
    match mode {
        "disable" => Ok(TlsMode::Disable),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "require" | "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(wrong_url(
            "`sslmode` must be disable, verify-ca, verify-full or require; a mode that falls back to plain text \
             protects nothing",
        )),
    }
}

/// Undoes `%2F` and its kin.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]).1,
            None => (bytes.push(*first), rest = tail).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse_host(text: &str) -> Result<Host, ConfigError> {
    let wrong =
        || ConfigError::new("hosts", format!("{text:?} is no host, host:port or directory of a socket"));
    if text.starts_with('/') {
        return Ok(Host::Unix(PathBuf::from(text).join(format!(".s.PGSQL.{PORT}"))));
    }
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, port)) => (name, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wrong())?;
    if name.is_empty() || name.contains(['/', '@', ' ']) || port == 0 {
        return Err(wrong());
    }
    Ok(Host::Tcp { name: name.to_owned(), port })
}

/// What the driver is told at the start of each session, wherever it is.
fn pooled_driver(
    options: &PostgresOptions,
    mut config: tokio_postgres::Config,
    encrypted: bool,
) -> Result<tokio_postgres::Config, ConfigError> {
    if let Some(user) = &options.user {
        config.user(user);
    }
    if config.get_user().is_none_or(str::is_empty) {
        return Err(ConfigError::new("user", "must be given, here or in `url`"));
    }
    if let Some(database) = &options.database {
        config.dbname(database);
    }
    config.application_name(&options.application_name);
    config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
    Ok(config)
}

/// With it, what is set for sessions that are ours alone.
fn driver(options: &PostgresOptions, mut config: tokio_postgres::Config) -> tokio_postgres::Config {
    let own = format!(
        "-c statement_timeout={} -c idle_in_transaction_session_timeout={}",
        options.statement_timeout.as_millis(),
        options.idle_in_transaction_timeout.as_millis()
    );
    let all = config.get_options().map_or_else(|| own.clone(), |given| format!("{own} {given}"));
    config.options(all);
    config
}

fn ranges(options: &PostgresOptions) -> Result<(), ConfigError> {
    let day = Duration::from_secs(24 * 60 * 60);
    in_range("pool_size", options.pool_size, 1..=1_000)?;
    in_range("max_overflow", options.max_overflow, 0..=1_000)?;
    in_range("min_idle", options.min_idle, 0..=options.pool_size)?;
    in_range("statement_cache", options.statement_cache, 1..=10_000)?;
    in_range("rows_max", options.rows_max, 1..=10_000_000)?;
    in_range("bytes_max", options.bytes_max, 1 << 10..=1_000_000_000)?;
    for (setting, value) in [
        ("acquire_timeout", options.acquire_timeout),
        ("connect_timeout", options.connect_timeout),
        ("max_lifetime", options.max_lifetime),
        ("idle_timeout", options.idle_timeout),
        ("keepalive", options.keepalive),
        ("user_timeout", options.user_timeout),
        ("statement_timeout", options.statement_timeout),
        ("idle_in_transaction_timeout", options.idle_in_transaction_timeout),
        ("stream_idle", options.stream_idle),
    ] {
        duration::check(setting, value, Duration::from_millis(1), day)?;
    }
    Ok(())
}
