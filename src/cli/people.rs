//! `get people`: who is behind which credential, and when.

use super::args::Format;
use super::asker::Context;
use super::error::Error;
use super::output;
use super::table::table;
use crate::config::{CredentialKind, PersonConfig, person_of};
use crate::http::dto;
use crate::model::Timestamp;
use crate::query::blame::Blame;
use crate::query::people::Person;

/// Runs `get people`.
pub(super) async fn list(context: &Context) -> Result<(), Error> {
    let found = context.asker().await?.people().await?;
    if found.is_empty() && !context.global.quiet && context.global.output == Format::Table {
        output::say(
            "note: nobody is written down: answers name credentials (docs/config.md, person)",
        );
    }
    let rows = |people: &[Person], _: bool| table(&HEADER, people.iter().map(row));
    output::print(&output::list(&found, context.global.output, rows, |person| person.name.clone()))
}

/// Says who the people behind the names in rows are.
pub(super) fn name(rows: &mut [dto::Event], people: &[Person]) {
    let people: Vec<PersonConfig> = people.iter().map(PersonConfig::from).collect();
    for row in rows {
        let at = Timestamp::parse_rfc3339(&row.time).unwrap_or_default();
        row.parties.iter_mut().for_each(|party| party.name(&people, at));
        let Some(who) = &mut row.who else { continue };
        who.claims.iter_mut().for_each(|claim| claim.party.name(&people, at));
        if let Some(own) = &mut who.own {
            let git = own.author_party.iter_mut().chain(&mut own.committer_party);
            git.for_each(|party| party.name(&people, at));
            own.signature = std::mem::take(&mut own.signature).named(&people, at);
            own.signer = own.signature.text();
        }
    }
}

/// Says who the people behind the users are whom the audit named.
pub(super) fn name_blame(blame: &mut Blame, people: &[Person]) {
    let people: Vec<PersonConfig> = people.iter().map(PersonConfig::from).collect();
    let fields = blame.fields.iter_mut().flat_map(|f| [&mut f.set, &mut f.introduced]);
    let removed = blame.removed.iter_mut().flat_map(|r| [&mut r.removed, &mut r.set]);
    let ends = std::iter::once(&mut blame.begun).chain(&mut blame.gone);
    for deed in fields.chain(removed).chain(ends).filter(|deed| deed.who.attribution.is_some()) {
        let at = Timestamp::parse_rfc3339(&deed.time).unwrap_or_default();
        let user = CredentialKind::Kubernetes;
        deed.who.person = person_of(&people, user, &deed.who.name, at).map(str::to_owned);
    }
}

const HEADER: [&str; 8] = ["NAME", "FROM", "UNTIL", "KUBERNETES", "GIT", "SIGNERS", "OS", "FORGE"];

fn row(person: &Person) -> Vec<String> {
    let bound = |text: &str, open: &str| if text.is_empty() { open } else { text }.to_owned();
    let names = |names: &[String]| names.join(", ");
    vec![
        person.name.clone(),
        bound(&person.from, "always"),
        bound(&person.until, "for ever"),
        names(&person.kubernetes),
        names(&person.git),
        names(&person.signers),
        names(&person.os),
        names(&person.forge),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::row;
    use crate::ledger::Draft;
    use crate::ledger::event::{ActorClaim, Event, Verdict};
    use crate::ledger::samples::sample_events;
    use crate::model::{Actor, Scheme};
    use crate::query::describe::Described;
    use crate::query::fixture::Story;

    /// Goal: a row names the person beside the name, claims stay claims, and nothing that a client
    /// chooses makes a person of it.
    #[test]
    fn rows_name_people_beside_their_names() {
        let names = vec!["alice".to_owned()];
        let people = [Person {
            name: "Alice Martin".into(),
            kubernetes: names.clone(),
            os: names,
            ..Person::default()
        }];
        let mut story = Story::empty();
        let told = |story: &mut Story, draft: Draft, known: Option<Verdict>| {
            let seq = story.add(draft);
            let recorded = story.ledger.get(seq).unwrap().unwrap();
            let claim = ActorClaim { who: "alice".into(), ..ActorClaim::default() };
            let known = known.map(|verdict| (verdict, vec![claim]));
            let mut rows = [row(&recorded, Described { known, ..Described::default() }, false)];
            name(&mut rows, &people);
            rows[0].parties.iter().map(|party| party.text()).collect::<Vec<_>>().join(", ")
        };
        let sample = |name: &str| {
            let event: Option<Event> = sample_events().into_iter().find(|e| e.name() == name);
            Draft::new(event.unwrap())
        };
        let person = "Alice Martin (alice)";
        let paused = sample("operator.pause").by(Actor::os_user("alice"));
        assert_eq!(told(&mut story, paused, None), person);
        let observed =
            || sample("object.observed").by(Actor::one(Scheme::FieldManager, "alice", 2));
        assert_eq!(told(&mut story, observed(), Some(Verdict::Exact)), person);
        let claimed = "alice (field manager, claimed)";
        assert_eq!(told(&mut story, observed(), None), claimed);
        assert_eq!(told(&mut story, observed(), Some(Verdict::FieldManager)), claimed);
        let git = sample("git.commit").by(Actor::one(Scheme::GitAuthor, "alice", 1));
        assert_eq!(told(&mut story, git, None), "alice (claimed)");
    }
}
