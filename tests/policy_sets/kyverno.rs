//! The tests of Kyverno.
