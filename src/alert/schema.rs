//! How the alert record's closed sets stand in the OpenAPI document: made from the sets themselves,
//! which live in the detectors' core and know nothing of documents.

use bartizan_core::{Action, EntityKind, Role, Severity};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};

fn names<'a>(all: impl Iterator<Item = &'a str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(all))
}

/// `info` to `critical`.
pub fn severity() -> Schema {
    names(Severity::ALL.iter().map(|severity| severity.as_str())).into()
}

/// What a machine may do.
pub fn actions() -> Schema {
    ArrayBuilder::new().items(names(Action::ALL.iter().map(|action| action.as_str()))).into()
}

/// Who took part, in which role.
pub fn subjects() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let subject = ObjectBuilder::new()
        .property("type", names(EntityKind::ALL.iter().map(|kind| kind.as_str())))
        .property("value", text())
        .property("role", names(Role::ALL.iter().map(|role| role.as_str())))
        .property("hit", ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Was it hit? Absent: no.")))
        .required("type")
        .required("value")
        .required("role");
    ArrayBuilder::new().items(subject).into()
}
