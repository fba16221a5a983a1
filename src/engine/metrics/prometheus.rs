//! The text that Prometheus scrapes: format 0.0.4. Seconds and bytes; counters end in `_total`; base labels `queue` and
//! `task`, whose values are names of registered kinds and of queues, and never anything of a task itself.

use std::fmt::Write;

use super::histogram::Histogram;
use super::snapshot::{Metrics, QueueCounts, Row, Totals};

/// Bounds of the buckets, in microseconds.
const BOUNDS: [u64; 14] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
    3_600_000_000,
];

type Counter = (&'static str, &'static str, fn(&Totals) -> u64);

const COUNTERS: [Counter; 8] = [
    ("enqueued", "Tasks that were taken in here.", |totals| totals.enqueued),
    ("completed", "Tasks that completed here.", |totals| totals.completed),
    ("failed", "Tasks that failed for good here.", |totals| totals.failed),
    ("retried", "Attempts that failed and are followed by another.", |totals| totals.retried),
    ("cancelled", "Tasks that were cancelled here, or ended without a run.", |totals| totals.cancelled),
    ("lost", "Claims that were lost.", |totals| totals.lost),
    ("abandoned", "Handlers that outlived their attempt.", |totals| totals.abandoned),
    ("stale", "Outcomes that came too late and changed nothing.", |totals| totals.stale),
];

/// A text under way.
struct Page(String);

/// Labels, without the braces.
type Labels = String;

impl Metrics {
    /// The text for Prometheus.
    pub fn to_text(&self) -> String {
        let mut page = Page(String::with_capacity(8192));
        page.value("task_uptime_seconds", "gauge", "Since the executor was made.", self.uptime);
        for (name, help, of) in COUNTERS {
            let name = format!("task_{name}_total");
            page.head(&name, "counter", help);
            for row in &self.rows {
                page.line(&name, &labels(row), of(&row.totals));
            }
        }
        page.rows("task_wait_seconds", "From when a task could start to when it did.", self, |row| {
            row.wait.as_ref()
        });
        page.rows("task_run_seconds", "Attempts, from the call of the handler to its end.", self, |row| {
            row.run.as_ref()
        });
        self.write_counts(&mut page);
        page.value("task_live", "gauge", "Tasks that are never stored and wait or run here.", self.live);
        let help = "Handlers that outlived their attempt and still run.";
        page.value("task_abandoned_handlers", "gauge", help, self.abandoned_now);
        page.head("task_gate_open", "gauge", "Whether a limit lets tasks start.");
        for (name, gate) in &self.gates {
            page.line("task_gate_open", &gate_labels(name, gate.kind), u8::from(gate.state == "open"));
        }
        page.head("task_gate_waiting", "gauge", "Tasks that stand before a limit in this executor.");
        for (name, gate) in &self.gates {
            page.line("task_gate_waiting", &gate_labels(name, gate.kind), gate.waiting);
        }
        self.write_performance(&mut page);
        page.0
    }

    fn write_counts(&self, page: &mut Page) {
        page.value("task_store_up", "gauge", "Whether the store tells how many tasks it has.", {
            u8::from(self.counted)
        });
        if !self.counted {
            return;
        }
        page.head("task_tasks", "gauge", "Tasks of the store in each state.");
        for (state, n) in by_state(&self.current) {
            page.line("task_tasks", &format!("state=\"{state}\""), n);
        }
        page.head("task_queue_tasks", "gauge", "Tasks of a queue in each state.");
        for (queue, counts) in &self.queues {
            for (state, n) in by_state(counts) {
                let labels = format!("queue=\"{}\",state=\"{state}\"", escaped(queue));
                page.line("task_queue_tasks", &labels, n);
            }
        }
    }

    fn write_performance(&self, page: &mut Page) {
        let performance = &self.performance;
        let commits = &performance.commits;
        page.value("task_commits_total", "counter", "Calls that changed the store.", commits.commits);
        let help = "Tasks that such a call carries.";
        page.value("task_tasks_per_commit", "gauge", help, commits.tasks_per_commit);
        let help = "From such a call to its answer.";
        page.whole("task_commit_seconds", help, &self.whole.commit_time);
        page.whole("task_loop_delay_seconds", "How late the event loop answers.", &self.whole.loop_delay);
        page.whole("task_timer_lateness_seconds", "How late timers fire.", &self.whole.lateness);
        page.value("task_leases", "gauge", "Claims that this executor holds.", performance.leases);
        let help = "Events that a slow listener has lost.";
        page.value("task_dropped_events_total", "counter", help, performance.dropped_events);
        if let Some(seconds) = performance.cost.cpu_seconds {
            let help = "Processor time of this process.";
            page.value("task_process_cpu_seconds_total", "counter", help, seconds);
        }
        if let Some(bytes) = performance.cost.rss_bytes {
            page.value("task_process_resident_memory_bytes", "gauge", "Memory of this process.", bytes);
        }
    }
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn value(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn whole(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        self.histogram(name, "", histogram);
    }

    fn rows(&mut self, name: &str, help: &str, metrics: &Metrics, of: fn(&Row) -> Option<&Histogram>) {
        self.head(name, "histogram", help);
        for row in &metrics.rows {
            if let Some(histogram) = of(row) {
                self.histogram(name, &labels(row), histogram);
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let comma = if labels.is_empty() { "" } else { "," };
        let bucket = format!("{name}_bucket");
        for (bound, n) in BOUNDS.iter().zip(histogram.at_most(&BOUNDS)) {
            self.line(&bucket, &format!("{labels}{comma}le=\"{}\"", seconds(*bound)), n);
        }
        self.line(&bucket, &format!("{labels}{comma}le=\"+Inf\""), histogram.count());
        self.line(&format!("{name}_sum"), labels, seconds(histogram.sum()));
        self.line(&format!("{name}_count"), labels, histogram.count());
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn labels(row: &Row) -> Labels {
    format!("queue=\"{}\",task=\"{}\"", escaped(&row.queue), escaped(&row.task))
}

fn gate_labels(name: &str, kind: &str) -> Labels {
    format!("gate=\"{}\",kind=\"{kind}\"", escaped(name))
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn by_state(counts: &QueueCounts) -> [(&'static str, u64); 7] {
    [
        ("scheduled", counts.scheduled),
        ("waiting", counts.waiting),
        ("blocked", counts.blocked),
        ("running", counts.running),
        ("completed", counts.completed),
        ("failed", counts.failed),
        ("cancelled", counts.cancelled),
    ]
}
