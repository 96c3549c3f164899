//! The syntax tree: nodes in one vector, each with the span of the text it was written as.
//!
//! Macros are nodes of their own instead of cel-go's folded expansion; what the expansion would
//! evaluate and cost is the evaluator's business.

use crate::text::Span;

/// An expression as written.
#[derive(Debug, Clone, Default)]
pub struct Ast {
    nodes: Vec<Node>,
    root: NodeId,
}

/// The index of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// An expression with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub expr: Expr,
    /// Where it is written, enclosing parentheses not included.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// A name; a leading dot is kept.
    Ident(String),
    /// `operand.field`
    Select(Select),
    /// `has(operand.field)`
    Has(Select),
    /// `operand.?field`
    OptSelect(Select),
    /// `f(arguments)`, `target.f(arguments)`, and every operator by cel-go's name (`_+_`).
    Call(Call),
    /// `[items]`
    List(Vec<Item>),
    /// `{key: value}`
    Map(Vec<Entry>),
    /// `Name{field: value}`
    Struct(Struct),
    /// A macro over a list or map.
    Fold(Box<Fold>),
    /// `target.optMap(variable, body)` and `target.optFlatMap(variable, body)`
    OptMap(Box<OptMap>),
    /// A name for a value within an expression; `cel.bind`, and what `sortBy` needs.
    Bind(Box<Bind>),
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// `1`, `-1`, `0x1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.0`
    Double(f64),
    /// `'a'`
    String(String),
    /// `b'a'`
    Bytes(Vec<u8>),
}

/// A field of an operand.
#[derive(Debug, Clone)]
pub struct Select {
    /// What is selected from.
    pub operand: NodeId,
    /// The name of the field.
    pub field: String,
    /// Where the name is written.
    pub field_span: Span,
}

/// A call of a function or operator.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name; of operators cel-go's (`_&&_`, `_[_]`, `_?_:_`).
    pub function: String,
    /// Where the name is written.
    pub function_span: Span,
    /// The receiver of `target.f()`.
    pub target: Option<NodeId>,
    /// The arguments.
    pub arguments: Vec<NodeId>,
}

/// An item of a list literal.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// The value.
    pub value: NodeId,
    /// Whether it is left out.
    pub presence: Presence,
}

/// Whether an item of a literal is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Always,
    /// `?value`: only if the optional has a value.
    Optional,
}

/// An entry of a map literal.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The key.
    pub key: NodeId,
    /// The value.
    pub value: NodeId,
    /// Whether it is left out.
    pub presence: Presence,
}

/// A message literal.
#[derive(Debug, Clone)]
pub struct Struct {
    /// The type's name.
    pub name: String,
    /// Where the name is written.
    pub name_span: Span,
    /// The fields, in the order written.
    pub fields: Vec<Field>,
}

/// A field of a message literal.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: NodeId,
    /// Whether it is left out.
    pub presence: Presence,
}

/// A macro over a list or map.
#[derive(Debug, Clone)]
pub struct Fold {
    /// Which macro.
    pub kind: FoldKind,
    /// What it runs over.
    pub range: NodeId,
    /// The variable: the item, the key of a map, or with two variables the index or key.
    pub variable: String,
    /// The second variable: the item or value.
    pub second: Option<String>,
    /// The condition; always there but for transformations without a filter.
    pub predicate: Option<NodeId>,
    /// What each item becomes; only for transformations.
    pub transform: Option<NodeId>,
}

/// The macros over lists and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldKind {
    /// `all`
    All,
    /// `exists`
    Exists,
    /// `exists_one` and, with two variables, `existsOne`
    ExistsOne,
    /// `map` and `transformList`
    Map,
    /// `filter`
    Filter,
    /// `transformMap`
    TransformMap,
    /// `transformMapEntry`
    TransformMapEntry,
}

/// A computation on the value of an optional.
#[derive(Debug, Clone)]
pub struct OptMap {
    /// The optional.
    pub target: NodeId,
    /// The name of its value.
    pub variable: String,
    /// What becomes of the value.
    pub body: NodeId,
    /// Whether the body gives a value or an optional.
    pub result: OptMapResult,
}

/// What the body of an [`OptMap`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptMapResult {
    /// `optMap`: a value, which becomes an optional.
    Value,
    /// `optFlatMap`: an optional.
    Optional,
}

/// A name for a value.
#[derive(Debug, Clone)]
pub struct Bind {
    /// The name.
    pub variable: String,
    /// Its value.
    pub value: NodeId,
    /// Where the name counts.
    pub body: NodeId,
}

/// cel-go's names of the operators.
pub mod operator {
    /// `a && b`
    pub const AND: &str = "_&&_";
    /// `a || b`
    pub const OR: &str = "_||_";
    /// `!a`
    pub const NOT: &str = "!_";
    /// `-a`
    pub const NEGATE: &str = "-_";
    /// `a ? b : c`
    pub const CONDITIONAL: &str = "_?_:_";
    /// `a == b`
    pub const EQUALS: &str = "_==_";
    /// `a != b`
    pub const NOT_EQUALS: &str = "_!=_";
    /// `a < b`
    pub const LESS: &str = "_<_";
    /// `a <= b`
    pub const LESS_EQUALS: &str = "_<=_";
    /// `a > b`
    pub const GREATER: &str = "_>_";
    /// `a >= b`
    pub const GREATER_EQUALS: &str = "_>=_";
    /// `a + b`
    pub const ADD: &str = "_+_";
    /// `a - b`
    pub const SUBTRACT: &str = "_-_";
    /// `a * b`
    pub const MULTIPLY: &str = "_*_";
    /// `a / b`
    pub const DIVIDE: &str = "_/_";
    /// `a % b`
    pub const MODULO: &str = "_%_";
    /// `a in b`
    pub const IN: &str = "@in";
    /// `a[b]`
    pub const INDEX: &str = "_[_]";
    /// `a[?b]`
    pub const OPT_INDEX: &str = "_[?_]";
    /// `a.?b`
    pub const OPT_SELECT: &str = "_?._";

    /// Says whether a name is an operator's: no function's starts like this, and is longer than `_`.
    pub fn is_operator(name: &str) -> bool {
        matches!(name, IN | NOT | NEGATE)
            || (name.starts_with('_') && name.contains(['[', '?', '&', '|', '=', '!', '<', '>']))
            || matches!(name, ADD | SUBTRACT | MULTIPLY | DIVIDE | MODULO)
    }
}

impl Ast {
    /// Adds a node; its children must have been added before.
    pub fn add(&mut self, expr: Expr, span: Span) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { expr, span });
        self.root = id;
        id
    }

    /// Sets the node that is the whole expression.
    pub fn set_root(&mut self, root: NodeId) {
        self.root = root;
    }

    /// Returns the node that is the whole expression.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// Returns a node of this tree.
    pub fn node(&self, id: NodeId) -> &Node {
        static NOTHING: Node = Node {
            expr: Expr::Literal(Literal::Null),
            span: Span { start: 0, end: 0 },
        };
        usize::try_from(id.0)
            .ok()
            .and_then(|at| self.nodes.get(at))
            .unwrap_or(&NOTHING)
    }

    /// Returns an expression of this tree.
    pub fn expr(&self, id: NodeId) -> &Expr {
        &self.node(id).expr
    }

    /// Returns where a node is written.
    pub fn span(&self, id: NodeId) -> Span {
        self.node(id).span
    }

    /// Returns the nodes, children before parents.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the dotted name a node spells: identifiers and selections only.
    pub fn qualified_name(&self, id: NodeId) -> Option<String> {
        match self.expr(id) {
            Expr::Ident(name) => Some(name.clone()),
            Expr::Select(select) => {
                let mut name = self.qualified_name(select.operand)?;
                name.push('.');
                name.push_str(&select.field);
                Some(name)
            }
            _ => None,
        }
    }
}

impl Expr {
    /// Returns the children, in the order they are evaluated.
    pub fn children(&self) -> Vec<NodeId> {
        match self {
            Expr::Literal(_) | Expr::Ident(_) => Vec::new(),
            Expr::Select(select) | Expr::Has(select) | Expr::OptSelect(select) => {
                vec![select.operand]
            }
            Expr::Call(call) => call
                .target
                .iter()
                .copied()
                .chain(call.arguments.iter().copied())
                .collect(),
            Expr::List(items) => items.iter().map(|item| item.value).collect(),
            Expr::Map(entries) => entries
                .iter()
                .flat_map(|entry| [entry.key, entry.value])
                .collect(),
            Expr::Struct(message) => message.fields.iter().map(|field| field.value).collect(),
            Expr::Fold(fold) => [Some(fold.range), fold.predicate, fold.transform]
                .into_iter()
                .flatten()
                .collect(),
            Expr::OptMap(map) => vec![map.target, map.body],
            Expr::Bind(bind) => vec![bind.value, bind.body],
        }
    }
}
