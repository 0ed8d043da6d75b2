use super::*;

mod properties;

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

#[test]
fn colons_in_brackets_are_bounds_in_a_slice_and_names_in_a_list() {
    let parse = |text| Statement::parse(text, Dialect::Postgres).unwrap();
    for (text, expected) in [
        (
            "SELECT a[1:n], a[:n], a[m:], a[b[1]:n], a[f(1):n]",
            "SELECT a[1:n], a[:n], a[m:], a[b[1]:n], a[f(1):n]",
        ),
        ("SELECT ARRAY[:a, :b]", "SELECT ARRAY[$1, $2]"),
        ("SELECT array [[:a], [:b, a[1:n]]]", "SELECT array [[$1], [$2, a[1:n]]]"),
        ("SELECT a[1 + :n], a[(:n)], a[f(:n)]", "SELECT a[1 + $1], a[($1)], a[f($1)]"),
        ("SELECT a[$1:$2], a[?]", "SELECT a[$1:$2], a[?]"),
        ("SELECT a[?:?]", "SELECT a[$1:$2]"),
        ("SELECT (a[1]), :n", "SELECT (a[1]), $1"),
        ("SELECT f(a := :n, b => :m)", "SELECT f(a := $1, b => $2)"),
        ("SELECT :n::int[], ?::text", "SELECT $1::int[], ?::text"),
    ] {
        assert_eq!(parse(text).sql(), expected);
    }
    let mysql =
        Statement::parse("SELECT @v := :a, @@sort_buffer_size, @`:b` := ':c'", Dialect::MySql).unwrap();
    assert_eq!(mysql.sql(), "SELECT @v := ?, @@sort_buffer_size, @`:b` := ':c'");
}

#[test]
fn operators_with_question_marks_are_kept_beside_names_numbers_and_doubled() {
    let parse = |text| Statement::parse(text, Dialect::Postgres).unwrap();
    for (text, expected) in [
        ("SELECT j ?& :k, j ?| :k, j ? :k, j @? :k", "SELECT j ?& $1, j ?| $1, j ? $1, j @? $1"),
        ("SELECT a ?|| b, a ?-| b, a ?# b, $1", "SELECT a ?|| b, a ?-| b, a ?# b, $1"),
        ("SELECT j ??| ?, j ??& ?, j ?? ?", "SELECT j ?| $1, j ?& $2, j ? $3"),
        ("SELECT ?||'a', ?&&b, j @? ?", "SELECT $1||'a', $2&&b, j @? $3"),
    ] {
        assert_eq!(parse(text).sql(), expected);
    }
}

#[test]
fn strings_go_on_and_comments_end_where_the_engine_says() {
    let postgres = |text| Statement::parse(text, Dialect::Postgres).unwrap().sql().to_owned();
    // an E-string goes on in the next line, backslashes included; a comment ends at a carriage return
    assert_eq!(postgres("SELECT E'a' -- :c\n '\\':x', :y"), "SELECT E'a' -- :c\n '\\':x', $1");
    assert_eq!(postgres("SELECT 'a\\', :y"), "SELECT 'a\\', $1");
    assert_eq!(postgres("SELECT -- :a\r:b"), "SELECT -- :a\r$1");
    assert_eq!(postgres("SELECT a$b$, $x$ :a $y$ $x$, :c"), "SELECT a$b$, $x$ :a $y$ $x$, $1");
    assert_eq!(sqlite("SELECT -- :a\r:b\n:c").placeholders(), 1);
    let mysql = Statement::parse("SELECT 1 --:a\n, :b # :c\n -- :d\n", Dialect::MySql).unwrap();
    assert_eq!(mysql.placeholders(), 2);
    // neither engine nests comments but PostgreSQL
    assert_eq!(sqlite("SELECT 1 /* /* */ , :a").placeholders(), 1);
}

#[test]
fn nothing_hides_behind_white_space_comments_or_a_nul() {
    for (text, dialect) in [
        ("\u{b}COMMIT", Dialect::Postgres),
        ("\u{b}COMMIT", Dialect::MySql),
        ("-- a\rCOMMIT /*\n*/", Dialect::Postgres),
    ] {
        assert_eq!(error(text, dialect).code(), "refused_statement", "{text:?}");
    }
    for text in ["SELECT 1 /*! , 2 */", "SELECT 1 /*M! , 2 */", "/*M!100100 COMMIT */"] {
        assert_eq!(error(text, Dialect::MySql).code(), "malformed_statement", "{text:?}");
    }
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
        assert_eq!(error("DELETE FROM t /*\0*/ WHERE id = 1", dialect).code(), "malformed_statement");
        assert_eq!(error("SELECT 'a\0'", dialect).code(), "malformed_statement");
    }
    let two = "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f(); DROP TABLE a; END";
    assert!(matches!(error(two, Dialect::Postgres), StatementError::Multiple { .. }));
    assert!(matches!(error(two, Dialect::MySql), StatementError::Multiple { .. }));
}

#[test]
fn an_error_names_a_few_of_many_parameters() {
    let error = error("SELECT $65535", Dialect::Postgres).to_string();
    assert!(error.contains("$1, $2") && error.ends_with("and 65514 more") && error.len() < 200, "{error}");
}

#[test]
fn a_placeholder_never_grows_together_with_its_neighbours() {
    let parse = |text, dialect| Statement::parse(text, dialect).unwrap().sql().to_owned();
    assert_eq!(parse("SELECT a LIMIT:n", Dialect::Postgres), "SELECT a LIMIT $1");
    assert_eq!(parse("SELECT ?1", Dialect::Postgres), "SELECT $1 1");
    assert_eq!(parse("SELECT ?AND?", Dialect::Postgres), "SELECT $1 AND $2");
    assert_eq!(parse("SELECT a LIMIT:n", Dialect::Sqlite), "SELECT a LIMIT?1");
    assert_eq!(parse("SELECT a LIMIT:n", Dialect::MySql), "SELECT a LIMIT?");
}
