//! On which line of a file of YAML (or JSON) a field stands. Pure.
//!
//! What is found is the line of the field's key, or where an item of a list begins. What stands
//! behind an alias or a merge key is not looked for: nothing is found then.

use granit_parser::{Event, Parser};

use super::yaml;

/// A step from a value to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineStep {
    /// A field of a map.
    Field(String),
    /// The item whose fields have these values, as text.
    Keys(Vec<(String, String)>),
    /// The item that is this scalar, as text.
    Member(String),
    /// An item by its position.
    Item(usize),
}

/// Where everything in a document stands.
#[derive(Debug)]
pub struct Lines(Node);

impl Lines {
    /// Reads the document whose content begins on the line `document`, counted from 1. `None` =
    /// there is none, or the file cannot be read.
    #[must_use]
    pub fn read(bytes: &[u8], document: u64) -> Option<Self> {
        read(bytes, document).map(Self)
    }

    /// The line of what the steps lead to, counted from 1.
    #[must_use]
    pub fn of(&self, steps: &[LineStep]) -> Option<u64> {
        find(&self.0, steps, self.0.line)
    }
}

#[derive(Debug)]
struct Node {
    line: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, u64, Node)>),
    /// An alias.
    Elsewhere,
}

/// A list or map that is still open.
struct Open {
    line: u64,
    content: Content,
    key: Option<(String, u64)>,
}

/// The document that begins on the line.
fn read(bytes: &[u8], document: u64) -> Option<Node> {
    let text = yaml::text(bytes).ok()?;
    let mut options = granit_parser::options! {
        flow_nesting_limit: yaml::DEPTH_MAX,
        block_nesting_limit: yaml::DEPTH_MAX,
        block_scalar_eof_without_line_feed: true,
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut open: Vec<Open> = Vec::new();
    while let Some(next) = parser.next_event() {
        let (event, span) = next.ok()?;
        let line = span.start.line() as u64;
        let content = match event {
            Event::Scalar(text, ..) => Content::Scalar(text.to_string()),
            Event::Alias(_) => Content::Elsewhere,
            Event::SequenceStart(..) => {
                open.push(Open { line, content: Content::List(Vec::new()), key: None });
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open { line, content: Content::Map(Vec::new()), key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { line, content, .. } = open.pop()?;
                if let Some(root) = put(&mut open, Node { line, content })
                    && root.line == document
                {
                    return Some(root);
                }
                continue;
            }
            _ => continue,
        };
        if let Some(root) = put(&mut open, Node { line, content })
            && root.line == document
        {
            return Some(root);
        }
    }
    None
}

/// Puts a node where it belongs; gives it back when it is a document's content.
fn put(open: &mut [Open], node: Node) -> Option<Node> {
    let Some(around) = open.last_mut() else { return Some(node) };
    match &mut around.content {
        Content::List(items) => items.push(node),
        Content::Map(fields) => match around.key.take() {
            Some((key, line)) => fields.push((key, line, node)),
            None => {
                let key = match node.content {
                    Content::Scalar(text) => text,
                    // A manifest has no such keys; nothing is looked for by them.
                    _ => String::new(),
                };
                around.key = Some((key, node.line));
            }
        },
        Content::Scalar(_) | Content::Elsewhere => {}
    }
    None
}

fn find(node: &Node, steps: &[LineStep], line: u64) -> Option<u64> {
    let Some((step, rest)) = steps.split_first() else { return Some(line) };
    match (step, &node.content) {
        (LineStep::Field(name), Content::Map(_)) => {
            let (line, below) = field(node, name)?;
            find(below, rest, line)
        }
        (LineStep::Keys(keys), Content::List(items)) => {
            let item = items.iter().find(|item| keys.iter().all(|key| has(item, key)))?;
            find(item, rest, item.line)
        }
        (LineStep::Member(text), Content::List(items)) => {
            let is = |item: &&Node| matches!(&item.content, Content::Scalar(own) if own == text);
            let item = items.iter().find(is)?;
            find(item, rest, item.line)
        }
        (LineStep::Item(index), Content::List(items)) => {
            let item = items.get(*index)?;
            find(item, rest, item.line)
        }
        _ => None,
    }
}

fn field<'n>(node: &'n Node, name: &str) -> Option<(u64, &'n Node)> {
    let Content::Map(fields) = &node.content else { return None };
    // Of a key that occurs twice the last one counts, where it is accepted at all.
    let (_, line, below) = fields.iter().rev().find(|(key, ..)| key == name)?;
    Some((*line, below))
}

/// Whether an item has a key field with this value; a protocol is TCP where it is left out.
fn has(item: &Node, (name, value): &(String, String)) -> bool {
    match field(item, name) {
        Some((_, Node { content: Content::Scalar(text), .. })) => text == value,
        Some(_) => false,
        None => name == "protocol" && value == "TCP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# two documents
kind: Service
---

# the second
kind: Deployment
metadata: {labels: &shared {app: web}}
spec:
  replicas: 2
  containers:
    - image: log:1
      name: log
    - name: web
      ports:
        - containerPort: 80
      args: [\"-a\",
        \"-b\"]
      env: *shared
";

    fn at(document: u64, steps: &[LineStep]) -> Option<u64> {
        Lines::read(FILE.as_bytes(), document)?.of(steps)
    }

    fn named(name: &str) -> Vec<LineStep> {
        let field = |name: &str| LineStep::Field(name.into());
        vec![field("spec"), field("containers"), LineStep::Keys(vec![("name".into(), name.into())])]
    }

    #[test]
    fn a_field_is_found_where_it_stands() {
        let field = |name: &str| LineStep::Field(name.into());
        assert_eq!(at(2, &[field("kind")]), Some(2));
        assert_eq!(at(6, &[field("kind")]), Some(6));
        assert_eq!(at(6, &[field("metadata"), field("labels"), field("app")]), Some(7));
        assert_eq!(at(6, &[field("spec"), field("replicas")]), Some(9));
        assert_eq!(at(6, &[named("log"), vec![field("image")]].concat()), Some(11));
        assert_eq!(at(6, &named("web")), Some(13));
        let port = [("containerPort", "80"), ("protocol", "TCP")];
        let port = port.map(|(name, key)| (name.to_owned(), key.to_owned())).to_vec();
        let steps = [named("web"), vec![field("ports"), LineStep::Keys(port)]].concat();
        assert_eq!(at(6, &steps), Some(15));
        let member = LineStep::Member("-b".into());
        assert_eq!(at(6, &[named("web"), vec![field("args"), member]].concat()), Some(17));
        assert_eq!(
            at(6, &[named("web"), vec![field("args"), LineStep::Item(0)]].concat()),
            Some(16)
        );
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let field = |name: &str| LineStep::Field(name.into());
        assert_eq!(at(6, &[field("nothing")]), None);
        assert_eq!(at(3, &[field("kind")]), None, "no document begins there");
        assert_eq!(at(6, &named("db")), None);
        let behind = [named("web"), vec![field("env"), LineStep::Item(0)]].concat();
        assert_eq!(at(6, &behind), None, "what an alias stands for is elsewhere");
        assert!(Lines::read(b"a: [1", 1).is_none());
        assert!(Lines::read(b"\xff", 1).is_none());
    }
}
