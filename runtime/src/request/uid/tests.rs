use super::*;
use std::str::FromStr;

/// Odd texts, and whether they are plain.
const TEXTS: &[(&str, bool)] = &[
    (r#"User::"ann""#, true),
    (r#"_::"""#, true),
    (r#"A::B1::_c::"a b/c:d::e@f.g""#, true),
    (r#"principal::"x""#, true),
    (r#"permit::forbid::when::"x""#, true),
    (r#"iff::"x""#, true),
    (r#"If::"x""#, true),
    (r#"__cedarx::"x""#, true),
    (r#"User::"üñ→漢🍓""#, true),
    (r#"User::"{\"a\": 1}""#, true),
    (r#"User::"a::b""#, true),
    (r#"User::"::""#, true),
    (r#"User::"/* no comment */ // none""#, true),
    ("User::\"\u{301}\"", false),
    ("User::\"a\u{301}\"", true),
    ("User::\"\u{feff}\"", false),
    ("User::\"\u{200b}\"", false),
    ("User::\"\u{e000}\"", false),
    ("User::\"a\tb\"", false),
    ("User::\"a\nb\"", false),
    ("User::\"a\u{0}b\"", false),
    ("User::\"a\u{7f}b\"", false),
    (r#"User::"a'b""#, false),
    (r#"User::"a\'b""#, true),
    (r#"User::"a\"b""#, true),
    (r#"User::"a\\b""#, true),
    (r#"User::"a\nb""#, true),
    (r#"User::"a\u{301}b""#, false),
    (r#"User::"a\u{41}b""#, false),
    (r#"User::"a\x41b""#, false),
    (r#"User::"CORP\\ann""#, true),
    (r#"User::"é\u{feff}\t\0\r\u{7f}""#, true),
    (r#"User::"\u{301}\u{200b}\u{e000}""#, true),
    (r#"User::"\u{FEFF}""#, false),
    (r#"User::"\u{07f}""#, false),
    (r#"User::"\u{1f353}""#, false),
    (r#"User::"\\\"""#, true),
    (r#"User::"a\*b""#, false),
    (r#"User::"a\qb""#, false),
    (r#"User::"a\u{}b""#, false),
    (r#"User::"a\u{+41}b""#, false),
    (r#"User::"a\u{4_1}b""#, false),
    (r#"User::"a\u{0000041}b""#, false),
    (r#"User::"a\u{d800}b""#, false),
    (r#"User::"a\u{110000}b""#, false),
    (r#"User::"a\u41""#, false),
    (r#"User::"a\x80b""#, false),
    (r#"User::"a\x4""#, false),
    ("User::\"a\\\n b\"", false),
    ("User::\"a\\nb\tc\"", false),
    (r#"User::"a\n"b""#, false),
    (r#"User::"a\\"b""#, false),
    (r#"User::"a\"#, false),
    (r#"User::"a"b""#, false),
    (r#"User::"a"""#, false),
    (r#"User::"a" "#, false),
    (r#" User::"a""#, false),
    (r#"User :: "a""#, false),
    (r#"User:: "a""#, false),
    (r#"User::"a" // comment"#, false),
    ("User//c\n::\"a\"", false),
    (r#"User:"a""#, false),
    (r#"User"a""#, false),
    (r#"::"a""#, false),
    (r#"::User::"a""#, false),
    (r#"User::::"a""#, false),
    (r#"User:::"a""#, false),
    (r#"User::x:"a""#, false),
    (r#"A:B::"a""#, false),
    (r#"User::{id: "a"}"#, false),
    (r#"User::'a'"#, false),
    (r#"1User::"a""#, false),
    (r#"A::1::"a""#, false),
    (r#"Us-er::"a""#, false),
    (r#"Üser::"a""#, false),
    (r#"if::"a""#, false),
    (r#"in::"a""#, false),
    (r#"is::"a""#, false),
    (r#"has::"a""#, false),
    (r#"like::"a""#, false),
    (r#"then::"a""#, false),
    (r#"else::"a""#, false),
    (r#"true::"a""#, false),
    (r#"false::"a""#, false),
    (r#"__cedar::"a""#, false),
    (r#"__cedar::A::"a""#, false),
    (r#"A::if::"a""#, false),
    (r#"A::__cedar::B::"a""#, false),
    (r#""a""#, false),
    (r#"""#, false),
    ("", false),
    ("User", false),
    ("User::a", false),
    ("User::\"a", false),
    ("?principal::\"a\"", false),
];

#[test]
fn what_is_plain_cedar_policy_reads_alike() {
    for (text, plain) in TEXTS {
        let read = split_plain(text);
        assert_eq!(read.is_some(), *plain, "{text}");
        if let Some((ty, eid)) = read {
            let uid = EntityUid::from_str(text).expect(text);
            assert_eq!(uid.type_name().to_string(), ty);
            assert_eq!(uid.id().unescaped(), eid);
        }
    }
}

#[test]
fn plain_names_are_cedar_policys_names() {
    for (text, _) in TEXTS {
        let name = text.split('"').next().unwrap_or_default();
        let name = name.strip_suffix("::").unwrap_or(name);
        if is_plain_name(name) {
            assert!(EntityTypeName::from_str(name).is_ok(), "{name}");
        }
    }
    for byte in 0..=u8::MAX {
        for name in [
            format!("{}", char::from(byte)),
            format!("a{}", char::from(byte)),
        ] {
            let uid = format!("{name}::\"x\"");
            assert_eq!(
                is_plain_name(&name),
                EntityUid::from_str(&uid).is_ok(),
                "{name:?}"
            );
        }
    }
}

#[test]
fn every_character_is_judged_as_cedar_policy_does() {
    for c in '\0'..char::MAX {
        for text in [format!("T::\"{c}\""), format!("T::\"x{c}\"")] {
            if let Some((_, eid)) = split_plain(&text) {
                let uid = EntityUid::from_str(&text).expect("plain uids are uids");
                assert_eq!(uid.id().unescaped(), eid);
            }
        }
    }
}

#[test]
fn every_escape_is_judged_as_cedar_policy_does() {
    let mut plain = 0;
    for c in '\0'..'\u{800}' {
        let code = u32::from(c);
        for escape in [
            format!("\\{c}"),
            format!("\\x{code:02x}"),
            format!("\\u{{{code:X}}}"),
            c.escape_debug().to_string(),
            c.escape_default().to_string(),
        ] {
            let text = format!("T::\"{escape}b\"");
            let uid = EntityUid::from_str(&text).ok();
            let read = split_plain(&text);
            assert_eq!(read.is_some(), uid.is_some(), "{text}");
            if let (Some((ty, eid)), Some(uid)) = (read, uid) {
                assert_eq!((ty, uid.id().unescaped()), ("T", &*eid), "{text}");
                plain += 1;
            }
        }
    }
    assert!(plain >= 0x800, "{plain}");
}

#[test]
fn long_uids_are_not_plain() {
    let text = |n| format!("T::\"{}\"", "x".repeat(n));
    assert!(split_plain(&text(MAX_UID_BYTES - 5)).is_some());
    assert!(split_plain(&text(MAX_UID_BYTES - 4)).is_none());
}

#[test]
fn handles_know_their_interner() {
    let mut interner = Interner::new();
    let ann = interner.intern_entity("User", "ann").unwrap();
    let handle = EntityHandle::new(ann, &interner);
    assert_eq!(handle.id(&interner), Some(ann));
    assert_eq!(handle.id(&Interner::new()), None);

    let mut grown = interner.clone();
    let bob = grown.intern_entity("User", "b\"ob").unwrap();
    assert_eq!(handle.id(&grown), Some(ann));
    let later = EntityHandle::new(bob, &grown);
    assert_eq!(
        later.id(&interner),
        None,
        "the earlier state does not know it"
    );

    let part = RequestPart::Principal;
    let uid = cedar_uid(part, later.into(), &grown).unwrap();
    assert_eq!(uid.id().unescaped(), "b\"ob");
    let error = cedar_uid(part, later.into(), &interner).unwrap_err();
    assert!(matches!(
        error,
        RequestError::Handle(RequestPart::Principal)
    ));
}
