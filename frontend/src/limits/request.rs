//! What a request may bring along.

use super::{LimitError, MAX_CONTEXT_BYTES, MAX_JSON_NESTING, MAX_UID_BYTES};
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
    fn uids_are_bounded() {
        assert_eq!(check_uid(&"x".repeat(MAX_UID_BYTES)), Ok(()));
        let excess = check_uid(&"x".repeat(MAX_UID_BYTES + 1));
        let text = "the entity uid has 1048577 bytes, the limit is 1048576";
        assert_eq!(excess.map_err(|e| e.to_string()), Err(text.to_owned()));
    }
}
