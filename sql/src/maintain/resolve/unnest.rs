//! Set-returning functions: the elements of lists, side by side.
//!
//! Law: a NULL list has no elements; lists of one select list are taken apart together, the shorter
//! ones padded with NULLs.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::logical_plan;

use super::{Resolver, names};
use crate::error::SqlError;
use crate::maintain::refuse;
use crate::maintain::rel::{Rel, Unnest, column};

impl Resolver<'_> {
    pub(super) fn unnest(&self, unnest: &logical_plan::Unnest) -> Result<Rel, SqlError> {
        let input = self.rel(&unnest.input)?;
        let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(list, _)| *list).collect();
        let nested = unnest.list_type_columns.iter().any(|(_, list)| list.depth != 1);
        let repeated = lists.iter().enumerate().any(|(i, list)| lists[..i].contains(list));
        if nested || repeated || !unnest.struct_type_columns.is_empty() {
            return Err(refuse::set_returning());
        }
        let own = input.schema();
        let kept: Vec<usize> = (0..input.width()).filter(|i| !lists.contains(i)).collect();
        let fields = kept.iter().map(|&i| own.field(i).clone());
        let elements = lists.iter().map(|&list| match own.field(list).data_type() {
            DataType::List(item) => {
                Ok(Field::new(own.field(list).name(), item.data_type().clone(), true))
            }
            _ => Err(refuse::set_returning()),
        });
        let elements = elements.collect::<Result<Vec<_>, SqlError>>()?;
        let schema = Schema::new(fields.chain(elements).collect::<Vec<_>>()).into();
        let places = unnest.dependency_indices.iter().map(|column| {
            let element = lists.iter().position(|list| list == column);
            let other = kept.iter().position(|other| other == column);
            element.map(|element| kept.len() + element).or(other).expect("a column of the input")
        });
        let places: Vec<usize> = places.collect();
        let rel = Rel::Unnest(Unnest { input: Box::new(input), lists, ordinality: false, schema });
        let columns: Vec<_> = places.into_iter().map(column).collect();
        rel.project(columns, names(&unnest.schema))
    }
}
