//! From a checked expression to a [`Program`]: names are slots, overloads are bound, constants are
//! folded, literal regular expressions are compiled.
//!
//! Selections, indexes and conditionals become attributes with qualifiers, as cel-go's planner has
//! them (`interpreter/planner.go`, `interpreter/attributes.go`): that is what its costs count, and
//! it evaluates a path without a stack frame per step.

mod call;
mod constant;
pub mod pool;

use std::sync::Arc;

use super::ast::{Ast, Call, Expr, FoldKind, NodeId, OptMapResult, Presence, Select, operator};
use super::check::operators::OperatorCost;
use super::check::{Checked, Reference};
use super::function::{self, Overload};
use super::issue::Issue;
use super::pattern::Pattern;
use super::protobuf::Descriptor;
use super::value::Value;
pub(super) use constant::{Constant, ConstantSet};
use pool::Pool;

/// An expression ready to be evaluated, any number of times, by any number of threads.
#[derive(Debug)]
pub struct Program {
    pub(super) root: Node,
    /// How many local variables it needs.
    pub(super) locals: usize,
    /// How many constant lists and maps it remembers during an evaluation.
    pub(super) aggregates: usize,
    /// How deep its nodes are nested.
    pub(super) depth: usize,
    reads: Reads,
}

/// What a program reads from outside of it.
#[derive(Debug, Clone, Copy, Default)]
struct Reads {
    /// The slots, a bit for each of the first 63; the last bit stands for all others.
    slots: u64,
    variables: bool,
}

impl Reads {
    fn slot(at: usize) -> u64 {
        1 << at.min(63)
    }
}

impl Program {
    /// Says whether the value depends on nothing but the values of these slots and the cluster.
    pub fn reads_only(&self, slots: &[usize]) -> bool {
        let allowed = slots.iter().fold(0, |all, at| all | Reads::slot(*at));
        !self.reads.variables && self.reads.slots & !allowed == 0
    }

    /// Says whether the value of a slot is read; what variables read is not looked at.
    pub fn reads(&self, slot: usize) -> bool {
        self.reads.slots & Reads::slot(slot) != 0
    }
}

/// An operation with the node of the tree it computes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) operation: Operation,
}

/// What a node computes.
#[derive(Debug)]
pub(super) enum Operation {
    Constant(Constant),
    /// A list or map of constants, made once per evaluation.
    Aggregate(usize, Box<Node>),
    Attribute(Box<Attribute>),
    Has(Box<Attribute>, HasPlace),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Binary, OperatorCost, Box<[Node; 2]>),
    /// `in` a list of constants.
    InSet(Box<Node>, Box<ConstantSet>),
    Call(Box<Callee>),
    /// `matches`, `find` or `findAll` with a literal expression, compiled.
    Search(Box<Search>),
    List(Box<[(Node, Presence)]>),
    Map(Box<[(Node, Node, Presence)]>),
    Message(Box<Message>),
    Fold(Box<Fold>),
    OptMap(Box<OptMap>),
    /// `or` and `orValue`: the second operand is evaluated only if the first has no value.
    OptionalOr(OptionalOr, Box<[Node; 2]>),
    Bind(usize, Box<[Node; 2]>),
}

/// Where a presence test stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HasPlace {
    /// Anywhere else.
    Value,
    /// It is a branch of a conditional, or an index: behind an optional, cel-go gives what it found and not whether
    /// it did (`interpreter/planner.go`, `testOnlyQualifier.QualifyIfPresent`).
    Branch,
}

/// What makes a message of its fields.
#[derive(Debug)]
pub(super) enum Maker {
    /// A message of mutations, by its name: the fields are all there is of it.
    Mutation(Box<str>),
    /// A message of `google.protobuf`.
    Protobuf(&'static Descriptor),
    /// Nothing: the type of a variable, by its name, which the checker knows, but not the registry that
    /// makes values (apiserver `pkg/cel/types.go`, `DeclTypeProvider.NewValue`).
    None(&'static str),
}

/// A message: what makes it, and its fields.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) maker: Maker,
    pub(super) fields: Box<[(Box<str>, Node, Presence)]>,
}

/// What stands in for an optional without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionalOr {
    /// `or`: another optional.
    Optional,
    /// `orValue`: a value.
    Value,
}

/// The operators of two operands that evaluate both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    In,
}

/// Where a path starts, and the steps it takes.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) base: Base,
    pub(super) qualifiers: Box<[Qualifier]>,
}

#[derive(Debug)]
pub(super) enum Base {
    /// A slot, with the variable's name for the fault when it has no value.
    Slot(usize, Arc<str>),
    Local(usize),
    /// The variable of an `optMap`, which costs what it holds when it is first read.
    OptionalLocal(usize),
    Variable(usize),
    Node(Box<Node>),
    Conditional(Box<(Node, Attribute, Attribute)>),
}

impl Base {
    /// Says whether reading the path costs nothing but its steps: a conditional, which `optMap` is too.
    pub(super) fn is_conditional(&self) -> bool {
        match self {
            Base::Conditional(_) => true,
            Base::Node(node) => matches!(node.operation, Operation::OptMap(_)),
            _ => false,
        }
    }
}

/// A step of a path.
#[derive(Debug)]
pub(super) struct Qualifier {
    pub(super) id: NodeId,
    pub(super) key: Key,
    pub(super) presence: Presence,
}

#[derive(Debug)]
pub(super) enum Key {
    Field(Arc<str>),
    Constant(Constant),
    /// An index that is itself a path; its own base costs nothing.
    Attribute(Box<Attribute>),
    Node(Box<Node>),
}

/// A function with the overloads that may take its arguments.
#[derive(Debug)]
pub(super) struct Callee {
    pub(super) name: Box<str>,
    pub(super) overloads: Box<[&'static Overload]>,
    pub(super) arguments: Box<[Node]>,
    pub(super) cost: function::Cost,
    pub(super) dispatch: Dispatch,
}

/// How a call finds what it calls (cel-go `common/decls/decls.go`, `FunctionDecl.Bindings`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dispatch {
    /// The one overload that fits, guarded by the types of its parameters.
    Bound,
    /// As bound, but declared for any number of arguments.
    Variadic,
    /// The first overload that takes the arguments.
    Open,
    /// One body for all overloads, without a guard.
    Singleton,
}

impl Callee {
    /// Says whether this is what `sortBy` calls.
    pub(super) fn is_sorting_by_keys(&self) -> bool {
        let mut ids = self.overloads.iter().map(|overload| overload.id);
        ids.all(|id| id.ends_with("_sortByAssociatedKeys"))
    }
}

/// A search for a literal regular expression.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) kind: SearchKind,
    pub(super) text: Node,
    pub(super) pattern: Arc<Pattern>,
    /// What the expression adds to the cost; `None` for `matches(text, expression)`, which costs one
    /// whatever it searches.
    pub(super) factor: Option<u64>,
}

/// What is wanted of a search.
#[derive(Debug)]
pub(super) enum SearchKind {
    /// `matches`: whether there is a match.
    Matches,
    /// `find`: the first match.
    Find,
    /// `findAll`: all matches, or as many as a number says.
    FindAll(Option<Node>),
}

#[derive(Debug)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) range: Node,
    /// The slot of the first variable; the second one's is the next.
    pub(super) local: usize,
    pub(super) variables: Variables,
    pub(super) predicate: Option<Node>,
    pub(super) transform: Option<Node>,
}

/// What the variables of a fold hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    /// The item, or the key of a map.
    One,
    /// Index and item, or key and value.
    Two,
}

#[derive(Debug)]
pub(super) struct OptMap {
    pub(super) target: Node,
    pub(super) local: usize,
    pub(super) body: Node,
    pub(super) result: OptMapResult,
}

/// Plans a checked expression. Fails where Kubernetes fails too when it makes the program: a
/// conversion of a constant that has no result, a literal regular expression that does not compile.
pub fn plan(checked: &Checked) -> Result<Program, Vec<Issue>> {
    plan_in(checked, &mut Pool::default())
}

/// Plans a checked expression as [`plan`] does, one of many.
pub fn plan_in(checked: &Checked, pool: &mut Pool) -> Result<Program, Vec<Issue>> {
    let mut planner = Planner {
        checked,
        ast: &checked.ast,
        aggregates: 0,
        optional_locals: Vec::new(),
        pool,
        reads: Reads::default(),
        issues: Vec::new(),
    };
    let root = planner.node(checked.ast.root());
    if !planner.issues.is_empty() {
        return Err(planner.issues);
    }
    let depth = depth(&checked.ast);
    Ok(Program {
        root,
        locals: checked.locals,
        aggregates: planner.aggregates,
        depth,
        reads: planner.reads,
    })
}

/// The depth of the tree; children come before parents, so one pass is enough.
fn depth(ast: &Ast) -> usize {
    let mut depths: Vec<usize> = Vec::with_capacity(ast.nodes().len());
    for node in ast.nodes() {
        let children = node.expr.children().into_iter();
        let deepest = children
            .filter_map(|child| depths.get(usize::try_from(child.0).ok()?).copied())
            .max();
        depths.push(deepest.unwrap_or_default() + 1);
    }
    depths.into_iter().max().unwrap_or_default()
}

struct Planner<'p> {
    checked: &'p Checked,
    ast: &'p Ast,
    aggregates: usize,
    /// The variables of the `optMap`s around.
    optional_locals: Vec<usize>,
    pool: &'p mut Pool,
    reads: Reads,
    issues: Vec<Issue>,
}

impl Planner<'_> {
    fn node(&mut self, id: NodeId) -> Node {
        Node {
            id,
            operation: self.operation(id),
        }
    }

    fn boxed(&mut self, id: NodeId) -> Box<Node> {
        Box::new(self.node(id))
    }

    fn operation(&mut self, id: NodeId) -> Operation {
        match self.ast.expr(id) {
            Expr::Literal(literal) => Operation::Constant(Constant::literal(literal)),
            Expr::Ident(_) | Expr::Select(_) | Expr::OptSelect(_) => {
                match self.checked.reference(id) {
                    Reference::Type(name) => Operation::Constant(Constant::Type(name)),
                    Reference::Enum(value) => Operation::Constant(Constant::Int(*value)),
                    _ => Operation::Attribute(Box::new(self.attribute(id))),
                }
            }
            Expr::Has(select) => self.presence_test(id, select, HasPlace::Value),
            Expr::Call(call) => self.call(id, call),
            Expr::List(items) => {
                let items: Box<[_]> = items
                    .iter()
                    .map(|item| (self.node(item.value), item.presence))
                    .collect();
                let is_constant = items
                    .iter()
                    .all(|(item, presence)| item.is_constant() && *presence == Presence::Always);
                self.aggregate(id, is_constant, Operation::List(items))
            }
            Expr::Map(entries) => {
                let entries: Box<[_]> = entries
                    .iter()
                    .map(|entry| (self.node(entry.key), self.node(entry.value), entry.presence))
                    .collect();
                let is_constant = entries.iter().all(|(key, value, presence)| {
                    key.is_constant() && value.is_constant() && *presence == Presence::Always
                });
                self.aggregate(id, is_constant, Operation::Map(entries))
            }
            Expr::Fold(fold) => Operation::Fold(Box::new(Fold {
                kind: fold.kind,
                range: self.node(fold.range),
                local: self.local(id),
                variables: if fold.second.is_some() {
                    Variables::Two
                } else {
                    Variables::One
                },
                predicate: fold.predicate.map(|predicate| self.node(predicate)),
                transform: fold.transform.map(|transform| self.node(transform)),
            })),
            Expr::OptMap(map) => {
                let target = self.node(map.target);
                let local = self.local(id);
                self.optional_locals.push(local);
                let body = self.node(map.body);
                self.optional_locals.pop();
                Operation::OptMap(Box::new(OptMap {
                    target,
                    local,
                    body,
                    result: map.result,
                }))
            }
            Expr::Bind(bind) => {
                let nodes = [self.node(bind.value), self.node(bind.body)];
                Operation::Bind(self.local(id), Box::new(nodes))
            }
            Expr::Struct(message) => {
                let fields = message.fields.iter().map(|field| {
                    (
                        field.name.as_str().into(),
                        self.node(field.value),
                        field.presence,
                    )
                });
                let fields = fields.collect();
                let maker = match self.checked.reference(id) {
                    Reference::Message(descriptor) => Maker::Protobuf(descriptor),
                    Reference::Undefined(name) => Maker::None(name),
                    _ => Maker::Mutation(message.name.trim_start_matches('.').into()),
                };
                Operation::Message(Box::new(Message { maker, fields }))
            }
        }
    }

    fn presence_test(&mut self, id: NodeId, select: &Select, place: HasPlace) -> Operation {
        let path = match self.checked.reference(id) {
            Reference::Variable(at) => self.variable(*at),
            _ => self.selected(id, select, Presence::Always),
        };
        Operation::Has(Box::new(path.into()), place)
    }

    /// A list or map; one of constants is made once per evaluation, and costs nothing (cel-go
    /// `interpreter/decorators.go`, `maybeBuildListLiteral`).
    fn aggregate(&mut self, id: NodeId, is_constant: bool, operation: Operation) -> Operation {
        if !is_constant {
            return operation;
        }
        let index = self.aggregates;
        self.aggregates += 1;
        Operation::Aggregate(index, Box::new(Node { id, operation }))
    }

    fn local(&self, id: NodeId) -> usize {
        match self.checked.reference(id) {
            Reference::Local(at) => *at,
            _ => 0,
        }
    }

    fn call(&mut self, id: NodeId, call: &Call) -> Operation {
        let first = call.arguments.first().copied().unwrap_or(id);
        let second = call.arguments.get(1).copied().unwrap_or(id);
        match call.function.as_str() {
            operator::AND => Operation::And(self.chain(operator::AND, call)),
            operator::OR => Operation::Or(self.chain(operator::OR, call)),
            operator::NOT => Operation::Not(self.boxed(first)),
            operator::NEGATE => Operation::Negate(self.boxed(first)),
            operator::CONDITIONAL | operator::INDEX | operator::OPT_INDEX => {
                Operation::Attribute(Box::new(self.attribute(id)))
            }
            operator::IN => self.membership(id, first, second),
            name => match binary(name) {
                Some(binary) => {
                    let operands = [self.node(first), self.node(second)];
                    Operation::Binary(binary, self.cost(id), Box::new(operands))
                }
                None => self.function(id, call),
            },
        }
    }

    /// The operands of a chain of one logical operator, however the parser nested them.
    fn chain(&mut self, function: &str, call: &Call) -> Box<[Node]> {
        let mut operands = Vec::new();
        let mut pending: Vec<NodeId> = call.arguments.iter().rev().copied().collect();
        while let Some(id) = pending.pop() {
            match self.ast.expr(id) {
                Expr::Call(inner) if inner.function == function => {
                    pending.extend(inner.arguments.iter().rev());
                }
                _ => operands.push(self.node(id)),
            }
        }
        operands.into()
    }

    fn membership(&mut self, id: NodeId, needle: NodeId, haystack: NodeId) -> Operation {
        let needle = self.node(needle);
        let haystack = self.node(haystack);
        let is_list = self.cost(id) == OperatorCost::SecondSize;
        let set = match &haystack.operation {
            Operation::Aggregate(_, list) if is_list => ConstantSet::of(list),
            _ => None,
        };
        match set {
            // Nothing is in an empty list, and cel-go does not even look.
            Some(set) if set.is_empty() => Operation::Constant(Constant::Bool(false)),
            Some(set) => Operation::InSet(Box::new(needle), Box::new(set)),
            None => {
                let operands = [needle, haystack];
                Operation::Binary(Binary::In, self.cost(id), Box::new(operands))
            }
        }
    }

    fn cost(&self, id: NodeId) -> OperatorCost {
        match self.checked.reference(id) {
            Reference::Operator(cost, _) => *cost,
            _ => OperatorCost::One,
        }
    }

    fn attribute(&mut self, id: NodeId) -> Attribute {
        self.path(id).into()
    }

    /// The path a node spells; anything that is none is the base of an empty one.
    fn path(&mut self, id: NodeId) -> Path {
        match (self.checked.reference(id), self.ast.expr(id)) {
            (Reference::Slot(at), _) => {
                self.reads.slots |= Reads::slot(*at);
                let name = self.ast.qualified_name(id).unwrap_or_default();
                Path::of(Base::Slot(*at, self.pool.name(&name)))
            }
            (Reference::Local(at), Expr::Ident(_)) => {
                Path::of(match self.optional_locals.contains(at) {
                    true => Base::OptionalLocal(*at),
                    false => Base::Local(*at),
                })
            }
            (Reference::Variable(at), _) => self.variable(*at),
            (Reference::Type(_) | Reference::Enum(_), _) => Path::of(Base::Node(self.boxed(id))),
            (_, Expr::Select(select)) => self.selected(id, select, Presence::Always),
            (_, Expr::OptSelect(select)) => self.selected(id, select, Presence::Optional),
            (_, Expr::Has(select)) => {
                let operation = self.presence_test(id, select, HasPlace::Branch);
                Path::of(Base::Node(Box::new(Node { id, operation })))
            }
            (_, Expr::Call(call)) => match (call.function.as_str(), call.arguments.as_slice()) {
                (operator::CONDITIONAL, [condition, truthy, falsy]) => {
                    Path::of(Base::Conditional(Box::new((
                        self.node(*condition),
                        self.attribute(*truthy),
                        self.attribute(*falsy),
                    ))))
                }
                (operator::INDEX, [operand, index]) => {
                    self.indexed(id, *operand, *index, Presence::Always)
                }
                (operator::OPT_INDEX, [operand, index]) => {
                    self.indexed(id, *operand, *index, Presence::Optional)
                }
                _ => Path::of(Base::Node(self.boxed(id))),
            },
            _ => Path::of(Base::Node(self.boxed(id))),
        }
    }

    fn variable(&mut self, at: usize) -> Path {
        self.reads.variables = true;
        Path::of(Base::Variable(at))
    }

    fn selected(&mut self, id: NodeId, select: &Select, presence: Presence) -> Path {
        let mut path = self.path(select.operand);
        let key = Key::Field(self.pool.name(&select.field));
        path.push(id, key, presence);
        path
    }

    fn indexed(&mut self, id: NodeId, operand: NodeId, index: NodeId, presence: Presence) -> Path {
        let mut path = self.path(operand);
        let index = match self.ast.expr(index) {
            Expr::Has(select) => Node {
                id: index,
                operation: self.presence_test(index, select, HasPlace::Branch),
            },
            _ => self.node(index),
        };
        let key = match index.operation {
            Operation::Constant(Constant::String(text)) => Key::Field(self.pool.name(&text)),
            Operation::Constant(constant) => {
                if !is_key(&constant.value()) {
                    let message = format!("invalid key type: {}", constant.value().type_name());
                    let issue = Issue::new(self.ast.span(index.id), message);
                    self.issues.push(issue.help(KEYS));
                }
                Key::Constant(constant)
            }
            Operation::Attribute(path) => Key::Attribute(path),
            _ => Key::Node(Box::new(index)),
        };
        path.push(id, key, presence);
        path
    }
}

/// An attribute that is being made.
struct Path {
    base: Base,
    qualifiers: Vec<Qualifier>,
}

impl Path {
    fn of(base: Base) -> Self {
        Path {
            base,
            qualifiers: Vec::new(),
        }
    }

    /// Adds a step; a conditional's is added to both branches.
    fn push(&mut self, id: NodeId, key: Key, presence: Presence) {
        self.qualifiers.push(Qualifier { id, key, presence });
    }
}

impl From<Path> for Attribute {
    fn from(path: Path) -> Self {
        Attribute {
            base: path.base,
            qualifiers: path.qualifiers.into(),
        }
    }
}

const KEYS: &str = "lists are indexed by numbers, maps by numbers, strings and booleans";

/// Says whether a value can be an index (cel-go `interpreter/attributes.go`, `newQualifier`).
pub(super) fn is_key(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_)
    )
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        operator::EQUALS => Binary::Equal,
        operator::NOT_EQUALS => Binary::NotEqual,
        operator::LESS => Binary::Less,
        operator::LESS_EQUALS => Binary::LessEqual,
        operator::GREATER => Binary::Greater,
        operator::GREATER_EQUALS => Binary::GreaterEqual,
        operator::ADD => Binary::Add,
        operator::SUBTRACT => Binary::Subtract,
        operator::MULTIPLY => Binary::Multiply,
        operator::DIVIDE => Binary::Divide,
        operator::MODULO => Binary::Modulo,
        _ => return None,
    })
}

impl Node {
    /// Says whether the value is known, of whatever size.
    pub(super) fn is_constant(&self) -> bool {
        matches!(
            self.operation,
            Operation::Constant(_) | Operation::Aggregate(..)
        )
    }
}
