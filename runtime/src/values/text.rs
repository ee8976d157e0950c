//! Values as Cedar source, for messages and listings.

use super::ValueContext;
use cedarjit_ir::ext::{datetime::display_datetime, display_decimal, display_duration, display_ip};
use cedarjit_ir::heap::Object;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::value::{Tag, Value};

enum Task {
    /// Write this and put the text on the stack of finished texts.
    Write(Value),
    /// Join the last finished texts to a set.
    Set(usize),
    /// Join the last finished texts, the values of this record, to a record.
    Record(Value, usize),
}

impl ValueContext<'_> {
    /// An entity uid as Cedar writes it.
    pub fn uid_text(&self, id: EntityId) -> String {
        match self.entity(id) {
            Some((ty, eid)) => format!(
                "{}::\"{}\"",
                self.str(ty.name()),
                self.str(eid).escape_debug()
            ),
            None => id.to_string(),
        }
    }

    /// A Cedar expression for this value.
    ///
    /// Elements of sets and attributes of records come in the order of their texts.
    pub fn text(&self, value: Value) -> String {
        let mut tasks = vec![Task::Write(value)];
        let mut done: Vec<String> = Vec::new();
        while let Some(task) = tasks.pop() {
            let text = match task {
                Task::Write(value) if matches!(value.tag, Tag::Set | Tag::Record) => {
                    let len = self.object(value).map_or(0, Object::len);
                    tasks.push(match value.tag {
                        Tag::Set => Task::Set(len),
                        _ => Task::Record(value, len),
                    });
                    if let Some(object) = self.object(value) {
                        // The last one pushed is finished first.
                        tasks.extend((0..len).rev().map(|i| Task::Write(object.get(i))));
                    }
                    continue;
                }
                Task::Write(value) => self.leaf_text(value),
                Task::Set(len) => {
                    let mut elements = done.split_off(done.len().saturating_sub(len));
                    elements.sort_unstable();
                    format!("[{}]", elements.join(", "))
                }
                Task::Record(record, len) => {
                    let values = done.split_off(done.len().saturating_sub(len));
                    self.record_text(record, &values)
                }
            };
            done.push(text);
        }
        done.pop().unwrap_or_default()
    }

    fn record_text(&self, record: Value, values: &[String]) -> String {
        let names = match self.object(record) {
            Some(object) => self.shape_attrs(object.shape()),
            None => &[],
        };
        let mut attrs: Vec<String> = names
            .iter()
            .zip(values)
            .map(|(name, value)| format!("\"{}\": {value}", self.str(*name).escape_debug()))
            .collect();
        attrs.sort_unstable();
        format!("{{{}}}", attrs.join(", "))
    }

    fn leaf_text(&self, value: Value) -> String {
        match value.tag {
            Tag::Bool => (value.word != 0).to_string(),
            Tag::Long => value.as_i64().to_string(),
            Tag::String => format!("\"{}\"", self.str(value.as_str()).escape_debug()),
            Tag::Entity => self.uid_text(value.as_entity()),
            Tag::Decimal => format!("decimal(\"{}\")", display_decimal(value.as_i64())),
            Tag::Datetime => display_datetime(value.as_i64()).to_string(),
            Tag::Duration => format!("duration(\"{}\")", display_duration(value.as_i64())),
            Tag::Ip => match self.ip(value) {
                Some(ip) => format!("ip(\"{}\")", display_ip(ip)),
                None => format!("{value:?}"),
            },
            Tag::Absent | Tag::Set | Tag::Record => format!("{value:?}"),
        }
    }
}
