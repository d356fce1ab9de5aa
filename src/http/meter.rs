//! How many requests came, how they ended and how long they took, for `/metrics`.
//!
//! By the route's pattern, never by the path: an id of an answer is nobody's business.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};

#[derive(Clone, Copy, Default)]
struct Count {
    requests: u64,
    seconds: f64,
}

/// Counts since the start.
#[derive(Default)]
pub(super) struct Meter(Mutex<BTreeMap<(String, u16), Count>>);

impl Meter {
    /// Counts a request of a route.
    pub(super) fn count(&self, route: &str, status: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((route.to_owned(), status)).or_default();
        count.requests += 1;
        count.seconds += took.as_secs_f64();
    }

    /// The counts in the text format of Prometheus.
    pub(super) fn write(&self, text: &mut String) {
        let counts = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let _ = writeln!(text, "# TYPE coho_request_seconds summary");
        for ((route, status), count) in counts {
            let labels = format!("{{route=\"{route}\",status=\"{status}\"}}");
            let Count { requests, seconds } = count;
            let _ = writeln!(text, "coho_request_seconds_sum{labels} {seconds:.6}");
            let _ = writeln!(text, "coho_request_seconds_count{labels} {requests}");
        }
    }
}

/// A text in that format, as a response.
pub(super) fn prometheus(text: String) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let meter = Meter::default();
        meter.count("/v1/answers/{id}", 200, Duration::from_millis(250));
        meter.count("/v1/answers/{id}", 200, Duration::from_millis(250));
        meter.count("/v1/answers/{id}", 404, Duration::ZERO);
        let mut text = String::new();
        meter.write(&mut text);
        let labels = "{route=\"/v1/answers/{id}\",status=\"200\"}";
        assert!(
            text.contains(&format!("coho_request_seconds_sum{labels} 0.500000\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("coho_request_seconds_count{labels} 2\n")),
            "{text}"
        );
    }
}
