"""Azure Resource Manager: resources, deployments, compute, identity, permissions, policies."""
