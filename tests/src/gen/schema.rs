//! Writes a model as a JSON schema.

use super::model::{Action, EntityType, Field, Kind, Model, Ty, TyId};
use super::text::{comma_separated, escape, json_string};

/// The schema that declares everything in `model` but its strangers.
pub(super) fn write(model: &Model) -> String {
    let mut out = String::from("{");
    comma_separated(&mut out, 0..model.namespaces.len(), |out, namespace| {
        let name = model.namespaces.get(namespace).copied().unwrap_or_default();
        json_string(out, name);
        out.push_str(": {\"entityTypes\": {");
        let types = model.entity_types.iter();
        let types = types.filter(|ty| ty.kind == Kind::Standard && ty.namespace == namespace);
        comma_separated(out, types, |out, ty| entity_type(model, out, ty));
        out.push_str("}, \"actions\": {");
        let of_namespace = |action: &&Action| {
            let ty = model.entity_types.get(action.entity_type);
            ty.is_some_and(|ty| ty.namespace == namespace)
        };
        let actions = model.actions.iter().filter(of_namespace);
        comma_separated(out, actions, |out, a| action(model, out, a));
        out.push_str("}}");
    });
    out.push('}');
    out
}

fn entity_type(model: &Model, out: &mut String, ty: &EntityType) {
    let base = ty.name.rsplit("::").next().unwrap_or_default();
    json_string(out, base);
    out.push_str(": {");
    if ty.choices.is_empty() {
        out.push_str("\"memberOfTypes\": ");
        type_names(model, out, &ty.parents);
        out.push_str(", \"shape\": {\"type\": \"Record\", \"attributes\": ");
        attributes(model, out, &ty.attrs);
        out.push('}');
        if let Some(tags) = ty.tags {
            out.push_str(", \"tags\": ");
            type_json(model, out, tags);
        }
    } else {
        out.push_str("\"enum\": [");
        comma_separated(out, &ty.choices, |out, id| json_string(out, id));
        out.push(']');
    }
    out.push('}');
}

fn action(model: &Model, out: &mut String, action: &Action) {
    json_string(out, &action.id);
    out.push_str(": {\"memberOf\": [");
    let groups = action.groups.iter().filter_map(|&g| model.actions.get(g));
    comma_separated(out, groups, |out, group| {
        out.push_str("{\"type\": ");
        type_name(model, out, group.entity_type);
        out.push_str(", \"id\": ");
        json_string(out, &group.id);
        out.push('}');
    });
    out.push(']');
    if !action.principals.is_empty() {
        out.push_str(", \"appliesTo\": {\"principalTypes\": ");
        type_names(model, out, &action.principals);
        out.push_str(", \"resourceTypes\": ");
        type_names(model, out, &action.resources);
        out.push_str(", \"context\": ");
        type_json(model, out, action.context);
        out.push('}');
    }
    out.push('}');
}

fn type_names(model: &Model, out: &mut String, types: &[usize]) {
    out.push('[');
    comma_separated(out, types, |out, &ty| type_name(model, out, ty));
    out.push(']');
}

fn type_name(model: &Model, out: &mut String, ty: usize) {
    let name = model.entity_types.get(ty).map(|ty| &*ty.name);
    json_string(out, name.unwrap_or_default());
}

fn attributes(model: &Model, out: &mut String, fields: &[Field]) {
    out.push('{');
    comma_separated(out, fields, |out, field| {
        json_string(out, &field.name);
        out.push_str(": ");
        type_json(model, out, field.ty);
        if !field.required {
            // The field's object is still open at its end.
            out.pop();
            out.push_str(", \"required\": false}");
        }
    });
    out.push('}');
}

fn type_json(model: &Model, out: &mut String, ty: TyId) {
    match model.types.get(ty) {
        Ty::Bool => out.push_str("{\"type\": \"Boolean\"}"),
        Ty::Long => out.push_str("{\"type\": \"Long\"}"),
        Ty::Str => out.push_str("{\"type\": \"String\"}"),
        Ty::Ext(ext) => {
            let name = ext.type_name();
            escape(
                out,
                format_args!("{{\"type\": \"Extension\", \"name\": \"{name}\"}}"),
            );
        }
        Ty::Entity(ty) => {
            out.push_str("{\"type\": \"Entity\", \"name\": ");
            type_name(model, out, *ty);
            out.push('}');
        }
        Ty::Set(element) => {
            out.push_str("{\"type\": \"Set\", \"element\": ");
            type_json(model, out, *element);
            out.push('}');
        }
        Ty::Record(fields) => {
            out.push_str("{\"type\": \"Record\", \"attributes\": ");
            attributes(model, out, fields);
            out.push('}');
        }
    }
}
