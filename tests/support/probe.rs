//! What a process costs and what the machine is, from `/proc`.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::fs;

/// Linux reports CPU times to user space in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the CPU seconds of a process and of its children that have ended.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain anything; the rest is numbers.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<f64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // Of the numbers after the state letter: utime, stime, cutime, cstime.
    fields.get(10..14).map_or(0.0, |times| times.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Returns the proportional set size of a process and all its descendants, in bytes.
pub(crate) fn pss_bytes(pid: u32) -> u64 {
    let mut total = pss_of(pid);
    for child in children(pid) {
        total += pss_bytes(child);
    }
    total
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

fn pss_of(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|word| word.parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

/// Returns one line on the machine: processor, cores, memory, kernel, load.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let processor = value(&read("/proc/cpuinfo"), "model name");
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kibibytes: f64 =
        memory.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{processor}, {cores} cores, {:.0} GiB, Linux {}, load {}",
        kibibytes / 1024.0 / 1024.0,
        read("/proc/sys/kernel/osrelease").trim(),
        load(),
    )
}

/// Returns the load averages.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
