"""What Azure says about its resources: Resource Graph, health, metrics, activity log, replication."""
