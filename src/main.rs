#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    let path = std::env::args().nth(1).unwrap();
    let text = std::fs::read_to_string(&path)?;
    let config: greffier::config::Config = toml::from_str(&text)?;
    greffier::daemon::run(config, Default::default()).await
}
