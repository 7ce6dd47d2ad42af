//! The functions over the catalog of the relations' tests, and Postgres' answers.

use expect_test::{Expect, expect};

use super::*;
use crate::object::{Derived, ObjectId, Oid};
use crate::pg_type::PgType;
use crate::system::tests::catalog;

fn public() -> Vec<String> {
    vec!["public".to_owned()]
}

#[test]
fn types_are_formatted() {
    let varchar = PgType::length_typmod(20);
    assert_eq!(format_type(Oid(1043), varchar), "character varying(20)");
    assert_eq!(format_type(Oid(1015), varchar), "character varying(20)[]");
    assert_eq!(format_type(Oid(1042), None), "character");
    assert_eq!(format_type(Oid(1042), Some(-1)), "bpchar");
    assert_eq!(format_type(Oid(18), Some(-1)), "\"char\"");
    assert_eq!(format_type(Oid::NONE, None), "-");
    assert_eq!(format_type(Oid(4_000_000_000), None), "???");
}

#[test]
fn definitions_are_given_back() {
    let catalog = catalog();
    let check = |definition: Option<String>, expected: Expect| {
        expected.assert_eq(definition.as_deref().unwrap_or("NULL"));
    };
    let view = ObjectId(3);
    check(pg_get_viewdef(&catalog, view.oid()), expect![" SELECT 2 * n AS n FROM order_count;"]);
    check(pg_get_viewdef(&catalog, ObjectId(1).oid()), expect!["NULL"]);
    check(pg_get_viewdef(&catalog, Oid(1259)), expect!["NULL"]);
    let odd = ObjectId(5);
    let index = odd.derived(Derived::PrimaryKeyIndex);
    check(
        pg_get_indexdef(&catalog, index, 0),
        expect![[r#"CREATE UNIQUE INDEX "Odd one_pkey" ON s."Odd one" USING btree (c, "a b")"#]],
    );
    check(pg_get_indexdef(&catalog, index, 2), expect![[r#""a b""#]]);
    check(pg_get_indexdef(&catalog, index, 3), expect![[""]]);
    check(pg_get_indexdef(&catalog, odd.oid(), 0), expect!["NULL"]);
    let constraint = odd.derived(Derived::PrimaryKey);
    check(pg_get_constraintdef(&catalog, constraint), expect![[r#"PRIMARY KEY (c, "a b")"#]]);
    check(pg_get_constraintdef(&catalog, view.derived(Derived::PrimaryKey)), expect!["NULL"]);
    check(
        pg_get_ruledef(&catalog, view.derived(Derived::Rule)),
        expect![[r#"
            CREATE RULE "_RETURN" AS
                ON SELECT TO public.twice DO INSTEAD  SELECT 2 * n AS n FROM order_count;"#]],
    );
    check(pg_get_function_result(&catalog, Oid(1242)), expect!["boolean"]);
    check(pg_get_function_arguments(&catalog, Oid(1081)), expect!["oid, integer"]);
}

#[test]
fn regclass_goes_by_search_path() {
    let catalog = catalog();
    let read = |text: &str| match regclass_in(&catalog, text, &public()) {
        Ok(oid) => format!("{oid} {}", regclass_out(&catalog, oid, &public())),
        Err(error) => format!("{} {error}", error.code),
    };
    let check = |text: &str, expected: Expect| expected.assert_eq(&read(text));
    check("orders", expect!["16385 orders"]);
    check("ORDERS", expect!["16385 orders"]);
    check("public.orders", expect!["16385 orders"]);
    check("shop.public.orders", expect!["16385 orders"]);
    check("orders_pkey", expect!["536887297 orders_pkey"]);
    check("s.\"Odd one\"", expect![[r#"16389 s."Odd one""#]]);
    check("pg_class", expect!["1259 pg_class"]);
    check("information_schema.tables", expect!["13425 information_schema.tables"]);
    check("16385", expect!["16385 orders"]);
    check("99999", expect!["99999 99999"]);
    check("-", expect!["0 -"]);
    check("nothing", expect![[r#"42P01 relation "nothing" does not exist"#]]);
    check("nowhere.orders", expect![[r#"3F000 schema "nowhere" does not exist"#]]);
    check("s.orders", expect![[r#"42P01 relation "s.orders" does not exist"#]]);
    check("a b", expect!["42602 invalid name syntax"]);
    assert_eq!(to_regclass(&catalog, "nothing", &public()), None);
    assert_eq!(to_regclass(&catalog, "16385", &public()), None);
    assert_eq!(to_regclass(&catalog, "orders", &public()), Some(ObjectId(1).oid()));
}

#[test]
fn the_other_reg_types_read_what_they_write() {
    let (catalog, path) = (catalog(), public());
    for ty in PgType::all() {
        assert_eq!(regtype_in(&regtype_out(ty.oid())), Ok(ty.oid()));
        for function in ty.io_functions().into_iter().chain(ty.typmod_functions()) {
            let name = regproc_out(&catalog, function, &path);
            assert_eq!(regproc_in(&catalog, &name, &path), Ok(function));
        }
    }
    assert_eq!(to_regtype("mood"), None);
    assert_eq!(to_regtype("int4[]"), Some(Oid(1007)));
    assert_eq!(regproc_out(&catalog, Oid(750), &path), "array_in");
    assert_eq!(regproc_in(&catalog, "pg_catalog.array_in", &path), Ok(Oid(750)));
    assert_eq!(regproc_in(&catalog, "count", &path).map_err(|error| error.code), Err("42725"));
    assert_eq!(regproc_in(&catalog, "nothing", &path).map_err(|error| error.code), Err("42883"));
    for schema in catalog.schemas() {
        let name = regnamespace_out(&catalog, schema.oid);
        assert_eq!(regnamespace_in(&catalog, &name), Ok(schema.oid));
    }
    assert_eq!(regrole_in("ada", "ada"), Ok(Oid(10)));
    assert_eq!(regrole_in("ada", "bob").map_err(|error| error.code), Err("42704"));
    assert_eq!(regcollation_in("pg_catalog.\"default\""), Ok(Oid(100)));
    assert_eq!(regcollation_out(Oid(950)), "\"C\"");
}

#[test]
fn visibility_follows_the_search_path() {
    let catalog = catalog();
    let visible = |oid| pg_table_is_visible(&catalog, oid, &public());
    assert_eq!(visible(ObjectId(1).oid()), Some(true));
    assert_eq!(visible(ObjectId(5).oid()), Some(false));
    assert_eq!(visible(Oid(1259)), Some(true));
    assert_eq!(visible(Oid(13425)), Some(false));
    assert_eq!(visible(Oid(99999)), None);
    assert_eq!(pg_collation_is_visible(Oid(100)), Some(true));
    assert_eq!(pg_collation_is_visible(Oid(7)), None);
    let path = ["ada", "public"].map(str::to_owned);
    assert_eq!(current_schemas(&catalog, &path, false), ["public"]);
    assert_eq!(current_schemas(&catalog, &path, true), ["pg_catalog", "public"]);
    assert_eq!(current_schema(&catalog, &path).as_deref(), Some("public"));
}

#[test]
fn comments_are_found() {
    let catalog = catalog();
    let orders = ObjectId(1).oid();
    let comment = obj_description(&catalog, orders, Some("pg_class"));
    assert_eq!(comment.as_deref(), Some("what people bought"));
    assert_eq!(obj_description(&catalog, orders, Some("pg_namespace")), None);
    let schema = obj_description(&catalog, Oid(2200), None);
    assert_eq!(schema.as_deref(), Some("standard public schema"));
    assert_eq!(col_description(&catalog, orders, 2).as_deref(), Some("in euros"));
    assert_eq!(col_description(&catalog, orders, 1), None);
    assert_eq!(col_description(&catalog, orders, 0), None);
    assert_eq!(pg_get_userbyid("ada", Oid(10)), "ada");
    assert_eq!(pg_get_userbyid("ada", Oid(11)), "unknown (OID=11)");
    assert_eq!(pg_encoding_to_char(6), "UTF8");
    assert!(pg_relation_is_publishable(&catalog, orders));
    assert!(!pg_relation_is_publishable(&catalog, ObjectId(2).oid()));
}
