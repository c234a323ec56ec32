"""Carrying out a plan: write, act, write, look again."""
