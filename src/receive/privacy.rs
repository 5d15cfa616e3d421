//! Hides in a request what must not get out: session ids become keyed hashes, and what people said to their tools a mark.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, metric};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::hub::mask::Mask;
use crate::watch::SessionHash;

/// What stands for a value that is not shown.
const MASKED: &str = "[masked]";

/// Attributes that hold the id of a session, which is a live credential.
const SESSIONS: [&str; 2] = ["mcp.session.id", "session.id"];

/// Attributes that hold prompts, arguments or answers, by the conventions of OpenTelemetry, OpenLLMetry and OpenInference …
const PRIVATE: [&str; 14] = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.event.content",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "input.value",
    "output.value",
    "llm.prompts",
    "llm.completions",
    "mcp.tool.arguments",
    "mcp.tool.result",
];

/// … and the beginnings of such, for conventions that number them.
const PRIVATE_BEGINNINGS: [&str; 5] =
    ["gen_ai.prompt", "gen_ai.completion", "llm.input_messages.", "llm.output_messages.", "mcp.request.argument."];

/// The name of a prompt in MCP, which is no prompt.
const PROMPT_NAME: &str = "gen_ai.prompt.name";

/// The last words of attributes that hold credentials, such as `http.request.header.authorization`.
const CREDENTIALS: [&str; 10] =
    ["authorization", "cookie", "set-cookie", "password", "secret", "api_key", "apikey", "api-key", "x-api-key", "access_token"];

/// The names of log records and events whose content is what was said to a model begin like this.
const GEN_AI: &str = "gen_ai.";

/// Hides private texts.
#[derive(Debug)]
pub(super) struct Privacy {
    mask: Mask,
    key: [u8; 32],
    keeps: bool,
}

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a record.
    Record,
    /// In a resource, where a UUID names an instance or a pod, and no session.
    Resource,
}

impl Privacy {
    /// Session ids are hashed with this key. With `keeps`, nothing else is hidden.
    pub(super) fn new(key: [u8; 32], keeps: bool) -> Self {
        let mut mask = Mask::new(key);
        if keeps {
            mask.keep();
        }
        Self { mask, key, keeps }
    }

    pub(super) fn traces(&self, request: &mut ExportTraceServiceRequest) {
        for resource in &mut request.resource_spans {
            self.resource(&mut resource.resource);
            for scope in &mut resource.scope_spans {
                self.scope(&mut scope.scope);
                scope.spans.iter_mut().for_each(|span| self.span(span));
            }
        }
    }

    pub(super) fn logs(&self, request: &mut ExportLogsServiceRequest) {
        for resource in &mut request.resource_logs {
            self.resource(&mut resource.resource);
            for scope in &mut resource.scope_logs {
                self.scope(&mut scope.scope);
                scope.log_records.iter_mut().for_each(|record| self.log_record(record));
            }
        }
    }

    pub(super) fn metrics(&self, request: &mut ExportMetricsServiceRequest) {
        for resource in &mut request.resource_metrics {
            self.resource(&mut resource.resource);
            for scope in &mut resource.scope_metrics {
                self.scope(&mut scope.scope);
                scope.metrics.iter_mut().for_each(|metric| self.metric(metric));
            }
        }
    }

    fn resource(&self, resource: &mut Option<Resource>) {
        if let Some(resource) = resource {
            self.attributes(&mut resource.attributes, Place::Resource);
        }
    }

    fn scope(&self, scope: &mut Option<InstrumentationScope>) {
        if let Some(scope) = scope {
            self.attributes(&mut scope.attributes, Place::Record);
        }
    }

    fn span(&self, span: &mut Span) {
        self.text(&mut span.name);
        self.attributes(&mut span.attributes, Place::Record);
        for event in &mut span.events {
            self.text(&mut event.name);
            self.attributes(&mut event.attributes, Place::Record);
        }
        for link in &mut span.links {
            self.attributes(&mut link.attributes, Place::Record);
        }
        if let Some(status) = &mut span.status {
            self.text(&mut status.message);
        }
    }

    fn log_record(&self, record: &mut LogRecord) {
        let name = record.attributes.iter().find(|attribute| attribute.key == "event.name");
        let named = name.and_then(|name| text_of(name.value.as_ref())).is_some_and(|name| name.starts_with(GEN_AI));
        if let Some(body) = &mut record.body {
            if !self.keeps && (named || record.event_name.starts_with(GEN_AI)) {
                mask_all(body);
            } else {
                self.value(body, Place::Record);
            }
        }
        self.attributes(&mut record.attributes, Place::Record);
    }

    fn metric(&self, metric: &mut Metric) {
        self.attributes(&mut metric.metadata, Place::Record);
        match &mut metric.data {
            Some(metric::Data::Gauge(gauge)) => {
                gauge.data_points.iter_mut().for_each(|point| self.point(&mut point.attributes, &mut point.exemplars));
            }
            Some(metric::Data::Sum(sum)) => {
                sum.data_points.iter_mut().for_each(|point| self.point(&mut point.attributes, &mut point.exemplars));
            }
            Some(metric::Data::Histogram(histogram)) => {
                histogram.data_points.iter_mut().for_each(|point| self.point(&mut point.attributes, &mut point.exemplars));
            }
            Some(metric::Data::ExponentialHistogram(histogram)) => {
                histogram.data_points.iter_mut().for_each(|point| self.point(&mut point.attributes, &mut point.exemplars));
            }
            Some(metric::Data::Summary(summary)) => {
                summary.data_points.iter_mut().for_each(|point| self.attributes(&mut point.attributes, Place::Record));
            }
            None => {}
        }
    }

    fn point(&self, attributes: &mut [KeyValue], exemplars: &mut [Exemplar]) {
        self.attributes(attributes, Place::Record);
        exemplars.iter_mut().for_each(|exemplar| self.attributes(&mut exemplar.filtered_attributes, Place::Record));
    }

    fn attributes(&self, attributes: &mut [KeyValue], place: Place) {
        for KeyValue { key, value, .. } in attributes {
            let Some(value) = value else { continue };
            if SESSIONS.contains(&key.as_str()) {
                self.hash(value);
            } else if !self.keeps && is_private(key) {
                *value = text_value(MASKED.to_owned());
            } else {
                self.value(value, place);
            }
        }
    }

    fn value(&self, value: &mut AnyValue, place: Place) {
        match &mut value.value {
            Some(any_value::Value::StringValue(text)) if place == Place::Record || !is_uuid(text) => self.text(text),
            Some(any_value::Value::ArrayValue(array)) => array.values.iter_mut().for_each(|value| self.value(value, place)),
            Some(any_value::Value::KvlistValue(list)) => self.attributes(&mut list.values, place),
            Some(
                any_value::Value::StringValue(_)
                | any_value::Value::BoolValue(_)
                | any_value::Value::IntValue(_)
                | any_value::Value::DoubleValue(_)
                | any_value::Value::BytesValue(_)
                | any_value::Value::StringValueStrindex(_),
            )
            | None => {}
        }
    }

    fn text(&self, text: &mut String) {
        if let std::borrow::Cow::Owned(masked) = self.mask.text(text) {
            *text = masked;
        }
    }

    /// Replaces a session id of any type.
    fn hash(&self, value: &mut AnyValue) {
        let id = match &value.value {
            Some(any_value::Value::StringValue(id)) => id.clone(),
            Some(any_value::Value::IntValue(id)) => id.to_string(),
            Some(any_value::Value::BytesValue(id)) => const_hex::encode(id),
            Some(
                any_value::Value::BoolValue(_)
                | any_value::Value::DoubleValue(_)
                | any_value::Value::ArrayValue(_)
                | any_value::Value::KvlistValue(_)
                | any_value::Value::StringValueStrindex(_),
            ) => {
                *value = text_value(MASKED.to_owned());
                return;
            }
            None => return,
        };
        *value = text_value(SessionHash::of(&id, &self.key).to_string());
    }
}

/// Adds the attributes of the hub's resource that a resource lacks.
pub(super) fn complete(resource: &mut Option<Resource>, of_hub: &Resource) {
    let resource = resource.get_or_insert_default();
    for attribute in &of_hub.attributes {
        if resource.attributes.iter().all(|present| present.key != attribute.key) {
            resource.attributes.push(attribute.clone());
        }
    }
}

fn text_value(text: String) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text)) }
}

fn text_of(value: Option<&AnyValue>) -> Option<&str> {
    match value?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn is_private(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    PRIVATE.contains(&key)
        || key != PROMPT_NAME && PRIVATE_BEGINNINGS.iter().any(|beginning| key.starts_with(beginning))
        || CREDENTIALS.iter().any(|credential| last.eq_ignore_ascii_case(credential))
}

/// Hides every text inside.
fn mask_all(value: &mut AnyValue) {
    match &mut value.value {
        Some(any_value::Value::StringValue(text)) => MASKED.clone_into(text),
        Some(any_value::Value::BytesValue(bytes)) => bytes.clear(),
        Some(any_value::Value::ArrayValue(array)) => array.values.iter_mut().for_each(mask_all),
        Some(any_value::Value::KvlistValue(list)) => {
            list.values.iter_mut().filter_map(|pair| pair.value.as_mut()).for_each(mask_all);
        }
        Some(
            any_value::Value::BoolValue(_)
            | any_value::Value::IntValue(_)
            | any_value::Value::DoubleValue(_)
            | any_value::Value::StringValueStrindex(_),
        )
        | None => {}
    }
}

/// Returns whether a text is a UUID and nothing else.
fn is_uuid(text: &str) -> bool {
    let is_right = |(at, byte): (usize, u8)| {
        if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    text.len() == 36 && text.bytes().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "0a1b2c3d-0000-4000-8000-0123456789ab";

    fn pair(key: &str, text: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(text_value(text.to_owned())), ..KeyValue::default() }
    }

    fn shown(keeps: bool, attributes: &[(&str, &str)]) -> Vec<String> {
        let mut attributes: Vec<_> = attributes.iter().map(|(key, text)| pair(key, text)).collect();
        Privacy::new([7; 32], keeps).attributes(&mut attributes, Place::Record);
        attributes.iter().map(|attribute| text_of(attribute.value.as_ref()).unwrap().to_owned()).collect()
    }

    #[test]
    fn session_ids_become_hashes_whatever_is_kept() {
        let hash = SessionHash::of(SESSION, &[7; 32]).to_string();
        for keeps in [false, true] {
            let texts = shown(keeps, &[("mcp.session.id", SESSION), ("session.id", SESSION), ("url.path", SESSION)]);
            assert_eq!(texts, [hash.clone(), hash.clone(), format!("session-{hash}")]);
        }
    }

    #[test]
    fn prompts_arguments_and_credentials_are_masked_unless_they_are_kept() {
        let given = [
            ("gen_ai.input.messages", "[…]"),
            ("gen_ai.prompt.0.content", "say it"),
            ("gen_ai.prompt.name", "greeting"),
            ("gen_ai.tool.call.arguments", "{}"),
            ("http.request.header.Authorization", "Bearer abc"),
            ("http.route", "/mcp"),
            ("body", r#"{"arguments":{"path":"/etc"}}"#),
        ];
        let masked = shown(false, &given);
        assert_eq!(masked[..2], [MASKED, MASKED]);
        assert_eq!(masked[2..], ["greeting", MASKED, MASKED, "/mcp", r#"{"arguments":[masked]}"#]);
        assert_eq!(shown(true, &given), given.map(|(_, text)| text));
    }

    #[test]
    fn a_resource_keeps_its_uuids() {
        let mut resource = Some(Resource { attributes: vec![pair("service.instance.id", SESSION)], ..Resource::default() });
        Privacy::new([7; 32], false).resource(&mut resource);
        let of_hub = Resource {
            attributes: vec![pair("service.instance.id", "hub-a"), pair("service.name", "mcp-hub")],
            ..Default::default()
        };
        complete(&mut resource, &of_hub);
        assert_eq!(resource.unwrap().attributes, [pair("service.instance.id", SESSION), pair("service.name", "mcp-hub")]);
        let mut none = None;
        complete(&mut none, &of_hub);
        assert_eq!(none, Some(of_hub));
    }

    #[test]
    fn the_body_of_a_gen_ai_event_is_masked() {
        let body = Some(text_value("say it".to_owned()));
        let mut record = LogRecord { event_name: "gen_ai.user.message".to_owned(), body, ..LogRecord::default() };
        Privacy::new([7; 32], false).log_record(&mut record);
        assert_eq!(text_of(record.body.as_ref()), Some(MASKED));
    }
}
