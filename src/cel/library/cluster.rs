//! Looking at other objects of the cluster: an extension of Kubernetes' language.
//!
//! Answers come from memory ([`crate::cel::function::Lookup`]); which kinds may be looked up is
//! declared by the policy and checked when it is compiled.

use super::super::error::Result;
use super::super::function::{Call, Function, ObjectName, cost};
use super::super::types::Type;
use super::super::value::{List, Value};
use super::{global, no_such_overload, static_cost};

const OBJECT: Type = Type::Dyn;

/// The functions of this library.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "cluster.get",
        doc: "Returns an object by apiVersion, kind, namespace and name, if the cluster has it; the \
              namespace of a cluster-scoped object is empty.",
        overloads: &[global(
            "cluster_get",
            &[Type::String, Type::String, Type::String, Type::String],
            Type::Optional(&OBJECT),
            get,
            |_, _| LOOKUP_COST,
        )
        .estimated(static_cost::lookup)
        .extension()],
        examples: &[
            (
                "cluster.get('v1', 'ConfigMap', 'prod', 'absent').hasValue()",
                "false",
            ),
            (
                "cluster.get('v1', 'Node', '', 'absent').orValue({'spec': 1}).spec",
                "1",
            ),
        ],
    },
    Function {
        name: "cluster.list",
        doc: "Returns all objects of an apiVersion and kind in a namespace, or in all of them if it \
              is empty.",
        overloads: &[global(
            "cluster_list",
            &[Type::String, Type::String, Type::String],
            Type::List(&OBJECT),
            list,
            |_, result| LOOKUP_COST.saturating_add(result.map_or(0, cost::size)),
        )
        .estimated(static_cost::lookups)
        .extension()],
        examples: &[("cluster.list('v1', 'Node', '').size()", "0")],
    },
];

/// A look into a table; the price of making a list.
pub(super) const LOOKUP_COST: u64 = 10;

fn get<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [
        Value::String(api_version),
        Value::String(kind),
        Value::String(namespace),
        Value::String(name),
    ] = *arguments
    else {
        return no_such_overload(call);
    };
    let object = ObjectName {
        api_version,
        kind,
        namespace,
        name,
    };
    let found = call
        .lookup
        .and_then(|lookup| lookup.get(call.arena, &object));
    Ok(Value::Optional(
        found.map(|found| &*call.arena.alloc(Value::from(found))),
    ))
}

fn list<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [
        Value::String(api_version),
        Value::String(kind),
        Value::String(namespace),
    ] = *arguments
    else {
        return no_such_overload(call);
    };
    let found = call.lookup.map_or(&[] as &[_], |lookup| {
        lookup.list(call.arena, api_version, kind, namespace)
    });
    call.reserve(0)?;
    Ok(Value::List(List::Document(found)))
}
