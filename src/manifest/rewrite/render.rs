//! Values that are written anew, in the manner of the text around them.

use serde_json::{Map, Value};

use super::scalar::{self, Context, Quotes};

/// The manner of a document.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// By how many columns a mapping is deeper than the key it belongs to.
    pub(super) step: usize,
    /// By how many columns the hyphens of a list are deeper than the key it belongs to.
    pub(super) hyphen: usize,
    /// How lines end.
    pub(super) line_break: &'static str,
    /// Whether the document is JSON.
    pub(super) is_json: bool,
    /// What one level is indented with between brackets.
    pub(super) flow_indent: String,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            step: 2,
            hyphen: 2,
            line_break: "\n",
            is_json: false,
            flow_indent: "  ".to_owned(),
        }
    }
}

/// A value behind a key: what stands on the line of the key, and the lines after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Begins with a blank, or is empty.
    pub(super) inline: String,
    /// Each begins with a line break.
    pub(super) lines: String,
}

/// How a value is written between brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow<'f> {
    /// Whether every text is quoted.
    pub(super) is_quoted: bool,
    /// What the lines begin with, if there are to be several.
    pub(super) lines: Option<&'f str>,
}

impl Manner {
    /// Writes a value behind a key at a column.
    pub(super) fn behind_key(&self, value: &Value, column: usize, quotes: Quotes) -> Written {
        match value {
            Value::Object(fields) if !fields.is_empty() => Written {
                inline: String::new(),
                lines: self.mapping(fields, column + self.step),
            },
            Value::Array(items) if !items.is_empty() => Written {
                inline: String::new(),
                lines: self.sequence(items, column + self.hyphen),
            },
            other => self.scalar(other, column, quotes),
        }
    }

    /// Writes a value behind a hyphen at a column.
    pub(super) fn behind_hyphen(&self, value: &Value, column: usize, quotes: Quotes) -> Written {
        let lines = match value {
            Value::Object(fields) if !fields.is_empty() => self.mapping(fields, column + 2),
            Value::Array(items) if !items.is_empty() => self.sequence(items, column + 2),
            other => return self.scalar(other, column, quotes),
        };
        // The first line goes behind the hyphen.
        let first = lines.trim_start_matches(['\r', '\n', ' ']);
        Written {
            inline: format!(" {first}"),
            lines: String::new(),
        }
    }

    /// Writes a whole document from the beginning of a line on.
    pub(super) fn document(&self, value: &Value) -> String {
        let lines = match value {
            _ if self.is_json => return self.json(value),
            Value::Object(fields) if !fields.is_empty() => self.mapping(fields, 0),
            Value::Array(items) if !items.is_empty() => self.sequence(items, 0),
            other => self.scalar(other, 0, Quotes::Needed).inline,
        };
        lines.trim_start_matches(['\r', '\n', ' ']).to_owned()
    }

    /// Writes a value as JSON on several lines.
    pub(super) fn json(&self, value: &Value) -> String {
        let flow = Flow {
            is_quoted: true,
            lines: Some(""),
        };
        self.between_brackets(value, flow, Quotes::Needed)
    }

    /// Writes entries of a mapping at a column.
    pub(super) fn mapping(&self, fields: &Map<String, Value>, column: usize) -> String {
        fields
            .iter()
            .map(|(key, value)| self.entry(key, value, column))
            .collect()
    }

    /// Writes an entry of a mapping at a column; begins with a line break.
    pub(super) fn entry(&self, key: &str, value: &Value, column: usize) -> String {
        let key = scalar::text(key, Quotes::Needed, Context::Block);
        let Written { inline, lines } = self.behind_key(value, column, Quotes::Needed);
        let start = self.line(column);
        format!("{start}{key}:{inline}{lines}")
    }

    /// Writes an item of a list at a column; begins with a line break.
    pub(super) fn item(&self, value: &Value, column: usize) -> String {
        let Written { inline, lines } = self.behind_hyphen(value, column, Quotes::Needed);
        let start = self.line(column);
        format!("{start}-{inline}{lines}")
    }

    fn sequence(&self, items: &[Value], column: usize) -> String {
        items.iter().map(|item| self.item(item, column)).collect()
    }

    fn scalar(&self, value: &Value, column: usize, quotes: Quotes) -> Written {
        let inline = match value {
            Value::String(text) => {
                let header = match quotes {
                    Quotes::Needed => scalar::literal_header(text),
                    Quotes::Single | Quotes::Double => None,
                };
                if let Some(header) = header {
                    return Written {
                        inline: format!(" {header}"),
                        lines: self.literal(text, column + self.step.max(1)),
                    };
                }
                scalar::text(text, quotes, Context::Block)
            }
            other => other.to_string(),
        };
        Written {
            inline: format!(" {inline}"),
            lines: String::new(),
        }
    }

    fn literal(&self, text: &str, column: usize) -> String {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let line = |line: &str| match line.is_empty() {
            true => self.line_break.to_owned(),
            false => format!("{}{line}", self.line(column)),
        };
        text.split('\n').map(line).collect()
    }

    fn line(&self, column: usize) -> String {
        format!("{}{}", self.line_break, " ".repeat(column))
    }

    /// Writes a value between the brackets of a collection.
    pub(super) fn between_brackets(&self, value: &Value, flow: Flow<'_>, quotes: Quotes) -> String {
        let deeper = flow
            .lines
            .map(|start| format!("{start}{}", self.flow_indent));
        let inner = Flow {
            lines: deeper.as_deref(),
            ..flow
        };
        let (open, close, parts): (_, _, Vec<String>) = match value {
            Value::Object(fields) => {
                let entry = |(key, value): (&String, &Value)| self.flow_entry(key, value, inner);
                ('{', '}', fields.iter().map(entry).collect())
            }
            Value::Array(items) => {
                let item = |item| self.between_brackets(item, inner, Quotes::Needed);
                ('[', ']', items.iter().map(item).collect())
            }
            Value::String(text) if flow.is_quoted => return scalar::double_quoted(text),
            Value::String(text) => return scalar::text(text, quotes, Context::Flow),
            other => return other.to_string(),
        };
        match (flow.lines, &deeper) {
            (Some(start), Some(deeper)) if !parts.is_empty() => {
                let line_break = self.line_break;
                let between = format!(",{line_break}{deeper}");
                let parts = parts.join(&between);
                format!("{open}{line_break}{deeper}{parts}{line_break}{start}{close}")
            }
            _ => format!("{open}{}{close}", parts.join(", ")),
        }
    }

    /// Writes an entry of a mapping between brackets.
    pub(super) fn flow_entry(&self, key: &str, value: &Value, flow: Flow<'_>) -> String {
        let value = self.between_brackets(value, flow, Quotes::Needed);
        let key = match flow.is_quoted {
            true => scalar::double_quoted(key),
            false => scalar::text(key, Quotes::Needed, Context::Flow),
        };
        format!("{key}: {value}")
    }
}
