//! The arguments of each operation.

use std::time::Duration;

use backstop_core::operation::WireError;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};

use super::{condition, wrong};
use crate::{
    Numbers, TableName, Value,
    crud::{
        Count, DeleteMany, DeleteOne, Exists, Filter, InsertMany, InsertOne, Record, SelectMany, SelectOne,
        UpdateMany, UpdateOne, Upsert,
    },
};

type Read<T> = Result<T, WireError>;

pub(super) fn read<T: DeserializeOwned>(place: &str, arguments: Json) -> Read<T> {
    serde_json::from_value(arguments).map_err(|error| wrong(place, &error))
}

fn filter(json: Json, place: &str) -> Read<Filter> {
    condition::filter(json).map_err(|error| wrong(place, &format!("`where`: {error}")))
}

/// No condition at all means every row; reads alone may leave it out.
fn any_filter(json: Option<Json>, place: &str) -> Read<Filter> {
    json.map_or_else(|| Ok(Filter::everything()), |json| filter(json, place))
}

fn record(data: Map<String, Json>, place: &str) -> Read<Record> {
    let pairs = data.into_iter().map(|(name, json)| match Value::from_json(json) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(wrong(place, &format!("column `{name}`: {error}"))),
    });
    pairs.collect()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OrderBy {
    Ascending(String),
    Directed(Directed),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Directed {
    column: String,
    #[serde(default)]
    direction: Direction,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Direction {
    #[default]
    Asc,
    Desc,
}

impl OrderBy {
    fn into_parts(self) -> (String, bool) {
        match self {
            Self::Ascending(column) => (column, false),
            Self::Directed(Directed { column, direction }) => (column, direction == Direction::Desc),
        }
    }
}

macro_rules! selected {
    ($name:ident { $($field:ident: $type:ty),* } ($selected:ident) $filter:expr, $make:expr) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            table: TableName,
            r#where: Option<Json>,
            #[serde(default)]
            columns: Vec<String>,
            #[serde(default)]
            order: Vec<OrderBy>,
            #[serde(default)]
            numbers: Numbers,
            cache_key: Option<String>,
            ttl_ms: Option<u64>,
            #[serde(default)]
            tags: Vec<String>,
            $($field: $type,)*
        }

        impl $name {
            pub(super) fn message(mut self, place: &str) -> Read<$selected> {
                let find: fn(Option<Json>, &str) -> Read<Filter> = $filter;
                let filter = find(self.r#where.take(), place)?;
                let make: fn(&mut Self, Filter) -> $selected = $make;
                let mut message = make(&mut self, filter).columns(self.columns).numbers(self.numbers);
                for order in self.order {
                    let (column, descending) = order.into_parts();
                    message = if descending { message.order_by_desc(column) } else { message.order_by(column) };
                }
                if let Some(key) = self.cache_key {
                    message = message.cache_key(key);
                }
                if let Some(ttl) = self.ttl_ms {
                    message = message.ttl(Duration::from_millis(ttl));
                }
                Ok(self.tags.into_iter().fold(message, |message, tag| message.tag(tag)))
            }
        }
    };
}

selected!(SelectedOne {} (SelectOne) needed, |own, filter| SelectOne::new(&own.table, filter));
selected!(SelectedMany { limit: Option<u64>, offset: Option<u64> } (SelectMany) any_filter, |own, filter| {
    let message = SelectMany::new(&own.table, filter).offset(own.offset.unwrap_or_default());
    match own.limit {
        Some(limit) => message.limit(limit),
        None => message,
    }
});

fn needed(json: Option<Json>, place: &str) -> Read<Filter> {
    filter(json.ok_or_else(|| wrong(place, &"missing field `where`"))?, place)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counted {
    table: TableName,
    r#where: Option<Json>,
}

impl Counted {
    pub(super) fn count(self, place: &str) -> Read<Count> {
        Ok(Count::new(self.table, any_filter(self.r#where, place)?))
    }

    pub(super) fn exists(self, place: &str) -> Read<Exists> {
        Ok(Exists::new(self.table, any_filter(self.r#where, place)?))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsertedOne {
    table: TableName,
    data: Map<String, Json>,
    /// `false` asks for no id, a text names its column.
    returning: Option<Returning>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Returning {
    Any(bool),
    Column(String),
}

impl InsertedOne {
    pub(super) fn message(self, place: &str) -> Read<InsertOne> {
        let message = InsertOne::new(self.table, record(self.data, place)?);
        Ok(match self.returning {
            None | Some(Returning::Any(true)) => message,
            Some(Returning::Any(false)) => message.without_id(),
            Some(Returning::Column(column)) => message.returning(column),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsertedMany {
    table: TableName,
    data: Vec<Map<String, Json>>,
}

impl InsertedMany {
    pub(super) fn message(self, place: &str) -> Read<InsertMany> {
        let rows = self.data.into_iter().enumerate();
        let rows = rows.map(|(at, row)| record(row, &format!("{place}: row {at}")));
        Ok(InsertMany::new(self.table, rows.collect::<Result<Vec<_>, _>>()?))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upserted {
    table: TableName,
    data: Map<String, Json>,
    keys: Vec<String>,
    update_only: Option<Vec<String>>,
}

impl Upserted {
    pub(super) fn message(self, place: &str) -> Read<Upsert> {
        let message = Upsert::new(self.table, record(self.data, place)?, self.keys);
        Ok(match self.update_only {
            None => message,
            Some(columns) => message.update_only(columns),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Updated {
    table: TableName,
    r#where: Json,
    data: Map<String, Json>,
    #[serde(default)]
    all_rows: bool,
}

impl Updated {
    pub(super) fn one(self, place: &str) -> Read<UpdateOne> {
        refuse_all_rows(self.all_rows, place)?;
        Ok(UpdateOne::new(self.table, filter(self.r#where, place)?, record(self.data, place)?))
    }

    pub(super) fn many(self, place: &str) -> Read<UpdateMany> {
        let message = UpdateMany::new(self.table, filter(self.r#where, place)?, record(self.data, place)?);
        Ok(if self.all_rows { message.all_rows() } else { message })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deleted {
    table: TableName,
    r#where: Json,
    #[serde(default)]
    all_rows: bool,
}

impl Deleted {
    pub(super) fn one(self, place: &str) -> Read<DeleteOne> {
        refuse_all_rows(self.all_rows, place)?;
        Ok(DeleteOne::new(self.table, filter(self.r#where, place)?))
    }

    pub(super) fn many(self, place: &str) -> Read<DeleteMany> {
        let message = DeleteMany::new(self.table, filter(self.r#where, place)?);
        Ok(if self.all_rows { message.all_rows() } else { message })
    }
}

fn refuse_all_rows(all_rows: bool, place: &str) -> Read<()> {
    if all_rows { Err(wrong(place, &"`all_rows` belongs to the form for many rows")) } else { Ok(()) }
}
