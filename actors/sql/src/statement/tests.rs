use super::*;

fn sqlite(text: &str) -> Statement {
    Statement::parse(text, Dialect::Sqlite).unwrap()
}

fn error(text: &str, dialect: Dialect) -> StatementError {
    Statement::parse(text, dialect).unwrap_err()
}

fn bound(statement: &Statement, params: Params) -> Result<Vec<Value>, StatementError> {
    Ok(statement.bind(&params)?.cloned().collect())
}

#[test]
fn every_style_of_placeholder_works_on_every_engine() {
    for (text, sqlite, postgres, mysql) in [
        ("SELECT ?, ?", "SELECT ?1, ?2", "SELECT $1, $2", "SELECT ?, ?"),
        ("SELECT $2, $1, $2", "SELECT ?2, ?1, ?2", "SELECT $2, $1, $2", "SELECT ?, ?, ?"),
        ("SELECT :a, :b, :a", "SELECT ?1, ?2, ?1", "SELECT $1, $2, $1", "SELECT ?, ?, ?"),
    ] {
        for (dialect, expected) in
            [(Dialect::Sqlite, sqlite), (Dialect::Postgres, postgres), (Dialect::MySql, mysql)]
        {
            assert_eq!(Statement::parse(text, dialect).unwrap().sql(), expected, "{dialect:?}");
        }
    }
}

#[test]
fn a_repeated_parameter_is_bound_once_or_as_often_as_the_engine_needs_it() {
    let text = "SELECT :a, :b, :a";
    let params = || Params::named([("b", 2), ("a", 1)]);
    assert_eq!(bound(&sqlite(text), params()).unwrap(), [1.into(), 2.into()]);
    let mysql = Statement::parse(text, Dialect::MySql).unwrap();
    assert_eq!(bound(&mysql, params()).unwrap(), [1.into(), 2.into(), 1.into()]);
}

#[test]
fn a_placeholder_inside_quotes_or_comments_is_text() {
    for text in [
        "SELECT ':a', \":b\", `:c`, [:d?] -- :e ?\n/* :f ? */ , 'it''s :g'",
        "SELECT '$1', x'00', \"a\"\"?\"",
        "SELECT 1 /* ; */ -- ; :x",
    ] {
        assert_eq!(sqlite(text).placeholders(), 0, "{text}");
    }
    for text in [
        "SELECT a::text, b[1:n], E'\\':x', $$ :a ; ? $$, $t$ $1 $t$, /* a /* :b */ :c */ 1",
        "SELECT d @> '{}' AND e @ f",
    ] {
        assert_eq!(Statement::parse(text, Dialect::Postgres).unwrap().placeholders(), 0, "{text}");
    }
    for text in ["SELECT 'a\\':b', \"c\\\":d\" # :e\n", "SELECT 1--1", "SELECT @v := 1"] {
        assert_eq!(Statement::parse(text, Dialect::MySql).unwrap().placeholders(), 0, "{text}");
    }
}

#[test]
fn question_mark_operators_of_postgres_are_kept() {
    let parse = |text| Statement::parse(text, Dialect::Postgres).unwrap();
    assert_eq!(parse("SELECT j ? 'a' WHERE x = $1").sql(), "SELECT j ? 'a' WHERE x = $1");
    assert_eq!(parse("SELECT j ?| :keys").sql(), "SELECT j ?| $1");
    assert_eq!(parse("SELECT j ?? 'a' WHERE x = ?").sql(), "SELECT j ? 'a' WHERE x = $1");
}

#[test]
fn missing_unused_and_mixed_parameters_are_named() {
    let positional = sqlite("SELECT ?, ?");
    assert_eq!(bound(&positional, [1].into()).unwrap_err(), StatementError::Missing("$2".into()));
    assert_eq!(bound(&positional, [1, 2, 3].into()).unwrap_err(), StatementError::Unused("$3".into()));
    let named = sqlite("SELECT :a, :b");
    assert_eq!(bound(&named, Params::named([("a", 1)])).unwrap_err(), StatementError::Missing(":b".into()));
    assert_eq!(
        bound(&named, Params::named([("a", 1), ("b", 2), ("c", 3)])).unwrap_err(),
        StatementError::Unused(":c".into())
    );
    assert!(bound(&named, [1, 2].into()).unwrap_err().to_string().contains("by name"));
    assert_eq!(bound(&positional, Params::named([("a", 1)])).unwrap_err().code(), "missing_parameters");
    assert_eq!(error("SELECT ?, :a", Dialect::Sqlite), StatementError::MixedStyles("`?`", "`:name`"));
    assert_eq!(error("SELECT $1, $3", Dialect::Sqlite), StatementError::Unused("$2".into()));
    assert_eq!(error("SELECT $0", Dialect::Sqlite).code(), "malformed_statement");
}

#[test]
fn sqlite_names_of_every_prefix_are_names() {
    let statement = sqlite("SELECT @a, $b, :c");
    assert_eq!(statement.sql(), "SELECT ?1, ?2, ?3");
    assert_eq!(sqlite("SELECT ?2, ?1").placeholders(), 2);
}

#[test]
fn nothing_and_more_than_one_statement_are_refused() {
    for text in ["", "  ", ";", "-- only a comment", "/* ; */ ;;"] {
        assert_eq!(error(text, Dialect::Sqlite), StatementError::Empty, "{text:?}");
    }
    assert_eq!(error("SELECT 1; DROP TABLE t", Dialect::Sqlite), StatementError::Multiple { at: 10 });
    assert_eq!(sqlite("SELECT ';' ; -- end\n ;").sql(), "SELECT ';'");
}

#[test]
fn the_body_of_a_trigger_is_part_of_its_statement() {
    let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END";
    assert_eq!(sqlite(&format!("{trigger};")).sql(), trigger);
    assert!(matches!(
        error(&format!("{trigger}; DROP TABLE a"), Dialect::Sqlite),
        StatementError::Multiple { .. }
    ));
}

#[test]
fn statements_that_block_or_escape_are_refused() {
    for text in [
        "BEGIN",
        "begin immediate",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT a",
        "RELEASE a",
        "ATTACH 'x' AS y",
        "DETACH y",
        "VACUUM INTO 'x'",
        "VACUUM main /**/ INTO 'x'",
        "SELECT load_extension('x')",
        "SELECT \"load_extension\" ('x')",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA main.synchronous(OFF)",
        "PRAGMA writable_schema = 1",
        "EXPLAIN PRAGMA locking_mode = EXCLUSIVE",
        "\u{feff}ATTACH 'x' AS y",
        "/* a */ -- b\n COMMIT",
    ] {
        assert_eq!(error(text, Dialect::Sqlite).code(), "refused_statement", "{text}");
    }
    for text in [
        "START TRANSACTION",
        "SET a = 1",
        "COPY t FROM PROGRAM 'x'",
        "DO $$ $$",
        "LISTEN a",
        "PREPARE a AS SELECT 1",
    ] {
        assert_eq!(error(text, Dialect::Postgres).code(), "refused_statement", "{text}");
    }
    assert_eq!(error("SELECT 1 /*! INTO OUTFILE 'x' */", Dialect::MySql).code(), "malformed_statement");
}

#[test]
fn harmless_look_alikes_pass() {
    for text in [
        "VACUUM",
        "PRAGMA table_info(t)",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode",
        "REPLACE INTO t VALUES (1)",
        "SELECT 'ATTACH'",
        "SELECT begin FROM t",
        "UPDATE t SET load_extension = 1",
        "EXPLAIN QUERY PLAN SELECT 1",
    ] {
        sqlite(text);
    }
    assert_eq!(sqlite("(SELECT 1)").verb(), Verb::Select);
}

#[test]
fn what_has_no_end_is_refused() {
    for (text, what) in
        [("SELECT 'a", "string"), ("SELECT \"a", "quoted identifier"), ("SELECT /* a", "comment")]
    {
        assert!(
            matches!(error(text, Dialect::Sqlite), StatementError::Unterminated { what: found, .. } if found == what)
        );
    }
    assert!(matches!(error("SELECT $a$ b", Dialect::Postgres), StatementError::Unterminated { .. }));
    assert_eq!(error("SELECT 1\0; DROP", Dialect::Sqlite).code(), "malformed_statement");
}
