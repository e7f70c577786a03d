//! The tables of docs/admin-api.md are those of the code.

use directory::{Permission, Role};

use crate::support::operations;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/admin-api.md");

/// The rows between two marks are these. `RESTANTE_WRITE_DOCS=1` writes them.
fn check(mark: &str, rows: &str) {
    let text = std::fs::read_to_string(GUIDE).unwrap();
    let (before, rest) = text.split_once(&format!("<!-- {mark} -->\n")).unwrap();
    let (there, after) = rest.split_once(&format!("<!-- /{mark} -->")).unwrap();
    if there != rows && std::env::var_os("RESTANTE_WRITE_DOCS").is_some() {
        std::fs::write(GUIDE, format!("{before}<!-- {mark} -->\n{rows}<!-- /{mark} -->{after}")).unwrap();
        return;
    }
    assert_eq!(there, rows, "docs/admin-api.md, {mark}: run this test with RESTANTE_WRITE_DOCS=1 to have it written");
}

/// One test for all: they write one file.
#[test]
fn the_tables_are_those_of_the_code() {
    let document = admin_api::openapi();
    let mut rows = String::new();
    for (_, response) in document["components"]["responses"].as_object().unwrap() {
        for (code, example) in response["content"]["application/problem+json"]["examples"].as_object().unwrap() {
            let value = &example["value"];
            let detail =
                if code == "invalid" { "`errors` names every faulty field" } else { value["detail"].as_str().unwrap() };
            rows.push_str(&format!(
                "| {} | `/problems/{code}`: {}. {detail} |\n",
                value["status"],
                value["title"].as_str().unwrap()
            ));
        }
    }
    check("problems", &rows);

    let mut rows = String::from("| permission |");
    for role in Role::ALL {
        rows.push_str(&format!(" {} |", role.as_str()));
    }
    rows.push_str(&format!("\n| --- |{}\n", " :-: |".repeat(Role::ALL.len())));
    for permission in Permission::all() {
        rows.push_str(&format!("| `{permission}` |"));
        for role in Role::ALL {
            rows.push_str(if role.allows(permission) { " × |" } else { " |" });
        }
        rows.push('\n');
    }
    check("roles", &rows);

    let mut rows = String::from("| operation | id | needs | what it does |\n| --- | --- | --- | --- |\n");
    for one in operations() {
        let text = |name: &str| one.document[name].as_str().unwrap().to_owned();
        rows.push_str(&format!(
            "| `{} {}` | `{}` | `{}` | {} |\n",
            one.method.to_uppercase(),
            one.path,
            text("operationId"),
            text("x-permission"),
            text("summary")
        ));
    }
    check("operations", &rows);
}
