use super::*;

fn policy(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};")
}

/// The bound on the depth of a condition, brackets of the clause not counted.
fn depth(condition: &str) -> usize {
    let mut scan = Scan::new(condition);
    while scan.at < scan.text.len() {
        scan.step().unwrap();
    }
    scan.frame().finish_item()
}

#[test]
fn operators_are_bounded_by_precedence() {
    for (condition, bound) in [
        ("a", 0),
        ("a.b", 1),
        ("a.b.c == d.e", 3),
        ("a && b && c", 2),
        ("a == 1 && b == 2 || c == 3 && d == 4", 3),
        ("a == 1 || b == 2 || c == 3", 3),
        ("!a && !b", 2),
        ("-a - -b * -c", 3),
        ("a - b - c", 2),
        ("(((a)))", 3),
        ("(a + b).c.d", 4),
        ("[a + b, c, d * e]", 2),
        ("a[\"b\"][\"c\"]", 3),
        ("a.b(c.d(e))", 6),
        ("if a then b else if c then d else e", 2),
        ("if a && b then c else d", 2),
        ("a has b.c.d", 3),
        ("a is B::C in d", 2),
        ("{a: b + c, \"d\": {e: 1}}", 2),
        ("a like \"(((([[[[\" // ((((((((", 1),
    ] {
        assert_eq!(depth(condition), bound, "{condition}");
    }
}

#[test]
fn statements_are_found() {
    let text = "// x; y\n@id(\"a;b\") permit(principal, action, resource);\n\n  forbid(principal,\n\
                action, resource) when { \"\\\";\" == \";\" };permit (principal,action,resource)";
    let found = scan_policies(text).unwrap();
    let found: Vec<_> = found.into_iter().map(|found| &text[found.range]).collect();
    assert_eq!(found.len(), 3);
    assert!(found[0].starts_with("@id") && found[0].ends_with("resource);"));
    assert!(found[1].starts_with("forbid") && found[1].ends_with("};"));
    assert!(found[2].starts_with("permit") && found[2].ends_with(')'));
    assert_eq!(scan_policies(""), Ok(vec![]));
    assert_eq!(scan_policies(" \n // nothing"), Ok(vec![]));
}

#[test]
fn long_policy_sets_are_no_chain() {
    let one = policy("principal.a == 1 && resource.b.c in [User::\"a\", User::\"b\"]");
    assert_eq!(scan_policies(&one.repeat(10_000)).unwrap().len(), 10_000);
    let list = policy(&format!("[{}] == []", "User::\"a\", ".repeat(10_000)));
    assert!(scan_policies(&list).is_ok());
    let terms = policy(&vec!["principal.name == \"a\""; 4000].join(" || "));
    assert!(scan_policies(&terms).is_ok());
}

#[test]
fn deep_policies_must_be_short() {
    let terms = |n| vec!["principal.name == \"a\""; n].join(" || ");
    let within = |n: usize, inner: &str| {
        policy(&format!("{}{inner}", "if context.a then b else ".repeat(n)))
    };
    assert!(scan_policies(&within(20, &terms(4000))).is_ok());
    assert!(scan_policies(&within(200, &terms(100))).is_ok());
    let deep = within(200, &terms(2000));
    let excess = scan_policies(&deep).unwrap_err();
    assert!(matches!(excess.error, LimitError::Recovery { .. }));
    assert_eq!(excess.offset, 0);
    // Beside one another they are not deep.
    let beside = format!("[{} 1]", "if context.a then b else c, ".repeat(10_000));
    let found = scan_policies(&policy(&beside)).unwrap();
    assert!(found[0].work < 1_000_000);
    let brackets = policy(&format!("{}1{}", "(".repeat(500), ")".repeat(500)));
    assert!(scan_policies(&brackets).is_ok());
    let brackets = policy(&format!(
        "{}{}{}",
        "(".repeat(500),
        terms(4000),
        ")".repeat(500)
    ));
    assert!(scan_policies(&brackets).is_err());
}

#[test]
fn hostile_policies_are_refused() {
    let n = 1_000_000;
    let nesting = LimitError::Nesting { limit: MAX_NESTING };
    let chain = LimitError::Chain { limit: MAX_CHAIN };
    for (text, error) in [
        ("(".repeat(10 * n), nesting),
        ("[".repeat(n), nesting),
        ("{a:".repeat(n), nesting),
        (policy(&"if ".repeat(n)), chain),
        (policy(&"!".repeat(n)), chain),
        (policy(&"-".repeat(n)), chain),
        (policy(&format!("a{}", ".a".repeat(n))), chain),
        (policy(&format!("a{}", "[\"a\"]".repeat(n))), chain),
        (policy(&format!("a{}", ".isEmpty()".repeat(n))), chain),
        (policy(&format!("1{}", "+1".repeat(n))), chain),
        (policy(&format!("1{}", "*1".repeat(n))), chain),
        (policy(&format!("a{}", "&&a".repeat(n))), chain),
        (policy(&format!("a{}", "||a".repeat(n))), chain),
        (policy(&format!("a{}", "==a".repeat(n))), chain),
        (policy(&"if a then b else ".repeat(n)), chain),
        // Splitting a chain of one class by operators of a tighter one must not hide it.
        (policy(&"-a*-".repeat(n)), chain),
        (
            "permit(principal,action,resource)".to_owned() + &"when{a}".repeat(n),
            chain,
        ),
    ] {
        let head: String = text.chars().take(80).collect();
        assert_eq!(scan_policies(&text).unwrap_err().error, error, "{head}");
    }
    let long = policy(&format!("[{}]", "1,".repeat(n)));
    let error = scan_policies(&long).unwrap_err().error;
    assert!(matches!(error, LimitError::Policy { .. }), "{error}");
    let long = " ".repeat(MAX_POLICY_SET_BYTES + 1);
    let error = scan_policies(&long).unwrap_err().error;
    assert!(matches!(error, LimitError::Text { .. }), "{error}");
}

#[test]
fn schemas_and_json_are_bounded() {
    assert!(scan_schema("entity A { a: Set<Set<{b: Long}>> }; // <<<< \n").is_ok());
    assert!(scan_schema(&"Set<".repeat(MAX_SCHEMA_NESTING)).is_ok());
    assert!(scan_schema(&"Set<".repeat(MAX_SCHEMA_NESTING + 1)).is_err());
    assert!(scan_schema(&"{a:".repeat(1_000_000)).is_err());
    assert!(scan_schema(&" ".repeat(MAX_SCHEMA_BYTES + 1)).is_err());
    assert!(scan_json("[\"[[\\\"[[\", {\"a\": \"<<//\"}]").is_ok());
    let deep = "[".repeat(MAX_JSON_NESTING);
    assert!(scan_json(&deep).is_ok());
    let excess = scan_json(&(deep + "[")).unwrap_err();
    assert_eq!(excess.offset, MAX_JSON_NESTING);
}
