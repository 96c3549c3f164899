//! What the running program tells its operators: logs, metrics, decisions and traces.

pub mod checks;
pub mod decisions;
pub mod logs;
pub mod metrics;
pub mod policies;
pub mod recorder;
pub mod scans;
pub mod traces;
