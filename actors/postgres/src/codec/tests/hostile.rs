//! Bytes that are no value: an error, never a panic, never much memory.

use tokio_postgres::types::{Field, FromSql, Kind, Type};

use crate::codec::Cell;

fn types() -> Vec<Type> {
    let own = |name: &str, oid, kind| Type::new(name.into(), oid, kind, "public".into());
    let record = |ty: Type| own("rec", 90_001, Kind::Composite(vec![Field::new("a".into(), ty)]));
    let mut types: Vec<Type> = (0..6_000).filter_map(Type::from_oid).collect();
    types.extend([
        own("hstore", 90_002, Kind::Simple),
        own("ltree", 90_003, Kind::Simple),
        own("citext", 90_004, Kind::Simple),
        own("mood", 90_005, Kind::Enum(vec!["a".into()])),
        own("small", 90_006, Kind::Domain(Type::NUMERIC)),
        record(Type::INT4),
        record(Type::RECORD_ARRAY),
        own("recs", 90_007, Kind::Array(record(Type::NUMERIC_ARRAY))),
    ]);
    types
}

#[test]
fn random_and_damaged_bytes_never_panic() {
    let mut rng = fastrand::Rng::with_seed(20_261_121);
    let types = types();
    assert!(types.len() > 150, "{}", types.len());
    let interesting = [0_i32, 1, -1, 2, 4, i32::MAX, i32::MIN, 0x7FFF, 0xFFFF, 23, 25, 2249, 2287, 1700];
    for _ in 0..60_000 {
        let ty = &types[rng.usize(..types.len())];
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..rng.usize(..12) {
            if rng.u8(..3) == 0 {
                bytes.extend(std::iter::repeat_with(|| rng.u8(..)).take(3));
            } else {
                bytes.extend(interesting[rng.usize(..interesting.len())].to_be_bytes());
            }
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        // whether it is a value does not matter here: the driver must come back
        let _ = Cell::from_sql(ty, &bytes);
    }
}

#[test]
fn lengths_that_lie_are_errors() {
    let words = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    for (ty, bytes) in [
        (Type::INT4, vec![0, 0, 1]),
        (Type::INT4, vec![0; 5]),
        (Type::BOOL, vec![2]),
        (Type::UUID, vec![0; 15]),
        (Type::TEXT, vec![0xFF]),
        (Type::JSONB, vec![]),
        (Type::INT4_ARRAY, words(&[1, 0, 23, i32::MAX, 1])),
        (Type::INT4_ARRAY, words(&[7, 0, 23])),
        (Type::INT4_ARRAY, words(&[-1, 0, 23])),
        (Type::INT4_ARRAY, words(&[3, 0, 23, i32::MAX, 1, i32::MAX, 1, i32::MAX, 1])),
        (Type::INT4_ARRAY, words(&[1, 0, 23, 1, 1, i32::MAX])),
        (Type::NUMERIC, vec![0xFF, 0xFF, 0, 0, 0, 0, 0, 0]),
        (Type::NUMERIC, vec![0, 1, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]),
        (Type::NUMERIC, vec![0, 0, 0, 0, 0, 0, 0xFF, 0xFF]),
        (Type::INT4_RANGE, vec![2]),
        (Type::VARBIT, words(&[i32::MAX])),
        (Type::INET, vec![2, 33, 0, 4, 1, 2, 3, 4]),
        (Type::TIME, (-1_i64).to_be_bytes().to_vec()),
        (Type::RECORD, words(&[i32::MAX])),
    ] {
        let error = Cell::from_sql(&ty, &bytes).err().unwrap_or_else(|| panic!("{ty} took {bytes:?}"));
        assert!(error.to_string().contains(ty.name().trim_start_matches('_')), "{error}");
    }
}

#[test]
fn a_record_in_a_record_in_a_record_ends_before_the_stack_does() {
    let mut bytes = 0_i32.to_be_bytes().to_vec();
    for _ in 0..100_000 {
        let mut outer = 1_i32.to_be_bytes().to_vec();
        outer.extend(2249_i32.to_be_bytes());
        outer.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
        if bytes.len() > 4_000 {
            break;
        }
        outer.extend(&bytes);
        bytes = outer;
    }
    let error = Cell::from_sql(&Type::RECORD, &bytes).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
}
