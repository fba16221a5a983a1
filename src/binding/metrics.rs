//! Metrics as text for JavaScript: what there is once as objects, what there is for each kind as bare numbers, since
//! reading thousands of field names would be most of what a look costs. `lib/metrics.js` is the other side.

use std::fmt::Write;

use crate::engine::metrics::{Distribution, Metrics, Totals};

use super::mail::quote;

/// The metrics without kinds, and `kinds`: for each its name, its counters, its runs and its waits.
pub(super) fn to_json(mut metrics: Metrics) -> String {
    let kinds = std::mem::take(&mut metrics.per_task);
    let mut text = serde_json::to_string(&metrics).expect("plain values under text keys");
    text.pop();
    text.push_str(",\"kinds\":[");
    for (at, (name, kind)) in kinds.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        quote(&mut text, name);
        write_totals(&mut text, &kind.totals);
        write_distribution(&mut text, &kind.duration);
        write_distribution(&mut text, &kind.wait_time);
    }
    text.push_str("]}");
    text
}

fn write_totals(text: &mut String, totals: &Totals) {
    let Totals { enqueued, completed, failed, retried, cancelled, lost, abandoned, stale } = totals;
    let _ = write!(text, ",{enqueued},{completed},{failed},{retried},{cancelled},{lost},{abandoned},{stale}");
}

/// Its count, then microseconds.
fn write_distribution(text: &mut String, values: &Distribution) {
    let Distribution { count, sum, min, max, p50, p90, p99, p999, .. } = values;
    let _ = write!(text, ",{count}");
    for seconds in [sum, min, max, p50, p90, p99, p999] {
        let _ = write!(text, ",{}", (seconds * 1e6).round() as u64);
    }
}
