//! The demo's shop: its tables, its feature view, and what it sells.
//!
//! Law   creating is idempotent: what is there is kept, so a second start goes on with it

use tokio_postgres::{Client, SimpleQueryMessage};

use super::DemoError;

/// Any name is let in from loopback; these are what the demo uses and prints. A user called
/// tidemark would have the system's schema of that name first in the search path.
pub const USER: &str = "demo";
pub const DATABASE: &str = "tidemark";

/// Items on sale, numbered from 1.
pub const ITEMS: u64 = 2_000;
/// People who look at them, numbered from 1.
pub const USERS: u64 = 5_000;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS items (
        item_id  bigint PRIMARY KEY,
        name     text NOT NULL,
        category text NOT NULL,
        price    numeric(10,2) NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS item_views (
        user_id bigint NOT NULL,
        item_id bigint NOT NULL,
        ts      timestamptz NOT NULL
    )",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS user_avg_price_30m AS
        SELECT v.user_id, avg(i.price) AS avg_price, count(*) AS items
        FROM item_views v JOIN items i ON i.item_id = v.item_id
        WHERE v.ts > now() - INTERVAL '30 minutes' AND v.ts <= now()
        GROUP BY v.user_id",
];

/// The users in the view and the item views it counts.
pub const TOTALS: &str = "SELECT count(*), coalesce(sum(items), 0) FROM user_avg_price_30m";

/// The busiest users.
pub const TOP: &str = "SELECT user_id, round(avg_price, 2), items FROM user_avg_price_30m
    ORDER BY items DESC, user_id LIMIT 10";

/// What to type next in psql.
pub const TRY_NEXT: [&str; 6] = [
    "\\d",
    "SELECT * FROM user_avg_price_30m WHERE user_id = 1;",
    "UPDATE items SET price = price * 10 WHERE item_id = 1;",
    "CREATE MATERIALIZED VIEW category_1m AS SELECT i.category, count(*) AS views",
    "  FROM item_views v JOIN items i ON i.item_id = v.item_id",
    "  WHERE v.ts > now() - INTERVAL '1 minute' AND v.ts <= now() GROUP BY i.category;",
];

/// Creates what is missing; returns the number of item views that are there already.
pub async fn create(client: &Client) -> Result<u64, DemoError> {
    for statement in &SCHEMA[..2] {
        execute(client, statement).await?;
    }
    if count(client, "items").await? == 0 {
        execute(client, &insert_items()).await?;
    }
    execute(client, SCHEMA[2]).await?;
    count(client, "item_views").await
}

async fn execute(client: &Client, sql: &str) -> Result<(), DemoError> {
    client.batch_execute(sql).await.map_err(|error| DemoError::Sql("set-up", error))
}

async fn count(client: &Client, table: &str) -> Result<u64, DemoError> {
    let messages = client.simple_query(&format!("SELECT count(*) FROM {table}")).await;
    let messages = messages.map_err(|error| DemoError::Sql("set-up", error))?;
    let count = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    count.ok_or(DemoError::Ended("set-up"))
}

const QUALITIES: [&str; 10] =
    ["plain", "oak", "brass", "linen", "striped", "foldable", "tiny", "heavy", "blue", "woollen"];
const THINGS: [(&str, &str, u64); 10] = [
    ("lamp", "home", 40),
    ("kettle", "kitchen", 30),
    ("chair", "home", 90),
    ("jacket", "clothes", 120),
    ("socks", "clothes", 8),
    ("bicycle", "outdoor", 650),
    ("tent", "outdoor", 210),
    ("pan", "kitchen", 45),
    ("headphones", "electronics", 140),
    ("keyboard", "electronics", 75),
];

/// All items in one statement: the same ones on every machine.
fn insert_items() -> String {
    let rows = (1..=ITEMS).map(|item| {
        let (thing, category, price) = THINGS[(item % 10) as usize];
        let quality = QUALITIES[(item / 10 % 10) as usize];
        // Around the thing's price, from about half to twice, in steps of cents.
        let cents = price * 50 + price * 150 * (item * 7_919 % 997) / 997;
        let (whole, rest) = (cents / 100, cents % 100);
        format!("({item}, '{quality} {thing} {item}', '{category}', {whole}.{rest:02})")
    });
    let rows: Vec<String> = rows.collect();
    format!("INSERT INTO items VALUES {}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_up_is_sql() {
        for statement in SCHEMA {
            assert_eq!(tidemark_sql::parse(statement).map(|parsed| parsed.len()), Ok(1));
        }
        for statement in [TOTALS, TOP, &insert_items()] {
            assert_eq!(tidemark_sql::parse(statement).map(|parsed| parsed.len()), Ok(1));
        }
        let next = TRY_NEXT[1..].join("\n");
        assert_eq!(tidemark_sql::parse(&next).map(|parsed| parsed.len()), Ok(3));
    }

    #[test]
    fn items_are_as_many_as_promised_and_have_prices() {
        let sql = insert_items();
        assert_eq!(sql.matches("), (").count() as u64 + 1, ITEMS);
        assert!(sql.starts_with("INSERT INTO items VALUES (1, 'plain kettle 1', 'kitchen', "));
        assert!(!sql.contains(", 0."));
    }
}
