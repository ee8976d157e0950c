//! Clocks that stand still while somebody else has the processor.

use std::time::Duration;

/// The processor time that this thread has used, where the system tells: what else runs on the
/// machine then disturbs less. Nobody who is measured with it waits for anything or starts threads.
#[cfg(unix)]
pub(crate) fn now() -> Duration {
    read(rustix::time::ClockId::ThreadCPUTime)
}

/// The processor time that all threads of this process have used, where the system tells.
#[cfg(unix)]
pub(crate) fn process() -> Option<Duration> {
    Some(read(rustix::time::ClockId::ProcessCPUTime))
}

#[cfg(unix)]
fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Nobody tells.
#[cfg(not(unix))]
pub(crate) fn process() -> Option<Duration> {
    None
}

/// The time since this was first asked.
#[cfg(not(unix))]
pub(crate) fn now() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn time_passes_while_something_is_done() {
        let start = now();
        let mut sum = 0_u64;
        while now() == start {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(now() > start);
    }
}
