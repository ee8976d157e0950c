//! Entity uids from the types and ids that clients send.

use std::borrow::Cow;

use cedar_policy::EntityTypeName;

/// A type that is not the name of an entity type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not the name of an entity type", .0.escape_debug())]
pub struct BadType(String);

/// A uid in Cedar's syntax, `Type::"id"`. Any id can be written so; a type must be the name of one.
///
/// # Errors
/// When the type is not a name, as Cedar's syntax has it.
pub fn uid_text(ty: &str, id: &str) -> Result<String, BadType> {
    let ty = type_name(ty)?;
    let mut text = String::with_capacity(ty.len() + id.len() + 4);
    text.push_str(&ty);
    text.push_str("::\"");
    text.extend(id.escape_debug());
    text.push('"');
    Ok(text)
}

/// The name of an entity type as Cedar writes it.
///
/// # Errors
/// When it is not the name of one.
pub fn type_name(name: &str) -> Result<Cow<'_, str>, BadType> {
    if name.split("::").all(is_identifier) {
        // Whether it is a reserved word is found when the uid is read.
        return Ok(Cow::Borrowed(name));
    }
    match name.parse::<EntityTypeName>() {
        Ok(parsed) => Ok(Cow::Owned(parsed.to_string())),
        Err(_) => Err(BadType(name.chars().take(100).collect())),
    }
}

fn is_identifier(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts = text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    starts && text.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_and_types_are_names() {
        let text = uid_text("My::User", "a\"b\\\n\u{7}é").expect("a name");
        let parsed: cedar_policy::EntityUid = text.parse().expect("a uid");
        assert_eq!(parsed.id().unescaped(), "a\"b\\\n\u{7}é");
        assert_eq!(parsed.type_name().to_string(), "My::User");
        for bad in [
            "",
            "User::",
            "::User",
            "9x",
            "a-b",
            "User::\"x\"//",
            "User /*",
            "a b",
        ] {
            assert!(uid_text(bad, "x").is_err(), "{bad}");
        }
    }
}
