//! What the running program tells its operators: logs and metrics.

pub mod logs;
pub mod metrics;
pub mod policies;
pub mod scans;
