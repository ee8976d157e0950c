//! Every operator on every pair of kinds of values.

use super::World;

const VALUES: [&str; 15] = [
    "true",
    "7",
    "context.text",
    "principal",
    "[]",
    "[1, \"a\", {}]",
    "[Group::\"g0\", context.user]",
    "principal.groups",
    "{}",
    "context",
    "principal.price",
    "datetime(\"2024-01-01\")",
    "duration(\"1h\")",
    "ip(\"1.2.3.4\")",
    "principal.z",
];

#[track_caller]
fn check(conditions: &[String]) {
    let outcomes = World::standard().conditions(conditions);
    // A mistake in the table would make everything fail in the same way.
    assert!(outcomes.contains(&Ok(true)));
    assert!(outcomes.contains(&Ok(false)));
    assert!(outcomes.iter().any(Result::is_err));
}

#[test]
fn binary_operators() {
    let mut conditions = Vec::new();
    for a in VALUES {
        for b in VALUES {
            for op in ["==", "<", "<=", ">", "&&", "||", "in"] {
                conditions.push(format!("({a}) {op} ({b})"));
            }
            for op in ["+", "-", "*"] {
                conditions.push(format!("(({a}) {op} ({b})) == 14"));
            }
        }
    }
    check(&conditions);
}

#[test]
fn binary_methods() {
    let mut conditions = Vec::new();
    for a in VALUES {
        for b in VALUES {
            for method in [
                "contains",
                "containsAll",
                "containsAny",
                "hasTag",
                "lessThan",
                "lessThanOrEqual",
                "greaterThan",
                "greaterThanOrEqual",
                "isInRange",
            ] {
                conditions.push(format!("({a}).{method}({b})"));
            }
            for method in ["getTag", "offset", "durationSince"] {
                conditions.push(format!("({a}).{method}({b}) == true"));
            }
        }
    }
    check(&conditions);
}

#[test]
fn unary_operators_and_methods() {
    let mut conditions = Vec::new();
    for a in VALUES {
        conditions.push(format!("!({a})"));
        conditions.push(format!("-({a}) == -7"));
        conditions.push(format!("({a}) has n.m"));
        conditions.push(format!("({a}) has record.n"));
        conditions.push(format!("({a}).seven == 7"));
        conditions.push(format!("({a}) like \"*a*\""));
        conditions.push(format!("({a}) is User"));
        conditions.push(format!("({a}) is User in ({a})"));
        conditions.push(format!("if ({a}) then true else false"));
        conditions.push(format!("[{a}, {a}].contains({a})"));
        conditions.push(format!("{{k: {a}}} == {{\"k\": {a}}}"));
        for method in ["isIpv4", "isIpv6", "isLoopback", "isMulticast", "isEmpty"] {
            conditions.push(format!("({a}).{method}()"));
        }
        for method in [
            "toDate",
            "toTime",
            "toMilliseconds",
            "toSeconds",
            "toMinutes",
            "toHours",
            "toDays",
        ] {
            conditions.push(format!("({a}).{method}() == 1"));
        }
        for function in ["ip", "decimal", "datetime", "duration"] {
            conditions.push(format!("{function}({a}) == {a}"));
        }
    }
    check(&conditions);
}
