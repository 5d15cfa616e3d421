//! The head of a request: which signal it has, how it is carried, and what is wrong with it before its body is read.

use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{HeaderMap, Method, StatusCode, header};

use super::decompress::Compression;
use super::limits::MAX_REQUEST_BYTES;
use super::measure::Format;
use super::refused::Refused;
use crate::base::secret::Secret;
use crate::journal::Signal;
use crate::watch::{Carrier, Refusal};

/// An export request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub signal: Signal,
    pub carrier: Carrier,
    pub format: Format,
    pub compression: Compression,
}

/// What a request's head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// An export.
    Call(Call),
    /// An export that is refused; the answer has its form.
    Refused(Form, Refused),
    /// Nothing that the receiver has.
    Other(StatusCode),
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Grpc,
    Http(Format),
}

impl Call {
    /// Returns the form of its answer.
    pub(super) const fn form(&self) -> Form {
        match self.carrier {
            Carrier::Grpc => Form::Grpc,
            Carrier::Http => Form::Http(self.format),
        }
    }
}

/// Reads the head of a request. With a token, the request must have it.
pub(super) fn read(head: &Parts, token: Option<&Secret>) -> Head {
    let path = head.uri.path();
    let grpc = match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        _ => None,
    };
    let http = Signal::ALL.into_iter().find(|signal| path.strip_prefix("/v1/") == Some(signal.as_str()));
    let Some((signal, carrier)) = grpc.map(|signal| (signal, Carrier::Grpc)).or(http.map(|signal| (signal, Carrier::Http))) else {
        return Head::Other(StatusCode::NOT_FOUND);
    };
    if head.method != Method::POST {
        return Head::Other(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = text(&head.headers, header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let (form, known) = match (carrier, content_type) {
        (Carrier::Grpc, kind) => (Form::Grpc, matches!(kind, "application/grpc" | "application/grpc+proto")),
        (Carrier::Http, kind) if kind.eq_ignore_ascii_case("application/json") => (Form::Http(Format::Json), true),
        (Carrier::Http, kind) => (Form::Http(Format::Protobuf), kind.eq_ignore_ascii_case("application/x-protobuf")),
    };
    if !token.is_none_or(|token| has_token(&head.headers, token)) {
        let message = "this receiver needs the header `Authorization: Bearer TOKEN` with its token";
        return Head::Refused(form, Refused::new(Refusal::Unauthenticated, message));
    }
    if !known {
        let message = match carrier {
            Carrier::Grpc => "the content type must be application/grpc",
            Carrier::Http => "the content type must be application/x-protobuf or application/json",
        };
        // It is no gRPC, so the answer is none, either.
        return Head::Refused(Form::Http(Format::Protobuf), Refused::new(Refusal::Unsupported, message));
    }
    let encoding = match carrier {
        Carrier::Grpc => text(&head.headers, "grpc-encoding"),
        Carrier::Http => text(&head.headers, header::CONTENT_ENCODING),
    };
    let Some(compression) = Compression::of(encoding) else {
        return Head::Refused(form, Refused::new(Refusal::Unsupported, "the compression must be gzip, zstd or none"));
    };
    let length = text(&head.headers, header::CONTENT_LENGTH).parse::<usize>();
    if length.is_ok_and(|length| length > MAX_REQUEST_BYTES) {
        return Head::Refused(form, Refused::too_large());
    }
    let format = if form == Form::Http(Format::Json) { Format::Json } else { Format::Protobuf };
    Head::Call(Call { signal, carrier, format, compression })
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns whether the token is right, in a time that does not depend on how much of it is.
fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let given = text(headers, header::AUTHORIZATION);
    let given = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, given)| given.trim());
    // Hashes are compared in constant time.
    given.is_some_and(|given| blake3::hash(given.as_bytes()) == blake3::hash(token.reveal().as_bytes()))
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::Request;

    use super::*;

    fn head(path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refusal(head: &Parts, token: Option<&Secret>) -> Option<Refusal> {
        match read(head, token) {
            Head::Refused(_, refused) => Some(refused.reason),
            Head::Call(_) | Head::Other(_) => None,
        }
    }

    #[test]
    fn paths_and_content_types_give_signal_and_form() {
        let json =
            read(&head("/v1/logs", &[("content-type", "application/json; charset=utf-8"), ("content-encoding", "gzip")]), None);
        let call = Call { signal: Signal::Logs, carrier: Carrier::Http, format: Format::Json, compression: Compression::Gzip };
        assert_eq!(json, Head::Call(call));
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let grpc = read(&head(path, &[("content-type", "application/grpc"), ("grpc-encoding", "zstd")]), None);
        let call =
            Call { signal: Signal::Traces, carrier: Carrier::Grpc, format: Format::Protobuf, compression: Compression::Zstd };
        assert_eq!(grpc, Head::Call(call));
        assert_eq!(read(&head("/v1/profiles", &[]), None), Head::Other(StatusCode::NOT_FOUND));
    }

    #[test]
    fn what_is_not_supported_is_refused_before_the_body() {
        assert_eq!(refusal(&head("/v1/logs", &[("content-type", "text/plain")]), None), Some(Refusal::Unsupported));
        let brotli = [("content-type", "application/json"), ("content-encoding", "br")];
        assert_eq!(refusal(&head("/v1/logs", &brotli), None), Some(Refusal::Unsupported));
        let large = [("content-type", "application/json"), ("content-length", "99999999")];
        assert_eq!(refusal(&head("/v1/logs", &large), None), Some(Refusal::TooLarge));
    }

    #[test]
    fn only_the_right_token_passes() {
        let token = Secret::new("right");
        let with =
            |value| refusal(&head("/v1/logs", &[("content-type", "application/json"), ("authorization", value)]), Some(&token));
        assert_eq!((with("Bearer right"), with("bearer right")), (None, None));
        for wrong in ["Bearer wrong", "right", "Basic right", "Bearer"] {
            assert_eq!(with(wrong), Some(Refusal::Unauthenticated), "{wrong}");
        }
    }
}
