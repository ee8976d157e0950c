//! Texts: ids, links, and errors with places.

use super::*;
use cedar_policy::{Entities, PolicyId};
use miette::Diagnostic;

fn ids(set: &PolicySet) -> Vec<String> {
    let policies = set.policies().map(|p| p.id().to_string());
    let mut ids: Vec<_> = policies.collect();
    ids.extend(set.templates().map(|t| t.id().to_string()));
    ids
}

/// The text that each label of an error covers.
fn labelled<'a>(error: &ParseError, text: &'a str) -> Vec<&'a str> {
    let labels = error.labels().unwrap();
    labels
        .map(|label| &text[label.offset()..label.offset() + label.len()])
        .collect()
}

#[test]
fn ids_are_numbers_or_annotations() {
    let text = "permit (principal, action, resource);
        @id(\"named\") permit (principal, action, resource);
        permit (principal == ?principal, action, resource);
        @id forbid (principal, action, resource);
        @id(\"tem plate\") permit (principal == ?principal, action, resource);";
    let set = parse_policies(text, "a.cedar").unwrap();
    assert_eq!(ids(&set), ["policy0", "named", "", "policy2", "tem plate"]);
    assert_eq!(ids(&parse_policies("", "a.cedar").unwrap()), [""; 0]);
    assert_eq!(ids(&parse_policies("// none", "a.cedar").unwrap()), [""; 0]);
}

#[test]
fn duplicate_ids_are_errors() {
    for text in [
        "@id(\"a\") permit (principal, action, resource);
         @id(\"a\") permit (principal, action, resource);",
        "@id(\"a\") permit (principal == ?principal, action, resource);
         @id(\"a\") permit (principal, action, resource);",
    ] {
        let error = parse_policies(text, "a.cedar").unwrap_err();
        assert_eq!(*error.kind(), ParseErrorKind::DuplicateId("a".into()));
        let message = "a.cedar:2:10: duplicate policy id `a`";
        assert_eq!(error.to_string(), message);
    }
    let text = "@id(\"policy1\") permit (principal, action, resource);
        permit (principal, action, resource);";
    let error = parse_policies(text, "a.cedar").unwrap_err();
    assert_eq!(*error.kind(), ParseErrorKind::DuplicateId("policy1".into()));
}

#[test]
fn syntax_errors_have_places() {
    let text = "permit (principal, action, resource);\n\nforbid (principal, action resource);\n\
                permit (principle, action, resource) when { 1 + };";
    let error = parse_policies(text, "dir/a.cedar").unwrap_err();
    assert_eq!(*error.kind(), ParseErrorKind::Malformed);
    assert_eq!(error.origin(), "dir/a.cedar");
    let place = error.place().unwrap();
    assert_eq!((place.line, place.column), (3, 27));
    let message = error.to_string();
    assert!(message.starts_with("dir/a.cedar:3:27: unexpected token `resource`"));
    assert_eq!(labelled(&error, text), ["resource"]);
    assert!(error.messages().count() > 1, "all errors are kept");
    let text = "permit (principal, action, resource) when { \"äö\" + princpal };";
    let error = parse_policies(text, "a.cedar").unwrap_err();
    assert_eq!(labelled(&error, text), ["princpal"]);
    assert_eq!(error.place().unwrap().column, 52);
    assert!(error.help().is_some());
}

#[test]
fn errors_can_be_drawn() {
    let text = "permit (principal, action, resource);\n\nforbid (principal, action resource);";
    let error = parse_policies(text, "dir/a.cedar").unwrap_err();
    let mut drawn = String::new();
    miette::NarratableReportHandler::new()
        .render_report(&mut drawn, &error)
        .unwrap();
    assert!(
        drawn.contains("dir/a.cedar:3:27: unexpected token"),
        "{drawn}"
    );
    assert!(
        drawn.contains("label at line 3, columns 27 to 34: expected"),
        "{drawn}"
    );
    assert!(
        drawn.contains("forbid (principal, action resource);"),
        "{drawn}"
    );
}

#[test]
fn long_texts_are_parsed_in_parts() {
    let one =
        "@note(\"é\") permit (principal == User::\"a\", action, resource)\n  when { true };\n";
    let n = 5_000;
    let mut text = one.repeat(n);
    let set = parse_policies(&text, "a.cedar").unwrap();
    assert_eq!(set.num_of_policies(), n);
    let last = set.policies().last().unwrap();
    assert_eq!(last.id(), &PolicyId::new(format!("policy{}", n - 1)));
    assert_eq!(format!("{}\n", last.to_cedar().unwrap()), one);
    let order = set.policies().map(|p| p.id().to_string());
    assert!(order.eq((0..n).map(|i| format!("policy{i}"))));
    text.push_str("\n permit (principal, action, resource) when { princpal };");
    let error = parse_policies(&text, "a.cedar").unwrap_err();
    let place = error.place().unwrap();
    assert_eq!((place.line, place.column), (2 * n + 2, 46));
    assert_eq!(labelled(&error, &text), ["princpal"]);
    let text = format!("@id(\"policy4500\") {}", one.repeat(n));
    let error = parse_policies(&text, "a.cedar").unwrap_err();
    assert_eq!(
        *error.kind(),
        ParseErrorKind::DuplicateId("policy4500".into())
    );
    assert_eq!(error.place().unwrap().line, 9_001);
}

#[test]
fn validation_speaks_of_the_whole_text() {
    let schema = "entity User; action a appliesTo { principal: User, resource: User };";
    let schema = parse_schema(schema, SchemaFormat::Cedar, "s").unwrap();
    let mut text = "permit (principal is User, action, resource);\n".repeat(5_000);
    text.push_str("  permit (principal is Usr, action, resource);");
    let set = parse_policies(&text, "a.cedar").unwrap();
    let validator = cedar_policy::Validator::new(schema);
    let result = validator.validate(&set, cedar_policy::ValidationMode::Strict);
    let error = result.validation_errors().next().unwrap();
    let span = error.labels().unwrap().next().unwrap();
    let source = error.source_code().unwrap();
    let shown = source.read_span(span.inner(), 0, 0).unwrap();
    assert_eq!((shown.line(), shown.column()), (5_000, 23));
}

#[test]
fn json_policies() {
    let policy = r#"{"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"},
        "resource": {"op": "All"}, "conditions": []}"#;
    let template = policy.replacen(
        r#"{"op": "All"}"#,
        r#"{"op": "==", "slot": "?principal"}"#,
        1,
    );
    let set = parse_policies_json(policy, "a.json").unwrap();
    assert_eq!(ids(&set), ["JSON policy"]);
    let set = parse_policies_json(&template, "a.json").unwrap();
    assert_eq!(set.num_of_templates(), 1);
    let link =
        r#"{"templateId": "t", "newId": "l", "values": {"?principal": {"type": "A", "id": "x"}}}"#;
    let all = format!(
        r#"{{"staticPolicies": {{"s": {policy}}}, "templates": {{"t": {template}}}, "templateLinks": [{link}]}}"#
    );
    let set = parse_policies_json(&all, "a.json").unwrap();
    let mut interner = Interner::new();
    let loaded = load_policy_set(&set, &mut interner).unwrap();
    let ids: Vec<_> = loaded.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["l", "s"]);
    assert_eq!(loaded[0].slots.principal, interner.find_entity("A", "x"));
}

#[test]
fn json_errors_have_places() {
    let error = parse_policies_json("{\n  \"staticPolicies\": {,", "a.json").unwrap_err();
    assert!(error.to_string().starts_with("a.json:2:22: "), "{error}");
    let error = parse_policies_json("{\"a\": 1}", "a.json").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.json: neither a policy set nor a policy"
    );
    let policy = r#"{"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"},
        "resource": {"op": "All"}, "conditions": []}"#;
    let twice = format!(
        r#"{{"staticPolicies": {{"s": {policy}, "s": {policy}}}, "templates": {{}}, "templateLinks": []}}"#
    );
    let error = parse_policies_json(&twice, "a.json").unwrap_err();
    assert!(error.to_string().contains("duplicate"), "{error}");
    let wrong = policy.replace("permit", "allow");
    let error = parse_policies_json(&wrong, "a.json").unwrap_err();
    assert!(error.to_string().contains("allow"), "{error}");
}

#[test]
fn a_link_may_name_its_template_by_position() {
    let text = r#"
        permit (principal, action, resource);
        @id("share") permit (principal == ?principal, action, resource);
    "#;
    let links = r#"[{"template_id": "policy1", "link_id": "l",
                     "args": {"?principal": "User::\"a\""}}]"#;
    let mut set = parse_policies(text, "p.cedar").unwrap();
    assert!(link(&mut set, links, "l.json").is_err());
    link_by_position(&mut set, links, "l.json", text).unwrap();
    let linked = set.policy(&PolicyId::new("l")).unwrap();
    assert_eq!(linked.template_id(), Some(&PolicyId::new("share")));
    let other = links.replace("policy1", "policy0");
    assert!(link_by_position(&mut set, &other, "l.json", text).is_err());
}

#[test]
fn links_that_cannot_be_made() {
    let text = "@id(\"t\") permit (principal == ?principal, action, resource);
        @id(\"s\") permit (principal, action, resource);";
    let set = parse_policies(text, "a.cedar").unwrap();
    let good = r#"{"template_id": "t", "link_id": "l", "args": {"?principal": "A::\"x\""}}"#;
    for (links, message) in [
        (good.replace("\"t\"", "\"u\""), "template"),
        (good.replace("\"t\"", "\"s\""), "template"),
        (good.replace("\"l\"", "\"s\""), "`s`"),
        (good.replace("?principal", "?resource"), "slot"),
        (
            good.replace("?principal", "?action"),
            "there is no slot `?action`",
        ),
        (good.replace("A::", "A:"), "is no entity uid"),
        (
            good.replace("{\"?principal\": \"A::\\\"x\\\"\"}", "{}"),
            "slot",
        ),
        (format!("{good}, {good}"), "`l`"),
        (good.replace("link_id", "id"), "link_id"),
    ] {
        let links = format!("[{}, {links}]", good.replace("\"l\"", "\"first\""));
        let mut linked = set.clone();
        let error = link(&mut linked, &links, "l.json").unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("l.json:"), "{shown}");
        assert!(
            shown.contains(message),
            "{shown} does not contain {message}"
        );
        assert_eq!(linked, set, "left as it was");
    }
    let mut linked = set.clone();
    link(&mut linked, "", "l.json").unwrap();
    assert_eq!(linked, set);
    link(&mut linked, &format!("[{good}]"), "l.json").unwrap();
    assert_eq!(linked.num_of_policies(), 2);
}

#[test]
fn schemas_in_both_forms() {
    let text = "entity User = { a: Long }; action v appliesTo { principal: User, resource: User };";
    let cedar = load_schema(text, SchemaFormat::Cedar, "s.cedarschema").unwrap();
    assert!(cedar.facts.entity_type("User").is_some());
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(text).unwrap();
    let json = fragment.to_json_string().unwrap();
    let again = load_schema(&json, SchemaFormat::Json, "s.json").unwrap();
    assert_eq!(cedar.facts, again.facts);
    let text = "entity User = {\n  a: Lng\n};";
    let error = parse_schema(text, SchemaFormat::Cedar, "s.cedarschema").unwrap_err();
    assert!(
        error.to_string().starts_with("s.cedarschema:2:6: "),
        "{error}"
    );
    let error = parse_schema("entity\nUser {", SchemaFormat::Cedar, "s").unwrap_err();
    assert!(error.to_string().starts_with("s:2:"), "{error}");
    let error = parse_schema("{\n\n  1}", SchemaFormat::Json, "s.json").unwrap_err();
    assert!(error.to_string().starts_with("s.json:3:"), "{error}");
}

#[test]
fn entities_are_checked_against_the_schema() {
    let text = r#"[{"uid": {"type": "A", "id": "x"}, "attrs": {}, "parents": []}]"#;
    assert_ne!(
        parse_entities(text, None, "e.json").unwrap(),
        Entities::empty()
    );
    let schema = parse_schema("entity B;", SchemaFormat::Cedar, "s").unwrap();
    let error = parse_entities(text, Some(&schema), "e.json").unwrap_err();
    assert!(error.to_string().starts_with("e.json: "), "{error}");
    let error = parse_entities("[\n{]", None, "e.json").unwrap_err();
    assert!(error.to_string().starts_with("e.json:2:"), "{error}");
}

#[test]
fn load_errors_find_their_place_in_the_text() {
    let deep = policy(&format!("1{} == 1", "+1".repeat(300)));
    let text = format!("permit (principal, action, resource);\n  {deep}");
    let set = parse_policies(&text, "a.cedar").unwrap();
    let error = load_policy_set(&set, &mut Interner::new()).unwrap_err();
    assert!(error.source_code().is_some());
    let error = error.in_text("a.cedar", &text);
    assert_eq!(*error.kind(), ParseErrorKind::Policy("policy1".into()));
    assert_eq!(
        error.to_string(),
        "a.cedar:2:3: policy `policy1`: expressions nest more than 256 deep"
    );
}
