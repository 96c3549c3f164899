//! Reading templates and constraints.
