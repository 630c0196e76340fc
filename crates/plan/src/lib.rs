//! The plan of a view: a DAG of stages, each a block and a head.
//!
//! In: nothing; these are the nouns between the compiler (`sql`, which builds them) and the projection (which runs them).
//!
//! A **block** is a query over occurrences of relations and stores nothing but indexes. A **head** says what becomes of the
//! block's rows: GROUP and TOPN write an internal table that later stages read like a base table, SINK marks keys pending.
//! Nested queries (correlated subqueries, LATERAL items) inside a block are evaluated row by row from the outer binding.
//!
//! Always: [`OccId`]s are unique within one block, nested queries included, and index [`Block::occurrences`];
//! [`SubqueryId`]s index [`Block::subqueries`]. Every column is read by its index in its relation's columns:
//! [`readside_model::Table::columns`] for a table, [`Stage::columns`] for an internal table, the select list for a nested query,
//! grouping keys and then aggregates for a grouping.

mod query;

pub use query::{
    Block, Distinct, FromItem, Grouping, Head, KeyPiece, Occurrence, OutputColumn, Plan, Query,
    Relation, SinkKeyPlan, Stage, StageColumn, StageId, Subquery, SubqueryKind, Unordered,
    subqueries_of,
};
pub use readside_aggregate::{AggCall, AggFunc, SortKey};
pub use readside_expr::{ColumnRef, Expr, OccId, SubqueryId};
