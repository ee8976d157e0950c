//! What a request may bring along.

use super::{
    LimitError, MAX_CONTEXT_BYTES, MAX_CONTEXT_TEXT_BYTES, MAX_JSON_NESTING, MAX_UID_BYTES,
};
use serde_json::Value;

/// Bounds a request's context: its size by [`MAX_CONTEXT_BYTES`] and its depth by
/// [`MAX_JSON_NESTING`].
///
/// The size is that of all strings and keys, and 8 bytes for every value. Whoever builds a context
/// from text has it bounded by the text's length; a context may also come as a value. O(n) for a
/// context of size n, without recursion; stops once it has seen too much.
///
/// # Errors
/// When the context is too large or nests too deep.
pub fn check_context(context: &Value) -> Result<(), LimitError> {
    let mut size = 0_usize;
    let mut todo = vec![(context, 0)];
    while let Some((value, depth)) = todo.pop() {
        size += 8;
        let limit = MAX_JSON_NESTING;
        let nested = matches!(value, Value::Array(_) | Value::Object(_));
        if nested && depth >= limit {
            return Err(LimitError::Nesting { limit });
        }
        match value {
            Value::String(text) => size += text.len(),
            Value::Array(items) => todo.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                for (key, member) in members {
                    size += key.len();
                    todo.push((member, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        let limit = MAX_CONTEXT_BYTES;
        if size + 8 * todo.len() > limit {
            return Err(LimitError::Context { limit });
        }
    }
    Ok(())
}

/// Bounds the text of a context by [`MAX_CONTEXT_TEXT_BYTES`]. What it says is bounded by
/// [`check_context`].
///
/// # Errors
/// When the text is longer.
pub fn check_context_text(text: &str) -> Result<(), LimitError> {
    let (bytes, limit) = (text.len(), MAX_CONTEXT_TEXT_BYTES);
    if bytes > limit {
        return Err(LimitError::Text { bytes, limit });
    }
    Ok(())
}

/// Whether a context is within the limits on size just because its text is so short.
///
/// A byte of text says at most one value of 8 bytes and a byte of a string.
pub fn is_small_context_text(text: &str) -> bool {
    text.len() <= MAX_CONTEXT_BYTES / 9
}

/// Bounds the text of an entity uid by [`MAX_UID_BYTES`].
///
/// # Errors
/// When the text is longer.
pub fn check_uid(text: &str) -> Result<(), LimitError> {
    let (bytes, limit) = (text.len(), MAX_UID_BYTES);
    if bytes > limit {
        return Err(LimitError::Uid { bytes, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |value, _| json!([value]))
    }

    #[test]
    fn contexts_are_bounded_in_depth() {
        let limit = MAX_JSON_NESTING;
        assert_eq!(check_context(&nested(limit)), Ok(()));
        let excess = Err(LimitError::Nesting { limit });
        assert_eq!(check_context(&nested(limit + 1)), excess);
    }

    #[test]
    fn contexts_are_bounded_in_size() {
        let limit = MAX_CONTEXT_BYTES;
        let excess = Err(LimitError::Context { limit });
        let text = |n| json!({"a": "x".repeat(n)});
        assert_eq!(check_context(&text(limit - 17)), Ok(()));
        assert_eq!(check_context(&text(limit)), excess);
        assert_eq!(check_context(&json!({"x".repeat(limit): 1})), excess);
        assert_eq!(check_context(&json!(vec![1; limit / 8])), excess);
        let text = "the context is larger than 16777216 bytes";
        assert_eq!(
            excess.map_err(|e| e.to_string()),
            Err::<(), _>(text.to_owned())
        );
    }

    #[test]
    fn texts_of_contexts_are_bounded() {
        assert_eq!(
            check_context_text(&" ".repeat(MAX_CONTEXT_TEXT_BYTES)),
            Ok(())
        );
        let excess = check_context_text(&" ".repeat(MAX_CONTEXT_TEXT_BYTES + 1));
        let text = "the text has 67108865 bytes, the limit is 67108864";
        assert_eq!(excess.map_err(|e| e.to_string()), Err(text.to_owned()));
    }

    #[test]
    fn small_texts_say_small_contexts() {
        let n = MAX_CONTEXT_BYTES / 9;
        // The densest contexts: arrays of digits, and objects with empty keys.
        let array = format!("[{}1]", "1,".repeat(n / 2 - 2));
        let text = format!("\"{}\"", "x".repeat(n - 2));
        for text in [array, text] {
            assert!(is_small_context_text(&text));
            let value = serde_json::from_str(&text).expect("is JSON");
            assert_eq!(check_context(&value), Ok(()));
        }
        assert!(!is_small_context_text(&" ".repeat(n + 1)));
    }

    #[test]
    fn uids_are_bounded() {
        assert_eq!(check_uid(&"x".repeat(MAX_UID_BYTES)), Ok(()));
        let excess = check_uid(&"x".repeat(MAX_UID_BYTES + 1));
        let text = "the entity uid has 1048577 bytes, the limit is 1048576";
        assert_eq!(excess.map_err(|e| e.to_string()), Err(text.to_owned()));
    }
}
