//! What this process costs, as the machine tells it.

use serde::Serialize;

/// Processor time and memory of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Seconds of processor time, in the system and outside, since the process began; `None` where the platform has
    /// no simple way to ask.
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory that are in use; likewise.
    pub rss_bytes: Option<u64>,
}

/// Ticks of a second in `/proc`: the kernel's promise to programs on every platform that this is built for.
#[cfg(target_os = "linux")]
const TICKS: f64 = 100.0;

impl Cost {
    /// What it is now.
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        Self {
            cpu_seconds: cpu_seconds(&read("/proc/self/stat")),
            rss_bytes: rss(&read("/proc/self/status")),
        }
    }

    /// What it is now.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        Self::default()
    }
}

/// Fields 14 and 15, counted behind the name, which may hold anything.
#[cfg(target_os = "linux")]
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? + next()?) as f64 / TICKS)
}

#[cfg(target_os = "linux")]
fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(rss("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        let here = Cost::now();
        assert!(here.rss_bytes.is_some_and(|bytes| bytes > 1 << 16) && here.cpu_seconds.is_some());
    }
}
