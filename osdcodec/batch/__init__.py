"""Many files at once: which becomes which (jobs), what is done with each (tasks), in threads (run) or over a cluster (ray), and what is told of it (report)."""
