"""The program of failover that runs on the servers; ``main`` begins, and says what it is.

Standard library only, Python 3.6 and later; the files know each other by relative imports alone, because on a server
they lie in one executable zip under another name (``failover.servers.helper_program``).
"""
