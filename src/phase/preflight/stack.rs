//! What a Terraform stack says about a region, as far as it is known without Terraform: the values of its variables and
//! locals, and the attributes of its resources, also of those in its own modules.
//!
//! 1. A variable has the given value, or its default. The defaults of `optional(TYPE, DEFAULT)` fill in an object.
//! 2. A local is evaluated as soon as everything that it refers to is known. What depends on a data source or on
//!    another resource never is.
//! 3. A module in the same repository is read like a stack, with those of its arguments that are known.
//!
//! The numbers therefore stay where Terraform reads them. Whatever is not known is `None`, and what needs it is not
//! checked.

use std::path::Path;

use hcl::{
    Block, Body, Expression, Map, Value,
    eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType},
    expr::ObjectKey,
};

use super::variables::{entries, parse};
use crate::step::Result;

pub struct Stack {
    bodies: Vec<Body>,
    variables: Map<String, Value>,
    locals: Map<String, Value>,
    modules: Vec<Stack>,
}

/// A block whose expressions refer to a stack's variables and locals.
pub struct Resource<'a> {
    stack: &'a Stack,
    body: &'a Body,
}

impl Stack {
    /// Reads the folder of a stack or module.
    pub fn read(folder: &Path, given: &Map<String, Value>) -> Result<Self> {
        let mut files = entries(folder)?;
        files.retain(|file| file.extension().is_some_and(|end| end == "tf"));
        let bodies = files.iter().map(|file| parse(file)).collect::<Result<Vec<_>>>()?;
        let variables = variables(&bodies, given);
        let locals = locals(&bodies, &variables);
        let mut stack = Self { bodies, variables, locals, modules: Vec::new() };
        let context = stack.context();
        let mut modules = Vec::new();
        for module in stack.blocks("module") {
            let known = |name: &str| module.body().attributes().find(|attribute| attribute.key() == name);
            let Some(Expression::String(source)) = known("source").map(hcl::Attribute::expr) else {
                continue;
            };
            // Every other source is a registry's or a repository's address.
            if source.starts_with('.') {
                let arguments = module.body().attributes().filter_map(|argument| {
                    Some((argument.key().to_owned(), argument.expr().evaluate(&context).ok()?))
                });
                modules.push(Self::read(&folder.join(source), &arguments.collect())?);
            }
        }
        stack.modules = modules;
        Ok(stack)
    }

    pub fn variables(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn local(&self, name: &str) -> Option<&Value> {
        self.locals.get(name)
    }

    /// The resources of a type, such as `aws_vpc`, in the stack and its modules.
    pub fn resources(&self, kind: &str) -> Vec<Resource<'_>> {
        self.labelled("resource", kind)
    }

    /// The data sources of a type.
    pub fn data(&self, kind: &str) -> Vec<Resource<'_>> {
        self.labelled("data", kind)
    }

    fn labelled(&self, block: &str, kind: &str) -> Vec<Resource<'_>> {
        let own =
            self.blocks(block).filter(|block| block.labels().first().is_some_and(|it| it.as_str() == kind));
        let own = own.map(|block| Resource { stack: self, body: block.body() });
        own.chain(self.modules.iter().flat_map(|module| module.labelled(block, kind))).collect()
    }

    fn blocks(&self, kind: &str) -> impl Iterator<Item = &Block> {
        self.bodies.iter().flat_map(Body::blocks).filter(move |block| block.identifier() == kind)
    }

    fn context(&self) -> Context<'static> {
        context(&self.variables, &self.locals)
    }
}

impl<'a> Resource<'a> {
    pub fn value(&self, name: &str) -> Option<Value> {
        self.expression(name)?.evaluate(&self.stack.context()).ok()
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.as_str().map(str::to_owned)
    }

    /// A block inside the resource, such as `update_config`.
    pub fn block(&self, name: &str) -> Option<Resource<'a>> {
        let block = self.body.blocks().find(|block| block.identifier() == name)?;
        Some(Resource { stack: self.stack, body: block.body() })
    }

    /// The keys of `for_each`, each with one field of its value. The other fields may be unknown.
    pub fn instances(&self, field: &str) -> Vec<(String, Value)> {
        let Some(Expression::Object(instances)) = self.expression("for_each") else { return Vec::new() };
        let context = self.stack.context();
        let one = |(key, instance): (&ObjectKey, &Expression)| {
            let Expression::Object(fields) = instance else { return None };
            let (_, value) = fields.iter().find(|(name, _)| name_of(name).as_deref() == Some(field))?;
            Some((name_of(key)?, value.evaluate(&context).ok()?))
        };
        instances.iter().filter_map(one).collect()
    }

    /// An attribute of each instance: of all keys of `for_each`, or of the only one.
    pub fn texts(&self, name: &str) -> Vec<String> {
        if self.value("count").is_some_and(|count| count.as_u64() == Some(0)) {
            return Vec::new();
        }
        let keys = self.value("for_each");
        let Some(keys) = keys.as_ref().and_then(Value::as_array) else {
            return self.text(name).into_iter().collect();
        };
        let Some(expression) = self.expression(name) else { return Vec::new() };
        let text = |key: &Value| {
            let mut context = self.stack.context();
            let each = [("key", key), ("value", key)].map(|(name, key)| (name.to_owned(), key.clone()));
            context.declare_var("each", Value::Object(each.into_iter().collect()));
            expression.evaluate(&context).ok()?.as_str().map(str::to_owned)
        };
        keys.iter().filter_map(text).collect()
    }

    fn expression(&self, name: &str) -> Option<&'a Expression> {
        self.body.attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
    }
}

fn variables(bodies: &[Body], given: &Map<String, Value>) -> Map<String, Value> {
    let empty = Context::new();
    let declared = bodies.iter().flat_map(Body::blocks).filter(|block| block.identifier() == "variable");
    let value = |block: &Block| {
        let name = block.labels().first()?.as_str().to_owned();
        let attribute = |name: &str| block.body().attributes().find(|attribute| attribute.key() == name);
        let default = attribute("default").and_then(|default| default.expr().evaluate(&empty).ok());
        let value = given.get(&name).cloned().or(default)?;
        let kind = attribute("type").map(hcl::Attribute::expr);
        Some((name, kind.map_or_else(|| value.clone(), |kind| complete(kind, value.clone()))))
    };
    declared.filter_map(value).collect()
}

/// Adds the defaults that an object's type gives to the fields that a value leaves out.
fn complete(kind: &Expression, mut value: Value) -> Value {
    let (Some(("object", [Expression::Object(fields)])), Some(object)) = (call(kind), value.as_object_mut())
    else {
        return value;
    };
    for (field, kind) in fields {
        let Some(name) = name_of(field) else { continue };
        let (kind, default) = match call(kind) {
            Some(("optional", [kind, default])) => (kind, default.evaluate(&Context::new()).ok()),
            Some(("optional", [kind])) => (kind, None),
            _ => (kind, None),
        };
        let present = object.get(&name).filter(|value| !value.is_null()).cloned();
        if let Some(value) = present.or(default) {
            object.insert(name, complete(kind, value));
        }
    }
    value
}

fn locals(bodies: &[Body], variables: &Map<String, Value>) -> Map<String, Value> {
    let blocks = bodies.iter().flat_map(Body::blocks).filter(|block| block.identifier() == "locals");
    let mut waiting: Vec<_> = blocks.flat_map(|block| block.body().attributes()).collect();
    let mut known = Map::new();
    loop {
        let (before, context) = (waiting.len(), context(variables, &known));
        waiting.retain(|local| match local.expr().evaluate(&context) {
            Ok(value) => {
                known.insert(local.key().to_owned(), value);
                false
            }
            Err(_) => true,
        });
        if waiting.len() == before {
            return known;
        }
    }
}

/// Variables, locals, and the one function that a stack's sizes need.
fn context(variables: &Map<String, Value>, locals: &Map<String, Value>) -> Context<'static> {
    let mut context = Context::new();
    context.declare_var("var", Value::Object(variables.clone()));
    context.declare_var("local", Value::Object(locals.clone()));
    context.declare_func("coalesce", FuncDef::builder().variadic_param(ParamType::Any).build(coalesce));
    context
}

#[allow(clippy::needless_pass_by_value)] // The signature of hcl's functions.
fn coalesce(arguments: FuncArgs) -> Result<Value, String> {
    let known = |value: &Value| !value.is_null() && value.as_str() != Some("");
    arguments.into_values().into_iter().find(known).ok_or_else(|| "no argument has a value".to_owned())
}

fn call(expression: &Expression) -> Option<(&str, &[Expression])> {
    let Expression::FuncCall(call) = expression else { return None };
    Some((call.name.name.as_str(), &call.args))
}

fn name_of(key: &ObjectKey) -> Option<String> {
    match key {
        ObjectKey::Identifier(name) => Some(name.to_string()),
        ObjectKey::Expression(Expression::String(name)) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use hcl::{Map, Value};
    use serde_json::json;

    use super::Stack;

    fn stack(folder: &Path, text: &str, given: &[(&str, Value)]) -> Stack {
        fs::create_dir_all(folder.join("stack")).unwrap();
        fs::write(folder.join("stack/main.tf"), text).unwrap();
        let given: Map<String, Value> =
            given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Stack::read(&folder.join("stack"), &given).unwrap()
    }

    #[test]
    fn a_variable_has_its_given_value_completed_by_the_defaults_of_its_type() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"
            variable "nodes" {
              type    = object({ types = optional(list(string), ["t3.medium"]), max = optional(number, 3), min = number })
              default = { min = 1 }
            }
            variable "class" { default = "db.t4g.micro" }
            variable "domain" { type = string }
        "#;
        let plain = stack(dir.path(), text, &[]);
        let nodes = |stack: &Stack| serde_json::to_value(stack.variables.get("nodes").unwrap()).unwrap();
        assert_eq!(nodes(&plain), json!({ "min": 1, "types": ["t3.medium"], "max": 3 }));
        assert_eq!(plain.variables.get("class").unwrap().as_str(), Some("db.t4g.micro"));
        assert_eq!(plain.variables.get("domain"), None);
        let larger = Value::from_iter([("min", Value::from(2)), ("max", Value::from(9))]);
        let given = stack(dir.path(), text, &[("nodes", larger)]);
        assert_eq!(nodes(&given), json!({ "min": 2, "max": 9, "types": ["t3.medium"] }));
    }

    #[test]
    fn a_local_is_known_once_everything_that_it_refers_to_is() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"
            variable "profile" {}
            variable "single" { default = null }
            locals {
              single     = coalesce(var.single, !local.production)
              production = var.profile == "production"
              zone       = data.aws_availability_zones.this.names[0]
            }
        "#;
        let single = |given: &[(&str, Value)]| stack(dir.path(), text, given).local("single").cloned();
        assert_eq!(single(&[("profile", "staging".into())]), Some(true.into()));
        assert_eq!(single(&[("profile", "production".into())]), Some(false.into()));
        assert_eq!(single(&[("profile", "production".into()), ("single", true.into())]), Some(true.into()));
        assert_eq!(single(&[]), None);
        assert_eq!(stack(dir.path(), text, &[("profile", "staging".into())]).local("zone"), None);
    }

    #[test]
    fn a_modules_resource_is_found_with_the_arguments_that_its_stack_gives() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("modules/database")).unwrap();
        let module = r#"
            variable "class" {}
            variable "secret" {}
            resource "aws_db_instance" "this" {
              instance_class = var.class
              multi_az       = true
              password       = var.secret
              update { days = 7 }
            }
        "#;
        fs::write(dir.path().join("modules/database/main.tf"), module).unwrap();
        let text = r#"
            variable "class" { default = "db.t4g.micro" }
            module "database" {
              source = "../modules/database"
              class  = var.class
              secret = aws_secret.this.value
            }
            resource "aws_eks_addon" "this" {
              for_each = { vpc-cni = { version = "v1", role = module.role.arn }, "coredns" = { version = "v2" } }
            }
        "#;
        let stack = stack(dir.path(), text, &[]);
        let databases = stack.resources("aws_db_instance");
        let database = databases.first().unwrap();
        assert_eq!(database.text("instance_class").as_deref(), Some("db.t4g.micro"));
        assert_eq!(database.value("multi_az"), Some(true.into()));
        assert_eq!(database.value("password"), None);
        assert_eq!(database.block("update").and_then(|update| update.value("days")), Some(7.into()));
        let addons = stack.resources("aws_eks_addon")[0].instances("version");
        assert_eq!(addons, [("vpc-cni".to_owned(), "v1".into()), ("coredns".to_owned(), "v2".into())]);
        assert!(stack.resources("aws_vpc").is_empty());
    }
}
