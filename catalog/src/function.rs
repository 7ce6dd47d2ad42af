//! A function of the user's: an expression with a name and parameters.
//!
//! Law      where it is called, its body stands; it reads nothing but its arguments
//! Missing  overloading (a name means one function in its schema), type modifiers (as in Postgres,
//!          parameters and results have none), bodies that are queries

use serde::{Deserialize, Serialize};

use crate::object::{ObjectId, Oid};
use crate::pg_type::PgType;
use crate::quote::quote_identifier;

/// Functions have names of their own, apart from those of relations, and oids from the same row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    pub id: ObjectId,
    pub schema: String,
    pub name: String,
    pub arguments: Vec<Argument>,
    pub returns: PgType,
    pub body: FunctionBody,
    /// NULL for any argument that is NULL, whatever the body says.
    pub strict: bool,
    /// As declared; what the body does decides where it can be used.
    pub volatility: Volatility,
    /// The schemas in which the body's functions are looked up: its creator's (S11).
    pub search_path: Vec<String>,
}

/// A parameter; the body calls it by its name or as `$n`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub ty: PgType,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FunctionBody {
    /// `AS 'SELECT expression'`, as written between the quotes.
    Query(String),
    /// `RETURN expression`.
    Expression(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

impl Volatility {
    /// pg_proc.provolatile.
    pub fn code(self) -> char {
        match self {
            Volatility::Immutable => 'i',
            Volatility::Stable => 's',
            Volatility::Volatile => 'v',
        }
    }
}

impl Function {
    pub fn oid(&self) -> Oid {
        self.id.oid()
    }

    pub fn types(&self) -> impl Iterator<Item = PgType> {
        self.arguments.iter().map(|argument| argument.ty)
    }

    /// `f(integer, text)`, without the schema.
    pub fn signature(&self) -> String {
        let types: Vec<String> = self.types().map(PgType::sql_name).collect();
        format!("{}({})", quote_identifier(&self.name), types.join(", "))
    }

    /// `a integer, b text`: the parameters as CREATE FUNCTION has them.
    pub fn parameters(&self) -> String {
        let parameter = |argument: &Argument| match &argument.name {
            Some(name) => format!("{} {}", quote_identifier(name), argument.ty.sql_name()),
            None => argument.ty.sql_name(),
        };
        self.arguments.iter().map(parameter).collect::<Vec<_>>().join(", ")
    }

    /// The statement that makes it, as `pg_get_functiondef` spells it.
    pub fn definition(&self) -> String {
        let mut text = format!(
            "CREATE OR REPLACE FUNCTION {}.{}({})\n RETURNS {}\n LANGUAGE sql\n",
            quote_identifier(&self.schema),
            quote_identifier(&self.name),
            self.parameters(),
            self.returns.sql_name()
        );
        let volatility = match self.volatility {
            Volatility::Immutable => Some("IMMUTABLE"),
            Volatility::Stable => Some("STABLE"),
            Volatility::Volatile => None,
        };
        let words: Vec<&str> =
            volatility.into_iter().chain(self.strict.then_some("STRICT")).collect();
        if !words.is_empty() {
            text.push_str(&format!(" {}\n", words.join(" ")));
        }
        match &self.body {
            FunctionBody::Query(body) => {
                let tag = dollar_tag(body);
                text.push_str(&format!("AS {tag}{body}{tag}\n"));
            }
            FunctionBody::Expression(body) => text.push_str(&format!("RETURN {body}\n")),
        }
        text
    }
}

/// The first of `$function$`, `$functionx$`, … that the body does not contain.
fn dollar_tag(body: &str) -> String {
    let mut tag = "$function".to_owned();
    while body.contains(&tag) {
        tag.push('x');
    }
    tag + "$"
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn function(body: FunctionBody) -> Function {
        Function {
            id: ObjectId(1),
            schema: "public".to_owned(),
            name: "Net".to_owned(),
            arguments: vec![
                Argument { name: Some("price".to_owned()), ty: PgType::Numeric },
                Argument { name: None, ty: PgType::Float8 },
            ],
            returns: PgType::Numeric,
            body,
            strict: true,
            volatility: Volatility::Immutable,
            search_path: vec![],
        }
    }

    #[test]
    fn a_definition_makes_the_function_again() {
        let query = function(FunctionBody::Query("SELECT '$function$'".to_owned()));
        expect![[r#"
            CREATE OR REPLACE FUNCTION public."Net"(price numeric, double precision)
             RETURNS numeric
             LANGUAGE sql
             IMMUTABLE STRICT
            AS $functionx$SELECT '$function$'$functionx$
        "#]]
        .assert_eq(&query.definition());
        let mut expression = function(FunctionBody::Expression("price * $2".to_owned()));
        expression.strict = false;
        expression.volatility = Volatility::Volatile;
        expect![[r#"
            CREATE OR REPLACE FUNCTION public."Net"(price numeric, double precision)
             RETURNS numeric
             LANGUAGE sql
            RETURN price * $2
        "#]]
        .assert_eq(&expression.definition());
        assert_eq!(expression.signature(), "\"Net\"(numeric, double precision)");
    }
}
