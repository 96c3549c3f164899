//! What a policy is: one model for `.cel` files and for Kubernetes' own policy documents.
//!
//! Documents are read ([`read`]) with the defaults of their version ([`defaults`]) into the
//! [`model`], and checked ([`validate`]) as the API server checks them when they are created.
//! Then their expressions become programs ([`compile`]), and policies, bindings and parameters a
//! [`set::PolicySet`]. What the owner of a cluster says of them is applied before ([`overrides`]).
//! What was read can be written as Kubernetes documents again ([`export`]). Which requests are passed
//! over, for a while, is said by [`exceptions`]. Every finding has one of the [`codes`].

pub mod codes;
mod common;
pub mod compile;
pub mod defaults;
pub mod exceptions;
pub mod export;
pub mod model;
pub mod objects;
pub mod overrides;
pub mod packs;
pub mod params;
pub mod places;
pub mod read;
pub mod reads;
pub mod set;
pub mod validate;
