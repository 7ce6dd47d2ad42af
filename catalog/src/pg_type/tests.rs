//! Types against PostgreSQL 15: the table, the spellings, the Arrow side.

use std::collections::HashSet;

use arrow::datatypes::DataType;
use expect_test::{Expect, expect, expect_file};

use super::{PgType, TypeNameError};
use crate::object::Oid;

#[test]
fn every_type_is_found_again_by_what_it_is_called() {
    let mut oids = HashSet::new();
    for ty in PgType::all() {
        assert!(oids.insert(ty.oid()), "{ty:?} shares its oid");
        assert_eq!(PgType::from_oid(ty.oid()), Some(ty));
        assert_eq!(PgType::from_typname(ty.name()), Some(ty));
        assert_eq!(PgType::parse(&ty.format(-1)), Ok((ty, -1)), "{}", ty.format(-1));
        let json = serde_json::to_string(&ty).expect("a name");
        assert_eq!(json, format!("\"{}\"", ty.name()));
        assert_eq!(serde_json::from_str::<PgType>(&json).expect("just written"), ty);
    }
    assert!(serde_json::from_str::<PgType>("\"int5\"").is_err());
}

#[test]
fn arrays_and_elements_lead_to_each_other() {
    assert_eq!(PgType::Int4.array(), Some(PgType::Array(&PgType::Int4)));
    assert_eq!(PgType::Array(&PgType::Int4).element(), Some(PgType::Int4));
    assert_eq!(PgType::Array(&PgType::Int4).array(), None);
    assert_eq!(PgType::Void.array(), None);
    assert_eq!(PgType::Int2Vector.element(), Some(PgType::Int2));
    assert_eq!(PgType::Int4.array_oid(), Oid(1007));
}

#[test]
fn a_column_type_survives_arrow() {
    use PgType::*;
    let own = [
        Bool,
        Int2,
        Int4,
        Int8,
        Float4,
        Float8,
        Numeric,
        Text,
        Bytea,
        Date,
        Time,
        Timestamp,
        Timestamptz,
        Interval,
        Uuid,
        Jsonb,
        Oid,
    ];
    for ty in own {
        assert_eq!(PgType::from_arrow(&ty.to_arrow(-1)), Some((ty, -1)));
        let array = ty.array().expect("users' types have arrays");
        assert_eq!(PgType::from_arrow(&array.to_arrow(-1)), Some((array, -1)));
    }
    for (ty, plainer) in [(Varchar, Text), (Bpchar, Text), (Name, Text), (Regclass, Oid)] {
        assert_eq!(PgType::from_arrow(&ty.to_arrow(-1)), Some((plainer, -1)));
    }
    for nobody in [DataType::UInt64, DataType::Utf8View, DataType::Date64, DataType::Int8] {
        assert_eq!(PgType::from_arrow(&nobody), None);
    }
    assert_eq!(PgType::from_arrow(&DataType::Null), Some((Text, -1)));
}

#[test]
fn numeric_carries_its_modifier_through_arrow() {
    let typmod = PgType::numeric_typmod(10, 2).expect("in range");
    assert_eq!(PgType::Numeric.to_arrow(typmod), DataType::Decimal128(10, 2));
    assert_eq!(PgType::from_arrow(&DataType::Decimal128(10, 2)), Some((PgType::Numeric, typmod)));
    assert_eq!(PgType::Numeric.to_arrow(-1), DataType::Decimal128(38, 20));
    assert_eq!(PgType::from_arrow(&DataType::Decimal128(37, 20)), Some((PgType::Numeric, -1)));
    assert_eq!(PgType::numeric_parts(typmod), Some((10, 2)));
    for (precision, scale) in [(0, 0), (39, 0), (5, 6), (5, -1)] {
        assert_eq!(PgType::numeric_typmod(precision, scale), None);
    }
}

#[test]
fn spellings_are_read() {
    let check = |text: &str, expected: &str| {
        let (ty, typmod) = PgType::parse(text).expect("a type");
        assert_eq!(ty.format(typmod), expected, "{text}");
    };
    check("int", "integer");
    check(" INT4 ", "integer");
    check("pg_catalog.int4", "integer");
    check("\"pg_catalog\".\"int4\"", "integer");
    check("\"char\"", "\"char\"");
    check("char", "character(1)");
    check("bpchar", "bpchar");
    check("char(7)", "character(7)");
    check("varchar", "character varying");
    check("Character Varying (20) [ ]", "character varying(20)[]");
    check("decimal(10,2)", "numeric(10,2)");
    check("numeric(5)[3][4]", "numeric(5,0)[]");
    check("float(24)", "real");
    check("float(25)", "double precision");
    check("timestamp", "timestamp without time zone");
    check("timestamp(3) with time zone", "timestamp(3) with time zone");
    check("timestamptz(3)", "timestamp(3) with time zone");
    check("time (0)", "time(0) without time zone");
    check("interval(2)", "interval(2)");
    check("integer array", "integer[]");
    check("_int4", "integer[]");
    check("regclass", "regclass");
}

#[test]
fn what_is_no_type_is_told_as_postgres_tells_it() {
    let check = |text: &str, expected: Expect| {
        let error = PgType::parse(text).expect_err("not a type");
        expected.assert_eq(&format!("{} {error}", error.sqlstate()));
    };
    check("foo", expect![[r#"42704 type "foo" does not exist"#]]);
    check("public.int4", expect![[r#"42704 type "public.int4" does not exist"#]]);
    check("int4[][", expect![[r#"42601 invalid type name "int4[][""#]]);
    check("", expect![[r#"42601 invalid type name """#]]);
    check("int four", expect![[r#"42601 invalid type name "int four""#]]);
    check("varchar(0)", expect!["22023 length for type varchar must be at least 1"]);
    check("varchar(99999999)", expect!["22023 length for type varchar cannot exceed 10485760"]);
    check("int4(3)", expect![[r#"22023 type modifier is not allowed for type "int4""#]]);
    check("void[]", expect![[r#"42704 type "void[]" does not exist"#]]);
    check(
        "numeric(50, 2)",
        expect![
            "22023 numeric(50,2) is out of range: precision must be between 1 and 38 and scale between 0 and precision"
        ],
    );
    let quoted = PgType::parse("\"INT4\"");
    assert_eq!(quoted, Err(TypeNameError::Unknown("\"INT4\"".to_owned())));
}

#[test]
fn intervals_show_their_fields() {
    let day_to_second = (0x1c08 << 16) | 3;
    assert_eq!(PgType::Interval.format(day_to_second), "interval day to second(3)");
    assert_eq!(PgType::Interval.format((0x0004 << 16) | 0xffff), "interval year");
}

/// The file is what PostgreSQL 15.18 says to
/// `SELECT oid, typname, format_type(oid, NULL), typarray, typlen, typbyval, typtype, typcategory,
/// typispreferred, typalign, typstorage, typcollation FROM pg_type`.
#[test]
fn the_table_is_postgres_own() {
    let line = |ty: PgType| {
        format!(
            "{} {} {} {} {} {} {} {} {} {} {} {}\n",
            ty.oid(),
            ty.name(),
            ty.sql_name().replace(' ', "_"),
            ty.array_oid(),
            ty.typlen(),
            if ty.is_by_value() { 't' } else { 'f' },
            ty.typtype(),
            ty.category(),
            if ty.is_preferred() { 't' } else { 'f' },
            ty.align(),
            ty.storage(),
            ty.collation(),
        )
    };
    let mut types: Vec<PgType> = PgType::all().collect();
    types.sort_by_key(|ty| ty.oid());
    let table: String = types.into_iter().map(line).collect();
    expect_file!["postgres15.txt"].assert_eq(&table);
}
