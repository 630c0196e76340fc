//! Text to syntax tree: one SELECT, grouped as Postgres' grammar groups it.
//!
//! In: the text of a view. Out: its [`Query`], and the text without a trailing semicolon.
//!
//! Always: operators bind as in Postgres' table of precedence; what Postgres' grammar refuses (`a < b = c`) is refused here.

use std::any::TypeId;

use sqlparser::ast::{Expr, Query, Statement, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use crate::refusal::{Checked, Problem};

/// Postgres' dialect with Postgres' own operator precedence.
#[derive(Debug, Default)]
struct SourceDialect(PostgreSqlDialect);

/// Binds tighter than COLLATE, looser than `[]` and `::`.
const UNARY_SIGN: u8 = 120;
const OTHER_OPERATOR: u8 = 70;

macro_rules! as_postgres {
    ($($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool { self.0.$method() })*
    };
}

impl Dialect for SourceDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.0.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.0.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        self.0.is_custom_operator_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        self.0.is_reserved_for_identifier(keyword)
    }

    fn is_table_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        self.0.is_table_alias(keyword, parser)
    }

    fn supports_string_literal_column_alias(&self, explicit: bool) -> bool {
        self.0.supports_string_literal_column_alias(explicit)
    }

    fn supports_string_literal_table_alias(&self, explicit: bool) -> bool {
        self.0.supports_string_literal_table_alias(explicit)
    }

    fn is_interval_qualifier(&self, keyword: Keyword) -> bool {
        self.0.is_interval_qualifier(keyword)
    }

    fn is_custom_type_typed_string(&self, keyword: Keyword, qualified: bool) -> bool {
        self.0.is_custom_type_typed_string(keyword, qualified)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        self.0.prec_value(precedence)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk
            | Token::Ampersand
            | Token::Pipe => Some(Ok(OTHER_OPERATOR)),
            _ => self.0.get_next_precedence(parser),
        }
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let op = match &parser.peek_token_ref().token {
            Token::Minus => UnaryOperator::Minus,
            Token::Plus => UnaryOperator::Plus,
            _ => return None,
        };
        parser.advance_token();
        Some(parser.parse_subexpr(UNARY_SIGN).map(|e| Expr::UnaryOp {
            op,
            expr: Box::new(e),
        }))
    }

    as_postgres!(
        supports_cte_materialization,
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_bitwise_shift_operators,
        supports_tilde_like_match_operator,
        supports_comparison_in_between_low_bound,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_named_fn_args_with_assignment_operator,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_non_decimal_integer_literals,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_order_by_using_operator,
        supports_left_associative_joins_without_parens,
        supports_notnull_operator,
        supports_interval_options,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_aliased_function_args,
        supports_factorial_operator,
    );
}

/// The one SELECT of `sql`.
pub(crate) fn parse_view(sql: &str) -> Checked<Query> {
    let tokens = tokenize(sql)?;
    let mut parser = Parser::new(&SourceDialect(PostgreSqlDialect {}))
        .with_recursion_limit(200)
        .with_tokens_with_locations(tokens);
    let first = parser.peek_token();
    if first.token == Token::EOF {
        return Err(Problem::hinted(
            Span::empty(),
            "the file holds no query",
            "write one SELECT",
        ));
    }
    let statement = parser
        .parse_statement()
        .map_err(|e| parse_problem(&e, sql))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let (message, hint) = if ended_by_semicolon(sql, rest.span.start) {
            (
                "a view is one SELECT, and a second statement begins here".to_owned(),
                "put each view into a file of its own",
            )
        } else {
            (
                format!("syntax error at or near \"{}\"", rest.token),
                "the SELECT ends before this word",
            )
        };
        return Err(Problem::hinted(rest.span, message, hint));
    }
    match statement {
        Statement::Query(query) => Ok(*query),
        _ => Err(Problem::hinted(
            first.span,
            format!("a view is a SELECT, not {}", first.token),
            "write one SELECT",
        )),
    }
}

/// One expression, such as a generated column's.
pub(crate) fn parse_expression(sql: &str) -> Checked<Expr> {
    let mut parser = Parser::new(&SourceDialect(PostgreSqlDialect {}))
        .with_recursion_limit(200)
        .with_tokens_with_locations(tokenize(sql)?);
    let expr = parser.parse_expr().map_err(|e| parse_problem(&e, sql))?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        Ok(expr)
    } else {
        Err(Problem::at(
            rest.span,
            format!("syntax error at or near \"{}\"", rest.token),
        ))
    }
}

/// The text without a trailing semicolon and what follows it.
pub(crate) fn without_semicolon(sql: &str) -> String {
    let Ok(tokens) = tokenize(sql) else {
        return sql.trim_end().to_owned();
    };
    let last = tokens.iter().rev().find(|t| {
        !matches!(
            t.token,
            Token::Whitespace(_) | Token::EOF | Token::SemiColon
        )
    });
    match last.map(|t| t.span.end) {
        Some(end) => sql[..offset(sql, end)].to_owned(),
        None => String::new(),
    }
}

fn ended_by_semicolon(sql: &str, rest: Location) -> bool {
    tokenize(sql).is_ok_and(|tokens| {
        tokens
            .iter()
            .filter(|t| !matches!(t.token, Token::Whitespace(_)))
            .take_while(|t| t.span.start < rest)
            .last()
            .is_some_and(|t| t.token == Token::SemiColon)
    })
}

/// The byte offset of a location (columns count characters).
fn offset(sql: &str, at: Location) -> usize {
    let mut line = 1;
    let mut column = 1;
    for (i, c) in sql.char_indices() {
        if line == at.line && column == at.column {
            return i;
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    sql.len()
}

fn tokenize(sql: &str) -> Checked<Vec<TokenWithSpan>> {
    Tokenizer::new(&SourceDialect(PostgreSqlDialect {}), sql)
        .tokenize_with_location()
        .map_err(|e| {
            Problem::at(
                Span::new(e.location, e.location),
                format!("syntax error: {}", lower_first(&e.message)),
            )
        })
}

/// `sqlparser` writes the position at the end of its message.
fn parse_problem(error: &ParserError, sql: &str) -> Box<Problem> {
    let text = match error {
        ParserError::ParserError(m) | ParserError::TokenizerError(m) => m.clone(),
        ParserError::RecursionLimitExceeded => {
            return Problem::hinted(
                Span::empty(),
                "the query is nested too deeply",
                "split it into several views",
            );
        }
    };
    let mut message = text.as_str();
    let mut span = Span::empty();
    if let Some(at) = text.rfind(" at Line: ") {
        let mut numbers = text[at..]
            .split(|c: char| !c.is_ascii_digit())
            .filter(|s| !s.is_empty())
            .filter_map(|s| s.parse::<u64>().ok());
        if let (Some(line), Some(column)) = (numbers.next(), numbers.next()) {
            let start = Location::new(line, column);
            span = Span::new(start, token_end(sql, start));
            message = &text[..at];
        }
    }
    if span == Span::empty()
        && let Some(last) = last_token(sql)
    {
        // The text ended too early: shown at its last word.
        span = last;
    }
    Problem::at(span, format!("syntax error: {}", lower_first(message)))
}

/// The last word of the text.
fn last_token(sql: &str) -> Option<Span> {
    tokenize(sql)
        .ok()?
        .iter()
        .rev()
        .find(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF))
        .map(|t| t.span)
}

fn token_end(sql: &str, start: Location) -> Location {
    tokenize(sql)
        .ok()
        .and_then(|tokens| {
            tokens
                .iter()
                .find(|t| t.span.start == start)
                .map(|t| t.span.end)
        })
        .unwrap_or(start)
}

fn lower_first(s: &str) -> String {
    let mut chars = s.chars();
    match chars.next() {
        Some(c) => c.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
