//! The recipe of an HTTP backend.

use std::{fmt, sync::Arc, time::Duration};

use backstop_core::{backend::Connect, error::ConfigError, policy::duration};
use backstop_transport::{Cap, Target, Timeouts, Tls, TlsOptions};
use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

use crate::{backend::Http, headers, path};

/// Settings of an HTTP backend: one base address and the bounds around it.
///
/// ```
/// use backstop_http::HttpOptions;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = HttpOptions::new("https://api.example.com/v1/")?;
/// options.first_byte_timeout = Duration::from_secs(2);
/// options.default_headers.push(("accept".into(), "application/json".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    /// Scheme, host, port and base path; http or https, without user, query and fragment.
    #[serde(deserialize_with = "read_base")]
    pub base_url: Url,
    /// Headers of every request; a request replaces those of the same name, except credentials.
    #[serde(default)]
    pub default_headers: Vec<(String, String)>,
    /// The only headers a request may set, in any case; all that are not reserved by default.
    #[serde(default)]
    pub allowed_headers: Option<Vec<String>>,
    /// For resolving, connecting and the TLS handshake together; 5 s by default.
    #[serde(default = "default::connect_timeout", with = "duration")]
    pub connect_timeout: Duration,
    /// From the first byte sent to the head of the answer, so the upload counts; 30 s by default.
    #[serde(default = "default::first_byte_timeout", with = "duration")]
    pub first_byte_timeout: Duration,
    /// The longest wait between two pieces of the body; 10 s by default.
    #[serde(default = "default::body_idle_timeout", with = "duration")]
    pub body_idle_timeout: Duration,
    /// How long an idle connection is kept; 15 s by default.
    #[serde(default = "default::keep_alive", with = "duration")]
    pub keep_alive: Duration,
    /// The most connections, idle ones too, over all lanes; 100 by default.
    #[serde(default = "default::max_connections")]
    pub max_connections: usize,
    /// The most bytes of a response body, before and after decoding each; 16 MiB by default.
    #[serde(default = "default::max_response_bytes")]
    pub max_response_bytes: usize,
    /// The most bytes of a request body; 16 MiB by default.
    #[serde(default = "default::max_request_bytes")]
    pub max_request_bytes: usize,
    /// Where probes go, below the base address; the base address itself by default.
    #[serde(default)]
    pub probe_path: String,
    /// More roots beside Mozilla's, as PEM; none by default.
    #[serde(default)]
    pub extra_ca_pem: Option<String>,
}

mod default {
    use std::time::Duration;

    pub(super) fn connect_timeout() -> Duration {
        Duration::from_secs(5)
    }
    pub(super) fn first_byte_timeout() -> Duration {
        Duration::from_secs(30)
    }
    pub(super) fn body_idle_timeout() -> Duration {
        Duration::from_secs(10)
    }
    pub(super) fn keep_alive() -> Duration {
        Duration::from_secs(15)
    }
    pub(super) fn max_connections() -> usize {
        100
    }
    pub(super) fn max_response_bytes() -> usize {
        16 * 1024 * 1024
    }
    pub(super) fn max_request_bytes() -> usize {
        16 * 1024 * 1024
    }
}

impl HttpOptions {
    /// Takes a base address, such as `https://api.example.com/v1/`, and the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] for `base_url` when it is no URL of the kind that can serve; see [`Self::base_url`].
    pub fn new(base_url: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            base_url: parse_base(base_url)?,
            default_headers: Vec::new(),
            allowed_headers: None,
            connect_timeout: default::connect_timeout(),
            first_byte_timeout: default::first_byte_timeout(),
            body_idle_timeout: default::body_idle_timeout(),
            keep_alive: default::keep_alive(),
            max_connections: default::max_connections(),
            max_response_bytes: default::max_response_bytes(),
            max_request_bytes: default::max_request_bytes(),
            probe_path: String::new(),
            extra_ca_pem: None,
        })
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and says what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_base(&self.base_url)?;
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("body_idle_timeout", self.body_idle_timeout),
            ("keep_alive", self.keep_alive),
        ] {
            within(name, value, Duration::from_millis(1)..=Duration::from_secs(60 * 60))?;
        }
        within("max_connections", self.max_connections, 1..=10_000)?;
        within("max_response_bytes", self.max_response_bytes, 1..=1024 * 1024 * 1024)?;
        within("max_request_bytes", self.max_request_bytes, 1..=1024 * 1024 * 1024)?;
        path::normalize(&self.probe_path)
            .map_err(|error| ConfigError::new("probe_path", error.to_string()))?;
        self.check_headers()?;
        self.target().map(drop)
    }

    fn check_headers(&self) -> Result<(), ConfigError> {
        let target = self.plain_target()?;
        for (name, value) in &self.default_headers {
            let wrong = |why: String| ConfigError::new("default_headers", why);
            let name = headers::check(name, value).map_err(|error| wrong(error.to_string()))?;
            if headers::is_credential(&name) && self.base_url.scheme() == "http" && !target.is_loopback() {
                return Err(wrong(format!(
                    "`{name}` would travel in plain text to another machine; use https"
                )));
            }
        }
        for name in self.allowed_headers.iter().flatten() {
            headers::check(name, "")
                .map_err(|error| ConfigError::new("allowed_headers", error.to_string()))?;
        }
        Ok(())
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.connect_timeout,
            first_byte: self.first_byte_timeout,
            keep_alive: self.keep_alive,
        }
    }

    /// The target with its TLS configuration.
    pub(crate) fn target(&self) -> Result<Target, ConfigError> {
        if self.base_url.scheme() == "http" {
            return self.plain_target();
        }
        let tls = Tls::new(&TlsOptions { extra_ca_pem: self.extra_ca_pem.clone() })
            .map_err(|error| ConfigError::new("extra_ca_pem", error.to_string()))?;
        let (host, port) = host_and_port(&self.base_url)?;
        Ok(Target::new(host, port, Some(tls)))
    }

    fn plain_target(&self) -> Result<Target, ConfigError> {
        let (host, port) = host_and_port(&self.base_url)?;
        Ok(Target::new(host, port, None))
    }
}

fn read_base<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    parse_base(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn parse_base(text: &str) -> Result<Url, ConfigError> {
    // the text itself is not repeated: it may hold a password
    let url =
        Url::parse(text).map_err(|error| ConfigError::new("base_url", format!("is no URL: {error}")))?;
    check_base(&url)?;
    Ok(url)
}

fn check_base(url: &Url) -> Result<(), ConfigError> {
    let wrong = |why: &str| Err(ConfigError::new("base_url", why));
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("must start with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must hold no user or password; set an `authorization` header instead");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("must hold no query and no fragment");
    }
    if url.port() == Some(0) {
        return wrong("must not name port 0");
    }
    host_and_port(url).map(drop)
}

fn host_and_port(url: &Url) -> Result<(String, u16), ConfigError> {
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(ConfigError::new("base_url", "must name a host")),
    };
    let port = url.port_or_known_default();
    port.map(|port| (host, port)).ok_or_else(|| ConfigError::new("base_url", "must name a port"))
}

fn within<T: PartialOrd + fmt::Debug>(
    setting: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let message = format!("must be from {:?} to {:?}, not {value:?}", range.start(), range.end());
    Err(ConfigError::new(setting, message))
}

/// What all lanes of an HTTP backend share.
#[derive(Debug)]
pub struct HttpShared {
    pub(crate) target: Target,
    pub(crate) cap: Arc<Cap>,
}

impl Connect for HttpOptions {
    type Shared = HttpShared;
    type Backend = Http;

    fn share(&self) -> Result<HttpShared, ConfigError> {
        self.validate()?;
        Ok(HttpShared { target: self.target()?, cap: Arc::new(Cap::new(self.max_connections)) })
    }

    async fn connect(&self, shared: &Arc<HttpShared>) -> Result<Http, ConfigError> {
        Ok(Http::new(self.clone(), shared))
    }

    fn lanes_max(&self) -> usize {
        (self.max_connections / 2).max(1)
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.default_headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpOptions")
            .field("host", &self.base_url.host_str())
            .field("path", &self.base_url.path())
            .field("default_headers", &names)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut HttpOptions)) -> Result<(), ConfigError> {
        let mut options = HttpOptions::new("http://127.0.0.1:1/")?;
        change(&mut options);
        options.validate()
    }

    #[test]
    fn only_a_plain_http_or_https_base_is_accepted() {
        for base in ["http://a", "https://a.example:8443/v1/", "http://[::1]:80", "http://127.0.0.1/x"] {
            HttpOptions::new(base).unwrap().validate().unwrap();
        }
        for base in [
            "",
            "a.example",
            "/v1",
            "ftp://a",
            "file:///etc",
            "ws://a",
            "unix:/x",
            "http://",
            "http://user@a",
            "http://user:canary@a",
            "http://:canary@a",
            "http://a/?q=1",
            "http://a/#f",
            "http://a:0/",
            "http://a:99999/",
            "http://a b/",
        ] {
            let error = HttpOptions::new(base).unwrap_err();
            assert_eq!(error.setting(), "base_url", "{base}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn absurd_values_are_named() {
        let day = Duration::from_secs(24 * 60 * 60);
        type Set = fn(&mut HttpOptions, Duration);
        let table: [(&str, Set); 4] = [
            ("connect_timeout", |options, value| options.connect_timeout = value),
            ("first_byte_timeout", |options, value| options.first_byte_timeout = value),
            ("body_idle_timeout", |options, value| options.body_idle_timeout = value),
            ("keep_alive", |options, value| options.keep_alive = value),
        ];
        for (name, set) in table {
            for value in [Duration::ZERO, day, Duration::MAX] {
                assert_eq!(with(|options| set(options, value)).unwrap_err().setting(), name);
            }
        }
        let max = usize::MAX;
        for value in [0, max] {
            assert_eq!(with(|o| o.max_connections = value).unwrap_err().setting(), "max_connections");
            assert_eq!(with(|o| o.max_response_bytes = value).unwrap_err().setting(), "max_response_bytes");
            assert_eq!(with(|o| o.max_request_bytes = value).unwrap_err().setting(), "max_request_bytes");
        }
        assert_eq!(with(|o| o.probe_path = "../x".into()).unwrap_err().setting(), "probe_path");
        let pem = with(|o| {
            o.base_url = Url::parse("https://a").unwrap();
            o.extra_ca_pem = Some("none".into());
        });
        assert_eq!(pem.unwrap_err().setting(), "extra_ca_pem");
    }

    #[test]
    fn credentials_in_plain_text_go_to_loopback_alone() {
        for name in ["Authorization", "cookie", "X-Api-Key"] {
            for (base, ok) in [
                ("http://127.0.0.1:1/", true),
                ("http://localhost/", true),
                ("http://[::1]/", true),
                ("https://a.example/", true),
                ("http://a.example/", false),
                ("http://10.0.0.1/", false),
                ("http://127.0.0.1.nip.example/", false),
            ] {
                let mut options = HttpOptions::new(base).unwrap();
                options.default_headers.push((name.into(), "canary".into()));
                let result = options.validate();
                assert_eq!(result.is_ok(), ok, "{name} to {base}");
                assert!(result.err().is_none_or(|error| !error.to_string().contains("canary")));
                assert!(!format!("{options:?}").contains("canary"));
            }
        }
    }

    #[test]
    fn settings_are_read_from_data_and_unknown_ones_refused() {
        let text = r#"{"base_url": "https://a.example/v1", "connect_timeout": "2s", "max_connections": 4}"#;
        let options: HttpOptions = serde_json::from_str(text).unwrap();
        assert_eq!((options.connect_timeout, options.max_connections), (Duration::from_secs(2), 4));
        assert_eq!(options.keep_alive, Duration::from_secs(15));
        assert!(serde_json::from_str::<HttpOptions>(r#"{"base_url": "https://a", "proxy": "x"}"#).is_err());
        assert!(serde_json::from_str::<HttpOptions>(r#"{"base_url": "https://u:canary@a"}"#).is_err());
    }
}
