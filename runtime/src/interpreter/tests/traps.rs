//! One test for each trap that an evaluator of Cedar can fall into.

use super::{World, entity};
use serde_json::json;

const MISSING_Z: Result<bool, &str> = Err("`User::\"alice\"` does not have the attribute `z`");

#[test]
fn connectives_check_the_left_operand_first() {
    World::standard().outcomes(&[
        ("true && 1 == 1", Ok(true)),
        (
            "1 && principal.z",
            Err("type error: expected bool, got long"),
        ),
        ("true && 1", Err("type error: expected bool, got long")),
        ("false && 1", Ok(false)),
        ("false && principal.z", Ok(false)),
        ("true && principal.z", MISSING_Z),
        (
            "\"\" || principal.z",
            Err("type error: expected bool, got string"),
        ),
        ("false || []", Err("type error: expected bool, got set")),
        ("true || []", Ok(true)),
        ("true || principal.z", Ok(true)),
        ("false || principal.z", MISSING_Z),
        // Chains are flat here but binary trees in Cedar.
        (
            "true && (true && 1)",
            Err("type error: expected bool, got long"),
        ),
        ("(true && false) && 1", Ok(false)),
        (
            "true && (false || (true && principal.no)) || principal.yes",
            Ok(true),
        ),
        (
            "false || (false || (principal.no || principal.z))",
            MISSING_Z,
        ),
        ("{}", Err("type error: expected bool, got record")),
        (
            "principal",
            Err("type error: expected bool, got (entity of type `User`)"),
        ),
    ]);
}

#[test]
fn if_is_lazy() {
    World::standard().outcomes(&[
        ("if true then true else principal.z", Ok(true)),
        ("if false then principal.z else true", Ok(true)),
        ("if principal.z then true else true", MISSING_Z),
        (
            "if 1 then true else true",
            Err("type error: expected bool, got long"),
        ),
        (
            "if true then 1 else true",
            Err("type error: expected bool, got long"),
        ),
        ("(if principal.yes then 1 else \"x\") == 1", Ok(true)),
    ]);
}

#[test]
fn other_operators_evaluate_both_sides_before_checking() {
    World::standard().outcomes(&[
        ("\"a\" + principal.z == 1", MISSING_Z),
        ("\"a\" < principal.z", MISSING_Z),
        ("1.contains(principal.z)", MISSING_Z),
        ("1 in principal.z", MISSING_Z),
        ("1.getTag(principal.z)", MISSING_Z),
        ("principal.z + (\"a\" + 1) == 1", MISSING_Z),
        ("(\"a\" + 1) + principal.z == 1", Err("type error: expected long, got string")),
        ("[1, principal.z, \"a\" + 1] == []", MISSING_Z),
        ("[\"a\" + 1, principal.z] == []", Err("type error: expected long, got string")),
        ("decimal(\"x\").lessThan(principal.z)", Err(
            "error while evaluating `decimal` extension function: `x` is not a well-formed decimal value"
        )),
        ("1.lessThan(principal.z)", MISSING_Z),
    ]);
}

#[test]
fn records_evaluate_in_key_order() {
    World::standard().outcomes(&[
        ("{b: 1 + \"x\", a: principal.z} == {}", MISSING_Z),
        (
            "{b: principal.z, a: 1 + \"x\"} == {}",
            Err("type error: expected long, got string"),
        ),
        ("{\"b\": 1, a: 2} == {a: 2, b: 1}", Ok(true)),
        ("{\"b\": 1, a: 2}.b == 1", Ok(true)),
    ]);
}

#[test]
fn greater_is_a_negation() {
    World::standard().outcomes(&[
        ("1 > \"x\"", Err("type error: expected long, got string")),
        ("\"x\" >= 1", Err("type error: expected long, got string")),
        ("\"x\" > principal.z", MISSING_Z),
        ("2 > 1 && 1 >= 1 && !(1 > 1)", Ok(true)),
        ("true != 1", Ok(true)),
    ]);
}

#[test]
fn equality_never_fails() {
    World::standard().outcomes(&[
        ("1 == \"1\"", Ok(false)),
        ("true == 1", Ok(false)),
        ("[] == {}", Ok(false)),
        ("decimal(\"1.0\") == decimal(\"1.00\")", Ok(true)),
        ("ip(\"1.2.3.4\") == ip(\"1.2.3.4/32\")", Ok(true)),
        ("ip(\"::1\") == ip(\"0:0:0:0:0:0:0:1/128\")", Ok(true)),
        ("ip(\"1.2.3.4\") == ip(\"1.2.3.4/24\")", Ok(false)),
        ("duration(\"1d\") == duration(\"24h\")", Ok(true)),
        (
            "datetime(\"1970-01-01\") == datetime(\"1970-01-01T00:00:00Z\")",
            Ok(true),
        ),
        ("datetime(\"1970-01-01\") == duration(\"0ms\")", Ok(false)),
        ("decimal(\"0.0\") == 0", Ok(false)),
        ("principal == User::\"alice\"", Ok(true)),
        ("principal.ghost == User::\"ghost\"", Ok(true)),
        ("context.user == User::\"unheard of\"", Ok(true)),
        ("context.user == principal", Ok(false)),
    ]);
}

#[test]
fn equal_values_from_anywhere_are_equal() {
    World::standard().outcomes(&[
        ("principal.numbers == resource.numbers", Ok(true)),
        ("principal.numbers == context.numbers", Ok(true)),
        ("[3, 1, 2, 1] == context.numbers", Ok(true)),
        ("principal.record == context.record", Ok(true)),
        (
            "{a: {b: {c: 1}}, \"with space\": true, n: 1} == context.record",
            Ok(true),
        ),
        (
            "{\"only here\": [{and: \"here\"}]} == context.fresh",
            Ok(true),
        ),
        ("context.fresh == context.fresh", Ok(true)),
        ("{zzz: 1} == {zzz: 1}", Ok(true)),
        ("{zzz: 1} == {zzy: 1}", Ok(false)),
        ("[{zzz: 1}, {zzz: 1}] == [{zzz: 1}]", Ok(true)),
        ("[[1], [1], [2]] == [[2], [1]]", Ok(true)),
        ("principal.price == context.price", Ok(true)),
        ("principal.address == context.address", Ok(true)),
        ("principal.birth == context.birth", Ok(true)),
        ("principal.age == context.age", Ok(true)),
        (
            "[principal.address] == [context.address, ip(\"10.0.0.1\")]",
            Ok(true),
        ),
        ("principal.records == [{a: 2}, {a: 1}]", Ok(true)),
        ("context == context", Ok(true)),
        (
            "context has fresh && context.fresh has \"only here\"",
            Ok(true),
        ),
        ("context.name == \"nobody knows this string\"", Ok(true)),
    ]);
}

#[test]
fn comparison_takes_integers_datetimes_and_durations() {
    World::standard().outcomes(&[
        (
            "datetime(\"2024-01-01\") < datetime(\"2024-01-02\")",
            Ok(true),
        ),
        ("duration(\"1h\") <= duration(\"60m\")", Ok(true)),
        ("duration(\"-1h\") < duration(\"0ms\")", Ok(true)),
        (
            "1 < duration(\"1h\")",
            Err("type error: expected long, got duration"),
        ),
        (
            "duration(\"1h\") < 1",
            Err("type error: expected long, got duration"),
        ),
        (
            "datetime(\"2024-01-01\") < duration(\"1h\")",
            Err("type error: expected datetime, got duration"),
        ),
        (
            "duration(\"1h\") < datetime(\"2024-01-01\")",
            Err("type error: expected duration, got datetime"),
        ),
        (
            "\"x\" < datetime(\"2024-01-01\")",
            Err("type error: expected datetime, got string"),
        ),
        (
            "datetime(\"2024-01-01\") < \"x\"",
            Err("type error: expected datetime, got string"),
        ),
        (
            "decimal(\"1.0\") < decimal(\"2.0\")",
            Err("type error: expected one of [long, datetime, duration], got decimal"),
        ),
        (
            "ip(\"::\") < ip(\"::\")",
            Err("type error: expected one of [long, datetime, duration], got ipaddr"),
        ),
        (
            "\"a\" < \"b\"",
            Err("type error: expected one of [long, datetime, duration], got string"),
        ),
    ]);
}

#[test]
fn arithmetic_is_checked() {
    World::standard().outcomes(&[
        ("principal.max + 1 == 0", Err(
            "integer overflow while attempting to add the values `9223372036854775807` and `1`"
        )),
        ("principal.min - 1 == 0", Err(
            "integer overflow while attempting to subtract the values `-9223372036854775808` and `1`"
        )),
        ("principal.min * -1 == 0", Err(
            "integer overflow while attempting to multiply the values `-9223372036854775808` and `-1`"
        )),
        ("-principal.min == 0", Err(
            "integer overflow while attempting to negate the value `-9223372036854775808`"
        )),
        ("principal.min + principal.max == -1", Ok(true)),
        ("-principal.max - 1 == principal.min", Ok(true)),
        ("-9223372036854775808 == principal.min", Ok(true)),
        ("2 * 3 - 7 == -1", Ok(true)),
        ("1 + true == 2", Err("type error: expected long, got bool")),
        ("true + \"x\" == 2", Err("type error: expected long, got bool")),
        ("-\"x\" == 1", Err("type error: expected long, got string")),
    ]);
}

#[test]
fn in_does_not_need_the_left_entity_to_exist() {
    World::standard().outcomes(&[
        ("principal in principal", Ok(true)),
        ("principal in Group::\"g0\"", Ok(true)),
        ("principal in Group::\"ghosts\"", Ok(true)),
        ("Group::\"g0\" in principal", Ok(false)),
        ("User::\"ghost\" in User::\"ghost\"", Ok(true)),
        ("User::\"ghost\" in Group::\"g0\"", Ok(false)),
        ("context.user in context.user", Ok(true)),
        ("context.user in [principal, context.user]", Ok(true)),
        ("context.user in Group::\"g0\"", Ok(false)),
        ("principal in context.user", Ok(false)),
        ("principal in principal.groups", Ok(true)),
        ("principal in principal.friends", Ok(false)),
        ("principal in []", Ok(false)),
        ("principal in [Group::\"g7\", Group::\"g0\"]", Ok(true)),
        ("User::\"bob\" in principal.friends", Ok(true)),
    ]);
}

#[test]
fn a_right_hand_set_is_checked_whole_and_in_value_order() {
    let got = |ty| format!("type error: expected (entity of type `any_entity_type`), got {ty}");
    let offenders = [
        ("true", "bool"),
        ("1", "long"),
        ("\"\"", "string"),
        ("[]", "set"),
        ("{}", "record"),
        ("datetime(\"2024-01-01\")", "datetime"),
        ("decimal(\"1.0\")", "decimal"),
        ("duration(\"1h\")", "duration"),
        ("ip(\"::\")", "ipaddr"),
    ];
    // In Cedar's order, any earlier one is reported before any later one.
    let mut conditions = Vec::new();
    let mut expected = Vec::new();
    for (i, (first, ty)) in offenders.iter().enumerate() {
        conditions.push(format!("principal in [{first}, principal]"));
        expected.push(Err(got(ty)));
        for (second, _) in &offenders[i..] {
            conditions.push(format!("principal in [{second}, principal, {first}]"));
            expected.push(Err(got(ty)));
        }
    }
    let world = World::standard();
    assert_eq!(world.conditions(&conditions), expected);
    world.outcomes(&[
        (
            "1 in []",
            Err("type error: expected (entity of type `any_entity_type`), got long"),
        ),
        (
            "1 in 2",
            Err("type error: expected (entity of type `any_entity_type`), got long"),
        ),
        (
            "principal in 2",
            Err("type error: expected one of [set, (entity of type `any_entity_type`)], got long"),
        ),
        (
            "principal in {}",
            Err(
                "type error: expected one of [set, (entity of type `any_entity_type`)], got record",
            ),
        ),
        // The principal is in itself, yet the set is wrong.
        (
            "principal in [principal, 1]",
            Err("type error: expected (entity of type `any_entity_type`), got long"),
        ),
    ]);
}

#[test]
fn has_is_false_of_missing_entities() {
    const NEITHER: Result<bool, &str> =
        Err("type error: expected one of [record, (entity of type `any_entity_type`)], got long");
    World::standard().outcomes(&[
        ("principal has name", Ok(true)),
        ("principal has color", Ok(false)),
        ("principal.ghost has name", Ok(false)),
        ("context.user has name", Ok(false)),
        ("context has name", Ok(true)),
        ("context has nothing", Ok(false)),
        ("principal.record has \"with space\"", Ok(true)),
        ("principal.seven has x", NEITHER),
        ("\"x\" has x", Err(
            "type error: expected one of [record, (entity of type `any_entity_type`)], got string"
        )),
        ("principal has record.a.b.c", Ok(true)),
        ("principal has record.a.b.d", Ok(false)),
        ("principal has record.x.y.z", Ok(false)),
        ("principal has record.n.m", NEITHER),
        ("principal has record.n.m.o", NEITHER),
        ("principal has self.self.ghost.self", Ok(false)),
        ("principal has seven.x", NEITHER),
        ("context has record.a.b", Ok(true)),
        ("principal.z has x", MISSING_Z),
    ]);
}

#[test]
fn missing_entities_and_missing_attributes_differ() {
    World::standard().outcomes(&[
        (
            r#"NS::User::"\u{301}\"q\"\\\n'\u{301}é".x == 1"#,
            Err(r#"entity `NS::User::"\u{301}\"q\"\\\n\'́é"` does not exist"#),
        ),
        ("principal.z", MISSING_Z),
        ("principal.ghost.name == \"\"", Err("entity `User::\"ghost\"` does not exist")),
        ("context.user.name == \"\"", Err("entity `User::\"unheard of\"` does not exist")),
        ("context.strange.name == \"\"", Err("entity `Strange::Type::\"x\"` does not exist")),
        ("principal.record.z == 1", Err("record does not have the attribute `z`")),
        ("context[\"no such\"] == 1", Err("record does not have the attribute `no such`")),
        ("{}[\"if\"] == 1", Err("record does not have the attribute `if`")),
        ("\"x\".name == 1", Err(
            "type error: expected one of [record, (entity of type `any_entity_type`)], got string"
        )),
        ("principal.none.name == 1", Err(
            "type error: expected one of [record, (entity of type `any_entity_type`)], got set"
        )),
        ("principal.self.self.self.name == \"alice\"", Ok(true)),
        ("action.x == 1", Err("`Action::\"view\"` does not have the attribute `x`")),
    ]);
}

#[test]
fn tags() {
    const NO_ENTITY: Result<bool, &str> =
        Err("type error: expected (entity of type `any_entity_type`), got record");
    World::standard().outcomes(&[
        ("principal.getTag(\"color\") == \"red\"", Ok(true)),
        ("principal.getTag(\"level\") == 3", Ok(true)),
        ("principal.getTag(\"seven\") == 7", Ok(false)),
        ("principal.hasTag(\"color\")", Ok(true)),
        ("principal.hasTag(\"name\")", Ok(false)),
        ("principal.hasTag(principal.name)", Ok(false)),
        ("principal.ghost.hasTag(\"color\")", Ok(false)),
        ("context.user.hasTag(\"color\")", Ok(false)),
        ("resource.hasTag(\"color\")", Ok(false)),
        (
            "principal.getTag(\"x\") == 1",
            Err("`User::\"alice\"` does not have the tag `x`"),
        ),
        (
            "principal.getTag(context.name) == 1",
            Err("`User::\"alice\"` does not have the tag `nobody knows this string`"),
        ),
        (
            "principal.ghost.getTag(\"x\") == 1",
            Err("entity `User::\"ghost\"` does not exist"),
        ),
        ("context.getTag(\"x\") == 1", NO_ENTITY),
        ("context.hasTag(\"x\")", NO_ENTITY),
        ("context.hasTag(1)", NO_ENTITY),
        (
            "principal.hasTag(1)",
            Err("type error: expected string, got long"),
        ),
        (
            "principal.ghost.getTag(1) == 1",
            Err("type error: expected string, got long"),
        ),
    ]);
}

#[test]
fn is_short_circuits_past_in() {
    World::standard().outcomes(&[
        ("principal is User", Ok(true)),
        ("principal is Doc", Ok(false)),
        ("principal is NS::User", Ok(false)),
        ("context.strange is Strange::Type", Ok(true)),
        ("principal is User in Group::\"g0\"", Ok(true)),
        ("principal is Doc in 1", Ok(false)),
        ("principal is Doc in principal.z", Ok(false)),
        ("principal is User in principal.z", MISSING_Z),
        (
            "principal is User in [1]",
            Err("type error: expected (entity of type `any_entity_type`), got long"),
        ),
        (
            "1 is User",
            Err("type error: expected (entity of type `any_entity_type`), got long"),
        ),
        (
            "1 is User in principal.z",
            Err("type error: expected (entity of type `any_entity_type`), got long"),
        ),
    ]);
}

#[test]
fn sets() {
    const NO_SET: Result<bool, &str> = Err("type error: expected set, got long");
    World::standard().outcomes(&[
        ("[1, 2].contains(1)", Ok(true)),
        ("[1, 2].contains(\"1\")", Ok(false)),
        ("[1, 2].contains([1])", Ok(false)),
        ("[[1], {}].contains([1, 1])", Ok(true)),
        ("[{a: 1}].contains({a: 1})", Ok(true)),
        ("principal.records.contains({a: 2})", Ok(true)),
        ("1.contains(1)", NO_SET),
        ("[1, 2, 3].containsAll([1, 3])", Ok(true)),
        ("[1, 2, 3].containsAll([1, 4])", Ok(false)),
        ("[1].containsAll([])", Ok(true)),
        ("[].containsAll([1])", Ok(false)),
        ("[].containsAny([])", Ok(false)),
        ("[1, 2].containsAny([3, 2])", Ok(true)),
        ("[1, 2].containsAny([\"1\", [2]])", Ok(false)),
        ("1.containsAll(\"\")", NO_SET),
        ("[].containsAll(1)", NO_SET),
        ("1.containsAny(\"\")", NO_SET),
        ("[].containsAny(1)", NO_SET),
        ("[].isEmpty()", Ok(true)),
        (
            "principal.none.isEmpty() && !principal.numbers.isEmpty()",
            Ok(true),
        ),
        ("1.isEmpty()", NO_SET),
        ("[1, 1, 2] == [2, 1]", Ok(true)),
        (
            "[principal, User::\"alice\"] == [User::\"alice\"]",
            Ok(true),
        ),
        (
            "[decimal(\"1.0\"), decimal(\"1.00\")] == [principal.price]",
            Ok(false),
        ),
        (
            "[decimal(\"1.5\"), decimal(\"1.50\")] == [principal.price]",
            Ok(true),
        ),
        ("context.numbers.containsAll(principal.numbers)", Ok(true)),
    ]);
}

#[test]
fn like_matches_by_character() {
    World::standard().outcomes(&[
        ("principal.name like \"a*e\"", Ok(true)),
        ("principal.name like \"*\"", Ok(true)),
        ("principal.name like \"\"", Ok(false)),
        ("context.name like \"nobody*string\"", Ok(true)),
        ("\"a*b\" like \"a\\*b\"", Ok(true)),
        ("\"axb\" like \"a\\*b\"", Ok(false)),
        ("\"é\" like \"e\\u{301}\"", Ok(false)),
        ("\"日本語\" like \"日*語\"", Ok(true)),
        ("1 like \"*\"", Err("type error: expected string, got long")),
        (
            "principal like \"*\"",
            Err("type error: expected string, got (entity of type `User`)"),
        ),
    ]);
}

#[test]
fn extension_functions() {
    World::standard().outcomes(&[
        ("decimal(context.text).lessThanOrEqual(principal.price)", Ok(true)),
        ("decimal(\"1.0\").greaterThan(decimal(\"0.9999\"))", Ok(true)),
        ("\"1.0\".lessThan(decimal(\"1.0\"))", Err("type error: expected decimal, got string")),
        ("decimal(\"1.0\").lessThan(1)", Err("type error: expected decimal, got long")),
        ("decimal(1) == 1", Err("type error: expected string, got long")),
        ("ip(principal.name).isIpv4()", Err(
            "error while evaluating `ipaddr` extension function: invalid IP address: alice"
        )),
        ("principal.address.isInRange(principal.network)", Ok(true)),
        ("principal.network.isInRange(principal.address)", Ok(false)),
        ("ip(\"::1\").isInRange(principal.network)", Ok(false)),
        ("ip(\"::1\").isLoopback() && ip(\"224.0.0.1\").isMulticast()", Ok(true)),
        ("principal.address.isIpv6()", Ok(false)),
        ("principal.name.isIpv4()", Err("type error: expected ipaddr, got string")),
        ("principal.address.isInRange(principal.price)", Err("type error: expected ipaddr, got decimal")),
        ("principal.birth.offset(principal.age) == datetime(\"2000-03-01\")", Ok(true)),
        ("datetime(\"2000-03-01\").durationSince(principal.birth) == duration(\"1d\")", Ok(true)),
        ("datetime(\"2000-03-01\").durationSince(principal.birth).toHours() == 24", Ok(true)),
        ("datetime(\"1969-12-31T23:00:00Z\").toDate() == datetime(\"1969-12-31\")", Ok(true)),
        ("datetime(\"1969-12-31T23:00:00Z\").toTime() == duration(\"23h\")", Ok(true)),
        ("duration(\"-1999ms\").toSeconds() == -1", Ok(true)),
        ("duration(\"-1h\").toDays() == 0", Ok(true)),
        ("duration(\"90m\").toMinutes() == 90 && duration(\"1ms\").toMilliseconds() == 1", Ok(true)),
        ("principal.age.toDate() == 1", Err("type error: expected datetime, got duration")),
        ("principal.birth.toDays() == 1", Err("type error: expected duration, got datetime")),
        ("principal.birth.offset(1) == 1", Err("type error: expected duration, got long")),
        (
            "datetime(\"1970-01-01\").offset(duration(\"9223372036854775807ms\")).offset(duration(\"1ms\")) == 1",
            Err("error while evaluating `offset` extension function: overflows when adding an offset: datetime(\"1970-01-01\").offset(duration(\"9223372036854775807ms\"))+(1ms)"),
        ),
        (
            "datetime(\"1970-01-01\").offset(duration(\"-9223372036854775808ms\")).toDate() == 1",
            Err("error while evaluating `toDate` extension function: overflows when computing the date of datetime(\"1970-01-01\").offset(duration(\"-9223372036854775808ms\"))"),
        ),
    ]);
}

#[test]
fn deep_values_compare() {
    let mut deep = json!(1);
    for i in 0..60 {
        deep = if i % 2 == 0 {
            json!([deep])
        } else {
            json!({ "k": deep, "e": entity("User", "x") })
        };
    }
    let entities = json!([
        {"uid": {"type": "User", "id": "alice"}, "attrs": {"deep": deep}, "parents": []}
    ]);
    World::new(entities, json!({"deep": deep})).outcomes(&[
        ("principal.deep == context.deep", Ok(true)),
        ("[principal.deep, context.deep] == [context.deep]", Ok(true)),
        ("principal.deep.e == User::\"x\"", Ok(true)),
    ]);
}

#[test]
fn unless_negates_and_checks() {
    let world = World::standard();
    let policies = r#"
        permit(principal, action, resource) unless { false };
        permit(principal, action, resource) unless { true };
        permit(principal, action, resource) unless { 1 };
        permit(principal, action, resource) when { true } unless { false } when { 1 == 1 };
        permit(principal, action, resource) when { false } unless { principal.z };
        permit(principal, action, resource) unless { true } when { principal.z };
        permit(principal, action, resource) unless { false } when { principal.z };
        permit(principal, action, resource) when { 1 } unless { principal.z };
        forbid(principal, action, resource) when { principal.yes };
        forbid(principal, action, resource);
    "#
    .parse()
    .unwrap();
    let outcomes = world.check(&policies);
    let satisfied = outcomes.values().filter(|o| **o == Ok(true)).count();
    assert_eq!(satisfied, 4);
    assert_eq!(outcomes.values().filter(|o| o.is_err()).count(), 3);
}
