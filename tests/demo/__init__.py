"""``make demo``: the main job on real hosts, and what it cost the visitors."""
