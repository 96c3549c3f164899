//! Makes expressions that mean something: each is made for a type, from everything that gives it.
//!
//! Functions come from the engine's own declarations, so that none is forgotten. A share of the
//! expressions is wrong on purpose: wrong types, some hidden behind `dyn`, paths that lead nowhere,
//! characters that do not belong.

use portcullis::cel::function::{Function, Overload, Since, Style};
use portcullis::cel::library;

use super::literals;
use super::random::Random;
use super::tree::Tree;
use super::types::{Bindings, Ty, bound, unify};
use super::variables::{Variables, varied};

/// Makes expressions over some variables.
pub(crate) struct Generator<'v> {
    pub(super) random: Random,
    variables: &'v Variables,
    functions: Vec<(&'static Function, &'static Overload)>,
    /// The variables of the macros around, innermost last.
    pub(super) locals: Vec<(&'static str, Ty)>,
    /// How many of a hundred nodes are wrong on purpose.
    noise: usize,
}

impl<'v> Generator<'v> {
    pub(crate) fn new(seed: u64, variables: &'v Variables) -> Self {
        let overloads = library::functions()
            .filter(|function| !function.name.contains('@'))
            .flat_map(|function| function.overloads.iter().map(move |it| (function, it)))
            .filter(|(_, overload)| {
                // No row says who may do what.
                let mut types = overload.params.iter().chain([&overload.result]);
                !types.any(|it| it.to_string().starts_with("kubernetes.authorization."))
            });
        Generator {
            random: Random::new(seed),
            variables,
            functions: overloads
                .filter(|(_, it)| it.since != Since::Extension)
                .collect(),
            locals: Vec::new(),
            noise: 0,
        }
    }

    /// Makes the next expression.
    pub(crate) fn next(&mut self) -> Tree {
        self.noise = *self.random.pick(&[0, 0, 0, 0, 2, 2, 8]);
        self.locals.clear();
        let wanted = self.random_type(2);
        let depth = 1 + self.random.below(4);
        let tree = self.expression(&wanted, depth);
        if self.random.percent(2) {
            self.garbled(&tree)
        } else {
            tree
        }
    }

    /// The text with one character too many, too few or changed.
    fn garbled(&mut self, tree: &Tree) -> Tree {
        let mut text: Vec<char> = tree.to_string().chars().collect();
        let strange = *self.random.pick(&[
            '(', ')', '\'', '"', '\\', '.', '?', ':', ',', '[', ']', '{', '-', '!', '0', '=', '&',
            '|', '\n', '\u{0}', '`', 'é', '_', 'u', 'e', ' ', 'r', '/', '%', '#', ';', '@', '\t',
            '\u{c}', '<', 'x',
        ]);
        let at = self.random.below(text.len());
        match self.random.below(3) {
            0 => text.insert(at, strange),
            1 => text[at] = strange,
            _ => {
                text.remove(at);
            }
        }
        Tree::leaf(text.into_iter().collect::<String>())
    }

    pub(super) fn random_type(&mut self, depth: usize) -> Ty {
        let scalars = [
            Ty::Bool,
            Ty::Bool,
            Ty::Int,
            Ty::Int,
            Ty::String,
            Ty::String,
            Ty::Double,
            Ty::Uint,
            Ty::Bytes,
            Ty::Duration,
            Ty::Timestamp,
            Ty::Null,
            Ty::Type,
            Ty::Dyn,
        ];
        let opaques = [
            "kubernetes.Quantity",
            "kubernetes.URL",
            "net.IP",
            "net.CIDR",
            "kubernetes.Semver",
            "kubernetes.NamedFormat",
        ];
        match self.random.below(12) {
            0 | 1 if depth > 0 => Ty::List(Box::new(self.random_type(depth - 1))),
            2 if depth > 0 => {
                let key = self
                    .random
                    .pick(&[Ty::String, Ty::String, Ty::Int, Ty::Bool, Ty::Uint])
                    .clone();
                Ty::Map(Box::new(key), Box::new(self.random_type(depth - 1)))
            }
            3 if depth > 0 => Ty::Optional(Box::new(self.random_type(depth - 1))),
            4 => {
                let name = *self.random.pick(&opaques);
                Ty::Opaque(name)
            }
            _ => self.random.pick(&scalars).clone(),
        }
    }

    /// Makes an expression of a type, or one that is wrong.
    pub(super) fn expression(&mut self, wanted: &Ty, depth: usize) -> Tree {
        if self.random.percent(self.noise) {
            let other = self.random_type(1);
            let tree = self.proper(&other, depth);
            return if self.random.percent(70) {
                Tree::of("dyn($)", vec![tree])
            } else {
                tree
            };
        }
        self.proper(wanted, depth)
    }

    fn proper(&mut self, wanted: &Ty, depth: usize) -> Tree {
        if depth == 0 {
            return self.leaf(wanted);
        }
        let made = match self.random.below(20) {
            0..=2 => None,
            3..=9 => self.call(wanted, depth - 1),
            10..=13 => self.operator(wanted, depth - 1),
            14..=16 => self.comprehension(wanted, depth - 1),
            _ => Some(self.of_any_type(wanted, depth - 1)),
        };
        made.unwrap_or_else(|| self.leaf(wanted))
    }

    /// A variable, a path or a literal.
    pub(super) fn leaf(&mut self, wanted: &Ty) -> Tree {
        let fitting: Vec<&'static str> = self
            .locals
            .iter()
            .filter(|(_, ty)| ty == wanted)
            .map(|(name, _)| *name)
            .collect();
        if !fitting.is_empty() && self.random.percent(60) {
            return Tree::leaf(*self.random.pick(&fitting));
        }
        if self.random.percent(40)
            && let Some(path) = self.path(wanted)
        {
            return Tree::leaf(path);
        }
        if self.random.percent(3)
            && let Some(message) = self.message(wanted)
        {
            return message;
        }
        self.literal(wanted)
    }

    /// A path to something of a type; now and then one that does not lead there.
    pub(super) fn path(&mut self, wanted: &Ty) -> Option<String> {
        let paths = &self.variables.paths;
        let fitting: Vec<&String> = paths
            .iter()
            .filter(|(_, ty)| ty == wanted || *wanted == Ty::Dyn)
            .map(|(path, _)| path)
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let path = self.random.pick(&fitting).to_string();
        Some(if self.random.percent(4 + 2 * self.noise) {
            varied(&path, &mut self.random)
        } else {
            path
        })
    }

    fn literal(&mut self, wanted: &Ty) -> Tree {
        let random = &mut self.random;
        let texts = match wanted {
            Ty::Null => &["null"][..],
            Ty::Bool => &["true", "false"],
            Ty::Int => literals::INTS,
            Ty::Uint => literals::UINTS,
            Ty::Double => literals::DOUBLES,
            Ty::String if random.percent(10) => return Tree::leaf(literals::random_string(random)),
            Ty::String => literals::STRINGS,
            Ty::Bytes => literals::BYTES,
            Ty::Type => &[
                "int",
                "string",
                "list",
                "map",
                "bool",
                "double",
                "uint",
                "bytes",
                "null_type",
                "type",
                "google.protobuf.Duration",
                "google.protobuf.Timestamp",
                "optional_type",
                "type(1)",
                "type([])",
                "type(optional.none())",
            ],
            Ty::Duration => return self.constructed("duration"),
            Ty::Timestamp => return self.constructed("timestamp"),
            Ty::Opaque("kubernetes.Quantity") => return self.constructed("quantity"),
            Ty::Opaque("kubernetes.URL") => return self.constructed("url"),
            Ty::Opaque("net.IP") => return self.constructed("ip"),
            Ty::Opaque("net.CIDR") => return self.constructed("cidr"),
            Ty::Opaque("kubernetes.Semver") => return self.constructed("semver"),
            Ty::Opaque(_) => &[
                "format.dns1123Label()",
                "format.uri()",
                "format.uuid()",
                "format.qualifiedName()",
                "format.date()",
            ],
            Ty::Dyn => {
                let inner = self.random_type(1);
                let tree = self.leaf(&inner);
                return Tree::of("dyn($)", vec![tree]);
            }
            Ty::List(_) | Ty::Map(..) => return self.aggregate(wanted, 0),
            Ty::Optional(_) if random.percent(30) => &["optional.none()"],
            Ty::Optional(inner) => {
                let tree = self.leaf(inner);
                return Tree::of("optional.of($)", vec![tree]);
            }
        };
        Tree::leaf(*self.random.pick(texts))
    }

    /// A call of the function that makes values of a type from strings.
    fn constructed(&mut self, function: &str) -> Tree {
        let pool = literals::pool(function, 0).unwrap_or(literals::STRINGS);
        // The first ones are right more often than not.
        let within = if self.random.percent(75) {
            pool.len().min(6)
        } else {
            pool.len()
        };
        let argument = pool[self.random.below(within)];
        Tree::leaf(format!("{function}({argument})"))
    }

    /// A literal list or map.
    pub(super) fn aggregate(&mut self, wanted: &Ty, depth: usize) -> Tree {
        let length = self.random.below(4);
        match wanted {
            Ty::List(item) => {
                let items = (0..length).map(|_| {
                    if self.random.percent(5) {
                        let optional = Ty::Optional(item.clone());
                        return Tree::of("?$", vec![self.expression(&optional, depth)]);
                    }
                    self.expression(item, depth)
                });
                let items = items.collect();
                Tree::joined("[", items, "]")
            }
            Ty::Map(key, value) => {
                let entries = (0..length).map(|_| {
                    let name = self.expression(key, depth.min(1));
                    if self.random.percent(5) {
                        let optional = Ty::Optional(value.clone());
                        return Tree::of("?$: $", vec![name, self.expression(&optional, depth)]);
                    }
                    Tree::of("$: $", vec![name, self.expression(value, depth)])
                });
                let entries = entries.collect();
                Tree::joined("{", entries, "}")
            }
            other => self.leaf(other),
        }
    }

    /// A call of a function that gives a type.
    fn call(&mut self, wanted: &Ty, depth: usize) -> Option<Tree> {
        let giving: Vec<(&'static Function, &'static Overload, Bindings)> = self
            .functions
            .iter()
            .filter_map(|(function, overload)| {
                let mut bindings = Bindings::default();
                unify(&overload.result, wanted, &mut bindings)
                    .then_some((*function, *overload, bindings))
            })
            .collect();
        if giving.is_empty() {
            return None;
        }
        let (function, overload, mut bindings) = self.random.pick(&giving).clone();
        let mut arguments = Vec::with_capacity(overload.params.len());
        for (at, param) in overload.params.iter().enumerate() {
            let ty = {
                let free = &mut || self.random_type(1);
                bound(param, &mut bindings, free)
            };
            arguments.push(self.argument(function.name, at, &ty, depth));
        }
        Some(match overload.style {
            Style::Global => Tree::joined(&format!("{}(", function.name), arguments, ")"),
            Style::Member => {
                let receiver = grouped(arguments.remove(0));
                let call = Tree::joined(&format!(".{}(", function.name), arguments, ")");
                Tree::of("$$", vec![receiver, call])
            }
        })
    }

    fn argument(&mut self, function: &str, at: usize, ty: &Ty, depth: usize) -> Tree {
        if *ty == Ty::String
            && let Some(pool) = literals::pool(function, at)
            && self.random.percent(80)
        {
            return Tree::leaf(*self.random.pick(pool));
        }
        if function == "format" && at == 1 {
            let length = self.random.below(4);
            let items = (0..length).map(|_| {
                let ty = self.random_type(1);
                Tree::of("dyn($)", vec![self.expression(&ty, depth.min(1))])
            });
            let items = items.collect();
            return Tree::joined("[", items, "]");
        }
        if matches!((function, at), ("lists.range", 0) | ("flatten", 1)) {
            // Larger ones are refused by their cost; a few of them are enough.
            return Tree::leaf(*self.random.pick(&["0", "1", "2", "3", "10", "-1", "100"]));
        }
        self.expression(ty, depth)
    }
}

/// Parentheses where an operator would bind less tightly than what follows.
pub(super) fn grouped(tree: Tree) -> Tree {
    let text = tree.to_string();
    if text.starts_with(['-', '!', '.']) || text.starts_with(|it: char| it.is_ascii_digit()) {
        return Tree::of("($)", vec![tree]);
    }
    tree
}
