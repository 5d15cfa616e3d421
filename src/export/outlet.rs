//! Outlets: exporters of the official SDK whose successes are counted. The SDK drops what a receiver does not take without a word.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// An exporter of one signal, with a receipt of what its receiver has taken.
#[derive(Debug)]
pub struct Outlet<E> {
    exporter: E,
    receipt: Arc<Receipt>,
}

impl<E> Outlet<E> {
    /// An exporter to this address, which must hold no credentials. `cause` is where its HTTP client notes why a request failed.
    pub(super) fn new(exporter: E, to: String, cause: Cause) -> Self {
        let receipt = Receipt { to, taken: AtomicU64::new(0), last: AtomicBool::new(false), failure: Mutex::default(), cause };
        Self { exporter, receipt: Arc::new(receipt) }
    }

    /// Returns its receipt, which is kept up to date.
    pub fn receipt(&self) -> Arc<Receipt> {
        Arc::clone(&self.receipt)
    }
}

/// Why the last HTTP request failed, with all causes: the SDK says only that it did.
pub(super) type Cause = Arc<Mutex<Option<String>>>;

/// What a receiver has taken of one signal.
pub struct Receipt {
    to: String,
    taken: AtomicU64,
    last: AtomicBool,
    failure: Mutex<Option<String>>,
    cause: Cause,
}

impl Receipt {
    /// Returns the receiver's address, without credentials.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Returns how many spans, or how many times the metrics, the receiver has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns whether the receiver took the last request.
    pub fn took_the_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Returns why the last request that failed did; `None` if none has failed.
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    fn note(&self, sent: &OTelSdkResult, count: u64) {
        self.last.store(sent.is_ok(), Ordering::Relaxed);
        match sent {
            Ok(()) => _ = self.taken.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                let cause = lock(&self.cause).take();
                *lock(&self.failure) = Some(cause.unwrap_or_else(|| described(error)));
            }
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("to", &self.to).field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// The SDK's own text without its name for every failure.
fn described(error: &OTelSdkError) -> String {
    match error {
        OTelSdkError::InternalFailure(why) => why.clone(),
        OTelSdkError::AlreadyShutdown | OTelSdkError::Timeout(_) => error.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: SpanExporter> SpanExporter for Outlet<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let sent = self.exporter.export(batch).await;
        self.receipt.note(&sent, count);
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

impl<E: PushMetricExporter> PushMetricExporter for Outlet<E> {
    fn export(&self, metrics: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        let sent = self.exporter.export(metrics);
        async move {
            let sent = sent.await;
            self.receipt.note(&sent, 1);
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
