"""The product on real hosts: each test is an incident, seen by a visitor and by an oracle that knows who holds what."""
