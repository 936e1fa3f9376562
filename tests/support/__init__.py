"""What tests share: people and their systems, servers and proxies, waiting, tokens. Tests import no other test."""
