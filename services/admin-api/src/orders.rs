//! `sort`: in which orders lists come, by the pattern of their path. What a list takes, and what the document says of it, are one table.

use directory::{Sort, SortBy};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Type};

/// The parameter.
pub(crate) const SORT: &str = "sort";

/// An order and its word.
type Order = (&'static str, Sort);

/// By a name or time, both ways.
const fn both(up: &'static str, down: &'static str, by: SortBy) -> [Order; 2] {
    [(up, Sort::up(by)), (down, Sort::down(by))]
}

const CREATED: [Order; 2] = both("created_at", "-created_at", SortBy::CreatedAt);
const NAME: [Order; 2] = both("name", "-name", SortBy::Name);
const ADDRESS: [Order; 2] = both("address", "-address", SortBy::Name);
const SLUG: [Order; 2] = both("slug", "-slug", SortBy::Name);
const URL: [Order; 2] = both("url", "-url", SortBy::Name);
const OCTETS: [Order; 2] = both("octets", "-octets", SortBy::Octets);
const AT: [Order; 2] = both("at", "-at", SortBy::CreatedAt);

/// The lists that have a choice.
const ORDERS: &[(&str, &[&[Order]])] = &[
    ("/v1/tenants", &[&SLUG, &CREATED]),
    ("/v1/domains", &[&NAME, &CREATED]),
    ("/v1/accounts", &[&ADDRESS, &CREATED, &OCTETS]),
    ("/v1/aliases", &[&ADDRESS, &CREATED]),
    ("/v1/admins", &[&NAME, &CREATED]),
    ("/v1/api-keys", &[&NAME, &CREATED]),
    ("/v1/webhooks", &[&URL, &CREATED]),
    ("/v1/imports", &[&CREATED]),
    ("/v1/audit-events", &[&AT]),
];

/// The orders of a list; empty: it has its own only.
pub(crate) fn of(path: &str) -> Vec<Order> {
    let orders = ORDERS.iter().find(|(list, _)| *list == path).map(|(_, orders)| *orders);
    orders.unwrap_or_default().iter().copied().flatten().copied().collect()
}

/// What the document says of a list's `sort`.
pub(crate) fn parameter(path: &str) -> Option<Parameter> {
    let orders = of(path);
    if orders.is_empty() {
        return None;
    }
    let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(orders.iter().map(|(word, _)| *word)));
    let parameter = ParameterBuilder::new()
        .name(SORT)
        .parameter_in(ParameterIn::Query)
        .description(Some("In this order, with `-` the last first, instead of the list's own; the same on every page"))
        .schema(Some(words));
    Some(parameter.build())
}
