//! The operators, macros and other forms of the language, by the type they give.

use super::generate::{Generator, grouped};
use super::tree::Tree;
use super::types::Ty;

/// Types whose values have an order.
const ORDERED: &[Ty] = &[
    Ty::Int,
    Ty::Uint,
    Ty::Double,
    Ty::String,
    Ty::Bytes,
    Ty::Bool,
    Ty::Duration,
    Ty::Timestamp,
];

/// Names of the variables of macros; some hide others, one a variable of the request.
const NAMES: &[&str] = &["x", "y", "k", "v", "i", "x", "object"];

impl Generator<'_> {
    /// An operator that gives a type.
    pub(super) fn operator(&mut self, wanted: &Ty, depth: usize) -> Option<Tree> {
        let (form, operands): (&str, Vec<Ty>) = match wanted {
            Ty::Bool => return Some(self.condition(depth)),
            Ty::Int | Ty::Uint | Ty::Double => {
                let form = *self
                    .random
                    .pick(&["($ + $)", "($ - $)", "($ * $)", "($ / $)", "($ % $)", "-$"]);
                match (form, wanted) {
                    ("-$", Ty::Uint) | ("($ % $)", Ty::Double) => {
                        ("($ + $)", vec![wanted.clone(); 2])
                    }
                    ("-$", _) => {
                        let operand = self.expression(wanted, depth);
                        return Some(Tree::of("-$", vec![grouped(operand)]));
                    }
                    _ => (form, vec![wanted.clone(); 2]),
                }
            }
            Ty::String | Ty::Bytes | Ty::List(_) => ("($ + $)", vec![wanted.clone(); 2]),
            Ty::Duration => match self.random.below(3) {
                0 => ("($ - $)", vec![Ty::Timestamp, Ty::Timestamp]),
                1 => ("($ - $)", vec![Ty::Duration, Ty::Duration]),
                _ => ("($ + $)", vec![Ty::Duration, Ty::Duration]),
            },
            Ty::Timestamp => match self.random.below(3) {
                0 => ("($ + $)", vec![Ty::Timestamp, Ty::Duration]),
                1 => ("($ + $)", vec![Ty::Duration, Ty::Timestamp]),
                _ => ("($ - $)", vec![Ty::Timestamp, Ty::Duration]),
            },
            _ => return None,
        };
        let operands = operands
            .iter()
            .map(|ty| self.expression(ty, depth))
            .collect();
        Some(Tree::of(form, operands))
    }

    /// A comparison, a membership or a logical operator.
    fn condition(&mut self, depth: usize) -> Tree {
        match self.random.below(9) {
            0 | 1 => {
                let form =
                    *self
                        .random
                        .pick(&["($ && $)", "($ || $)", "($ && $ && $)", "($ || $ || $)"]);
                let operands = form.matches('$').map(|_| self.expression(&Ty::Bool, depth));
                let operands = operands.collect();
                Tree::of(form, operands)
            }
            2 => Tree::of("!$", vec![self.expression(&Ty::Bool, depth)]),
            3 => {
                let item = self.random_type(1);
                let list = Ty::List(Box::new(item.clone()));
                Tree::of(
                    "($ in $)",
                    vec![self.expression(&item, depth), self.expression(&list, depth)],
                )
            }
            4 => {
                let map = Ty::Map(Box::new(Ty::String), Box::new(self.random_type(0)));
                Tree::of(
                    "($ in $)",
                    vec![
                        self.expression(&Ty::String, depth),
                        self.expression(&map, depth),
                    ],
                )
            }
            5 => self.presence(),
            6 | 7 => {
                let ty = self.random.pick(ORDERED).clone();
                let other = match &ty {
                    Ty::Int | Ty::Uint | Ty::Double if self.random.percent(25) => {
                        self.random.pick(&[Ty::Int, Ty::Uint, Ty::Double]).clone()
                    }
                    _ => ty.clone(),
                };
                let form = *self
                    .random
                    .pick(&["($ < $)", "($ <= $)", "($ > $)", "($ >= $)"]);
                Tree::of(
                    form,
                    vec![self.expression(&ty, depth), self.expression(&other, depth)],
                )
            }
            _ => {
                let ty = self.random_type(2);
                let form = *self.random.pick(&["($ == $)", "($ != $)"]);
                Tree::of(
                    form,
                    vec![self.expression(&ty, depth), self.expression(&ty, depth)],
                )
            }
        }
    }

    fn presence(&mut self) -> Tree {
        match self.path(&Ty::Dyn) {
            Some(path) if path.contains('.') => {
                let tail = *self.random.pick(&["", "", ".missing", ".name"]);
                Tree::leaf(format!("has({path}{tail})"))
            }
            _ => Tree::leaf("has({'a': 1}.a)"),
        }
    }

    /// A form that gives whatever is put in.
    pub(super) fn of_any_type(&mut self, wanted: &Ty, depth: usize) -> Tree {
        let list = |item: &Ty| Ty::List(Box::new(item.clone()));
        match self.random.below(10) {
            0..=2 => {
                let operands = vec![
                    self.expression(&Ty::Bool, depth),
                    self.expression(wanted, depth),
                    self.expression(wanted, depth),
                ];
                Tree::of("($ ? $ : $)", operands)
            }
            3 => {
                let index = if self.random.percent(70) {
                    self.leaf(&Ty::Int)
                } else {
                    Tree::leaf("0")
                };
                let list = self.expression(&list(wanted), depth);
                let form = *self.random.pick(&["$[$]", "$[?$].value()", "$[$]"]);
                Tree::of(form, vec![grouped(list), index])
            }
            4 => {
                let map = Ty::Map(Box::new(Ty::String), Box::new(wanted.clone()));
                let map = grouped(self.expression(&map, depth));
                match self.random.below(3) {
                    0 => Tree::of("$.a", vec![map]),
                    1 => Tree::of("$[$]", vec![map, self.leaf(&Ty::String)]),
                    _ => Tree::of(
                        "$[?$].orValue($)",
                        vec![map, self.leaf(&Ty::String), self.leaf(wanted)],
                    ),
                }
            }
            5 => Tree::of("{'a': $}.a", vec![self.expression(wanted, depth)]),
            6 => {
                let optional = Ty::Optional(Box::new(wanted.clone()));
                let optional = self.expression(&optional, depth);
                Tree::of("$.orValue($)", vec![grouped(optional), self.leaf(wanted)])
            }
            7 | 8 => match wanted {
                Ty::Optional(inner) => self.optional(inner, depth),
                Ty::List(_) | Ty::Map(..) => self.aggregate(wanted, depth),
                _ => Tree::of("dyn($)", vec![self.expression(wanted, depth)]),
            },
            _ => match self.path(&Ty::Dyn) {
                Some(path) => Tree::leaf(path),
                None => self.leaf(wanted),
            },
        }
    }

    fn optional(&mut self, inner: &Ty, depth: usize) -> Tree {
        let optional = Ty::Optional(Box::new(inner.clone()));
        match self.random.below(5) {
            0 => match self.path(inner) {
                Some(path) => Tree::leaf(path.replacen('.', ".?", 1)),
                None => self.leaf(&optional),
            },
            1 => {
                let list = self.expression(&Ty::List(Box::new(inner.clone())), depth);
                Tree::of("$[?$]", vec![grouped(list), self.leaf(&Ty::Int)])
            }
            2 => Tree::of(
                "optional.ofNonZeroValue($)",
                vec![self.expression(inner, depth)],
            ),
            3 => {
                let operands = vec![
                    grouped(self.expression(&optional, depth)),
                    self.expression(&optional, depth),
                ];
                Tree::of("$.or($)", operands)
            }
            _ => {
                let map = Ty::Map(Box::new(Ty::String), Box::new(inner.clone()));
                Tree::of("$.?a", vec![grouped(self.expression(&map, depth))])
            }
        }
    }

    /// A macro that gives a type.
    pub(super) fn comprehension(&mut self, wanted: &Ty, depth: usize) -> Option<Tree> {
        match wanted {
            Ty::Bool => {
                let name = *self
                    .random
                    .pick(&["all", "exists", "exists_one", "existsOne"]);
                let is_pair = name == "existsOne" || self.random.percent(35);
                let (range, first, second) = self.range(depth);
                Some(self.over(
                    range,
                    name,
                    &bindings(is_pair, first, second),
                    (depth, &[Ty::Bool]),
                ))
            }
            Ty::List(item) => match self.random.below(5) {
                0 => {
                    let range = self.expression(wanted, depth);
                    Some(self.over(range, "filter", &[(**item).clone()], (depth, &[Ty::Bool])))
                }
                1 => {
                    let (range, first, second) = self.range(depth);
                    let body = self.with_condition(item);
                    Some(self.over(range, "transformList", &[first, second], (depth, &body)))
                }
                2 => {
                    let range = self.expression(wanted, depth);
                    let key = self.random.pick(ORDERED).clone();
                    Some(self.over(range, "sortBy", &[(**item).clone()], (depth, &[key])))
                }
                _ => {
                    let (range, first, second) = self.range(depth);
                    let body = self.with_condition(item);
                    Some(self.over(
                        range,
                        "map",
                        &bindings(false, first, second),
                        (depth, &body),
                    ))
                }
            },
            Ty::Map(key, value) => {
                if self.random.percent(40) {
                    let (range, first, second) = self.range(depth);
                    return Some(self.entries(range, &[first, second], (key, value), depth));
                }
                let item = self.random_type(1);
                let (range, first) = match **key {
                    Ty::Int => (Ty::List(Box::new(item.clone())), Ty::Int),
                    _ => (
                        Ty::Map(key.clone(), Box::new(item.clone())),
                        (**key).clone(),
                    ),
                };
                let range = self.expression(&range, depth);
                let body = self.with_condition(value);
                Some(self.over(range, "transformMap", &[first, item], (depth, &body)))
            }
            Ty::Optional(inner) => {
                let item = self.random_type(1);
                let target = self.expression(&Ty::Optional(Box::new(item.clone())), depth);
                let (name, body) = match self.random.below(2) {
                    0 => ("optMap", (**inner).clone()),
                    _ => ("optFlatMap", wanted.clone()),
                };
                Some(self.over(target, name, &[item], (depth, &[body])))
            }
            _ => None,
        }
    }

    /// A body, or a condition and a body.
    fn with_condition(&mut self, body: &Ty) -> Vec<Ty> {
        if self.random.percent(30) {
            vec![Ty::Bool, body.clone()]
        } else {
            vec![body.clone()]
        }
    }

    /// Something to iterate over, with the types of both variables.
    fn range(&mut self, depth: usize) -> (Tree, Ty, Ty) {
        let item = self.random_type(1);
        if self.random.percent(65) {
            let list = self.expression(&Ty::List(Box::new(item.clone())), depth);
            (list, Ty::Int, item)
        } else {
            let map = Ty::Map(Box::new(Ty::String), Box::new(item.clone()));
            (self.expression(&map, depth), Ty::String, item)
        }
    }

    /// `range.name(variables, bodies)`.
    fn over(
        &mut self,
        range: Tree,
        name: &str,
        variables: &[Ty],
        (depth, bodies): (usize, &[Ty]),
    ) -> Tree {
        let outside = self.locals.len();
        let mut arguments = self.bind(variables);
        for body in bodies {
            arguments.push(self.expression(body, depth));
        }
        self.locals.truncate(outside);
        let call = Tree::joined(&format!(".{name}("), arguments, ")");
        Tree::of("$$", vec![grouped(range), call])
    }

    fn entries(
        &mut self,
        range: Tree,
        variables: &[Ty],
        (key, value): (&Ty, &Ty),
        depth: usize,
    ) -> Tree {
        let outside = self.locals.len();
        let mut arguments = self.bind(variables);
        let entry = vec![self.expression(key, depth), self.expression(value, depth)];
        arguments.push(Tree::of("{$: $}", entry));
        self.locals.truncate(outside);
        let call = Tree::joined(".transformMapEntry(", arguments, ")");
        Tree::of("$$", vec![grouped(range), call])
    }

    /// Brings variables into scope, and returns their names.
    fn bind(&mut self, types: &[Ty]) -> Vec<Tree> {
        let mut names: Vec<&'static str> = Vec::new();
        for ty in types {
            let mut name = *self.random.pick(NAMES);
            // Two of one name are refused; now and then is often enough.
            while names.contains(&name) && !self.random.percent(5) {
                name = *self.random.pick(NAMES);
            }
            names.push(name);
            self.locals.retain(|(known, _)| *known != name);
            self.locals.push((name, ty.clone()));
        }
        names.into_iter().map(Tree::leaf).collect()
    }
}

/// The types of the variables: the item of a list and the key of a map if there is one, else both.
fn bindings(is_pair: bool, first: Ty, second: Ty) -> Vec<Ty> {
    match (is_pair, &first) {
        (true, _) => vec![first, second],
        (false, Ty::Int) => vec![second],
        (false, _) => vec![first],
    }
}
