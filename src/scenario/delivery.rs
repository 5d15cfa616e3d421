//! Whether telemetry arrived. The SDK drops what a receiver does not take without a word, so its exporters are counted.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// A receiver of telemetry.
#[derive(Debug)]
pub struct Outlet<S, M> {
    /// Its address, without credentials.
    pub to: String,
    /// Sends spans there.
    pub spans: Option<S>,
    /// Sends metrics there.
    pub metrics: Option<M>,
}

/// What a receiver has taken.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    spans: AtomicU64,
    /// Whether it took the metrics when they were sent last: each time they are all sent.
    metrics: AtomicBool,
    /// Why the last request that failed did.
    failed: Mutex<Option<String>>,
}

impl Delivery {
    /// Counts what this exporter sends.
    pub(super) fn of<E>(self: &Arc<Self>, exporter: E) -> Counted<E> {
        Counted { exporter, delivery: Arc::clone(self) }
    }

    /// Returns how many spans the receiver has taken.
    pub(super) fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Returns whether the receiver has taken the metrics.
    pub(super) fn has_metrics(&self) -> bool {
        self.metrics.load(Ordering::Relaxed)
    }

    /// Returns why the last request that failed did.
    pub(super) fn failure(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self, sent: &OTelSdkResult) {
        if let Err(error) = sent {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }
}

/// An exporter whose successes are counted.
#[derive(Debug)]
pub(super) struct Counted<E> {
    exporter: E,
    delivery: Arc<Delivery>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let sent = self.exporter.export(batch).await;
        self.delivery.hear(&sent);
        if sent.is_ok() {
            self.delivery.spans.fetch_add(count, Ordering::Relaxed);
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    fn export(&self, metrics: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        let sent = self.exporter.export(metrics);
        async move {
            let sent = sent.await;
            self.delivery.hear(&sent);
            self.delivery.metrics.store(sent.is_ok(), Ordering::Relaxed);
            sent
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
