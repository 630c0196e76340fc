//! A reader for the expressions of the fixture: just enough SQL to call the builders.

use std::sync::Arc;

use readside_expr::{
    CastContext, Collation, Derivation, Refused, Typed, all_array, and, any_array, array,
    at_time_zone, between, case, cast, coalesce, collate, greatest, in_list, is_distinct,
    is_not_distinct, is_not_null, is_null, is_truth, least, like, not, nullif, or,
    resolve_function, resolve_operator, row, simple_case, subscript,
};
use readside_pgtype::{EnumType, Type};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Text(String),
    Number(String),
    Op(String),
}

fn tokens(sql: &str) -> Vec<Token> {
    let chars: Vec<char> = sql.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        let escape = (c == 'E' || c == 'e') && chars.get(i + 1) == Some(&'\'');
        if c.is_whitespace() {
            i += 1;
        } else if c == '\'' || escape {
            i += 1 + usize::from(escape);
            let mut s = String::new();
            loop {
                if chars[i] == '\'' && chars.get(i + 1) == Some(&'\'') {
                    s.push('\'');
                    i += 2;
                } else if chars[i] == '\'' {
                    i += 1;
                    break;
                } else if escape && chars[i] == '\\' {
                    s.push(match chars[i + 1] {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'u' => {
                            let hex: String = chars[i + 2..i + 6].iter().collect();
                            i += 4;
                            char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
                        }
                        other => other,
                    });
                    i += 2;
                } else {
                    s.push(chars[i]);
                    i += 1;
                }
            }
            out.push(Token::Text(s));
        } else if c == '"' {
            let end = i + 1 + chars[i + 1..].iter().position(|c| *c == '"').unwrap();
            out.push(Token::Quoted(chars[i + 1..end].iter().collect()));
            i = end + 1;
        } else if c.is_ascii_digit()
            || c == '.' && chars.get(i + 1).is_some_and(char::is_ascii_digit)
        {
            let start = i;
            while i < chars.len()
                && (chars[i].is_ascii_digit()
                    || chars[i] == '.'
                    || chars[i] == 'e'
                    || chars[i] == '-' && chars[i - 1] == 'e')
            {
                i += 1;
            }
            out.push(Token::Number(chars[start..i].iter().collect()));
        } else if c.is_alphabetic() || c == '_' {
            let start = i;
            while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_') {
                i += 1;
            }
            out.push(Token::Word(
                chars[start..i].iter().collect::<String>().to_lowercase(),
            ));
        } else if "(),[]".contains(c) {
            out.push(Token::Op(c.to_string()));
            i += 1;
        } else {
            let start = i;
            while i < chars.len() && "+-*/<>=~!@#%^&|?:".contains(chars[i]) {
                // A sign after an operator begins the operand.
                if i > start && "+-".contains(chars[i]) {
                    break;
                }
                if i == start + 2 && chars[start] == ':' {
                    break;
                }
                i += 1;
            }
            // `->` and `->>` begin with a sign themselves.
            assert!(i > start, "cannot read `{sql}` at {start}");
            out.push(Token::Op(chars[start..i].iter().collect()));
        }
    }
    out
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

type Built = Result<Typed, Refused>;

/// The typed expression of a line of the fixture.
pub(crate) fn read(sql: &str) -> Built {
    let mut reader = Reader {
        tokens: tokens(sql),
        at: 0,
    };
    let typed = database_default(reader.expression(0)?);
    assert!(
        reader.at == reader.tokens.len(),
        "trailing tokens in `{sql}`: {:?}",
        &reader.tokens[reader.at..]
    );
    Ok(typed)
}

pub(crate) fn size_enum() -> Type {
    Type::Enum(Arc::new(EnumType {
        oid: 90_001,
        name: "size".to_owned(),
        labels: ["small", "medium", "large"].map(Arc::from).to_vec(),
    }))
}

/// The database's collation, as the binder gives it to whatever has none of its own.
fn database_default(typed: Typed) -> Typed {
    typed.with_default_collation(&Collation {
        derivation: Derivation::Implicit,
        is_default: true,
        ..Collation::by_name("C.UTF-8").unwrap()
    })
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(o)) if o == op)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(w)) if w == word)
    }

    fn eat_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect_op(&mut self, op: &str) {
        assert!(
            self.eat_op(op),
            "expected `{op}` at {:?}",
            &self.tokens[self.at..]
        );
    }

    fn expect_word(&mut self, word: &str) {
        assert!(
            self.eat_word(word),
            "expected `{word}` at {:?}",
            &self.tokens[self.at..]
        );
    }

    fn word(&mut self) -> String {
        match self.tokens.get(self.at) {
            Some(Token::Word(w)) => {
                self.at += 1;
                w.clone()
            }
            t => panic!("expected a word, found {t:?}"),
        }
    }

    fn list(&mut self, close: &str) -> Result<Vec<Typed>, Refused> {
        let mut list = Vec::new();
        if self.eat_op(close) {
            return Ok(list);
        }
        loop {
            list.push(self.expression(0)?);
            if self.eat_op(close) {
                return Ok(list);
            }
            self.expect_op(",");
        }
    }

    fn type_name(&mut self) -> (Type, i32) {
        let mut name = self.word();
        match name.as_str() {
            "double" => name = format!("double {}", self.word()),
            "character" if self.eat_word("varying") => name = "varchar".to_owned(),
            _ => {}
        }
        let mut modifiers = Vec::new();
        if self.eat_op("(") {
            loop {
                match self.tokens.get(self.at) {
                    Some(Token::Number(n)) => modifiers.push(n.parse::<i32>().unwrap()),
                    t => panic!("modifier {t:?}"),
                }
                self.at += 1;
                if self.eat_op(")") {
                    break;
                }
                self.expect_op(",");
            }
        }
        let ty = match name.as_str() {
            "bool" | "boolean" => Type::Bool,
            "int2" | "smallint" => Type::Int2,
            "int" | "int4" | "integer" => Type::Int4,
            "int8" | "bigint" => Type::Int8,
            "float4" | "real" => Type::Float4,
            "float8" | "double precision" => Type::Float8,
            "numeric" => Type::Numeric,
            "text" => Type::Text,
            "varchar" => Type::Varchar,
            "char" | "bpchar" | "character" => Type::Bpchar,
            "name" => Type::Name,
            "bytea" => Type::Bytea,
            "date" => Type::Date,
            "time" => Type::Time,
            "timestamp" => Type::Timestamp,
            "timestamptz" => Type::TimestampTz,
            "interval" => Type::Interval,
            "uuid" => Type::Uuid,
            "json" => Type::Json,
            "jsonb" => Type::Jsonb,
            "size" => size_enum(),
            other => panic!("unknown type `{other}`"),
        };
        let typmod = match (&ty, &modifiers[..]) {
            (Type::Varchar | Type::Bpchar, [n]) => n + 4,
            (Type::Bpchar, []) if name != "bpchar" => 5,
            (Type::Numeric, [p]) => (p << 16) + 4,
            (Type::Numeric, [p, s]) => ((p << 16) | s) + 4,
            (Type::Interval, [p]) => (0x7FFF << 16) | p,
            (_, [p]) => *p,
            _ => -1,
        };
        if self.eat_op("[") {
            self.expect_op("]");
            return (Type::Array(Arc::new(ty)), typmod);
        }
        (ty, typmod)
    }

    /// Binding powers from the manual's table of operator precedence.
    fn expression(&mut self, least: u8) -> Built {
        let mut left = self.prefix()?;
        loop {
            left = database_default(left);
            let Some(token) = self.peek().cloned() else {
                return Ok(left);
            };
            left = match token {
                Token::Op(op) => match op.as_str() {
                    "::" => {
                        self.at += 1;
                        let (ty, typmod) = self.type_name();
                        cast(left, &ty, typmod, CastContext::Explicit)?
                    }
                    "[" => {
                        self.at += 1;
                        let index = self.expression(0)?;
                        self.expect_op("]");
                        subscript(left, index)?
                    }
                    ")" | "]" | "," => return Ok(left),
                    _ => {
                        // `->` and `->>` were cut at their sign.
                        let (mut name, mut length) = (op.clone(), 1);
                        if op == "-"
                            && let Some(Token::Op(next)) = self.tokens.get(self.at + 1)
                            && (next == ">" || next == ">>")
                        {
                            name = format!("-{next}");
                            length = 2;
                        }
                        if op == "#"
                            && matches!(self.tokens.get(self.at + 1), Some(Token::Op(n)) if n == "-")
                        {
                            name = "#-".to_owned();
                            length = 2;
                        }
                        let power = match name.as_str() {
                            "^" => 9,
                            "*" | "/" | "%" => 8,
                            "+" | "-" => 7,
                            "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => 4,
                            _ => 6,
                        };
                        if power < least {
                            return Ok(left);
                        }
                        self.at += length;
                        if self.is_word("any") || self.is_word("all") {
                            let all = self.word() == "all";
                            self.expect_op("(");
                            let right = self.expression(0)?;
                            self.expect_op(")");
                            if all {
                                all_array(&name, left, right)?
                            } else {
                                any_array(&name, left, right)?
                            }
                        } else {
                            let right = self.expression(power + 1)?;
                            resolve_operator(&name, Some(left), right)?
                        }
                    }
                },
                Token::Word(word) => match word.as_str() {
                    "collate" => {
                        self.at += 1;
                        let Some(Token::Quoted(name)) = self.peek().cloned() else {
                            panic!("collation name");
                        };
                        self.at += 1;
                        collate(left, Collation::by_name(&name).unwrap())?
                    }
                    "at" if least <= 10 => {
                        self.at += 1;
                        self.expect_word("time");
                        self.expect_word("zone");
                        let zone = self.expression(11)?;
                        at_time_zone(left, zone)?
                    }
                    "is" if least <= 3 => {
                        self.at += 1;
                        let negated = self.eat_word("not");
                        match self.word().as_str() {
                            "null" if negated => is_not_null(left)?,
                            "null" => is_null(left)?,
                            "true" => is_truth(left, Some(true), negated)?,
                            "false" => is_truth(left, Some(false), negated)?,
                            "unknown" => is_truth(left, None, negated)?,
                            "distinct" => {
                                self.expect_word("from");
                                let right = self.expression(4)?;
                                if negated {
                                    is_not_distinct(left, right)?
                                } else {
                                    is_distinct(left, right)?
                                }
                            }
                            w => panic!("IS {w}"),
                        }
                    }
                    "and" if least <= 1 => {
                        self.at += 1;
                        let right = self.expression(2)?;
                        and(vec![left, right])?
                    }
                    "or" if least == 0 => {
                        self.at += 1;
                        let right = self.expression(1)?;
                        or(vec![left, right])?
                    }
                    "not" | "in" | "like" | "ilike" | "between" if least <= 5 => {
                        let negated = self.eat_word("not");
                        match self.word().as_str() {
                            "in" => {
                                self.expect_op("(");
                                let list = self.list(")")?;
                                in_list(left, list, negated)?
                            }
                            "between" => {
                                let symmetric = self.eat_word("symmetric");
                                let low = self.expression(6)?;
                                self.expect_word("and");
                                let high = self.expression(6)?;
                                between(left, low, high, negated, symmetric)?
                            }
                            w => {
                                let pattern = self.expression(6)?;
                                let escape = if self.eat_word("escape") {
                                    Some(self.expression(6)?)
                                } else {
                                    None
                                };
                                like(left, pattern, escape, w == "ilike", negated)?
                            }
                        }
                    }
                    _ => return Ok(left),
                },
                _ => return Ok(left),
            };
        }
    }

    fn prefix(&mut self) -> Built {
        let token = self.tokens[self.at].clone();
        self.at += 1;
        match token {
            Token::Number(n) => Typed::number(&n),
            Token::Text(s) => Ok(Typed::literal(&s)),
            Token::Quoted(q) => panic!("unexpected {q}"),
            Token::Op(op) if op == "(" => {
                let mut list = self.list(")")?;
                if list.len() == 1 {
                    Ok(list.remove(0))
                } else {
                    row(list)
                }
            }
            Token::Op(op)
                if op == "-"
                    && matches!(self.peek(), Some(Token::Number(_)))
                    && self.sign_binds() =>
            {
                let Some(Token::Number(n)) = self.peek().cloned() else {
                    panic!("number");
                };
                self.at += 1;
                Typed::number(&format!("-{n}"))
            }
            Token::Op(op) => {
                let power = if op == "-" || op == "+" { 11 } else { 7 };
                let right = self.expression(power)?;
                resolve_operator(&op, None, right)
            }
            Token::Word(word) => self.named(&word),
        }
    }

    /// Whether the number after a minus sign is not first an operand of something that binds closer.
    fn sign_binds(&self) -> bool {
        !matches!(self.tokens.get(self.at + 1), Some(Token::Op(o)) if o == "::" || o == "[")
    }

    fn named(&mut self, word: &str) -> Built {
        match word {
            "null" => return Ok(Typed::null()),
            "true" => return Ok(Typed::bool(true)),
            "false" => return Ok(Typed::bool(false)),
            "not" => return not(self.expression(3)?),
            "array" => {
                self.expect_op("[");
                let elements = self.list("]")?;
                return array(elements);
            }
            "case" => {
                let operand = if self.is_word("when") {
                    None
                } else {
                    Some(self.expression(0)?)
                };
                let mut branches = Vec::new();
                while self.eat_word("when") {
                    let condition = self.expression(0)?;
                    self.expect_word("then");
                    branches.push((condition, self.expression(0)?));
                }
                let otherwise = if self.eat_word("else") {
                    Some(self.expression(0)?)
                } else {
                    None
                };
                self.expect_word("end");
                return match operand {
                    Some(operand) => simple_case(operand, branches, otherwise),
                    None => case(branches, otherwise),
                };
            }
            _ => {}
        }
        // `date '2024-01-01'`
        if let Some(Token::Text(s)) = self.peek().cloned() {
            self.at -= 1;
            let (ty, typmod) = self.type_name();
            self.at += 1;
            return cast(Typed::literal(&s), &ty, typmod, CastContext::Explicit);
        }
        self.expect_op("(");
        match word {
            "extract" => {
                let field = self.word();
                self.expect_word("from");
                let from = self.expression(0)?;
                self.expect_op(")");
                return resolve_function("extract", vec![Typed::literal(&field), from]);
            }
            "cast" => {
                let arg = self.expression(0)?;
                self.expect_word("as");
                let (ty, typmod) = self.type_name();
                self.expect_op(")");
                return cast(arg, &ty, typmod, CastContext::Explicit);
            }
            _ => {}
        }
        let args = self.list(")")?;
        match word {
            "coalesce" => coalesce(args),
            "greatest" => greatest(args),
            "least" => least(args),
            "row" => row(args),
            "nullif" => {
                let [a, b] = <[Typed; 2]>::try_from(args).unwrap();
                nullif(a, b)
            }
            name => resolve_function(name, args),
        }
    }
}
