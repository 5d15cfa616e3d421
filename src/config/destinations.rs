//! Receivers of telemetry: the flag, OpenTelemetry's own variables (OpenTelemetry specification, "OTLP Exporter Configuration"),
//! the file's `[otlp]`; and in addition the `[[destination]]` tables.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::environment::Environment;
use super::file::DestinationSection;
use super::{ConfigError, Layers, Sourced, duration, parse};
use crate::base::secret::Secret;
use crate::export::{Address, Compression, DEFAULT_TIMEOUT, Destination, Protocol, Route};
use crate::journal::{DestinationName, Signal, Temporality};

/// The flags about the main destination.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags<'a> {
    /// `--otlp`
    pub endpoint: Option<&'a str>,
    /// `--otlp-protocol`
    pub protocol: Option<&'a str>,
}

impl<E: Environment> Layers<E> {
    /// Returns all destinations.
    pub fn destinations(&self, flags: Flags<'_>) -> Result<Vec<Destination>, ConfigError> {
        let mut destinations: Vec<Destination> = self.main_destination(flags)?.into_iter().collect();
        for section in &self.file.destinations {
            let destination = self.further_destination(section)?;
            if destinations.iter().any(|other| other.name() == destination.name()) {
                let problem = "is the name of another destination; use a different name".to_owned();
                return Err(wrong("destination.name", destination.name().as_str(), problem));
            }
            destinations.push(destination);
        }
        Ok(destinations)
    }

    fn main_destination(&self, flags: Flags<'_>) -> Result<Option<Destination>, ConfigError> {
        let file = &self.file.otlp;
        let wanted = self.without_left_out(signals("otlp.signals", file)?)?;
        let mut routes = Vec::new();
        let mut source = None;
        for signal in Signal::ALL.into_iter().filter(|signal| wanted.contains(signal)) {
            if let Some((route, from)) = self.main_route(flags, signal)? {
                source.get_or_insert(from);
                routes.push((signal, route));
            }
        }
        let Some(source) = source else { return Ok(None) };
        let preference = self.pick(
            ("", None),
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            ("otlp.temporality", file.temporality.as_deref()),
        );
        let name = DestinationName::named(file.name.as_deref().unwrap_or(DestinationName::main().as_str()));
        let route = |signal| routes.iter().find(|(of, _)| *of == signal).map(|(_, route)| route.clone());
        let destination = Destination::new(name, temporality(preference)?, route);
        destination.map(Some).map_err(|error| wrong(&source.source, &source.value, format!("is invalid: {error}")))
    }

    /// Removes the signals that `OTEL_TRACES_EXPORTER=none` and its siblings switch off.
    fn without_left_out(&self, wanted: Vec<Signal>) -> Result<Vec<Signal>, ConfigError> {
        let mut kept = Vec::new();
        for signal in wanted {
            let variable = format!("OTEL_{}_EXPORTER", signal.as_str().to_uppercase());
            match self.variable(&variable) {
                Some(exporter) if exporter.value == "none" => {}
                Some(exporter) if exporter.value != "otlp" => {
                    let problem = "is not supported; use `otlp`, or `none` to switch the signal off".to_owned();
                    return Err(wrong(&exporter.source, &exporter.value, problem));
                }
                _ => kept.push(signal),
            }
        }
        Ok(kept)
    }

    fn main_route(&self, flags: Flags<'_>, signal: Signal) -> Result<Option<(Route, Sourced<String>)>, ConfigError> {
        let file = &self.file.otlp;
        let own = if flags.endpoint.is_none() { self.otlp_variable_of(signal, "ENDPOINT") } else { None };
        let picked = |flag, name: &str, key, value| self.otlp_variable(flag, signal, name, (key, value));
        let is_own = own.is_some();
        let base =
            || self.pick(("--otlp", flags.endpoint), "OTEL_EXPORTER_OTLP_ENDPOINT", ("otlp.endpoint", file.endpoint.as_deref()));
        let Some(mut endpoint) = own.or_else(base) else { return Ok(None) };
        let protocol = picked(("--otlp-protocol", flags.protocol), "PROTOCOL", "otlp.protocol", file.protocol.as_deref());
        let protocol = match protocol {
            Some(protocol) => parse(protocol, str::parse::<Protocol>)?,
            None => Protocol::of_endpoint(&endpoint.value),
        };
        if protocol == Protocol::Grpc && !endpoint.value.contains("://") {
            let insecure =
                picked(("", None), "INSECURE", "", None).is_some_and(|insecure| insecure.value.eq_ignore_ascii_case("true"));
            endpoint.value = format!("{}://{}", if insecure { "http" } else { "https" }, endpoint.value);
        }
        let compression = picked(("", None), "COMPRESSION", "otlp.compression", file.compression.as_deref());
        let file_of = |name, path: &Option<PathBuf>| {
            let variable = picked(("", None), name, "", None).map(|picked| PathBuf::from(picked.value));
            variable.or_else(|| path.clone())
        };
        let mut headers = headers_of(file);
        headers.extend(picked(("", None), "HEADERS", "", None).iter().flat_map(|list| header_list(&list.value)));
        let timeout = match picked(("", None), "TIMEOUT", "", None) {
            Some(timeout) => {
                parse(timeout, |text| text.parse().map(Duration::from_millis).map_err(|_| "not a number of milliseconds"))?
            }
            None => timeout_of("otlp.timeout", file)?,
        };
        let route = Route {
            address: if is_own { Address::Signal(endpoint.value.clone()) } else { Address::Base(endpoint.value.clone()) },
            protocol,
            headers,
            compression: compression.map_or(Ok(Compression::None), |compression| parse(compression, str::parse))?,
            timeout,
            ca: file_of("CERTIFICATE", &file.ca),
            client_certificate: file_of("CLIENT_CERTIFICATE", &file.client_certificate),
            client_key: file_of("CLIENT_KEY", &file.client_key),
        };
        Ok(Some((route, endpoint)))
    }

    /// Returns the signal's own variable.
    fn otlp_variable_of(&self, signal: Signal, name: &str) -> Option<Sourced<String>> {
        let variable = format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.as_str().to_uppercase());
        self.pick(("", None), &variable, ("", None))
    }

    /// Returns the first that is set: flag, the signal's own variable, the variable for all signals, file.
    fn otlp_variable(
        &self,
        flag: (&str, Option<&str>),
        signal: Signal,
        name: &str,
        key: (&str, Option<&str>),
    ) -> Option<Sourced<String>> {
        let own = if flag.1.is_none() { self.otlp_variable_of(signal, name) } else { None };
        own.or_else(|| self.pick(flag, &format!("OTEL_EXPORTER_OTLP_{name}"), key))
    }

    fn further_destination(&self, section: &DestinationSection) -> Result<Destination, ConfigError> {
        let missing = |key: &str| wrong(&format!("destination.{key}"), "", "is missing: each [[destination]] needs one".to_owned());
        let name = section.name.as_deref().ok_or_else(|| missing("name"))?;
        let endpoint = section.endpoint.as_deref().ok_or_else(|| missing("endpoint"))?;
        let named = |key: &str, value: &Option<String>| {
            value.clone().map(|value| Sourced { value, source: format!("destination `{name}`: {key}") })
        };
        let protocol = match named("protocol", &section.protocol) {
            Some(protocol) => parse(protocol, str::parse)?,
            None => Protocol::of_endpoint(endpoint),
        };
        let compression = named("compression", &section.compression);
        let route = Route {
            headers: headers_of(section),
            compression: compression.map_or(Ok(Compression::None), |compression| parse(compression, str::parse))?,
            timeout: timeout_of(&format!("destination `{name}`: timeout"), section)?,
            ca: section.ca.clone(),
            client_certificate: section.client_certificate.clone(),
            client_key: section.client_key.clone(),
            ..Route::to(endpoint, protocol)
        };
        let wanted = signals(&format!("destination `{name}`: signals"), section)?;
        let temporality = temporality(named("temporality", &section.temporality))?;
        Destination::new(DestinationName::named(name), temporality, |signal| wanted.contains(&signal).then(|| route.clone()))
            .map_err(|error| wrong(&format!("destination `{name}`"), endpoint, format!("is invalid: {error}")))
    }
}

fn wrong(setting: &str, value: &str, problem: String) -> ConfigError {
    ConfigError::Value { setting: setting.to_owned(), value: crate::base::secret::without_credentials(value), problem }
}

fn signals(setting: &str, section: &DestinationSection) -> Result<Vec<Signal>, ConfigError> {
    let Some(words) = &section.signals else { return Ok(Signal::ALL.to_vec()) };
    let signal = |word: &String| {
        let known = Signal::ALL.into_iter().find(|signal| signal.as_str() == word);
        known.ok_or_else(|| wrong(setting, word, "is not a signal; use traces, logs or metrics".to_owned()))
    };
    words.iter().map(signal).collect()
}

/// Parses the temporality. `lowmemory` means delta for all our counters.
fn temporality(picked: Option<Sourced<String>>) -> Result<Temporality, ConfigError> {
    let read =
        |text: &str| if text.eq_ignore_ascii_case("lowmemory") { Ok(Temporality::Delta) } else { text.to_lowercase().parse() };
    picked.map_or(Ok(Temporality::Cumulative), |picked| parse(picked, read))
}

fn timeout_of(setting: &str, section: &DestinationSection) -> Result<Duration, ConfigError> {
    let timeout = section.timeout.clone().map(|value| Sourced { value, source: setting.to_owned() });
    timeout.map_or(Ok(DEFAULT_TIMEOUT), |timeout| parse(timeout, duration))
}

fn headers_of(section: &DestinationSection) -> Vec<(String, Secret)> {
    section.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect()
}

/// Parses `key=value,key=value` with percent-encoded values, the header format of the OpenTelemetry specification.
pub(super) fn header_list(list: &str) -> Vec<(String, Secret)> {
    let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), Secret::new(percent_decode_str(value.trim()).decode_utf8_lossy()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers;

    fn routes(flag: Option<&str>, variables: &[(&str, &str)], file: &str) -> Result<Vec<(Signal, Route)>, ConfigError> {
        let layers = layers(variables, file);
        let flags = Flags { endpoint: flag, protocol: None };
        let mut routes = Vec::new();
        for signal in Signal::ALL {
            routes.extend(layers.main_route(flags, signal)?.map(|(route, _)| (signal, route)));
        }
        Ok(routes)
    }

    #[test]
    fn headers_have_the_format_of_the_specification() {
        let headers = header_list("api-key=a%20b%3D, x = y,nonsense");
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(shown, [("api-key", "a b="), ("x", "y")]);
        assert!(!format!("{headers:?}").contains("a b"));
    }

    #[test]
    fn a_signals_own_variables_override_those_for_all_signals() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://all.example.com/base"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "logs.example.com:4317"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", "true"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "50"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b"),
            ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/key.pem"),
        ];
        let routes = routes(None, &variables, "[otlp]\nprotocol = 'http/protobuf'").unwrap();
        let [(_, traces), (_, logs), (_, metrics)] = routes.as_slice() else { panic!("{routes:?}") };
        assert_eq!(traces.address, Address::Base("https://all.example.com/base".to_owned()));
        assert_eq!((traces.compression, traces.headers.len()), (Compression::Gzip, 1));
        assert_eq!((logs.compression, logs.headers.len()), (Compression::None, 0));
        assert_eq!(logs.address, Address::Signal("http://logs.example.com:4317".to_owned()));
        assert_eq!((logs.protocol, metrics.protocol), (Protocol::Grpc, Protocol::HttpProtobuf));
        assert_eq!((logs.timeout, metrics.timeout), (Duration::from_millis(2_500), Duration::from_millis(50)));
        assert_eq!(metrics.client_key.as_deref(), Some(std::path::Path::new("/key.pem")));
    }

    #[test]
    fn a_flag_overrides_every_variable_and_one_signal_alone_is_enough() {
        let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/in")];
        let flagged = routes(Some("http://flag:4318"), &variables, "").unwrap();
        assert!(flagged.iter().all(|(_, route)| route.address == Address::Base("http://flag:4318".to_owned())));
        assert_eq!(flagged.len(), 3);
        assert_eq!(routes(None, &variables, "").unwrap().len(), 1);
        let wrong = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "carrier-pigeon")];
        let error = routes(None, &wrong, "").unwrap_err().to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: `carrier-pigeon`"), "{error}");
    }

    #[test]
    fn a_signal_whose_exporter_is_none_is_not_sent() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        let of = |exporter| layers(&[base, ("OTEL_LOGS_EXPORTER", exporter)], "").destinations(Flags::default());
        let signals = |exporter| of(exporter).unwrap()[0].recipient().signals;
        assert_eq!((signals("none"), signals("otlp").len()), (vec![Signal::Traces, Signal::Metrics], 3));
        assert!(of("console").unwrap_err().to_string().starts_with("OTEL_LOGS_EXPORTER: `console`"));
    }

    #[test]
    fn several_destinations_have_their_own_names_and_signals() {
        let layers = |file: &str| layers(&[], file);
        let file = "[otlp]\nendpoint = 'http://a:4317'\n[[destination]]\nname = 'tempo'\nendpoint = 'http://b:4318'\nsignals = ['traces']\n";
        let destinations = layers(file).destinations(Flags::default()).unwrap();
        let recipients: Vec<_> = destinations.iter().map(Destination::recipient).collect();
        assert_eq!((recipients[0].name.as_str(), recipients[0].signals.len()), ("main", 3));
        assert_eq!((recipients[1].name.as_str(), recipients[1].signals.as_slice()), ("tempo", &[Signal::Traces][..]));
        for (file, complaint) in [
            ("[[destination]]\nname = 'a'\n", "destination.endpoint"),
            ("[[destination]]\nname = 'a'\nendpoint = 'http://a'\nsignals = ['trace']\n", "is not a signal"),
            ("[otlp]\nendpoint = 'http://a'\n[[destination]]\nname = 'main'\nendpoint = 'http://b'\n", "another destination"),
        ] {
            let error = layers(file).destinations(Flags::default()).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
