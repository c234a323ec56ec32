"""The config: YAML that an operator can read aloud, checked as a whole before anything uses it."""
