//! Energy: joules between two moments, from the processor's own counter where it can be read, else
//! an estimate from processor time that says that it is one.

use std::path::Path;
use std::time::Duration;

use cpu_time::ProcessTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where Linux tells of the first processor package (`powercap`); readable by root alone on most
/// systems.
const COUNTER: &str = "/sys/class/powercap/intel-rapl:0";

/// What a busy laptop core draws, for the estimate.
const WATTS_PER_CORE: f64 = 7.5;

/// Energy spent, measured or estimated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Energy {
    /// Joules.
    pub joules: f64,
    /// How they were found: `rapl`, or an estimate and of what kind.
    pub method: String,
}

/// Measures from when it is started.
pub struct Meter {
    counter_uj: Option<u64>,
    cpu: ProcessTime,
}

impl Meter {
    /// Begins to measure.
    pub fn start() -> Self {
        Self {
            counter_uj: read("energy_uj"),
            cpu: ProcessTime::now(),
        }
    }

    /// What was spent since, by all that ran; the estimate, by all that this process did.
    /// `elsewhere` is processor time of other processes that belongs to it.
    pub fn stop(&self, elsewhere: Duration) -> Energy {
        let counted = self.counter_uj.zip(read("energy_uj"));
        let used = counted.and_then(|(before, after)| {
            // The counter wraps around.
            let range = read("max_energy_range_uj");
            after
                .checked_sub(before)
                .or_else(|| Some(range? - before + after))
        });
        if let Some(used) = used {
            #[expect(clippy::cast_precision_loss, reason = "microjoules of one answer")]
            return Energy {
                joules: used as f64 / 1e6,
                method: "rapl (whole package)".into(),
            };
        }
        let seconds = (self.cpu.elapsed() + elsewhere).as_secs_f64();
        Energy {
            joules: (seconds * WATTS_PER_CORE * 1e3).round() / 1e3,
            method: format!(
                "estimate: processor time of the service and its model x {WATTS_PER_CORE} W"
            ),
        }
    }
}

/// Is energy counted by the processor here, and not estimated from processor time?
pub fn is_counted() -> bool {
    read("energy_uj").is_some()
}

fn read(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new(COUNTER).join(name)).ok()?;
    text.trim().parse().ok()
}
