//! temporary
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    let path = std::env::args().nth(1).unwrap();
    if path == "dump" {
        let dir = std::env::args().nth(2).unwrap();
        let a = greffier::ledger::Archive::open(std::path::Path::new(&dir), None)?;
        for r in a.range(greffier::model::Seq(1), a.head()) {
            let r = r?;
            let e = r.event.as_ref().unwrap();
            let mut s = serde_json::to_string(e)?; s.truncate(260);
            println!("{} {} {} [{}] {}", r.envelope.seq, r.envelope.recorded, e.name(), r.actor, s);
        }
        return Ok(());
    }
    let text = std::fs::read_to_string(&path)?;
    let config: greffier::config::Config = toml::from_str(&text)?;
    greffier::daemon::run(config, Default::default()).await
}
